//! The index's one entry, set under a lock that says whose it is.
//!
//! Git's own `index.lock` is empty at first and says nothing at all, so that nobody can tell a dead
//! git's from a live one's. So git changes a copy, and the lock that keeps everybody else out in the
//! meantime is made here, as a [`Held`] file: one whose maker is dead can be removed for certain.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::git::call::Caller;
use crate::git::held::{Held, Left, lock_of};
use crate::git::place::{Place, lock_error};
use crate::git::status::Blob;
use crate::git::{GitError, io_at};

/// What is in our lock, for a person who wonders.
pub(super) const MARK: &[u8] = b"tracker is replacing one entry of the index\n\
    if it has been killed, its next sync removes this file\n";

/// Which object we last set the entry to, in git's directory.
const ENTERED: &str = "tracker-entered";

/// How the name of a copy's directory begins.
const COPY_PREFIX: &str = "tracker-index-";

/// Sets the index's entry for the file, and no other.
pub(super) fn enter(blob: &Blob, caller: &Caller<'_>, place: &Place) -> Result<(), GitError> {
    let index = index(place);
    let lock = lock_of(&index);
    let _held = Held::create(&lock, MARK).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => lock_error(lock.clone()),
        _ => io_at(&lock, source),
    })?;
    let dir = tempfile::Builder::new()
        .prefix(COPY_PREFIX)
        .tempdir_in(&place.git_dir)
        .map_err(|source| io_at(&place.git_dir, source))?;
    let copied = dir.path().join("index");
    copy(&index, &copied).map_err(|source| io_at(&index, source))?;
    let inside = caller.with([("GIT_INDEX_FILE", OsString::from(&copied))]);
    let options = ["--add", "--cacheinfo", &blob.mode, &blob.oid];
    inside.call("update-index").args(options).arg(&place.path).answer()?;
    // Before the entry is set, so that whoever is killed in between is known to have done it.
    let entered = place.git_dir.join(ENTERED);
    fs::write(&entered, &blob.oid).map_err(|source| io_at(&entered, source))?;
    fs::rename(&copied, &index).map_err(|source| io_at(&index, source))
}

/// Whether an entry is the one that we have set last.
pub(super) fn has_entered(place: &Place, entry: Option<&Blob>) -> bool {
    let entered = fs::read_to_string(place.git_dir.join(ENTERED));
    entry.is_some_and(|entry| entered.is_ok_and(|oid| oid == entry.oid))
}

/// Removes the lock of a tracker that was killed, with the copy that it had made.
pub(super) fn clear(place: &Place) -> Result<(), GitError> {
    let lock = lock_of(&index(place));
    let left = take_over(&lock)?;
    if let Left::Dead(held, _) = left {
        // While we hold the lock, nobody else makes a copy.
        remove_copies(&place.git_dir).map_err(|source| io_at(&place.git_dir, source))?;
        drop(held);
        tracing::info!(lock = %lock.display(), "removed what a killed sync had left");
    }
    Ok(())
}

/// The lock, if a tracker that was killed has left it.
pub(super) fn left_behind(place: &Place) -> Result<Option<PathBuf>, GitError> {
    let lock = lock_of(&index(place));
    Ok(match take_over(&lock)? {
        Left::Dead(held, _) => {
            held.leave();
            Some(lock)
        }
        Left::Nothing | Left::Alive => None,
    })
}

fn take_over(lock: &Path) -> Result<Left, GitError> {
    Held::take_over(lock, |text| text == MARK).map_err(|source| io_at(lock, source))
}

/// The index itself: git follows a link that is in its place.
fn index(place: &Place) -> PathBuf {
    let index = place.git_dir.join("index");
    fs::canonicalize(&index).unwrap_or(index)
}

/// With its time: git compares it with those of files, to know which of them it cannot be sure of.
fn copy(index: &Path, copied: &Path) -> io::Result<()> {
    match fs::copy(index, copied) {
        // Before the first `git add` there is none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let modified = fs::metadata(index)?.modified()?;
    fs::File::options().write(true).open(copied)?.set_modified(modified)
}

fn remove_copies(git_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(git_dir)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(COPY_PREFIX.as_bytes()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
