//! Files and directories that are left: what of the created paths is still there when the trial is over.
//!
//! lstat(2) for each path that the agent noted (2 us); a directory's size is summed over what lies in
//! it. Only what is left in a temporary place is held against the test: elsewhere a file may be meant.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A path that is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) path: PathBuf,
    pub(crate) place: Place,
    pub(crate) is_directory: bool,
    /// Files, all below included.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// Where a path lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a temporary directory.
    Temporary,
    /// In `/dev/shm`: shared memory, which stays until the machine is started again.
    SharedMemory,
    Elsewhere,
}

/// The places of a run: temporary directories, and the project, which may lie inside of one.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    temporary: Vec<PathBuf>,
    /// Directories of the project and of the build.
    project: Vec<PathBuf>,
    /// The harness's own.
    own: Vec<PathBuf>,
}

/// Where POSIX shared memory lies (shm_overview(7)).
pub(crate) const SHM: &str = "/dev/shm";

/// What is looked at below one directory.
const FILES_MAX: u64 = 10_000;

impl Places {
    pub(crate) fn new(project: Vec<PathBuf>, own: Vec<PathBuf>) -> Self {
        let mut temporary = vec![std::env::temp_dir()];
        temporary.extend(["/tmp", "/var/tmp"].map(PathBuf::from));
        let real: Vec<PathBuf> =
            temporary.iter().filter_map(|path| path.canonicalize().ok()).collect();
        temporary.extend(real);
        Self { temporary, project, own }
    }

    fn of(&self, path: &Path) -> Place {
        let in_any = |places: &[PathBuf]| places.iter().any(|place| path.starts_with(place));
        if in_any(&self.project) {
            Place::Elsewhere
        } else if path.starts_with(SHM) {
            Place::SharedMemory
        } else if in_any(&self.temporary) {
            Place::Temporary
        } else {
            Place::Elsewhere
        }
    }

    /// The path with where it lies and what is in it; none where it has gone, is the harness's, or is not what
    /// was made there: `birth` is as the agent has noted it, 0 for any.
    pub(crate) fn left(&self, path: &Path, birth: u64) -> Option<Left> {
        let data = fs::symlink_metadata(path).ok()?;
        if birth != 0 && birth != birth_of(&data) {
            return None;
        }
        if self.own.iter().any(|own| path.starts_with(own)) {
            return None;
        }
        let place = self.of(path);
        let (mut files, mut bytes) = (0, 0);
        match data.is_dir() {
            true => weigh(path, &mut files, &mut bytes),
            false => (files, bytes) = (1, data.len()),
        }
        Some(Left { path: path.to_owned(), place, is_directory: data.is_dir(), files, bytes })
    }
}

/// Inode and birth in one word, as the agent folds them.
fn birth_of(data: &Metadata) -> u64 {
    let born = data.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    data.ino() ^ born.map_or(0, |born| born.as_nanos() as u64).rotate_left(20)
}

/// Adds up what lies in a directory. Links are not followed.
fn weigh(directory: &Path, files: &mut u64, bytes: &mut u64) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.filter_map(Result::ok) {
        if *files >= FILES_MAX {
            return;
        }
        match entry.metadata() {
            Ok(data) if data.is_dir() => weigh(&entry.path(), files, bytes),
            Ok(data) => {
                *files += 1;
                *bytes += data.len();
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_elsewhere_even_in_a_temporary_directory() {
        let project = tempfile::tempdir().unwrap();
        let places = Places::new(vec![project.path().to_owned()], Vec::new());
        fs::write(project.path().join("a"), "four").unwrap();
        let left = places.left(&project.path().join("a"), 0).unwrap();
        assert_eq!((left.place, left.files, left.bytes), (Place::Elsewhere, 1, 4));
    }

    #[test]
    fn what_somebody_else_has_made_there_is_not_left() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&path, "").unwrap();
        fs::write(&other, "").unwrap();
        let data = fs::metadata(&path).unwrap();
        let birth = birth_of(&data);
        let places = Places::new(Vec::new(), Vec::new());
        assert!(places.left(&path, birth).is_some());
        fs::rename(&other, &path).unwrap();
        assert!(places.left(&path, birth).is_none());
    }

    #[test]
    fn a_directory_is_weighed_and_what_has_gone_is_not_left() {
        let other = tempfile::tempdir().unwrap();
        fs::create_dir(other.path().join("sub")).unwrap();
        fs::write(other.path().join("sub/a"), "12345").unwrap();
        let places = Places::new(Vec::new(), Vec::new());
        let left = places.left(other.path(), 0).unwrap();
        assert_eq!((left.place, left.is_directory), (Place::Temporary, true));
        assert_eq!((left.files, left.bytes), (1, 5));
        assert_eq!(places.left(&other.path().join("gone"), 0), None);
        let own = Places::new(Vec::new(), vec![other.path().to_owned()]);
        assert_eq!(own.left(&other.path().join("sub"), 0), None);
    }
}
