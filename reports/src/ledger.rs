//! The ledger: all records of a run, one line of JSON each, safe for many processes and threads.
//!
//! - A line is appended whole: encoded first, then handed to the kernel in one `write` on a file
//!   opened for appending, under an advisory lock. The lock orders processes; a mutex orders the
//!   threads of one, since a lock belongs to the open file and its threads share that.
//! - A writer may be killed half-way. The next one then starts with a newline, so that the broken
//!   line stays a line of its own and no good record is lost with it.
//! - Nothing is ever rewritten, so a reader may follow a ledger that is still growing.

mod envelope;
mod folder;
mod read;

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{Record, Run};

pub use envelope::{Envelope, Kind};
pub use folder::{KEPT, LATEST, keep_last, path_in, point_latest};
pub use read::{LineError, Lines, Records, read};

/// The longest line that is written or read, in bytes.
///
/// It keeps a reader's memory bounded on a file that is no ledger; a trial with stacks is below a
/// mebibyte.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// An open ledger, to append to.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: Mutex<File>,
}

/// Why a ledger could not be opened, written, read or kept in order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The folder of the ledger could not be made.
    #[error("cannot create the ledger's folder {}", path.display())]
    CreateFolder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be opened.
    #[error("cannot open the ledger {}", path.display())]
    Open {
        /// The ledger.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The lock could not be taken.
    #[error("cannot lock the ledger {}", path.display())]
    Lock {
        /// The ledger.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read the ledger {}", path.display())]
    Read {
        /// The ledger.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record could not be written.
    #[error("cannot write to the ledger {}", path.display())]
    Write {
        /// The ledger.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record could not be put into JSON.
    #[error("cannot encode a record for the ledger {}", path.display())]
    Encode {
        /// The ledger.
        path: PathBuf,
        /// What the encoder said.
        source: serde_json::Error,
    },
    /// The record is longer than [`LINE_BYTES_MAX`], and nothing of it was written.
    #[error("a record of {bytes} bytes is too long for the ledger {}", path.display())]
    TooLong {
        /// The ledger.
        path: PathBuf,
        /// The length of the line.
        bytes: usize,
    },
    /// `latest` could not be pointed to the ledger.
    #[error("cannot point {} to its ledger", path.display())]
    Link {
        /// The symlink.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder of ledgers could not be listed.
    #[error("cannot list the ledgers in {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An old ledger could not be removed.
    #[error("cannot remove the old ledger {}", path.display())]
    Remove {
        /// The old ledger.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Ledger {
    /// Opens the ledger at `path`, and makes it and its folders where they are not there yet.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, LedgerError> {
        let path = path.into();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .map_err(|source| LedgerError::CreateFolder { path: folder.to_owned(), source })?;
        }
        // Reading is for the last byte: see `ends_in_newline`.
        match File::options().read(true).append(true).create(true).open(&path) {
            Ok(file) => Ok(Self { path, file: Mutex::new(file) }),
            Err(source) => Err(LedgerError::Open { path, source }),
        }
    }

    /// Where the ledger is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one record.
    ///
    /// Waits while another writer holds the lock, which it does for one write.
    pub fn append(&self, record: &Record) -> Result<(), LedgerError> {
        let line = self.encode(record)?;
        self.write(&self.hold()?, &line)
    }

    /// The run record of `run`, which the first process to ask for it makes and appends.
    ///
    /// The others wait meanwhile and get what the first one wrote. So whatever must be done once in
    /// a run, as showing every probe its canary, is done in `make`; which must not append to this
    /// ledger, since the lock is held.
    pub fn begin(&self, run: &str, make: impl FnOnce() -> Run) -> Result<Run, LedgerError> {
        let held = self.hold()?;
        // What is written to a device or a pipe is gone; reading one may never end.
        if held.0.metadata().is_ok_and(|data| data.is_file())
            && let Some(found) = self.find_run(&held.0, run)?
        {
            return Ok(found);
        }
        let made = make();
        self.write(&held, &self.encode(&Record::Run(made.clone()))?)?;
        Ok(made)
    }

    /// The run of that id, where somebody has begun it.
    fn find_run(&self, mut file: &File, run: &str) -> Result<Option<Run>, LedgerError> {
        file.seek(SeekFrom::Start(0)).map_err(|source| self.unreadable(source))?;
        for record in Records::new(BufReader::new(file)) {
            match record {
                Ok(Record::Run(found)) if found.run == run => return Ok(Some(found)),
                Err(LineError::Io { source, .. }) => return Err(self.unreadable(source)),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    /// A newline, the record and a newline; the first of them is for a broken line before it.
    fn encode(&self, record: &Record) -> Result<Vec<u8>, LedgerError> {
        let mut line = vec![b'\n'];
        serde_json::to_writer(&mut line, record)
            .map_err(|source| LedgerError::Encode { path: self.path.clone(), source })?;
        line.push(b'\n');
        match line.len() - 1 {
            bytes if bytes > LINE_BYTES_MAX => {
                Err(LedgerError::TooLong { path: self.path.clone(), bytes })
            }
            _ => Ok(line),
        }
    }

    fn hold(&self) -> Result<Held<'_>, LedgerError> {
        // A thread that panicked while it held the file left at worst a broken line, which the next
        // line mends.
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match file.lock() {
                Ok(()) => return Ok(Held(file)),
                // A signal handler without SA_RESTART ran meanwhile.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(LedgerError::Lock { path: self.path.clone(), source }),
            }
        }
    }

    fn write(&self, held: &Held<'_>, line: &[u8]) -> Result<(), LedgerError> {
        let mut file: &File = &held.0;
        let whole = ends_in_newline(file).map_err(|source| self.unreadable(source))?;
        // One `write`, unless the kernel takes less (a full disk): the lock then keeps the rest of
        // the line next to its beginning.
        file.write_all(&line[usize::from(whole)..])
            .map_err(|source| LedgerError::Write { path: self.path.clone(), source })
    }

    fn unreadable(&self, source: io::Error) -> LedgerError {
        LedgerError::Read { path: self.path.clone(), source }
    }
}

/// The file while this thread of this process alone may write to it.
struct Held<'a>(MutexGuard<'a, File>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Nothing can be done about an error here; closing the file releases the lock as well.
        let _ = self.0.unlock();
    }
}

/// Whether the next line may start right away. Nothing can be asked of a pipe, so there it may.
fn ends_in_newline(mut file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    // The position is for reading alone: appending always writes at the end.
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}
