//! How far others are behind: the JSONL file, the search index, and what a sync remembers.

use jiff::Timestamp;

use super::{Scope, Store, StoreError};

/// How far the JSONL file is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dirty {
    /// How many issues changed since the last export.
    pub(crate) issues: u64,
    /// The revision of the last export.
    pub(crate) exported: i64,
    /// The newest revision.
    pub(crate) newest: i64,
}

impl Store {
    /// How far the JSONL file is behind the database.
    pub(crate) fn dirty(&self) -> Result<Dirty, StoreError> {
        self.read(|| {
            let exported = self.number("exported")?;
            let newest = self.number("revision")?;
            let issues = match newest > exported {
                true => self
                    .connection
                    .prepare_cached("SELECT count(*) FROM issues WHERE revision > ?1")
                    .and_then(|mut statement| statement.query_row([exported], |row| row.get(0)))
                    .map(i64::unsigned_abs)
                    .map_err(|error| self.failed(error))?,
                false => 0,
            };
            Ok(Dirty { issues, exported, newest })
        })
    }

    /// What somebody has remembered under a name.
    pub(crate) fn remembered(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.meta(name)
    }

    /// Remembers all of these or none; `None` forgets.
    pub(crate) fn remember(&mut self, all: &[(&str, Option<&str>)]) -> Result<(), StoreError> {
        self.write(|scope| all.iter().try_for_each(|(name, value)| scope.set_meta(name, *value)))
    }

    /// Forgets deleted issues that no import can be expected to bring back, and counts them.
    pub(crate) fn forget_expired(&mut self) -> Result<u64, StoreError> {
        let now = Timestamp::now();
        let sql = "SELECT id, line FROM issues WHERE status = 'tombstone'";
        self.write(|scope| {
            let rows: Vec<(String, String)> =
                super::collect(scope.connection(), scope.path(), sql, [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let mut forgotten = 0;
            for (id, line) in rows {
                let issue = super::read_line(scope.path(), &id, &line)?;
                if issue.is_expired(now) {
                    scope.remove(&issue)?;
                    forgotten += 1;
                }
            }
            if forgotten > 0 {
                scope.export_anew()?;
            }
            Ok(forgotten)
        })
    }

    /// The revision up to which the search index goes.
    pub(crate) fn indexed(&self) -> Result<i64, StoreError> {
        self.number("indexed")
    }

    fn number(&self, key: &str) -> Result<i64, StoreError> {
        Ok(self.meta(key)?.and_then(|number| number.parse().ok()).unwrap_or(0))
    }
}

impl Scope<'_> {
    /// Remembers that the search index holds everything that is there.
    pub(crate) fn set_indexed(&self) -> Result<(), StoreError> {
        let newest = super::meta(self.connection(), "revision");
        let newest = newest.map_err(|error| self.failed(error))?;
        self.set_meta("indexed", newest.as_deref())
    }

    /// Makes the next export write the whole file: lines have gone from it.
    fn export_anew(&self) -> Result<(), StoreError> {
        self.revision()?;
        self.set_meta("exported", None)
    }
}
