//! The agent's notes of a running process that was started with it.
//!
//! A process maps its own region, so `/proc/PID/maps` names the file, wherever it lies; through
//! `/proc/PID/root` it is found in a container as well (proc_pid_root(5)). After a fork the child has its
//! parent's region mapped too: the one that is its own names the process as it knows itself.

use std::path::{Path, PathBuf};

use crate::probe::{Unavailable, mapping, memory, process};
use crate::region::RegionMap;
use crate::table::REGION_ENDING;

/// The region of one process image.
pub(crate) struct Notes {
    pub(crate) region: RegionMap,
    /// The program, for the frames that lie in it.
    pub(crate) program: PathBuf,
    /// As the process knows it.
    path: PathBuf,
}

impl Notes {
    /// Looks for them; none where the process was started without the agent, or has written nothing yet.
    ///
    /// # Errors
    /// There are notes, and they are not to be read: of another version, or not ours.
    pub(crate) fn of(pid: u32) -> Result<Option<Self>, Unavailable> {
        let maps = mapping::text(pid)?;
        let own = own_number(pid);
        let files = regions_in(&maps).filter(|(_, number)| *number == own);
        // The latest image has the highest number of its own; maps are ordered by address.
        let Some(path) = files.map(|(path, _)| path).max_by_key(|path| image_of(path)) else {
            return Ok(None);
        };
        let there = Path::new(&format!("/proc/{pid}/root")).join(path.trim_start_matches('/'));
        let refused = || {
            Unavailable::new(format!(
                "the notes of process {pid} are in {path} and cannot be read: they are another user's, or of \
                 another version of watertight"
            ))
        };
        let region = RegionMap::open(&there).ok_or_else(refused)?;
        Ok(Some(Self {
            region,
            program: process::executable(pid).unwrap_or_default(),
            path: path.into(),
        }))
    }
}

impl Notes {
    /// Removes the notes of a process that has ended: nobody else would, and they are on disk.
    pub(crate) fn remove(&self) {
        // In a container it has another path here: the next `agent --env` there removes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The number by which the process knows itself: in a container it is another one.
fn own_number(pid: u32) -> u32 {
    let status = memory::status(pid).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.and_then(|line| line.split_ascii_whitespace().last()?.parse().ok()).unwrap_or(pid)
}

/// The region files that are mapped, and whose they are: `<pid>-<image>.region`.
fn regions_in(maps: &str) -> impl Iterator<Item = (&str, u32)> {
    maps.lines().filter_map(|line| {
        let path = line.get(line.find('/')?..)?;
        let name = path.rsplit('/').next()?.strip_suffix(REGION_ENDING)?;
        let (pid, _image) = name.split_once('-')?;
        Some((path, pid.parse().ok()?))
    })
}

/// Which image of its process a region file is of.
fn image_of(path: &str) -> u32 {
    let name = path.strip_suffix(REGION_ENDING).unwrap_or(path);
    name.rsplit('-').next().and_then(|image| image.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_told_from_other_mappings() {
        let maps = "\
5000-6000 r-xp 00000000 08:01 7    /usr/bin/x-1.regional
7f00-8f00 rw-s 00000000 00:1a 12   /dev/shm/a b/trial-1-2-3/42-0.region
8f00-9f00 rw-s 00000000 00:1a 13   /dev/shm/a b/trial-1-2-3/43-11.region
9f00-af00 rw-p 00000000 00:00 0\n";
        let seen: Vec<_> = regions_in(maps).collect();
        let folder = "/dev/shm/a b/trial-1-2-3";
        let wanted =
            [(format!("{folder}/42-0.region"), 42), (format!("{folder}/43-11.region"), 43)];
        assert_eq!(seen, wanted.each_ref().map(|(path, pid)| (path.as_str(), *pid)));
        assert_eq!(image_of(seen[1].0), 11);
    }

    #[test]
    fn a_process_without_the_agent_has_none() {
        assert!(Notes::of(std::process::id()).unwrap().is_none());
        assert!(Notes::of(u32::MAX).is_err());
    }
}
