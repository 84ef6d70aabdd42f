//! TIME_WAIT: port pairs that the trial's connections keep for a minute after they are closed.
//!
//! In a private namespace `/proc/PID/net/sockstat` has the exact number (10 us at any size). In the
//! machine's network a pair counts where the agent saw this trial close it first and the kernel's
//! table has it in TIME_WAIT: exact as well.

use std::collections::HashSet;

use super::{Unavailable, read, socket};

/// Pairs in TIME_WAIT in the process's own namespace.
pub(crate) fn count_private(pid: u32) -> Result<u64, Unavailable> {
    let path = format!("/proc/{pid}/net/sockstat");
    parse(&read(&path)?).ok_or_else(|| Unavailable::new(format!("{path} is not as expected")))
}

/// `TCP: inuse 4 orphan 0 tw 12 alloc 5 mem 1`
fn parse(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "tw")?;
    words.next()?.parse().ok()
}

/// Those of the given (local, remote) ports that the kernel has in TIME_WAIT in the process's namespace.
pub(crate) fn confirmed(pid: u32, noted: &[(u16, u16)]) -> HashSet<(u16, u16)> {
    let noted: HashSet<(u16, u16)> = noted.iter().copied().collect();
    let mut waiting = HashSet::new();
    if !noted.is_empty() {
        socket::time_wait_pairs(pid, |local, remote| waiting.extend(noted.get(&(local, remote))));
    }
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_waiting_pairs() {
        let text =
            "sockets: used 10\nTCP: inuse 4 orphan 0 tw 12 alloc 5 mem 1\nUDP: inuse 0 mem 0\n";
        assert_eq!(parse(text), Some(12));
        assert_eq!(parse("sockets: used 10\n"), None);
    }
}
