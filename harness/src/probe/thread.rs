//! Threads: how many, and which.
//!
//! Count: the link count of `/proc/PID/task` less two (2 us). Identity: the entries, with the name
//! from `comm`. A thread that is about to end is there until the kernel has reaped it; settling
//! takes care of that.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::{Unavailable, read};

/// One thread of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thread {
    pub(crate) tid: u32,
    pub(crate) name: String,
}

/// How many threads the process has.
pub(crate) fn count(pid: u32) -> Result<u64, Unavailable> {
    let path = format!("/proc/{pid}/task");
    let data = fs::metadata(&path).map_err(|error| Unavailable::path(&path, &error))?;
    Ok(data.nlink().saturating_sub(2))
}

/// The ids of all threads.
pub(crate) fn ids(pid: u32) -> Result<Vec<u32>, Unavailable> {
    let path = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&path).map_err(|error| Unavailable::path(&path, &error))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// Every thread.
pub(crate) fn list(pid: u32) -> Result<Vec<Thread>, Unavailable> {
    let mut threads: Vec<Thread> = ids(pid)?
        .into_iter()
        .filter_map(|tid| {
            // One that has ended since is simply not there any more.
            Some(Thread { tid, name: name(pid, tid).ok()? })
        })
        .collect();
    threads.sort_by_key(|thread| thread.tid);
    Ok(threads)
}

/// The name of one thread.
pub(crate) fn name(pid: u32, tid: u32) -> Result<String, Unavailable> {
    Ok(read(&format!("/proc/{pid}/task/{tid}/comm"))?.trim_end().to_owned())
}
