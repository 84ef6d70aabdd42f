//! Making tables anew from the lines, which are the one truth.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::types::Value as SqlValue;

use super::{Scope, Store, StoreError, read_line};
use crate::issue::{Issue, merged};

impl Store {
    /// Writes the rows of these issues anew from their lines, and removes rows of issues that are
    /// not there. A line that does not parse is left as it is.
    pub(crate) fn rewrite(&mut self, ids: &[String]) -> Result<(), StoreError> {
        self.write(|scope| {
            for id in ids {
                rewrite(scope, id)?;
            }
            scope.run("DELETE FROM labels WHERE issue_id NOT IN (SELECT id FROM issues)", [])?;
            let strays = "DELETE FROM dependencies WHERE issue_id NOT IN (SELECT id FROM issues)";
            scope.run(strays, [])?;
            scope.recount()
        })
    }

    /// Empties the search index; the next search fills it.
    pub(crate) fn empty_search(&mut self) -> Result<(), StoreError> {
        self.write(|scope| {
            // <https://www.sqlite.org/fts5.html#the_delete_all_command>
            scope.run("INSERT INTO search (search) VALUES ('delete-all')", [])?;
            scope.run("DELETE FROM searchable", [])?;
            scope.set_meta("indexed", None)
        })
    }
}

fn rewrite(scope: &Scope<'_>, id: &str) -> Result<(), StoreError> {
    let sql = "SELECT line FROM issues WHERE id = ?1";
    let lines: Vec<String> =
        super::collect(scope.connection(), scope.path(), sql, [id], |row| row.get(0))?;
    let Some(line) = lines.first() else { return Ok(()) };
    let Ok(mut issue) = read_line(scope.path(), id, line) else { return Ok(()) };
    issue.normalise();
    // As somebody else may have worded it.
    let mut line = Some(line.as_str());
    if issue.id != id {
        // Its row bears another name. There may be one of its own, too.
        remove(scope, id)?;
        if let Some(here) = scope.load(&issue.id)? {
            issue = merged(&here, issue, Timestamp::now());
            line = None;
        }
    }
    remove(scope, &issue.id)?;
    scope.put_as(&issue, None, line)
}

/// Removes an issue's rows, whatever they say.
fn remove(scope: &Scope<'_>, id: &str) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM labels WHERE issue_id = ?1",
        "DELETE FROM dependencies WHERE issue_id = ?1",
        "DELETE FROM issues WHERE id = ?1",
    ] {
        scope.run(sql, [id])?;
    }
    Ok(())
}

/// A table's words of each issue.
pub(crate) type Words = BTreeMap<String, Vec<String>>;

impl Store {
    /// The labels of every issue, sorted, and what it depends on as `type id`, as the tables have
    /// them.
    pub(crate) fn words(&self) -> Result<(Words, Words), StoreError> {
        let all = |sql: &str| -> Result<Words, StoreError> {
            let rows: Vec<(String, String)> =
                super::collect(&self.connection, &self.path, sql, [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let mut words = Words::new();
            for (id, word) in rows {
                words.entry(id).or_default().push(word);
            }
            words.values_mut().for_each(|words| words.sort());
            Ok(words)
        };
        Ok((
            all("SELECT issue_id, label FROM labels")?,
            all("SELECT issue_id, type || ' ' || depends_on_id FROM dependencies")?,
        ))
    }
}

/// The same words as an issue has them.
pub(crate) fn words_of(issue: &Issue) -> (Vec<String>, Vec<String>) {
    let edges = issue.dependencies.iter();
    let mut edges: Vec<_> =
        edges.map(|edge| format!("{} {}", edge.kind.as_str(), edge.depends_on_id)).collect();
    edges.sort();
    (issue.labels.clone(), edges)
}

/// The columns of an issue that are taken from its line, of whatever type they are.
#[derive(Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: String,
    columns: [SqlValue; COLUMNS],
}

const COLUMNS: usize = 8;

impl Row {
    pub(crate) fn of(issue: &Issue) -> Self {
        Self {
            id: issue.id.clone(),
            columns: [
                issue.title.clone().into(),
                issue.status.as_str().to_owned().into(),
                i64::from(issue.priority).into(),
                issue.issue_type.as_str().to_owned().into(),
                issue.assignee.clone().into(),
                issue.created_at.as_microsecond().into(),
                issue.updated_at.as_microsecond().into(),
                issue.closed_at.map(|at| at.as_microsecond()).into(),
            ],
        }
    }
}

impl Store {
    /// Hands every issue's columns and line to `consume`, sorted by id; what is no text is no line.
    pub(crate) fn each_row(&self, mut consume: impl FnMut(Row, &str)) -> Result<(), StoreError> {
        let sql = "SELECT title, status, priority, issue_type, assignee,
                   created_us, updated_us, closed_us, id, line FROM issues ORDER BY id";
        let mut walk = || {
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let mut columns = [const { SqlValue::Null }; COLUMNS];
                for (number, column) in columns.iter_mut().enumerate() {
                    *column = row.get(number)?;
                }
                let line = row.get_ref(COLUMNS + 1)?.as_str().unwrap_or_default();
                consume(Row { id: row.get(COLUMNS)?, columns }, line);
            }
            Ok(())
        };
        walk().map_err(|error| self.failed(error))
    }
}
