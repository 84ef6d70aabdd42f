//! Issues as rows: read one, find one by what a person typed, write one.

use std::borrow::Cow;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::{PREFIX_DEFAULT, Scope, StoreError, failed, meta};
use crate::issue::Issue;

/// An ambiguous id names at most this many candidates.
const CANDIDATES_MAX: usize = 10;

/// All rows of a query.
pub(crate) fn collect<T>(
    connection: &Connection,
    path: &Path,
    sql: &str,
    values: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Vec<T>, StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_map(values, read)?.collect())
        .map_err(|error| failed(path, error))
}

/// The issue that a stored line is.
pub(crate) fn read_line(path: &Path, id: &str, line: &str) -> Result<Issue, StoreError> {
    serde_json::from_str(line).map_err(|error| StoreError::Corrupt {
        path: path.into(),
        id: id.into(),
        what: error.to_string(),
    })
}

/// One issue by its full id, a deleted one too.
pub(crate) fn load(
    connection: &Connection,
    path: &Path,
    id: &str,
) -> Result<Option<Issue>, StoreError> {
    let line: Option<String> = connection
        .prepare_cached("SELECT line FROM issues WHERE id = ?1")
        .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
        .map_err(|error| failed(path, error))?;
    line.map(|line| read_line(path, id, &line)).transpose()
}

/// The full id of what a person typed: the id, the hash alone, or the unique start of either.
/// A deleted issue is only found where no other is.
pub(crate) fn resolve(
    connection: &Connection,
    path: &Path,
    typed: &str,
) -> Result<String, StoreError> {
    if typed.is_empty() {
        return Err(StoreError::NotFound { id: typed.into() });
    }
    let prefix = meta(connection, "prefix").map_err(|error| failed(path, error))?;
    let with_prefix = format!("{}-{typed}", prefix.as_deref().unwrap_or(PREFIX_DEFAULT));
    let starts = [typed, &with_prefix];
    let ids = |sql: &str, start: &str| -> Result<Vec<String>, StoreError> {
        collect(connection, path, sql, [start], |row| row.get(0))
    };
    for start in starts {
        if let Some(id) = ids("SELECT id FROM issues WHERE id = ?1", start)?.pop() {
            return Ok(id);
        }
    }
    for is_deleted in ["status <> 'tombstone'", "status = 'tombstone'"] {
        for start in starts {
            // A range and not LIKE: `_` and `%` are ordinary here, and the index is used.
            let sql = format!(
                "SELECT id FROM issues WHERE id >= ?1 AND id < ?1 || char(0x10FFFF)
                 AND {is_deleted} ORDER BY id LIMIT {CANDIDATES_MAX}"
            );
            let mut candidates = ids(&sql, start)?;
            match candidates.len() {
                0 => {}
                1 => return Ok(candidates.remove(0)),
                _ => return Err(StoreError::Ambiguous { id: typed.into(), candidates }),
            }
        }
    }
    // Copied from a headline, or typed by a phone; but an id that is written so comes first.
    let lower = typed.to_lowercase();
    if lower != typed {
        return match resolve(connection, path, &lower) {
            Err(StoreError::NotFound { .. }) => Err(StoreError::NotFound { id: typed.into() }),
            found => found,
        };
    }
    Err(StoreError::NotFound { id: typed.into() })
}

impl Scope<'_> {
    /// The issue that a person means, which must not be deleted.
    pub(super) fn find(&self, typed: &str) -> Result<Issue, StoreError> {
        let issue = self.find_any(typed)?;
        if issue.is_tombstone() { Err(StoreError::Deleted { id: issue.id }) } else { Ok(issue) }
    }

    /// The issue that a person means, deleted or not.
    pub(super) fn find_any(&self, typed: &str) -> Result<Issue, StoreError> {
        let id = resolve(self.connection(), self.path(), typed)?;
        self.load(&id)?.ok_or(StoreError::NotFound { id })
    }

    pub(super) fn load(&self, id: &str) -> Result<Option<Issue>, StoreError> {
        load(self.connection(), self.path(), id)
    }

    /// Writes an issue over what it was before.
    pub(super) fn put(&self, issue: &Issue, before: Option<&Issue>) -> Result<(), StoreError> {
        self.put_as(issue, before, None)
    }

    /// The same, as a line that is this issue in the words of somebody else.
    pub(super) fn put_as(
        &self,
        issue: &Issue,
        before: Option<&Issue>,
        line: Option<&str>,
    ) -> Result<(), StoreError> {
        self.growth.set(self.growth.get() + i64::from(before.is_none()));
        self.run(
            "INSERT OR REPLACE INTO issues VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            (
                &issue.id,
                self.revision()?,
                &issue.title,
                issue.status.as_str(),
                issue.priority,
                issue.issue_type.as_str(),
                &issue.assignee,
                issue.created_at.as_microsecond(),
                issue.updated_at.as_microsecond(),
                issue.closed_at.map(|at| at.as_microsecond()),
                line.map_or_else(|| Cow::Owned(issue.to_line()), Cow::Borrowed),
            ),
        )?;
        self.put_labels(issue, before)?;
        self.put_dependencies(issue, before)
    }

    /// Lets an issue be this line, which says the same in other words, if it is not already.
    pub(super) fn put_line(&self, issue: &Issue, line: &str) -> Result<(), StoreError> {
        let is_other = self
            .connection()
            .prepare_cached("SELECT 1 FROM issues WHERE id = ?1 AND line <> ?2")
            .and_then(|mut statement| statement.exists((&issue.id, line)))
            .map_err(|error| self.failed(error))?;
        if is_other { self.put_as(issue, Some(issue), Some(line)) } else { Ok(()) }
    }

    /// Forgets an issue altogether.
    pub(super) fn remove(&self, issue: &Issue) -> Result<(), StoreError> {
        let nothing = Issue { labels: Vec::new(), dependencies: Vec::new(), ..issue.clone() };
        self.put_labels(&nothing, Some(issue))?;
        self.put_dependencies(&nothing, Some(issue))?;
        self.growth.set(self.growth.get() - 1);
        for sql in [
            "DELETE FROM search
             WHERE rowid IN (SELECT number FROM searchable WHERE issue_id = ?1)",
            "DELETE FROM searchable WHERE issue_id = ?1",
            "DELETE FROM issues WHERE id = ?1",
        ] {
            self.run(sql, [&issue.id])?;
        }
        Ok(())
    }

    fn put_labels(&self, issue: &Issue, before: Option<&Issue>) -> Result<(), StoreError> {
        let before = before.map_or(&[][..], |before| &before.labels);
        for label in before.iter().filter(|label| !issue.labels.contains(label)) {
            let row = (label, &issue.id);
            self.run("DELETE FROM labels WHERE label = ?1 AND issue_id = ?2", row)?;
        }
        for label in issue.labels.iter().filter(|label| !before.contains(label)) {
            self.run("INSERT OR IGNORE INTO labels VALUES (?1, ?2)", (label, &issue.id))?;
        }
        Ok(())
    }

    fn put_dependencies(&self, issue: &Issue, before: Option<&Issue>) -> Result<(), StoreError> {
        let before = before.map_or(&[][..], |before| &before.dependencies);
        if before == issue.dependencies {
            return Ok(());
        }
        if !before.is_empty() {
            self.run("DELETE FROM dependencies WHERE issue_id = ?1", [&issue.id])?;
        }
        for edge in &issue.dependencies {
            self.run(
                "INSERT OR IGNORE INTO dependencies VALUES (?1, ?2, ?3)",
                (&edge.issue_id, &edge.depends_on_id, edge.kind.as_str()),
            )?;
        }
        Ok(())
    }
}
