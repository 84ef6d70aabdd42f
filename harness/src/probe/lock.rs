//! File locks that a process holds.
//!
//! `/proc/locks` (proc(5)) has those of flock(2) and the record locks of fcntl(2) with their owner's
//! id; an open file description lock has no owner there and is found in `/proc/PID/fdinfo/N`, for the
//! descriptors that the agent saw locked. About 10 us; no noise.

use super::read;
use crate::region::Noted;
use crate::table::{ENTRY_FLOCK, ENTRY_OFD_LOCK, ENTRY_POSIX_LOCK};

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lock {
    /// `ENTRY_FLOCK`, `ENTRY_POSIX_LOCK` or `ENTRY_OFD_LOCK`.
    pub(crate) kind: u32,
    pub(crate) is_write: bool,
    pub(crate) inode: u64,
    /// First locked byte.
    pub(crate) start: u64,
}

impl Lock {
    /// The lock as a person names it, without the file.
    pub(crate) fn name(&self) -> &'static str {
        match (self.kind, self.is_write) {
            (ENTRY_FLOCK, true) => "flock (exclusive)",
            (ENTRY_FLOCK, false) => "flock (shared)",
            (ENTRY_POSIX_LOCK, true) => "fcntl write lock",
            (ENTRY_POSIX_LOCK, false) => "fcntl read lock",
            (_, true) => "open file description write lock",
            (_, false) => "open file description read lock",
        }
    }
}

/// The locks of a process; empty where none can be read.
pub(crate) fn held(pid: u32, noted: &[Noted]) -> Vec<Lock> {
    let mut locks: Vec<Lock> = read("/proc/locks")
        .map(|text| text.lines().filter_map(|line| parse(line, Some(pid))).collect())
        .unwrap_or_default();
    let mut fds: Vec<u64> =
        noted.iter().filter(|note| note.kind == ENTRY_OFD_LOCK).map(|note| note.value).collect();
    fds.sort_unstable();
    fds.dedup();
    // Descriptors of one description show the same lock, and so do equal locks of several: as many as
    // there are descriptors is all that can be told.
    for fd in fds {
        let Ok(text) = read(&format!("/proc/{pid}/fdinfo/{fd}")) else { continue };
        let lines = text.lines().filter_map(|line| line.strip_prefix("lock:"));
        let found = lines.filter_map(|line| parse(line, None));
        locks.extend(found.filter(|lock| lock.kind == ENTRY_OFD_LOCK));
    }
    locks
}

/// `2: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF`; one that only waits has an arrow for its kind.
fn parse(line: &str, owner: Option<u32>) -> Option<Lock> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let kind = match words.next()? {
        "FLOCK" => ENTRY_FLOCK,
        "POSIX" => ENTRY_POSIX_LOCK,
        "OFDLCK" => ENTRY_OFD_LOCK,
        _ => return None,
    };
    let is_write = words.nth(1)? == "WRITE";
    let pid = words.next()?;
    if owner.is_some_and(|owner| pid.parse() != Ok(owner)) {
        return None;
    }
    let inode = words.next()?.rsplit(':').next()?.parse().ok()?;
    let start = words.next()?.parse().ok()?;
    Some(Lock { kind, is_write, inode, start })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_read_as_proc_says() {
        let lock = parse("2: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF", Some(1234));
        assert_eq!(lock, Some(Lock { kind: ENTRY_FLOCK, is_write: true, inode: 5678, start: 0 }));
        let lock = parse("\t1: OFDLCK ADVISORY READ -1 00:1f:99 128 255", None).unwrap();
        assert_eq!((lock.kind, lock.is_write, lock.start), (ENTRY_OFD_LOCK, false, 128));
    }

    #[test]
    fn another_s_lock_and_one_that_waits_are_none_of_ours() {
        assert_eq!(parse("2: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF", Some(7)), None);
        assert_eq!(parse("2: -> FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF", Some(1234)), None);
        assert_eq!(parse("2: FLOCK", Some(1234)), None);
    }
}
