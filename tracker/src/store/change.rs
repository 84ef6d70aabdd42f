//! Changes to single issues: create, update, comment, depend, delete, restore.

use jiff::Timestamp;
use rusqlite::OptionalExtension;
use serde_json::Value;

use super::{Scope, Store, StoreError};
use crate::id;
use crate::issue::{
    Comment, Dependency, DependencyKind, Extra, Invalid, Issue, IssuePatch, NewIssue,
    PRIORITY_DEFAULT, Status,
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
            close_reason: None,
            deleted_at: None,
            delete_reason: None,
            restored_at: None,
            labels: new.labels,
            dependencies: Vec::new(),
            comments: Vec::new(),
            extra: Extra::default(),
        };
        issue.normalise();
        issue.check()?;
        self.write(|scope| {
            issue.id = free_id(scope, &prefix, &issue)?;
            scope.put(&issue, None)?;
            Ok(issue)
        })
    }

    /// Changes fields of an issue and returns it as it is now.
    pub fn update(&mut self, id: &str, patch: &IssuePatch) -> Result<Issue, StoreError> {
        if let Some(status @ (Status::Tombstone | Status::Other(_))) = &patch.status {
            let given = status.to_string();
            return Err(Invalid::Word { what: "status", given, allowed: Status::WORDS }.into());
        }
        self.edit(id, |_, issue| {
            patch.apply(issue);
            Ok(())
        })
    }

    /// Closes an issue; closing a closed one changes nothing.
    pub fn close_issue(&mut self, id: &str) -> Result<Issue, StoreError> {
        self.update(id, &IssuePatch::status(Status::Closed))
    }

    /// Opens a closed issue again; an issue that is not closed stays as it is.
    pub fn reopen_issue(&mut self, id: &str) -> Result<Issue, StoreError> {
        self.edit(id, |_, issue| {
            if issue.status == Status::Closed {
                IssuePatch::status(Status::Open).apply(issue);
            }
            Ok(())
        })
    }

    /// Deletes an issue: it is remembered for a while, so that no import brings it back.
    ///
    /// What depends on it goes on as if it were closed, and does so again once it is restored.
    pub fn delete(&mut self, id: &str, reason: Option<&str>) -> Result<Issue, StoreError> {
        self.edit(id, |_, issue| {
            issue.status = Status::Tombstone;
            issue.deleted_at = Some(Timestamp::now());
            issue.delete_reason = reason.filter(|reason| !reason.is_empty()).map(Into::into);
            Ok(())
        })
    }

    /// Brings a deleted issue back, closed if it was closed; one that is not deleted stays as it is.
    pub fn restore(&mut self, id: &str) -> Result<Issue, StoreError> {
        self.write(|scope| {
            let issue = scope.find_any(id)?;
            change(scope, issue, |issue| {
                if issue.is_tombstone() {
                    issue.status = match issue.closed_at {
                        Some(_) => Status::Closed,
                        None => Status::Open,
                    };
                    (issue.deleted_at, issue.delete_reason) = (None, None);
                    issue.restored_at = Some(Timestamp::now());
                }
                Ok(())
            })
        })
    }

    /// Adds a comment to an issue.
    pub fn comment(&mut self, id: &str, author: &str, text: &str) -> Result<Issue, StoreError> {
        if text.trim().is_empty() {
            return Err(Invalid::CommentEmpty.into());
        }
        self.edit(id, |_, issue| {
            // Numbers, because that is what the format has had from its start.
            let last = issue.comments.iter().filter_map(|comment| comment.id.as_u64()).max();
            issue.comments.push(Comment {
                id: Value::from(last.unwrap_or(0).saturating_add(1)),
                issue_id: issue.id.clone(),
                author: author.into(),
                text: text.into(),
                created_at: Timestamp::now(),
                extra: Extra::default(),
            });
            Ok(())
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
            let issue = scope.find(id)?;
            let depends_on = scope.find(depends_on)?.id;
            let is_there =
                |edge: &&Dependency| edge.depends_on_id == depends_on && edge.kind == kind;
            if let Some(edge) = issue.dependencies.iter().find(is_there) {
                return Ok(edge.clone());
            }
            if kind.is_ordering() {
                query::check_acyclic(scope.connection(), scope.path(), &issue.id, &depends_on)?;
            }
            let edge = Dependency {
                issue_id: issue.id.clone(),
                depends_on_id: depends_on,
                kind,
                created_at: Timestamp::now(),
                extra: Extra::default(),
            };
            change(scope, issue, |issue| {
                issue.dependencies.push(edge.clone());
                Ok(())
            })?;
            Ok(edge)
        })
    }

    /// Takes away the dependencies of `id` on `depends_on`, those of one kind or all, and returns
    /// them. None is no error: it is as it should be.
    pub fn remove_dependency(
        &mut self,
        id: &str,
        depends_on: &str,
        kind: Option<&DependencyKind>,
    ) -> Result<Vec<Dependency>, StoreError> {
        self.write(|scope| {
            let issue = scope.find(id)?;
            // What it depends on need not be there any more: then its full id is asked for.
            let depends_on = match scope.find_any(depends_on) {
                Ok(other) => other.id,
                Err(StoreError::NotFound { id }) => id,
                Err(error) => return Err(error),
            };
            let mut removed = Vec::new();
            change(scope, issue, |issue| {
                let goes = |edge: &mut Dependency| {
                    edge.depends_on_id == depends_on && kind.is_none_or(|kind| edge.kind == *kind)
                };
                removed = issue.dependencies.extract_if(.., goes).collect();
                Ok(())
            })?;
            Ok(removed)
        })
    }

    /// Lets `body` change an issue, and writes it if it did.
    fn edit(
        &mut self,
        id: &str,
        body: impl FnOnce(&Scope<'_>, &mut Issue) -> Result<(), StoreError>,
    ) -> Result<Issue, StoreError> {
        self.write(|scope| {
            let issue = scope.find(id)?;
            change(scope, issue, |issue| body(scope, issue))
        })
    }
}

fn change(
    scope: &Scope<'_>,
    before: Issue,
    body: impl FnOnce(&mut Issue) -> Result<(), StoreError>,
) -> Result<Issue, StoreError> {
    let mut after = before.clone();
    body(&mut after)?;
    after.normalise();
    if after == before {
        return Ok(before);
    }
    after.touch();
    check_changed(&before, &after)?;
    scope.put(&after, Some(&before))?;
    Ok(after)
}

/// Checks what somebody has changed: what came from a file and stays is not his fault.
fn check_changed(before: &Issue, after: &Issue) -> Result<(), Invalid> {
    use crate::issue::{check_assignee, check_label, check_priority, check_title};
    if after.title != before.title {
        check_title(&after.title)?;
    }
    check_priority(after.priority)?;
    if after.assignee != before.assignee {
        check_assignee(after.assignee.as_deref().unwrap_or_default())?;
    }
    let mut new = after.labels.iter().filter(|label| !before.labels.contains(label));
    new.try_for_each(|label| check_label(label))
}

/// The first candidate that no issue has; inside the transaction, so nobody can take it meanwhile.
fn free_id(scope: &Scope<'_>, prefix: &str, issue: &Issue) -> Result<String, StoreError> {
    let failed = |error| scope.failed(error);
    let seed = format!("{}\0{}\0{}", issue.title, issue.created_at, std::process::id());
    for candidate in id::candidates(prefix, seed.as_bytes(), scope.issues()?) {
        let taken = scope
            .connection()
            .prepare_cached("SELECT 1 FROM issues WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([&candidate], |_| Ok(())).optional())
            .map_err(failed)?;
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
    fn a_dependency_goes_by_its_kind_or_altogether() {
        let mut store = Store::open_in_memory().unwrap();
        let (a, b) = (titled(&mut store, "a"), titled(&mut store, "b"));
        for kind in [DependencyKind::Blocks, DependencyKind::Related, DependencyKind::Blocks] {
            store.add_dependency(&a, &b, kind).unwrap();
        }
        assert_eq!(store.show(&a).unwrap().dependencies.len(), 2, "the third was there");
        let gone = store.remove_dependency(&a, &b, Some(&DependencyKind::Related)).unwrap();
        assert_eq!((gone.len(), store.show(&a).unwrap().dependencies.len()), (1, 1));
        assert_eq!(store.ready(None).unwrap().len(), 1);
        assert_eq!(store.remove_dependency(&a, &b, None).unwrap().len(), 1);
        assert_eq!(store.ready(None).unwrap().len(), 2);
        assert!(store.remove_dependency(&a, "nobody", None).unwrap().is_empty());
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
    fn a_deleted_issue_is_hidden_blocks_nobody_and_comes_back_whole() {
        let mut store = Store::open_in_memory().unwrap();
        let (waits, other) = (titled(&mut store, "a"), titled(&mut store, "b"));
        store.add_dependency(&waits, &other, DependencyKind::Blocks).unwrap();
        store
            .update(&other, &IssuePatch { add_labels: vec!["x".into()], ..IssuePatch::default() })
            .unwrap();
        let before = store.close_issue(&other).unwrap();
        assert!(store.delete(&other, Some("twice")).unwrap().is_tombstone());
        assert_eq!((store.count().unwrap(), store.list(None).unwrap().len()), (1, 1));
        assert!(matches!(store.show(&other), Err(StoreError::Deleted { .. })));
        assert!(matches!(store.close_issue(&other), Err(StoreError::Deleted { .. })));
        assert_eq!(store.ready(None).unwrap().len(), 1);
        let back = store.restore(&other).unwrap();
        assert_eq!((&back.status, &back.labels), (&before.status, &before.labels));
        assert_eq!(back.closed_at, before.closed_at);
        assert_eq!(store.restore(&other).unwrap(), back, "restoring twice changes nothing");
    }

    #[test]
    fn labels_and_comments_are_added_and_checked() {
        let mut store = Store::open_in_memory().unwrap();
        let id = titled(&mut store, "a");
        let add = |label: &str| IssuePatch { add_labels: vec![label.into()], ..Default::default() };
        assert_eq!(store.update(&id, &add("b")).unwrap().labels, ["b"]);
        assert_eq!(store.update(&id, &add("a")).unwrap().labels, ["a", "b"]);
        assert!(store.update(&id, &add(" ")).is_err());
        assert!(store.comment(&id, "me", " \n").is_err());
        store.comment(&id, "me", "one").unwrap();
        let comments = store.comment(&id, "me", "two").unwrap().comments;
        assert_eq!(
            comments.iter().map(|it| it.id.as_u64()).collect::<Vec<_>>(),
            [Some(1), Some(2)]
        );
    }

    #[test]
    fn ids_grow_with_what_is_there() {
        let mut store = Store::open_in_memory().unwrap();
        let one = store.create(NewIssue::titled("a")).unwrap();
        let many = (0..1000).map(|n| Issue { id: format!("x-{n}"), ..one.clone() });
        store.import(many).unwrap();
        let digits = |store: &mut Store| titled(store, "b").len() - "tt-".len();
        assert_eq!((one.id.len() - "tt-".len(), digits(&mut store)), (3, 5));
        let old = "2020-01-01T00:00:00Z".parse().unwrap();
        for issue in store.list(None).unwrap() {
            let gone = store.delete(&issue.id, None).unwrap();
            let mut gone = Issue { deleted_at: Some(old), ..gone };
            gone.touch();
            store.import([gone]).unwrap();
        }
        store.forget_expired().unwrap();
        assert_eq!(digits(&mut store), 3);
    }

    #[test]
    fn every_change_is_later_than_the_one_before() {
        let mut store = Store::open_in_memory().unwrap();
        let mut last = store.create(NewIssue::titled("a")).unwrap();
        let ahead = Timestamp::now() + jiff::SignedDuration::from_hours(1);
        store.import([Issue { updated_at: ahead, ..last.clone() }]).unwrap();
        for title in ["b", "c"] {
            let patch = IssuePatch { title: Some(title.into()), ..IssuePatch::default() };
            let now = store.update(&last.id, &patch).unwrap();
            assert!(now.updated_at > last.updated_at && now.updated_at > ahead);
            last = now;
        }
    }

    #[test]
    fn what_arrives_during_a_sync_stays_dirty() {
        let mut store = Store::open_in_memory().unwrap();
        let id = titled(&mut store, "a");
        let seen = store.dirty().unwrap();
        store.close_issue(&id).unwrap();
        store.remember(&[("exported", Some(&seen.newest.to_string()))]).unwrap();
        assert_eq!(store.dirty().unwrap().issues, 1);
    }
}
