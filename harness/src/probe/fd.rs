//! Descriptors: how many, and which.
//!
//! Count: the size of `/proc/PID/fd`, which is the exact number since Linux 6.2 (2 us); before, the
//! entries are counted. Identity: the link and inode of each (about 1 us for a socket or pipe, whose link
//! names its inode, 2 us for others). No noise: the kernel's own table. The observer is outside and holds
//! none of them.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;

use nix::fcntl::{AtFlags, readlinkat};
use nix::sys::stat::fstatat;

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

/// The inodes of those that are sockets.
pub(crate) fn socket_inodes(descriptors: &[Descriptor]) -> impl Iterator<Item = u64> {
    descriptors
        .iter()
        .filter(|descriptor| descriptor.is_socket())
        .map(|descriptor| descriptor.inode)
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

/// The numbers of all open descriptors.
pub(crate) fn numbers(pid: u32) -> Result<Vec<u32>, Unavailable> {
    let path = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&path).map_err(|error| Unavailable::path(&path, &error))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// Every open descriptor, by number.
pub(crate) fn list(pid: u32) -> Result<Vec<Descriptor>, Unavailable> {
    let path = format!("/proc/{pid}/fd");
    let unreadable = |error| Unavailable::path(&path, &error);
    let directory = File::open(&path).map_err(unreadable)?;
    let entries = fs::read_dir(&path).map_err(unreadable)?;
    // All sockets are of one device, and so are all pipes: the first of each tells which.
    let mut devices = [None; KINDS.len()];
    let mut descriptors: Vec<Descriptor> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let number = name.to_str()?.parse().ok()?;
            // One that is closed while we look is simply not there any more.
            let link =
                readlinkat(&directory, name.as_os_str()).ok()?.to_string_lossy().into_owned();
            let stat = || fstatat(&directory, name.as_os_str(), AtFlags::empty()).ok();
            let (device, inode) = match named_inode(&link) {
                Some((kind, inode)) => {
                    let device = &mut devices[kind];
                    *device = device.or_else(|| Some(stat()?.st_dev));
                    (*device, inode)
                }
                None => stat().map_or((None, 0), |stat| (Some(stat.st_dev), stat.st_ino)),
            };
            let identity = device.map_or(0, |device| inode ^ device.rotate_left(40));
            Some(Descriptor { number, link, inode, identity })
        })
        .collect();
    descriptors.sort_by_key(|descriptor| descriptor.number);
    Ok(descriptors)
}

/// Kinds whose links name the inode; of each the kernel has one file system.
const KINDS: [&str; 2] = ["socket:[", "pipe:["];

/// The kind and inode that a link names: `socket:[17]`.
fn named_inode(link: &str) -> Option<(usize, u64)> {
    KINDS.iter().enumerate().find_map(|(kind, start)| {
        let inode = link.strip_prefix(start)?.strip_suffix(']')?.parse().ok()?;
        Some((kind, inode))
    })
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
    fn a_link_that_names_its_inode_needs_no_stat() {
        assert_eq!(named_inode("pipe:[18]"), Some((1, 18)));
        assert_eq!(named_inode("anon_inode:[eventpoll]"), None);
        assert_eq!(named_inode("/tmp/socket:[17]"), None);
    }

    #[test]
    fn identities_are_those_that_stat_tells() {
        let (pipe, _end) = std::io::pipe().unwrap();
        let (one, two) = std::os::unix::net::UnixStream::pair().unwrap();
        let file = fs::File::open("/dev/null").unwrap();
        let listed = list(std::process::id()).unwrap();
        for number in [pipe.as_raw_fd(), one.as_raw_fd(), two.as_raw_fd(), file.as_raw_fd()] {
            let data = fs::metadata(format!("/proc/self/fd/{number}")).unwrap();
            let seen = listed.iter().find(|fd| fd.number == number as u32).unwrap();
            assert_eq!(seen.inode, data.ino(), "{}", seen.link);
            assert_eq!(seen.identity, data.ino() ^ data.dev().rotate_left(40), "{}", seen.link);
        }
    }

    #[test]
    fn a_process_that_is_gone_is_unavailable() {
        assert!(count(u32::MAX).unwrap_err().reason.contains("cannot be read"));
    }
}
