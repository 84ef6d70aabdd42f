//! A file is replaced whole or not at all.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use tempfile::TempPath;

use super::{FileIdentity, JsonlError, at};

const TEMPORARY_SUFFIX: &str = ".tmp";
/// No export takes as long as this.
const TEMPORARY_LIFE: Duration = Duration::from_secs(60 * 60);

/// What is expected in the place of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Here {
    /// Whatever it is, it may go.
    Anything,
    /// No file.
    Nothing,
    /// This one.
    This(FileIdentity),
}

/// What became of the file and of the one that was there.
#[derive(Debug)]
pub(crate) enum Replaced {
    /// It is in its place, and what was expected there is gone.
    Done(FileIdentity),
    /// It is in its place, but somebody had put another there meanwhile. That one is kept until
    /// this is dropped.
    Swapped(FileIdentity, TempPath),
    /// It is not: there is a file now where none was expected.
    Appeared,
}

/// Lets `fill` write a file beside `path`, then puts it in its place.
///
/// Where one file is expected the two change places in one step, so that another that somebody has
/// put there at the last moment is noticed and not lost.
pub(super) fn replace<T>(
    path: &Path,
    here: Here,
    fill: impl FnOnce(&File) -> Result<T, JsonlError>,
) -> Result<(T, Replaced), JsonlError> {
    let target = match fs::metadata(path) {
        // A pipe or a device is written to; a rename would replace /dev/null by a file.
        Ok(found) if !found.is_file() => {
            let file = File::options().write(true).open(path).map_err(|source| at(path, source))?;
            return Ok((fill(&file)?, Replaced::Done(FileIdentity::of(&found))));
        }
        // Through a link, not over it.
        Ok(_) => fs::canonicalize(path).map_err(|source| at(path, source))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(source) => return Err(at(path, source)),
    };
    let dir = directory(&target);
    // 0666 is what the umask is applied to, as for any new file; an old file's mode stays.
    let mode = fs::metadata(&target).map_or(0o666, |found| found.permissions().mode() & 0o777);
    let temporary = tempfile::Builder::new()
        .prefix(&temporary_prefix(&target))
        .suffix(TEMPORARY_SUFFIX)
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(&dir)
        .map_err(|source| at(&dir, source))?;
    let value = fill(temporary.as_file())?;
    let (file, name) = temporary.into_parts();
    file.sync_all().map_err(|source| at(&name, source))?;
    let failed = |source| at(&target, source);
    // Asked of the file itself: its name may be somebody else's a moment later.
    let identity = || file.metadata().map(|found| FileIdentity::of(&found)).map_err(failed);
    let replaced = match here {
        Here::Anything => {
            sweep_old(&target);
            name.persist(&target).map_err(|error| failed(error.error))?;
            Replaced::Done(identity()?)
        }
        Here::Nothing => match name.persist_noclobber(&target) {
            Ok(()) => Replaced::Done(identity()?),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Replaced::Appeared,
            Err(error) => return Err(failed(error.error)),
        },
        Here::This(here) => match exchange(&name, &target).map_err(failed)? {
            false => {
                name.persist(&target).map_err(|error| failed(error.error))?;
                Replaced::Done(identity()?)
            }
            true => {
                let found = fs::symlink_metadata(&name).map_err(|source| at(&name, source))?;
                match here.is_same_but_renamed(&FileIdentity::of(&found)) {
                    true => Replaced::Done(identity()?),
                    false => Replaced::Swapped(identity()?, name),
                }
            }
        },
    };
    File::open(&dir).and_then(|dir| dir.sync_all()).map_err(|source| at(&dir, source))?;
    Ok((value, replaced))
}

/// Lets two files change places, renameat2(2). `false` where that cannot be: the target has gone,
/// or the file system knows no exchange.
fn exchange(name: &Path, target: &Path) -> io::Result<bool> {
    match renameat2(AT_FDCWD, name, AT_FDCWD, target, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::ENOENT | Errno::EINVAL | Errno::ENOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn directory(target: &Path) -> PathBuf {
    match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.into(),
        _ => ".".into(),
    }
}

fn temporary_prefix(target: &Path) -> String {
    let name = target.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    format!(".{name}.")
}

/// Removes temporary files that a killed process left beside `path`.
/// Only for the holder of a lock that every writer of `path` takes.
pub(crate) fn sweep_temporaries(path: &Path) -> Result<usize, JsonlError> {
    let temporaries = temporaries(path)?;
    for temporary in &temporaries {
        fs::remove_file(temporary).map_err(|source| at(temporary, source))?;
    }
    Ok(temporaries.len())
}

/// Removes what a killed export has left beside `target`, where no lock tells a live one: by age.
fn sweep_old(target: &Path) {
    for temporary in temporaries(target).unwrap_or_default() {
        let age = fs::metadata(&temporary).and_then(|found| found.modified()).ok();
        if age.and_then(|then| then.elapsed().ok()).is_some_and(|age| age > TEMPORARY_LIFE) {
            // Of no more use to anybody; the export itself has gone well.
            let _gone = fs::remove_file(&temporary);
        }
    }
}

/// Temporary files beside `path`; while somebody writes it, one is his.
pub(crate) fn temporaries(path: &Path) -> Result<Vec<PathBuf>, JsonlError> {
    // They are made where a link leads to.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let Some(dir) = path.parent() else { return Ok(Vec::new()) };
    let prefix = temporary_prefix(&path);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|source| at(dir, source))? {
        let entry = entry.map_err(|source| at(dir, source))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(TEMPORARY_SUFFIX) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn identity(path: &Path) -> FileIdentity {
        FileIdentity::of(&fs::metadata(path).unwrap())
    }

    fn write(mut file: &File) -> Result<(), JsonlError> {
        file.write_all(b"ours").map_err(|source| at(Path::new("ours"), source))
    }

    #[test]
    fn a_file_that_was_put_there_meanwhile_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "old").unwrap();
        let (_, replaced) = replace(&path, Here::This(identity(&path)), write).unwrap();
        assert!(matches!(replaced, Replaced::Done(done) if done == identity(&path)));
        let here = identity(&path);
        let (_, replaced) = replace(&path, Here::This(here), |file| {
            fs::remove_file(&path).unwrap();
            fs::write(&path, "theirs").unwrap();
            write(file)
        })
        .unwrap();
        let Replaced::Swapped(done, other) = replaced else { panic!("not noticed") };
        assert_eq!(done, identity(&path));
        assert_eq!(fs::read_to_string(&other).unwrap(), "theirs");
        assert_eq!(fs::read_to_string(&path).unwrap(), "ours");
        drop(other);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_appears_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let (_, replaced) = replace(&path, Here::Nothing, |file| {
            fs::write(&path, "theirs").unwrap();
            write(file)
        })
        .unwrap();
        assert!(matches!(replaced, Replaced::Appeared));
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_export_sweeps_what_is_old_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let (old, new) = (dir.path().join(".f.1.tmp"), dir.path().join(".f.2.tmp"));
        for temporary in [&old, &new] {
            fs::write(temporary, "half").unwrap();
        }
        File::options()
            .write(true)
            .open(&old)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        replace(&path, Here::Anything, write).unwrap();
        assert!(!old.exists() && new.exists() && path.exists());
    }

    #[test]
    fn what_a_killed_export_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issues.jsonl");
        fs::write(dir.path().join(".issues.jsonl.x1.tmp"), "half").unwrap();
        fs::write(dir.path().join("mine.tmp"), "keep").unwrap();
        assert_eq!(sweep_temporaries(&path).unwrap(), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
