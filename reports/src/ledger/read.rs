//! Reading a ledger line by line: a line that cannot be read is said, and the next one is read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use super::{LINE_BYTES_MAX, LedgerError};
use crate::model::{Record, SCHEMA};

/// Reads the ledger at `path`, one record at a time.
pub fn read(path: impl AsRef<Path>) -> Result<Records<BufReader<File>>, LedgerError> {
    let path = path.as_ref();
    match File::open(path) {
        Ok(file) => Ok(Records::new(BufReader::new(file))),
        Err(source) => Err(LedgerError::Open { path: path.to_owned(), source }),
    }
}

/// The records of a ledger in the order of their lines; holds one line at a time.
///
/// An error is the end of its line only, save [`LineError::Io`], which ends the reading.
#[derive(Debug)]
pub struct Records<R> {
    lines: Lines<R>,
}

/// The lines of a ledger, undecoded. Blank ones, which mend a broken line before them, are passed over.
///
/// An error is the end of its line only, save [`LineError::Io`], which ends the reading.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    line: u64,
    ended: bool,
}

/// Why one line of a ledger gave no record. Lines count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The line stops in the middle: its writer was killed.
    #[error("line {line}: cut short")]
    Truncated {
        /// The line.
        line: u64,
    },
    /// The line is not a record.
    #[error("line {line}: not a record")]
    Malformed {
        /// The line.
        line: u64,
        /// What the decoder said.
        source: serde_json::Error,
    },
    /// A newer version of this crate wrote the line.
    #[error("line {line}: written with schema {schema}, and this reader knows {SCHEMA}")]
    NewerSchema {
        /// The line.
        line: u64,
        /// The schema of the line.
        schema: u64,
    },
    /// The line is of a type that this reader does not know.
    #[error("line {line}: of the unknown type `{}`", kind.escape_debug())]
    UnknownType {
        /// The line.
        line: u64,
        /// Its type.
        kind: String,
    },
    /// The line is longer than [`LINE_BYTES_MAX`].
    #[error("line {line}: longer than {LINE_BYTES_MAX} bytes")]
    TooLong {
        /// The line.
        line: u64,
    },
    /// The file could not be read on.
    #[error("line {line}: cannot be read")]
    Io {
        /// The line.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
}

impl LineError {
    /// The line, counted from 1.
    pub fn line(&self) -> u64 {
        match self {
            Self::Truncated { line }
            | Self::Malformed { line, .. }
            | Self::NewerSchema { line, .. }
            | Self::UnknownType { line, .. }
            | Self::TooLong { line }
            | Self::Io { line, .. } => *line,
        }
    }
}

impl<R: BufRead> Lines<R> {
    /// Reads the lines of `source`.
    pub fn new(source: R) -> Self {
        Self { source, line: 0, ended: false }
    }

    /// Appends the next line to `bytes`, without its newline, and tells its number; none at the end. Where
    /// there is an error, `bytes` is as it was.
    pub fn read_next(&mut self, bytes: &mut Vec<u8>) -> Option<Result<u64, LineError>> {
        let start = bytes.len();
        while !self.ended {
            self.line += 1;
            let fitted = self.fill(bytes);
            if matches!(fitted, Ok(Some(true))) && !bytes[start..].trim_ascii().is_empty() {
                return Some(Ok(self.line));
            }
            bytes.truncate(start);
            match fitted {
                Ok(Some(true)) => {}
                Ok(Some(false)) => return Some(Err(LineError::TooLong { line: self.line })),
                Ok(None) => self.ended = true,
                Err(source) => {
                    self.ended = true;
                    return Some(Err(LineError::Io { line: self.line, source }));
                }
            }
        }
        None
    }

    /// Appends the next line, blank or not, and says whether it fitted. `None` at the end.
    fn fill(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<bool>> {
        let start = bytes.len();
        // One more than the longest line, and one for its newline.
        let most = LINE_BYTES_MAX as u64 + 2;
        if self.source.by_ref().take(most).read_until(b'\n', bytes)? == 0 {
            return Ok(None);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        } else if bytes.len() - start > LINE_BYTES_MAX {
            self.source.skip_until(b'\n')?;
        }
        Ok(Some(bytes.len() - start <= LINE_BYTES_MAX))
    }
}

impl<R: BufRead> Records<R> {
    /// Reads the records of `source`.
    pub fn new(source: R) -> Self {
        Self { lines: Lines::new(source) }
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        Some(self.lines.read_next(&mut bytes)?.and_then(|line| decode(&bytes, line)))
    }
}

impl<R: BufRead> std::iter::FusedIterator for Records<R> {}

/// What must be known of a line before the rest of it can be believed.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    schema: u64,
}

/// The record that a line is.
pub(super) fn decode(bytes: &[u8], line: u64) -> Result<Record, LineError> {
    let refused = |source: serde_json::Error| {
        // A number that is cut off after its sign is no number, but not for what stands there.
        let is_at_the_end = source.is_syntax() && source.column() == bytes.len();
        if source.is_eof() || is_at_the_end && bytes.ends_with(b"-") {
            LineError::Truncated { line }
        } else {
            LineError::Malformed { line, source }
        }
    };
    let Head { kind, schema } = serde_json::from_slice(bytes).map_err(refused)?;
    // The type first: a type that came later is unknown, whatever its schema.
    if !["run", "trial"].contains(&kind.as_str()) {
        return Err(LineError::UnknownType { line, kind });
    }
    if schema > u64::from(SCHEMA) {
        return Err(LineError::NewerSchema { line, schema });
    }
    serde_json::from_slice(bytes).map_err(refused)
}
