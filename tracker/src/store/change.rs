//! Changes to single issues: create, update, delete, depend.

use jiff::Timestamp;
use rusqlite::OptionalExtension;

use super::{Scope, Store, StoreError};
use crate::id;
use crate::issue::{
    Dependency, DependencyKind, Extra, Issue, IssuePatch, NewIssue, PRIORITY_DEFAULT, Status,
    check_priority, check_title,
};
use crate::query;

impl Store {
    /// Creates an issue and returns it with its new id.
    pub fn create(&mut self, new: NewIssue) -> Result<Issue, StoreError> {
        let prefix = self.prefix()?;
        let now = Timestamp::now();
        let mut issue = Issue {
            id: "new".into(),
            title: new.title,
            description: new.description,
            status: Status::Open,
            priority: new.priority.unwrap_or(PRIORITY_DEFAULT),
            issue_type: new.issue_type,
            assignee: new.assignee.filter(|name| !name.is_empty()),
            created_at: now,
            updated_at: now,
            closed_at: None,
            labels: new.labels,
            dependencies: Vec::new(),
            comments: Vec::new(),
            extra: Extra::new(),
        };
        issue.normalise();
        issue.check()?;
        self.write(|scope| {
            issue.id = free_id(scope, &prefix, &issue)?;
            put(scope, &issue)?;
            Ok(())
        })?;
        Ok(issue)
    }

    /// Changes fields of an issue and returns it as it is now.
    pub fn update(&mut self, id: &str, patch: &IssuePatch) -> Result<Issue, StoreError> {
        if let Some(title) = &patch.title {
            check_title(title)?;
        }
        if let Some(priority) = patch.priority {
            check_priority(priority)?;
        }
        self.write(|scope| {
            let id = query::resolve(scope.connection(), scope.path(), id)?;
            let before = query::load(scope.connection(), scope.path(), &id)?;
            let after = patched(before.clone(), patch);
            if after == before {
                return Ok(before);
            }
            let after = Issue { updated_at: Timestamp::now(), ..after };
            put_row(scope, &after)?;
            mark(scope, &id)?;
            Ok(after)
        })
    }

    /// Closes an issue; closing a closed one changes nothing.
    pub fn close_issue(&mut self, id: &str) -> Result<Issue, StoreError> {
        self.update(id, &IssuePatch::status(Status::Closed))
    }

    /// Opens a closed issue again; an issue that is not closed stays as it is.
    pub fn reopen_issue(&mut self, id: &str) -> Result<Issue, StoreError> {
        let issue = self.show(id)?;
        match issue.status {
            Status::Closed => self.update(&issue.id, &IssuePatch::status(Status::Open)),
            _ => Ok(issue),
        }
    }

    /// Deletes an issue with every dependency on it, and returns what it was.
    pub fn delete(&mut self, id: &str) -> Result<Issue, StoreError> {
        self.write(|scope| {
            let id = query::resolve(scope.connection(), scope.path(), id)?;
            let issue = query::load(scope.connection(), scope.path(), &id)?;
            // Those that waited for it change too: their lines lose an edge.
            scope.run(
                "INSERT OR REPLACE INTO dirty (issue_id)
                 SELECT DISTINCT issue_id FROM dependencies WHERE depends_on_id = ?1",
                [&id],
            )?;
            scope.run(
                "UPDATE issues SET updated_at = ?2
                 WHERE id IN (SELECT issue_id FROM dependencies WHERE depends_on_id = ?1)",
                (&id, Timestamp::now().to_string()),
            )?;
            scope.run("DELETE FROM dependencies WHERE depends_on_id = ?1", [&id])?;
            scope.run("DELETE FROM issues WHERE id = ?1", [&id])?;
            mark(scope, &id)?;
            Ok(issue)
        })
    }

    /// Makes `id` depend on `depends_on`; an edge that is there already stays as it is.
    pub fn add_dependency(
        &mut self,
        id: &str,
        depends_on: &str,
        kind: DependencyKind,
    ) -> Result<Dependency, StoreError> {
        self.write(|scope| {
            let connection = scope.connection();
            let id = query::resolve(connection, scope.path(), id)?;
            let depends_on = query::resolve(connection, scope.path(), depends_on)?;
            if kind.is_ordering() {
                query::check_acyclic(connection, scope.path(), &id, &depends_on)?;
            }
            let now = Timestamp::now();
            let edge = Dependency {
                issue_id: id.clone(),
                depends_on_id: depends_on,
                kind,
                created_at: now,
                extra: Extra::new(),
            };
            if put_dependency(scope, &edge, "OR IGNORE")? > 0 {
                scope.run(
                    "UPDATE issues SET updated_at = ?2 WHERE id = ?1",
                    (&id, now.to_string()),
                )?;
                mark(scope, &id)?;
            }
            Ok(edge)
        })
    }

    /// The newest change that has not been synced, and how many issues wait.
    pub(crate) fn dirty(&self) -> Result<Dirty, StoreError> {
        self.connection()
            .prepare_cached("SELECT count(*), coalesce(max(revision), 0) FROM dirty")
            .and_then(|mut statement| {
                statement.query_row([], |row| {
                    let issues = row.get::<_, i64>(0)?.unsigned_abs();
                    Ok(Dirty { issues, revision: row.get(1)? })
                })
            })
            .map_err(|error| self.failed(error))
    }

    /// Forgets the changes up to `revision`, which are in the JSONL file now.
    pub(crate) fn clear_dirty(
        &mut self,
        revision: i64,
        commit_pending: bool,
    ) -> Result<(), StoreError> {
        self.write(|scope| {
            scope.run("DELETE FROM dirty WHERE revision <= ?1", [revision])?;
            if commit_pending {
                scope.run("INSERT OR REPLACE INTO meta VALUES ('commit_pending', 'true')", [])?;
            }
            Ok(())
        })
    }
}

/// The changes that wait for a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dirty {
    /// How many issues changed.
    pub(crate) issues: u64,
    /// The newest of the changes.
    pub(crate) revision: i64,
}

/// Marks an issue as changed since the last sync.
pub(super) fn mark(scope: &Scope<'_>, id: &str) -> Result<(), StoreError> {
    scope.run("INSERT OR REPLACE INTO dirty (issue_id) VALUES (?1)", [id]).map(drop)
}

/// Writes a whole issue over whatever was there, and marks it.
pub(super) fn put(scope: &Scope<'_>, issue: &Issue) -> Result<(), StoreError> {
    put_row(scope, issue)?;
    scope.run("DELETE FROM labels WHERE issue_id = ?1", [&issue.id])?;
    scope.run("DELETE FROM dependencies WHERE issue_id = ?1", [&issue.id])?;
    scope.run("DELETE FROM comments WHERE issue_id = ?1", [&issue.id])?;
    for label in &issue.labels {
        scope.run("INSERT INTO labels VALUES (?1, ?2)", (&issue.id, label))?;
    }
    for dependency in &issue.dependencies {
        put_dependency(scope, dependency, "")?;
    }
    for (position, comment) in (0_i64..).zip(&issue.comments) {
        scope.run(
            "INSERT INTO comments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                &issue.id,
                position,
                comment.id.to_string(),
                &comment.author,
                &comment.text,
                comment.created_at.to_string(),
                query::extra_to_text(&comment.extra),
            ),
        )?;
    }
    mark(scope, &issue.id)
}

/// Writes the issue's own row; its labels, dependencies and comments stay.
fn put_row(scope: &Scope<'_>, issue: &Issue) -> Result<(), StoreError> {
    scope
        .run(
            "INSERT INTO issues VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (id) DO UPDATE SET title = excluded.title,
                 description = excluded.description, status = excluded.status,
                 priority = excluded.priority, issue_type = excluded.issue_type,
                 assignee = excluded.assignee, created_at = excluded.created_at,
                 updated_at = excluded.updated_at, closed_at = excluded.closed_at,
                 extra = excluded.extra",
            (
                &issue.id,
                &issue.title,
                &issue.description,
                issue.status.as_str(),
                issue.priority,
                issue.issue_type.as_str(),
                &issue.assignee,
                issue.created_at.to_string(),
                issue.updated_at.to_string(),
                issue.closed_at.map(|at| at.to_string()),
                query::extra_to_text(&issue.extra),
            ),
        )
        .map(drop)
}

fn put_dependency(
    scope: &Scope<'_>,
    dependency: &Dependency,
    on_conflict: &str,
) -> Result<usize, StoreError> {
    scope.run(
        &format!("INSERT {on_conflict} INTO dependencies VALUES (?1, ?2, ?3, ?4, ?5)"),
        (
            &dependency.issue_id,
            &dependency.depends_on_id,
            dependency.kind.as_str(),
            dependency.created_at.to_string(),
            query::extra_to_text(&dependency.extra),
        ),
    )
}

fn patched(mut issue: Issue, patch: &IssuePatch) -> Issue {
    if let Some(title) = &patch.title {
        issue.title.clone_from(title);
    }
    if let Some(description) = &patch.description {
        issue.description.clone_from(description);
    }
    if let Some(priority) = patch.priority {
        issue.priority = priority;
    }
    if let Some(issue_type) = patch.issue_type {
        issue.issue_type = issue_type;
    }
    if let Some(assignee) = &patch.assignee {
        issue.assignee = Some(assignee.clone()).filter(|name| !name.is_empty());
    }
    match patch.status {
        Some(Status::Closed) if issue.status != Status::Closed => {
            issue.status = Status::Closed;
            issue.closed_at = Some(Timestamp::now());
        }
        Some(Status::Closed) | None => {}
        Some(status) => {
            issue.status = status;
            issue.closed_at = None;
        }
    }
    issue
}

/// The first candidate that no issue has; inside the transaction, so nobody can take it meanwhile.
fn free_id(scope: &Scope<'_>, prefix: &str, issue: &Issue) -> Result<String, StoreError> {
    let seed = format!("{}\0{}\0{}", issue.title, issue.created_at, std::process::id());
    for candidate in id::candidates(prefix, seed.as_bytes()) {
        let taken = scope
            .connection()
            .prepare_cached("SELECT 1 FROM issues WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([&candidate], |_| Ok(())).optional())
            .map_err(|error| scope.failed(error))?;
        if taken.is_none() {
            return Ok(candidate);
        }
    }
    Err(StoreError::NoFreeId { prefix: prefix.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titled(store: &mut Store, title: &str) -> String {
        store.create(NewIssue::titled(title)).unwrap().id
    }

    #[test]
    fn a_cycle_is_refused_with_its_path() {
        let mut store = Store::open_in_memory().unwrap();
        let ids: Vec<_> = ["a", "b", "c"].iter().map(|title| titled(&mut store, title)).collect();
        store.add_dependency(&ids[0], &ids[1], DependencyKind::Blocks).unwrap();
        store.add_dependency(&ids[1], &ids[2], DependencyKind::Blocks).unwrap();
        let refused = store.add_dependency(&ids[2], &ids[0], DependencyKind::Blocks).unwrap_err();
        let StoreError::Cycle { path } = refused else { panic!("{refused}") };
        assert_eq!(path, [&ids[2], &ids[0], &ids[1], &ids[2]].map(String::clone));
        store.add_dependency(&ids[2], &ids[0], DependencyKind::Related).unwrap();
        store.close().unwrap();
    }

    #[test]
    fn an_issue_cannot_wait_for_itself() {
        let mut store = Store::open_in_memory().unwrap();
        let id = titled(&mut store, "a");
        let refused = store.add_dependency(&id, &id, DependencyKind::Blocks);
        assert!(matches!(refused, Err(StoreError::Cycle { path }) if path.len() == 2));
    }

    #[test]
    fn closing_and_reopening_keep_closed_at_in_step() {
        let mut store = Store::open_in_memory().unwrap();
        let id = titled(&mut store, "a");
        let closed = store.close_issue(&id).unwrap();
        assert!(closed.closed_at.is_some());
        assert_eq!(store.close_issue(&id).unwrap(), closed, "closing twice changes nothing");
        assert_eq!(store.reopen_issue(&id).unwrap().closed_at, None);
    }

    #[test]
    fn what_arrives_during_a_sync_stays_dirty() {
        let mut store = Store::open_in_memory().unwrap();
        let id = titled(&mut store, "a");
        let seen = store.dirty().unwrap();
        store.close_issue(&id).unwrap();
        store.clear_dirty(seen.revision, false).unwrap();
        assert_eq!(store.dirty().unwrap().issues, 1);
    }

    #[test]
    fn deleting_marks_those_that_waited() {
        let mut store = Store::open_in_memory().unwrap();
        let (waits, waited_for) = (titled(&mut store, "a"), titled(&mut store, "b"));
        store.add_dependency(&waits, &waited_for, DependencyKind::Blocks).unwrap();
        let seen = store.dirty().unwrap();
        store.clear_dirty(seen.revision, false).unwrap();
        store.delete(&waited_for).unwrap();
        assert_eq!(store.dirty().unwrap().issues, 2);
        assert!(store.show(&waits).unwrap().dependencies.is_empty());
    }
}
