//! The pidfile and its lock: why there is one daemon per workspace.
//!
//! The lock is an open-file-description lock (`F_OFD_SETLK`): it belongs to the open file, so it
//! holds against other daemons in the same process too, and the kernel drops it with the last
//! descriptor, however the process ends. Unlike `flock` it can be asked about without being taken,
//! so a `status` never makes a `start` fail.
//!
//! The file's content is only a name tag. A pid in an unlocked file means nothing: it is never
//! signalled, whoever has that number today.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::file_id::{FileId, is_gone};

/// How long we wait for the one who has just taken the lock to say who it is: a matter of
/// microseconds, unless the machine is very busy.
const NAME_PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two looks for the name.
const NAME_PAUSE: Duration = Duration::from_micros(200);
/// A pidfile may be removed under us between opening and locking; then we open it again.
const ATTEMPTS_MAX: usize = 16;

/// The lock that makes this daemon the only one, for as long as it is held.
#[derive(Debug)]
#[must_use]
pub struct DaemonLock {
    file: File,
    /// Which file that is: nobody else gets its number while we have it open.
    id: FileId,
    path: PathBuf,
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another daemon has it.
    #[error("a daemon is already running here (pid {})", pid.map_or("unknown".into(), |pid| pid.to_string()))]
    Held {
        /// Its pid, if it has written it yet.
        pid: Option<u32>,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The pidfile.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl DaemonLock {
    /// Takes the lock and writes our pid; a stale file is taken over.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        for _ in 0..ATTEMPTS_MAX {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .mode(0o600)
                .open(path)
                .map_err(|source| at(path, source))?;
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
                Ok(_) => {}
                Err(Errno::EAGAIN | Errno::EACCES) => match Self::holder(path)? {
                    Some(pid) => return Err(LockError::Held { pid }),
                    // It has gone again: then it may be ours.
                    None => continue,
                },
                Err(error) => return Err(at(path, error.into())),
            }
            let id = FileId::of_open(&file).map_err(|source| at(path, source))?;
            let mut lock = Self { file, id, path: path.into() };
            // The one before us removes the file as it leaves: what we locked may have no name.
            if lock.is_in_place() {
                lock.write_pid().map_err(|source| at(path, source))?;
                return Ok(lock);
            }
        }
        Err(at(path, io::Error::other("the file is replaced again and again")))
    }

    /// Who holds the lock at `path`: `None` for nobody, and inside the pid, unless whoever holds it
    /// does not write it.
    pub fn holder(path: &Path) -> Result<Option<Option<u32>>, LockError> {
        let deadline = Instant::now() + NAME_PATIENCE;
        loop {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if is_gone(&error) => return Ok(None),
                Err(source) => return Err(at(path, source)),
            };
            let mut asked = whole_file(libc::F_WRLCK);
            fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut asked))
                .map_err(|error| at(path, error.into()))?;
            if i32::from(asked.l_type) == libc::F_UNLCK {
                return Ok(None);
            }
            // In the moment between the lock and the name, this may be the name of one who was here
            // before: who signals has to make sure, as `control::stop` does.
            let pid = read_pid(file);
            if pid.is_some() || Instant::now() >= deadline {
                return Ok(Some(pid));
            }
            #[expect(clippy::disallowed_methods, reason = "between two looks, with a deadline")]
            std::thread::sleep(NAME_PAUSE);
        }
    }

    /// Whether the path still names the file we hold: not once somebody removed or replaced it.
    pub fn is_in_place(&self) -> bool {
        FileId::of(&self.path).is_ok_and(|named| named == self.id)
    }

    fn write_pid(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{}", std::process::id())
    }
}

impl Drop for DaemonLock {
    fn drop(&mut self) {
        // Only our own file, and while we still hold it: nobody else can have taken it over yet.
        if self.is_in_place() {
            let _already_gone = fs::remove_file(&self.path);
        }
    }
}

fn read_pid(mut file: File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn whole_file(kind: i32) -> libc::flock {
    // The types of the constants differ between platforms from those of the fields.
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn at(path: &Path, source: io::Error) -> LockError {
    LockError::Io { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_asking_does_not_disturb() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.pid");
        assert_eq!(DaemonLock::holder(&path).unwrap(), None);
        let held = DaemonLock::acquire(&path).unwrap();
        let ours = Some(std::process::id());
        assert_eq!(DaemonLock::holder(&path).unwrap(), Some(ours));
        assert!(matches!(DaemonLock::acquire(&path), Err(LockError::Held { pid }) if pid == ours));
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_file_is_taken_over_and_a_replaced_one_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.pid");
        fs::write(&path, "1\n").unwrap();
        assert_eq!(DaemonLock::holder(&path).unwrap(), None, "pid 1 lives and holds nothing");
        let held = DaemonLock::acquire(&path).unwrap();
        assert!(held.is_in_place());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "somebody else").unwrap();
        assert!(!held.is_in_place());
        drop(held);
        assert!(path.exists(), "another's file is not ours to remove");
    }
}
