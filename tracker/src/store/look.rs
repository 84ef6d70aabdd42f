//! Opening a database only to look at it, in whatever state it is.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{BUSY_TIMEOUT, SCHEMA_VERSION, STATEMENTS_KEPT, Store, StoreError, failed};

impl Store {
    /// Opens the database at `path` to read it, whatever its schema: nothing is installed or
    /// migrated, and nothing is written.
    ///
    /// Where it has no write-ahead log nobody has it open, and it is read as it lies. Otherwise even
    /// a reader makes a log, which it could not remove again. Nobody is kept from writing then: look
    /// afterwards whether the file is still the same. <https://www.sqlite.org/uri.html>, `immutable`
    pub(crate) fn open_to_look(path: &Path) -> Result<Self, StoreError> {
        // SQLite puts the log beside the file itself, wherever a link to it is.
        let file = fs::canonicalize(path).map_err(|_| StoreError::Missing { path: path.into() })?;
        let is_logged = ["-wal", "-journal"].iter().any(|suffix| {
            let mut log = OsString::from(&file);
            log.push(suffix);
            Path::new(&log).exists()
        });
        let name = uri(&file, if is_logged { "mode=ro" } else { "immutable=1" });
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        #[expect(clippy::disallowed_methods, reason = "a store owns it, as every other")]
        let opened = Connection::open_with_flags(name, flags);
        let connection = opened.map_err(|error| failed(path, error))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        let store = Self { connection, path: path.into() };
        store.set_busy_timeout(BUSY_TIMEOUT)?;
        Ok(store)
    }

    /// Opens the database at `path` for somebody who may perhaps only read it.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        match Self::open_existing(path) {
            Err(StoreError::ReadOnly { .. }) => {}
            opened => return opened,
        }
        let store = Self::open_to_look(path)?;
        match store.schema_version()? {
            SCHEMA_VERSION => Ok(store),
            // An older one would have to be migrated first.
            ..SCHEMA_VERSION => Err(StoreError::ReadOnly { path: path.into() }),
            found => Err(StoreError::Newer { path: path.into(), found }),
        }
    }

    /// Whether nothing at all has been made in the file yet.
    pub(crate) fn is_blank(&self) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) FROM sqlite_master";
        let made: i64 = self
            .connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(|error| self.failed(error))?;
        Ok(made == 0)
    }
}

fn uri(path: &Path, option: &str) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            // Writing to a string does not fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri + "?" + option
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::NewIssue;

    #[test]
    fn looking_leaves_no_trace_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a ?#%ü.db");
        let mut store = Store::open(&path).unwrap();
        store.create(NewIssue::titled("a")).unwrap();
        store.close().unwrap();
        let mut looking = Store::open_to_look(&path).unwrap();
        assert_eq!(looking.list(None).unwrap().len(), 1);
        assert!(!looking.is_blank().unwrap());
        assert!(looking.create(NewIssue::titled("b")).is_err());
        looking.close().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_only_in_the_log_yet_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tracker.db");
        let mut store = Store::open(&path).unwrap();
        store.create(NewIssue::titled("a")).unwrap();
        let looking = Store::open_to_look(&path).unwrap();
        assert_eq!(looking.list(None).unwrap().len(), 1);
        looking.close().unwrap();
        store.close().unwrap();
    }
}
