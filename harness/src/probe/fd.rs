//! Descriptors: how many, and which.
//!
//! Count: the size of `/proc/PID/fd`, which is the exact number since Linux 6.2 (2 us); before, the
//! entries are counted. Identity: the link and inode of each (about 4 us each). No noise: the kernel's
//! own table. The observer is outside and holds none of them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::Unavailable;

/// One open descriptor of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) number: u32,
    /// What the kernel calls it: a path, `socket:[17]`, `pipe:[18]`, `anon_inode:[eventpoll]`.
    pub(crate) link: String,
    /// Inode alone, to find sockets in the network tables.
    pub(crate) inode: u64,
    /// Device and inode as the agent folds them; 0 when they cannot be told.
    pub(crate) identity: u64,
}

impl Descriptor {
    pub(crate) fn is_socket(&self) -> bool {
        self.link.starts_with("socket:")
    }
}

/// How many descriptors the process has open.
pub(crate) fn count(pid: u32) -> Result<u64, Unavailable> {
    let path = format!("/proc/{pid}/fd");
    let data = fs::metadata(&path).map_err(|error| Unavailable::path(&path, &error))?;
    match data.size() {
        0 => {
            let entries = fs::read_dir(&path).map_err(|error| Unavailable::path(&path, &error))?;
            Ok(entries.count() as u64)
        }
        count => Ok(count),
    }
}

/// Every open descriptor, by number.
pub(crate) fn list(pid: u32) -> Result<Vec<Descriptor>, Unavailable> {
    let path = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&path).map_err(|error| Unavailable::path(&path, &error))?;
    let mut descriptors: Vec<Descriptor> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            // One that is closed while we look is simply not there any more.
            let link = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
            let data = fs::metadata(entry.path()).ok();
            let inode = data.as_ref().map_or(0, |data| data.ino());
            let identity = data.map_or(0, |data| data.ino() ^ data.dev().rotate_left(40));
            Some(Descriptor { number, link, inode, identity })
        })
        .collect();
    descriptors.sort_by_key(|descriptor| descriptor.number);
    Ok(descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn sees_a_descriptor_come_and_go() {
        let own = std::process::id();
        let file = fs::File::open("/dev/null").unwrap();
        let number = file.as_raw_fd() as u32;
        let seen = list(own).unwrap();
        assert!(seen.iter().any(|fd| fd.number == number && fd.link == "/dev/null"));
        assert!(count(own).unwrap() >= 4);
    }

    #[test]
    fn a_process_that_is_gone_is_unavailable() {
        assert!(count(u32::MAX).unwrap_err().reason.contains("cannot be read"));
    }
}
