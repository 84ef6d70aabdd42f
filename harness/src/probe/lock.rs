//! File locks that a process holds.
//!
//! A lock lives as long as a descriptor on its file, and `/proc/PID/fdinfo/N` (proc_pid_fdinfo(5)) shows the
//! locks of each: those of flock(2) and the record locks of fcntl(2) with their owner's id, open file
//! description locks without one. 5 us a descriptor; no noise. `/proc/locks` has them all at once, but to
//! read it the kernel stops everybody who locks, which takes up to 20 ms where nobody has read it lately.

use super::{fd, read};
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

/// The locks of a process; empty where none can be read. Descriptors of one description show the same lock,
/// and so do equal locks of several: as many as there are descriptors is all that can be told.
pub(crate) fn held(pid: u32) -> Vec<Lock> {
    let mut locks = Vec::new();
    for number in fd::numbers(pid).unwrap_or_default() {
        let Ok(text) = read(&format!("/proc/{pid}/fdinfo/{number}")) else { continue };
        let lines = text.lines().filter_map(|line| line.strip_prefix("lock:"));
        locks.extend(lines.filter_map(|line| parse(line, pid)));
    }
    locks
}

/// `2: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF`; one that only waits has an arrow for its kind.
fn parse(line: &str, owner: u32) -> Option<Lock> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let kind = match words.next()? {
        "FLOCK" => ENTRY_FLOCK,
        "POSIX" => ENTRY_POSIX_LOCK,
        "OFDLCK" => ENTRY_OFD_LOCK,
        _ => return None,
    };
    let is_write = words.nth(1)? == "WRITE";
    let pid = words.next()?;
    // A child has its parent's descriptors, and sees its locks there.
    if kind != ENTRY_OFD_LOCK && pid.parse() != Ok(owner) {
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
        let lock = parse("2: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF", 1234);
        assert_eq!(lock, Some(Lock { kind: ENTRY_FLOCK, is_write: true, inode: 5678, start: 0 }));
        let lock = parse("\t1: OFDLCK ADVISORY READ -1 00:1f:99 128 255", 1234).unwrap();
        assert_eq!((lock.kind, lock.is_write, lock.start), (ENTRY_OFD_LOCK, false, 128));
    }

    #[test]
    fn the_lock_of_this_process_is_seen() {
        let file = tempfile::tempfile().unwrap();
        let own = std::process::id();
        file.lock().unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap());
        let lock = Lock { kind: ENTRY_FLOCK, is_write: true, inode, start: 0 };
        assert!(held(own).contains(&lock));
        file.unlock().unwrap();
        assert!(!held(own).contains(&lock));
    }

    #[test]
    fn another_s_lock_and_one_that_waits_are_none_of_ours() {
        assert_eq!(parse("2: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF", 7), None);
        assert_eq!(parse("2: -> FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF", 1234), None);
        assert_eq!(parse("2: FLOCK", 1234), None);
    }
}
