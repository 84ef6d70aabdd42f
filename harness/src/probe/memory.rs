//! Resident memory now and at its peak, from `/proc/PID/status` (VmRSS, VmHWM; proc(5); 20 us).
//!
//! Noisy by nature: the allocator keeps what was freed. It is recorded for everyone and judged only
//! against a declared ceiling.

use super::{Unavailable, read};

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Resident {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

/// Reads one process.
pub(crate) fn resident(pid: u32) -> Result<Resident, Unavailable> {
    resident_in(&status(pid)?)
}

/// The text of `/proc/PID/status`.
pub(crate) fn status(pid: u32) -> Result<String, Unavailable> {
    read(&format!("/proc/{pid}/status"))
}

/// The same from the text.
pub(crate) fn resident_in(status: &str) -> Result<Resident, Unavailable> {
    parse(status)
        .ok_or_else(|| Unavailable::new("/proc/PID/status names no memory: the process has ended"))
}

fn parse(status: &str) -> Option<Resident> {
    Some(Resident { now: bytes(status, "VmRSS:")?, peak: bytes(status, "VmHWM:")? })
}

/// Resident memory that no file backs in bytes, of the text: anonymous, and shared (`RssAnon`, `RssShmem`, since
/// Linux 4.5).
pub(crate) fn unbacked_in(status: &str) -> Option<(u64, u64)> {
    Some((bytes(status, "RssAnon:")?, bytes(status, "RssShmem:")?))
}

/// Address space in bytes, of the text.
pub(crate) fn mapped_in(status: &str) -> Option<u64> {
    bytes(status, "VmSize:")
}

/// What programs may still take of the machine's memory without swapping, in bytes (`MemAvailable` of
/// `/proc/meminfo`, proc(5)).
pub(crate) fn available() -> Result<u64, Unavailable> {
    const PATH: &str = "/proc/meminfo";
    bytes(&read(PATH)?, "MemAvailable:")
        .ok_or_else(|| Unavailable::new(format!("{PATH} does not tell what is available")))
}

/// The process's share in bytes: a page that n processes share counts one n-th (`Pss` of
/// `/proc/PID/smaps_rollup`, proc(5)). The kernel walks all pages for it, 1 ms for about 100 MB, and the
/// process cannot map or unmap meanwhile.
pub(crate) fn proportional(pid: u32) -> Result<u64, Unavailable> {
    let path = format!("/proc/{pid}/smaps_rollup");
    bytes(&read(&path)?, "Pss:")
        .ok_or_else(|| Unavailable::new(format!("{path} is empty: the process has ended")))
}

/// `VmRSS:\t    1024 kB`
fn bytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_has_no_memory() {
        assert_eq!(parse("Name:\tx\nState:\tZ (zombie)\n"), None);
        let text = "VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse(text), Some(Resident { now: 1 << 20, peak: 2 << 20 }));
        assert_eq!(mapped_in("VmSize:\t 8 kB\n"), Some(8192));
        assert_eq!(
            unbacked_in("RssAnon:\t 8 kB\nRssFile:\t 9 kB\nRssShmem:\t 4 kB\n"),
            Some((8192, 4096))
        );
    }

    #[test]
    fn the_machine_has_memory_left() {
        assert!(available().unwrap() > 1 << 20);
    }

    #[test]
    fn a_share_is_the_line_of_that_name() {
        let text = "5-7f rollup\nRss:  9 kB\nPss:  3 kB\nPss_Dirty:  2 kB\n";
        assert_eq!(bytes(text, "Pss:"), Some(3 * 1024));
    }
}
