//! What a process's control group may still take of memory and of threads: `memory.max` and `memory.current` of
//! its group and of all above, and `pids` alike (cgroup v2, Documentation/admin-guide/cgroup-v2.rst). A limit anywhere above holds as
//! well, so the group with the least room left is the one that counts. 10 us a group.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use procfs::process::MountInfo;

use super::{Unavailable, read};

/// What a control group uses of memory, in bytes, or of threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupUse {
    /// The group as its kernel names it, from the root of groups.
    pub group: PathBuf,
    /// What all processes of the group use: of memory the page cache of their files included.
    pub current: u64,
    /// Its limit; none where neither it nor a group above has one.
    pub max: Option<u64>,
}

/// The memory of the group of one process.
pub(crate) fn memory(pid: u32) -> Result<GroupUse, Unavailable> {
    usage(pid, "memory")
}

/// The threads of the group of one process; the kernel calls them `pids`.
pub(crate) fn threads(pid: u32) -> Result<GroupUse, Unavailable> {
    usage(pid, "pids")
}

fn usage(pid: u32, what: &str) -> Result<GroupUse, Unavailable> {
    static MOUNT: OnceLock<Option<Mount>> = OnceLock::new();
    let path = format!("/proc/{pid}/cgroup");
    let text = read(&path)?;
    let group = group_in(&text)
        .ok_or_else(|| Unavailable::new(format!("{path} names no group of cgroup v2")))?;
    let mount = MOUNT.get_or_init(Mount::find).as_ref();
    let mount = mount.ok_or_else(|| Unavailable::new("no cgroup v2 is mounted"))?;
    mount.tightest(group, what).ok_or_else(|| {
        let group = group.display();
        Unavailable::new(format!("cgroup v2 counts no {what} for the group {group}"))
    })
}

/// `0::/system.slice/x.service` among lines for older hierarchies.
fn group_in(text: &str) -> Option<&Path> {
    text.lines().find_map(|line| line.strip_prefix("0::")).map(Path::new)
}

/// Where the groups are mounted.
struct Mount {
    point: PathBuf,
    /// The group that is seen there.
    root: PathBuf,
}

impl Mount {
    fn find() -> Option<Self> {
        let mounts = procfs::process::Process::myself().ok()?.mountinfo().ok()?;
        let is_ours = |mount: &MountInfo| mount.fs_type == "cgroup2";
        let mount = mounts.into_iter().find(is_ours)?;
        Some(Self { point: mount.mount_point, root: mount.root.into() })
    }

    /// The group or the one above it with the least room.
    fn tightest(&self, group: &Path, what: &str) -> Option<GroupUse> {
        // A group outside of our own root is shown with `..`: nothing is mounted there.
        let below = group.strip_prefix(&self.root).ok()?;
        let above = below.ancestors().filter_map(|below| self.read(below, what));
        // The nearest of those with as much room.
        above.min_by_key(|usage| match usage.max {
            Some(max) => max.saturating_sub(usage.current),
            None => u64::MAX,
        })
    }

    fn read(&self, below: &Path, what: &str) -> Option<GroupUse> {
        let directory = self.point.join(below);
        let text = |name: &str| fs::read_to_string(directory.join(format!("{what}.{name}"))).ok();
        let current = text("current")?.trim().parse().ok()?;
        // `max` stands for no limit.
        let max = text("max").and_then(|text| text.trim().parse().ok());
        Some(GroupUse { group: self.root.join(below), current, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(groups: &[(&str, &str, &str)]) -> (tempfile::TempDir, Mount) {
        let folder = tempfile::tempdir().unwrap();
        for (group, current, max) in groups {
            let directory = folder.path().join(group);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("memory.current"), current).unwrap();
            fs::write(directory.join("memory.max"), max).unwrap();
        }
        let mount = Mount { point: folder.path().to_owned(), root: "/".into() };
        (folder, mount)
    }

    #[test]
    fn the_line_of_version_two_names_the_group() {
        let text = "12:memory:/old\n1:name=systemd:/\n0::/user.slice/a b\n";
        assert_eq!(group_in(text), Some(Path::new("/user.slice/a b")));
        assert_eq!(group_in("12:memory:/old\n"), None);
    }

    #[test]
    fn the_group_with_the_least_room_counts() {
        let groups =
            [("a", "900\n", "1000\n"), ("a/b", "300\n", "500\n"), ("a/b/c", "7\n", "max\n")];
        let (_folder, mount) = planted(&groups);
        let memory = mount.tightest(Path::new("/a/b/c"), "memory").unwrap();
        assert_eq!(memory, GroupUse { group: "/a".into(), current: 900, max: Some(1000) });
    }

    #[test]
    fn without_a_limit_it_is_the_group_itself() {
        let (_folder, mount) = planted(&[("a", "900\n", "max\n"), ("a/b", "300\n", "max\n")]);
        let memory = mount.tightest(Path::new("/a/b"), "memory").unwrap();
        assert_eq!(memory, GroupUse { group: "/a/b".into(), current: 300, max: None });
        assert_eq!(
            mount.tightest(Path::new("/nowhere"), "memory"),
            None,
            "the root counts nothing"
        );
    }

    #[test]
    fn a_mount_that_shows_a_part_names_groups_from_its_root() {
        let (_folder, mut mount) = planted(&[("b", "300\n", "500\n")]);
        mount.root = "/docker/17".into();
        let memory = mount.tightest(Path::new("/docker/17/b"), "memory").unwrap();
        assert_eq!((memory.group.to_str(), memory.max), (Some("/docker/17/b"), Some(500)));
        assert_eq!(mount.tightest(Path::new("/../b"), "memory"), None);
    }
}
