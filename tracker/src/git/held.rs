//! A file that tells by a lock on itself whether its maker lives.
//!
//! It is there with its whole content and locked, or not at all; and the kernel drops a `flock(2)`
//! with the last process that has the file open, however that ends. So one that is there and not
//! locked was left by somebody who is dead, whoever has his pid today.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::file_id::{FileId, is_gone};

/// How the name begins that a file has before it has its own.
const PREFIX: &str = "tracker-tmp-";
/// Nothing has a temporary name for so long.
const AGE_MAX: Duration = Duration::from_secs(3600);
/// More than anything of ours has.
const TEXT_BYTES_MAX: u64 = 64 * 1024;

/// A file that is locked as long as this lives, and removed when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    path: PathBuf,
    stays: bool,
}

/// What was found where a dead process may have left a file.
#[derive(Debug)]
pub(super) enum Left {
    /// None, or one that is not ours.
    Nothing,
    /// One whose maker lives, or a process that he has started.
    Alive,
    /// One whose maker is dead. It is ours now, with what is in it.
    Dead(Held, Vec<u8>),
}

impl Held {
    /// Makes the file; `AlreadyExists` if there is one, whoever's.
    ///
    /// It is on the disk before this returns: what it tells has to be known after a power cut too.
    pub(super) fn create(path: &Path, text: &[u8]) -> io::Result<Self> {
        let dir = path.parent().unwrap_or(path);
        sweep(dir)?;
        let mut new = tempfile::Builder::new().prefix(PREFIX).tempfile_in(dir)?;
        new.as_file().lock()?;
        new.write_all(text)?;
        new.as_file().sync_all()?;
        let file = new.persist_noclobber(path).map_err(|error| error.error)?;
        let held = Self { file, path: path.into(), stays: false };
        File::open(dir)?.sync_all()?;
        Ok(held)
    }

    /// Takes over what a dead process has left, if its content is ours.
    pub(super) fn take_over(path: &Path, is_ours: impl Fn(&[u8]) -> bool) -> io::Result<Left> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            // What we may not open, we have not made.
            Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(Left::Nothing);
            }
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        (&file).take(TEXT_BYTES_MAX).read_to_end(&mut text)?;
        if !is_ours(&text) {
            return Ok(Left::Nothing);
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Left::Alive),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Somebody else may have taken it over, and removed it, before we had the lock.
        let held = Self { file, path: path.into(), stays: false };
        Ok(if held.is_in_place()? { Left::Dead(held, text) } else { Left::Nothing })
    }

    /// The open file: whoever has it too, holds the lock too.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives up the lock and leaves the file.
    pub(super) fn leave(mut self) {
        self.stays = true;
    }

    fn is_in_place(&self) -> io::Result<bool> {
        let ours = FileId::of_open(&self.file)?;
        match FileId::of(&self.path) {
            Ok(named) => Ok(named == ours),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Only our own file, and while we still hold it: nobody else can have taken it over yet.
        if !self.stays && self.is_in_place().unwrap_or(false) {
            let _taken_over_by_the_next = fs::remove_file(&self.path);
        }
    }
}

/// Removes files that somebody died over before they had their names.
fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && is_older_than(&entry.path(), AGE_MAX)
        {
            let _swept_by_another = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Whether a file is there and has not been written to for so long.
pub(super) fn is_older_than(path: &Path, age_max: Duration) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|stat| stat.modified());
    let age = modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    age.is_some_and(|age| age > age_max)
}

/// The file by which git locks another one.
pub(super) fn lock_of(path: &Path) -> PathBuf {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    lock.into()
}
