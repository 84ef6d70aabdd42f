//! Full text search, best match first.
//!
//! The index is filled when somebody searches, with what has changed since: a write need not wait
//! for it, and an import of many issues is not slowed down by an index that nobody may look into.

use rusqlite::OptionalExtension;

use crate::issue::Issue;
use crate::store::{Scope, Store, StoreError, collect, read_line};

/// What matches in a title counts so much more than in the id, description, comments and labels.
const RANK: &str = "bm25(search, 10.0, 8.0, 2.0, 1.0, 4.0)";

impl Store {
    /// Issues that hold every word of `text`, or one that begins like it or has its stem; best
    /// match first, at most `limit`. Closed ones too, deleted ones not.
    pub fn search(&mut self, text: &str, limit: Option<u32>) -> Result<Vec<Issue>, StoreError> {
        let query = as_query(text);
        if query.is_empty() {
            return Ok(Vec::new());
        }
        self.index_changes()?;
        let sql = format!(
            "SELECT issues.id, issues.line FROM search
             JOIN searchable ON searchable.number = search.rowid
             JOIN issues ON issues.id = searchable.issue_id
             WHERE search MATCH ?1 ORDER BY {RANK}, issues.id LIMIT ?2"
        );
        let limit = limit.map_or(-1, i64::from);
        let rows: Vec<(String, String)> =
            collect(self.connection(), self.path(), &sql, (query, limit), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        rows.iter().map(|(id, line)| read_line(self.path(), id, line)).collect()
    }

    fn index_changes(&mut self) -> Result<(), StoreError> {
        let indexed = self.indexed()?;
        if indexed == self.dirty()?.newest {
            return Ok(());
        }
        self.write(|scope| {
            let sql = "SELECT id, line FROM issues WHERE revision > ?1";
            let mut statement =
                scope.connection().prepare_cached(sql).map_err(|error| scope.failed(error))?;
            let mut rows = statement.query([indexed]).map_err(|error| scope.failed(error))?;
            while let Some(row) = rows.next().map_err(|error| scope.failed(error))? {
                let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
                let id = text(0).map_err(|error| scope.failed(error))?;
                let line = text(1).map_err(|error| scope.failed(error))?;
                index(scope, &read_line(scope.path(), id, line)?)?;
            }
            scope.set_indexed()
        })
    }
}

/// Puts one issue into the index, over what is there of it; takes out a deleted one.
fn index(scope: &Scope<'_>, issue: &Issue) -> Result<(), StoreError> {
    let number: Option<i64> = scope
        .connection()
        .prepare_cached("SELECT number FROM searchable WHERE issue_id = ?1")
        .and_then(|mut statement| statement.query_row([&issue.id], |row| row.get(0)).optional())
        .map_err(|error| scope.failed(error))?;
    if let Some(number) = number {
        scope.run("DELETE FROM search WHERE rowid = ?1", [number])?;
        scope.run("DELETE FROM searchable WHERE number = ?1", [number])?;
    }
    if issue.is_tombstone() {
        return Ok(());
    }
    scope.run("INSERT INTO searchable (issue_id) VALUES (?1)", [&issue.id])?;
    let comments: Vec<_> = issue.comments.iter().map(|comment| comment.text.as_str()).collect();
    scope.run(
        "INSERT INTO search (rowid, id, title, description, comments, labels)
         VALUES (last_insert_rowid(), ?1, ?2, ?3, ?4, ?5)",
        (&issue.id, &issue.title, &issue.description, comments.join("\n"), issue.labels.join(" ")),
    )?;
    Ok(())
}

/// What a person typed as a query of FTS5: every word quoted, so that none is an operator, and
/// open at its end. <https://www.sqlite.org/fts5.html#full_text_query_syntax>
fn as_query(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| format!("\"{word}\" *")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::{IssuePatch, NewIssue};

    fn ids(issues: Vec<Issue>) -> String {
        issues.into_iter().map(|issue| issue.id).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_are_found_wherever_they_are_and_titles_come_first() {
        let mut store = Store::open_in_memory().unwrap();
        let description = "the faucet was dripping".into();
        let below = NewIssue { description, ..NewIssue::titled("kitchen") };
        let below = store.create(below).unwrap().id;
        let above = store.create(NewIssue::titled("a faucet drips")).unwrap().id;
        assert_eq!(ids(store.search("faucet drip", None).unwrap()), format!("{above} {below}"));
        assert_eq!(ids(store.search("Kitch", None).unwrap()), below);
        assert_eq!(ids(store.search("faucet", Some(1)).unwrap()), above);
        store.comment(&above, "me", "seal is worn").unwrap();
        assert_eq!(ids(store.search("seal", None).unwrap()), above);
        let patch = IssuePatch { title: Some("a tap".into()), ..IssuePatch::default() };
        store.update(&above, &patch).unwrap();
        assert_eq!(ids(store.search("faucet", None).unwrap()), below);
        store.delete(&below, None).unwrap();
        assert!(store.search("faucet", None).unwrap().is_empty());
        store.restore(&below).unwrap();
        assert_eq!(ids(store.search("faucet", None).unwrap()), below);
        assert_eq!(ids(store.search(&below, None).unwrap()), below);
    }

    #[test]
    fn what_looks_like_syntax_is_text() {
        let mut store = Store::open_in_memory().unwrap();
        store.create(NewIssue::titled("AND \"quotes\" c++")).unwrap();
        for text in ["AND", "\"quotes", "c++ -", "title:quotes OR", "NEAR(", "*"] {
            store.search(text, None).unwrap();
        }
        assert_eq!(store.search("and", None).unwrap().len(), 1);
        assert!(store.search(" - ", None).unwrap().is_empty());
    }
}
