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
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Resident { now: kilobytes("VmRSS")? * 1024, peak: kilobytes("VmHWM")? * 1024 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_has_no_memory() {
        assert_eq!(parse("Name:\tx\nState:\tZ (zombie)\n"), None);
        let text = "VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse(text), Some(Resident { now: 1 << 20, peak: 2 << 20 }));
    }
}
