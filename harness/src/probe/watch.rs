//! Inotify watches, from `/proc/PID/fdinfo/N` (proc(5), `inotify wd:`): exact, 5 us a descriptor. They
//! hold no descriptor of their own, so one shared instance can gather any number of them.

use super::read;

/// The numbers of the watches on one inotify descriptor; none where it is another kind of thing.
pub(crate) fn on(pid: u32, fd: u64) -> Vec<u64> {
    read(&format!("/proc/{pid}/fdinfo/{fd}")).map(|text| parse(&text)).unwrap_or_default()
}

/// `inotify wd:3 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 ...`: all numbers in hexadecimal.
fn parse(fdinfo: &str) -> Vec<u64> {
    let number = |line: &str| {
        let rest = line.strip_prefix("inotify wd:")?;
        u64::from_str_radix(rest.split(' ').next()?, 16).ok()
    };
    fdinfo.lines().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_are_numbered_in_hexadecimal() {
        let text =
            "pos:\t0\nflags:\t02000000\ninotify wd:1f ino:9 sdev:8 mask:8\ninotify wd:2 ino:7\n";
        assert_eq!(parse(text), [0x1f, 2]);
        assert_eq!(parse("pos:\t0\n"), [0; 0]);
    }
}
