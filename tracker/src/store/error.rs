//! Why the store refused.

use std::path::{Path, PathBuf};

use super::SCHEMA_VERSION;
use crate::issue::Invalid;

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database file is not there.
    #[error("no database at {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A newer version made the file.
    #[error("{} has schema {found}, this version knows {SCHEMA_VERSION}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// Somebody else held the database for longer than the busy timeout.
    #[error("{} is locked by another process", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full; the change was not made.
    #[error("no space left on the disk of {}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file or its directory may not be written to.
    #[error("{} may not be written to", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// SQLite failed.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The connection would not close.
    #[error("{} did not close: {source}", path.display())]
    Close {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// No id starts like this.
    #[error("no issue {id}")]
    NotFound {
        /// What was asked for.
        id: String,
    },
    /// The issue is deleted.
    #[error("{id} is deleted")]
    Deleted {
        /// The issue.
        id: String,
    },
    /// Several ids start like this.
    #[error("{id} is ambiguous: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        id: String,
        /// The ids it could mean, sorted.
        candidates: Vec<String>,
    },
    /// The dependency would close a circle.
    #[error("this would be a cycle: {}", path.join(" -> "))]
    Cycle {
        /// From the issue over its dependencies back to itself.
        path: Vec<String>,
    },
    /// A value is not allowed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Every candidate id was taken.
    #[error("no free id for prefix {prefix}")]
    NoFreeId {
        /// The prefix.
        prefix: String,
    },
    /// A stored value does not parse: the file was changed by something else.
    #[error("{}: {id} holds a broken line: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The issue.
        id: String,
        /// What is wrong with it.
        what: String,
    },
    /// The consumer of a stream of issues failed.
    #[error("{0}")]
    Consumer(#[source] std::io::Error),
}

pub(crate) fn failed(path: &Path, error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly};
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => StoreError::Busy { path: path.into() },
        Some(DiskFull) => StoreError::Full { path: path.into() },
        Some(ReadOnly) => StoreError::ReadOnly { path: path.into() },
        _ => StoreError::Sqlite { path: path.into(), source: error },
    }
}
