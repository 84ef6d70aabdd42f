//! Mounts: what `/proc` hides (proc(5), mount options), and folders in which nothing may be executed.
//!
//! `/proc/self/mountinfo` (proc_pid_mountinfo(5)): the point is the fifth field; the options of the file
//! system are the last one.

use std::fs;
use std::path::PathBuf;

use nix::sys::statvfs::{FsFlags, statvfs};

/// A folder that the harness may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Free space in bytes for us, or why there is none.
    pub free: Result<u64, String>,
    /// Whether nothing in it may be executed or preloaded (mounted `noexec`).
    pub forbids_execution: bool,
}

impl Folder {
    pub(super) fn read(path: PathBuf) -> Self {
        match statvfs(&path) {
            Ok(stat) => Self {
                path,
                free: Ok(stat.blocks_available() * stat.fragment_size()),
                forbids_execution: stat.flags().contains(FsFlags::ST_NOEXEC),
            },
            Err(errno) => {
                Self { path, free: Err(errno.desc().to_owned()), forbids_execution: false }
            }
        }
    }
}

/// Which processes of others `/proc` hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hiding {
    /// Their contents (`hidepid=1`, `noaccess`).
    Contents,
    /// That they are there (`hidepid=2`, `invisible`).
    Presence,
    /// All that we may not trace (`hidepid=4`, `ptraceable`).
    Untraceable,
}

/// What this process's `/proc` hides.
pub(super) fn hiding() -> Option<Hiding> {
    parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn parse(mountinfo: &str) -> Option<Hiding> {
    let point = |line: &&str| line.split(' ').nth(4) == Some("/proc");
    // A later mount lies over an earlier one.
    let line = mountinfo.lines().rfind(point)?;
    let options = line.rsplit(' ').next()?.split(',');
    match options.filter_map(|option| option.strip_prefix("hidepid=")).next_back()? {
        "1" | "noaccess" => Some(Hiding::Contents),
        "2" | "invisible" => Some(Hiding::Presence),
        "4" | "ptraceable" => Some(Hiding::Untraceable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
                        25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684096k\n";

    #[test]
    fn a_proc_without_the_option_hides_nothing() {
        assert_eq!(parse(OPEN), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse("22 27 0:21 / /proc rw - proc proc rw,hidepid=off\n"), None);
    }

    #[test]
    fn old_kernels_say_numbers_and_new_ones_words() {
        let hiding = |option: &str| {
            let line = format!(
                "{OPEN}22 27 0:21 / /proc rw,nosuid shared:5 - proc proc rw,gid=5,hidepid={option}\n"
            );
            parse(&line)
        };
        assert_eq!(hiding("2"), Some(Hiding::Presence));
        assert_eq!(hiding("invisible"), Some(Hiding::Presence));
        assert_eq!(hiding("1"), Some(Hiding::Contents));
        assert_eq!(hiding("ptraceable"), Some(Hiding::Untraceable));
    }

    #[test]
    fn the_mount_on_top_counts() {
        let below = "22 27 0:21 / /proc rw - proc proc rw,hidepid=2\n";
        assert_eq!(parse(&format!("{below}{OPEN}")), None);
    }

    #[test]
    fn a_folder_that_is_not_there_says_so() {
        assert!(Folder::read("/nowhere/at/all".into()).free.is_err());
        assert!(Folder::read(std::env::temp_dir()).free.is_ok());
    }
}
