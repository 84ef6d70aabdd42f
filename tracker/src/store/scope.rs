//! One write transaction, and what it notes of itself.

use std::cell::Cell;
use std::path::Path;

use rusqlite::{Connection, Transaction};

use super::{SCHEMA, SCHEMA_VERSION, StoreError, failed, meta};

/// One open write transaction.
pub(crate) struct Scope<'a> {
    transaction: Transaction<'a>,
    path: &'a Path,
    /// That of this transaction, once something has changed.
    revision: Cell<Option<i64>>,
    /// Issues that are new, less those that are gone.
    pub(super) growth: Cell<i64>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(transaction: Transaction<'a>, path: &'a Path) -> Self {
        Self { transaction, path, revision: Cell::new(None), growth: Cell::new(0) }
    }

    /// Makes all of it so.
    pub(super) fn commit(self) -> Result<(), StoreError> {
        self.note_growth()?;
        let path = self.path;
        self.transaction.commit().map_err(|error| failed(path, error))
    }
}

impl Scope<'_> {
    /// The revision that everything gets that this transaction changes.
    pub(crate) fn revision(&self) -> Result<i64, StoreError> {
        if let Some(revision) = self.revision.get() {
            return Ok(revision);
        }
        let last = meta(&self.transaction, "revision").map_err(|error| self.failed(error))?;
        let revision = last.and_then(|last| last.parse().ok()).unwrap_or(0) + 1;
        self.set_meta("revision", Some(&i64::to_string(&revision)))?;
        self.revision.set(Some(revision));
        Ok(revision)
    }

    /// How many issues there are, deleted ones too. Kept beside them, because counting 100,000 takes
    /// longer than making one.
    pub(crate) fn issues(&self) -> Result<u64, StoreError> {
        let noted = meta(&self.transaction, "issues").map_err(|error| self.failed(error))?;
        let noted: i64 = noted.and_then(|noted| noted.parse().ok()).unwrap_or(0);
        Ok(noted.saturating_add(self.growth.get()).max(0).unsigned_abs())
    }

    /// Counts the issues anew.
    pub(super) fn recount(&self) -> Result<(), StoreError> {
        self.growth.set(0);
        self.run(
            "INSERT OR REPLACE INTO meta SELECT 'issues', CAST(count(*) AS TEXT) FROM issues",
            [],
        )
        .map(drop)
    }

    fn note_growth(&self) -> Result<(), StoreError> {
        if self.growth.get() == 0 {
            return Ok(());
        }
        self.set_meta("issues", Some(&self.issues()?.to_string()))
    }

    pub(crate) fn set_meta(&self, key: &str, value: Option<&str>) -> Result<(), StoreError> {
        match value {
            Some(value) => {
                self.run("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", (key, value)).map(drop)
            }
            None => self.run("DELETE FROM meta WHERE key = ?1", [key]).map(drop),
        }
    }

    /// Makes the tables of an empty database.
    pub(super) fn install(&self) -> Result<(), StoreError> {
        self.transaction
            .execute_batch(&format!("{SCHEMA}\nPRAGMA user_version = {SCHEMA_VERSION};"))
            .map_err(|error| self.failed(error))
    }

    /// Runs one statement and counts the rows it changed.
    pub(crate) fn run(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
    ) -> Result<usize, StoreError> {
        self.transaction
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map_err(|error| self.failed(error))
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.transaction
    }

    pub(crate) fn failed(&self, error: rusqlite::Error) -> StoreError {
        failed(self.path, error)
    }

    pub(crate) fn path(&self) -> &Path {
        self.path
    }
}
