//! A place for new objects until it is certain that they are wanted.
//!
//! A git that is ended writes on as little as it can, but leaves `tmp_obj_*` and `tmp_pack_*`.
//! So it writes into a directory of ours in the object database, with the database itself as an
//! alternate: the same that git does for what a push sends.
//! The directory is locked as long as its maker lives, so one that is not is rubbish. A git that
//! outlives him loses what it writes, which nobody has a use for.
//! The directory's name begins as git's own do, so that `git prune` would remove it too.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::git::held::is_older_than;
use crate::git::{GitError, io_at};

const PREFIX: &str = "tmp_objdir-tracker-";

/// Where a directory cannot be locked: no commit takes this long.
const AGE_MAX: Duration = Duration::from_secs(3600);

/// A directory for new objects; removed with all that is in it unless it is released.
#[derive(Debug)]
pub(super) struct Quarantine<'a> {
    dir: TempDir,
    _lock: File,
    objects: &'a Path,
}

impl<'a> Quarantine<'a> {
    /// An empty one beside `objects`. What a killed process has left there is swept.
    pub(super) fn beside(objects: &'a Path) -> Result<Self, GitError> {
        sweep(objects).map_err(|source| io_at(objects, source))?;
        loop {
            let dir = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempdir_in(objects)
                .map_err(|source| io_at(objects, source))?;
            let lock = File::open(dir.path()).map_err(|source| io_at(dir.path(), source))?;
            // Not every network's file system can.
            let _aged_then = lock.lock();
            // Somebody else may have swept it before it was locked.
            if dir.path().exists() {
                return Ok(Self { dir, _lock: lock, objects });
            }
        }
    }

    /// The variables that make git write into it, and read from both.
    pub(super) fn environment(&self) -> [(&'static str, OsString); 2] {
        [
            ("GIT_OBJECT_DIRECTORY", self.dir.path().into()),
            ("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(self.objects.as_os_str().as_bytes())),
        ]
    }

    /// Gives what is in it over to the object database.
    pub(super) fn release(self) -> Result<(), GitError> {
        let dir = self.dir.path();
        for fan_out in entries(dir)? {
            let to = self.objects.join(fan_out.file_name());
            ensure_dir(&fan_out.path(), &to).map_err(|source| io_at(&to, source))?;
            for object in entries(&fan_out.path())? {
                let to = to.join(object.file_name());
                // An object is named by its content: one that is there is the same.
                fs::rename(object.path(), &to).map_err(|source| io_at(&to, source))?;
            }
        }
        Ok(())
    }
}

fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>, GitError> {
    fs::read_dir(dir).and_then(Iterator::collect).map_err(|source| io_at(dir, source))
}

/// Makes `to`, with the permissions that git gave `like`: a shared repository has its own.
fn ensure_dir(like: &Path, to: &Path) -> io::Result<()> {
    match fs::create_dir(to) {
        Ok(()) => fs::set_permissions(to, fs::metadata(like)?.permissions()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn sweep(objects: &Path) -> io::Result<()> {
    for entry in fs::read_dir(objects)? {
        let entry = entry?;
        if !entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        // Held until it is removed.
        let Ok(dir) = File::open(entry.path()) else { continue };
        let is_left = match dir.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(_)) => is_older_than(&entry.path(), AGE_MAX),
        };
        if is_left {
            // Somebody else may sweep too; what stays is there the next time.
            let _swept_by_another = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// A path as git(1) wants it in a list that is separated by colons.
fn quoted(path: &[u8]) -> OsString {
    OsString::from_vec(super::import::quoted(path))
}
