//! The text of a file below /proc, or why it could not be had.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};

/// A probe could not look: a value, neither an error nor a zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// Why, as a sentence fragment for a person.
    pub reason: String,
}

impl Unavailable {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    pub(super) fn path(path: &str, error: &io::Error) -> Self {
        Self::new(format!("{path} cannot be read: {error}"))
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The text of a file below /proc, in one read where it is short: its size is not known before, and
/// `fs::read` would feel its way. Kernel text may hold any byte (a thread's name): it is read loosely.
pub(crate) fn read(path: &str) -> Result<String, Unavailable> {
    const SHORT: usize = 8192;
    let text = || -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let mut bytes = vec![0; SHORT];
        let len = file.read(&mut bytes)?;
        bytes.truncate(len);
        // The kernel gives whole lines, at most a page of them at a time (seq_file): after a read that
        // is far from a page there is no more.
        if len > SHORT / 4 {
            file.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    };
    text()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|error| Unavailable::path(path, &error))
}
