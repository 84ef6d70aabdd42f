//! The store: one SQLite connection and its one owner.
//!
//! Nothing else opens a connection, and nothing prepared outlives it.
//! Whoever opens a store closes it with [`Store::close`], which says whether that worked; a store
//! that is merely dropped closes too, but can no longer tell.
//!
//! Every change runs in one `BEGIN IMMEDIATE` transaction and gives what it touched a new revision.

mod change;
mod error;
mod import;
mod look;
mod mend;
mod migrate;
mod rows;
mod scope;
mod synced;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::issue::{Invalid, Issue};

pub use error::StoreError;
pub(crate) use error::failed;
pub use import::{ImportReport, Moved};
pub(crate) use mend::{Row, words_of};
pub(crate) use rows::{collect, load, read_line, resolve};
pub(crate) use scope::Scope;

/// The schema this version reads and writes.
pub const SCHEMA_VERSION: i64 = 2;
/// How long a statement waits for another process's transaction.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The prefix of a store that was not given one.
pub const PREFIX_DEFAULT: &str = "tt";

const SCHEMA: &str = include_str!("store/schema.sql");
/// Statements that are kept prepared: more than the store has, bounded for those that filters make.
const STATEMENTS_KEPT: usize = 64;

/// The owner of one connection to an issue database.
///
/// ```
/// use watertight_tracker::{issue::NewIssue, store::Store};
///
/// let mut store = Store::open_in_memory()?;
/// let issue = store.create(NewIssue::titled("the tap drips"))?;
/// assert_eq!(store.show(&issue.id)?.title, "the tap drips");
/// store.close()?;
/// # Ok::<(), watertight_tracker::store::StoreError>(())
/// ```
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the database at `path` and creates it if it is not there.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        #[expect(clippy::disallowed_methods, reason = "the one place that opens a connection")]
        let opened = Connection::open(path);
        Self::own(opened, path.into())
    }

    /// Opens the database at `path`, which must be there.
    pub fn open_existing(path: &Path) -> Result<Self, StoreError> {
        // An empty one holds no tables: what it held was cut off, or is about to be put in.
        if !std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0) {
            return Err(StoreError::Missing { path: path.into() });
        }
        Self::open(path)
    }

    /// A store without a file; it is gone when it is closed.
    pub fn open_in_memory() -> Result<Self, StoreError> {
        #[expect(clippy::disallowed_methods, reason = "the one place that opens a connection")]
        let opened = Connection::open_in_memory();
        Self::own(opened, ":memory:".into())
    }

    /// Closes the connection and says if it would not.
    pub fn close(self) -> Result<(), StoreError> {
        let Self { connection, path } = self;
        // What could not be closed is dropped with the error, and the drop tries once more.
        connection.close().map_err(|(_connection, source)| StoreError::Close { path, source })
    }

    /// The database file, `:memory:` for none.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long a statement waits for another process's transaction, [`BUSY_TIMEOUT`] at first.
    pub fn set_busy_timeout(&self, timeout: Duration) -> Result<(), StoreError> {
        self.connection.busy_timeout(timeout).map_err(|error| self.failed(error))
    }

    /// The prefix of new ids.
    pub fn prefix(&self) -> Result<String, StoreError> {
        Ok(self.meta("prefix")?.unwrap_or_else(|| PREFIX_DEFAULT.into()))
    }

    /// Sets the prefix of new ids; those that exist keep theirs.
    pub fn set_prefix(&mut self, prefix: &str) -> Result<(), StoreError> {
        if !crate::id::is_valid_prefix(prefix) {
            return Err(Invalid::Prefix { given: prefix.into() }.into());
        }
        self.set_meta("prefix", Some(prefix))
    }

    /// Whether a sync commits to git.
    pub fn git_enabled(&self) -> Result<bool, StoreError> {
        Ok(self.meta("git")?.as_deref() == Some("true"))
    }

    /// How many statements are prepared: those that are kept for the next time, and the few that the
    /// search index keeps.
    pub fn statements(&self) -> usize {
        let mut count = 0;
        let mut last = std::ptr::null_mut();
        loop {
            // SAFETY: the handle is that of our open connection, and `last` is null or a statement
            // of it that nobody can have finalised in between: a connection is not shared.
            last = unsafe { rusqlite::ffi::sqlite3_next_stmt(self.connection.handle(), last) };
            if last.is_null() {
                return count;
            }
            count += 1;
        }
    }

    /// An issue by its full id, a deleted one too.
    pub(crate) fn any_version(&self, id: &str) -> Result<Option<Issue>, StoreError> {
        load(&self.connection, &self.path, id)
    }

    /// A number that another connection's commit changes, and our own does not.
    ///
    /// <https://www.sqlite.org/pragma.html#pragma_data_version>
    pub fn data_version(&self) -> Result<i64, StoreError> {
        self.connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(|error| self.failed(error))
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs `body` in one `BEGIN IMMEDIATE` transaction: all of it or nothing.
    pub(crate) fn write<T, E: From<StoreError>>(
        &mut self,
        body: impl FnOnce(&Scope<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let path = self.path.clone();
        let failed = |error| failed(&path, error);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        // An error or a panic in the body drops the transaction, which rolls it back.
        let scope = Scope::new(transaction, &path);
        let value = body(&scope)?;
        scope.commit()?;
        Ok(value)
    }

    /// Runs `body` on one unchanging view of the database.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if !self.connection.is_autocommit() {
            // Inside a view already: whoever opened it keeps it unchanging for us too.
            return body();
        }
        let view = self.connection.unchecked_transaction().map_err(|error| self.failed(error))?;
        let value = body()?;
        view.finish().map_err(|error| self.failed(error))?;
        Ok(value)
    }

    pub(crate) fn failed(&self, error: rusqlite::Error) -> StoreError {
        failed(&self.path, error)
    }

    fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        meta(&self.connection, key).map_err(|error| self.failed(error))
    }

    fn set_meta(&mut self, key: &str, value: Option<&str>) -> Result<(), StoreError> {
        self.write(|scope| scope.set_meta(key, value))
    }

    fn own(opened: Result<Connection, rusqlite::Error>, path: PathBuf) -> Result<Self, StoreError> {
        let connection = opened.map_err(|error| failed(&path, error))?;
        let mut store = Self { connection, path };
        store.set_busy_timeout(BUSY_TIMEOUT)?;
        store.prepare()?;
        Ok(store)
    }

    /// Checks the schema and installs it in a new file.
    fn prepare(&mut self) -> Result<(), StoreError> {
        let failed = |error| failed(&self.path, error);
        self.connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        if self.schema_version()? == 0 {
            // WAL is a property of the file, hence set once, outside any transaction.
            self.connection
                .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
                .map_err(failed)?;
            self.write(|scope| {
                // Somebody may have been faster.
                if schema_version(scope.connection()).map_err(|error| scope.failed(error))? == 0 {
                    scope.install()?;
                }
                Ok::<_, StoreError>(())
            })?;
        }
        if self.schema_version()? == 1 {
            self.migrate()?;
        }
        match self.schema_version()? {
            SCHEMA_VERSION => Ok(()),
            found => Err(StoreError::Newer { path: self.path.clone(), found }),
        }
    }

    pub(crate) fn schema_version(&self) -> Result<i64, StoreError> {
        schema_version(&self.connection).map_err(|error| self.failed(error))
    }
}

fn schema_version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn meta(connection: &Connection, key: &str) -> Result<Option<String>, rusqlite::Error> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")
        .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::NewIssue;

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tracker.db");
        let store = Store::open(&path).unwrap();
        store.connection.pragma_update(None, "user_version", 99).unwrap();
        store.close().unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Newer { found: 99, .. })));
    }

    #[test]
    fn a_failed_change_changes_nothing() {
        let mut store = Store::open_in_memory().unwrap();
        let refused: Result<(), StoreError> = store.write(|scope| {
            scope.set_meta("a", Some("b"))?;
            Err(StoreError::NotFound { id: "x".into() })
        });
        assert!(refused.is_err());
        assert_eq!(store.meta("a").unwrap(), None);
        store.close().unwrap();
    }

    #[test]
    fn statements_are_kept_and_do_not_pile_up() {
        let mut store = Store::open_in_memory().unwrap();
        for title in ["a", "b"] {
            store.create(NewIssue::titled(title)).unwrap();
        }
        let kept = store.statements();
        assert!(kept > 0);
        for title in ["c", "d"] {
            store.create(NewIssue::titled(title)).unwrap();
        }
        assert_eq!(store.statements(), kept);
        // Each number of labels is a statement of its own.
        let filter = |labels: std::ops::Range<usize>| {
            for labels in labels {
                let labels_any = vec!["x".into(); labels];
                store.find(&crate::query::Filter { labels_any, ..Default::default() }).unwrap();
            }
            store.statements()
        };
        let full = filter(0..STATEMENTS_KEPT);
        assert!(full > kept);
        assert_eq!(filter(STATEMENTS_KEPT..3 * STATEMENTS_KEPT), full, "the last are kept");
    }

    #[test]
    fn what_was_written_is_there_after_close() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tracker.db");
        let mut store = Store::open(&path).unwrap();
        store.set_prefix("drip").unwrap();
        let made = store.create(NewIssue::titled("a")).unwrap();
        store.close().unwrap();
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "the write-ahead log is folded in at close: {left:?}");
        let store = Store::open_existing(&path).unwrap();
        assert_eq!(store.show(&made.id).unwrap(), made);
        assert!(made.id.starts_with("drip-"));
        store.close().unwrap();
    }
}
