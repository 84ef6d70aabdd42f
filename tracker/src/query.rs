//! Reading: one issue, lists of them, what is ready and what is not, and everything in order.

mod filter;
mod graph;
mod search;
mod stats;
mod tree;

use std::io;
use std::path::Path;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::issue::Issue;
use crate::store::{Store, StoreError, collect, load, read_line, resolve};

pub use filter::{Filter, Sort, Span};
pub use stats::Stats;
pub use tree::{Direction, Node};

/// Open issues wait for what is open too, and `tombstone` is as good as closed.
const OPEN_BLOCKERS: &str = "FROM dependencies AS edge JOIN issues AS other
    ON other.id = edge.depends_on_id
    WHERE edge.issue_id = issues.id AND edge.type = 'blocks'
        AND other.status NOT IN ('closed', 'tombstone')";
const BY_URGENCY: &str = "ORDER BY priority, created_us, id LIMIT ?";
/// The edges that order the work.
const ORDERING: &str = "type IN ('blocks', 'parent-child')";

/// An issue that waits, and for what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blocked {
    /// The one that waits.
    pub issue: Issue,
    /// The open issues that block it, sorted.
    pub blocked_by: Vec<String>,
}

impl Store {
    /// The issue with this id, or with the one id that starts like this.
    pub fn show(&self, id: &str) -> Result<Issue, StoreError> {
        self.read(|| {
            let id = resolve(self.connection(), self.path(), id)?;
            match load(self.connection(), self.path(), &id)? {
                Some(issue) if issue.is_tombstone() => Err(StoreError::Deleted { id }),
                Some(issue) => Ok(issue),
                None => Err(StoreError::NotFound { id }),
            }
        })
    }

    /// The full id of what a person typed.
    pub fn resolve(&self, id: &str) -> Result<String, StoreError> {
        resolve(self.connection(), self.path(), id)
    }

    /// All issues, most urgent first, at most `limit`.
    pub fn list(&self, limit: Option<u32>) -> Result<Vec<Issue>, StoreError> {
        self.find(&Filter::first(limit))
    }

    /// The issues that pass a filter, in its order.
    pub fn find(&self, filter: &Filter) -> Result<Vec<Issue>, StoreError> {
        let (rest, values) = filter.to_sql();
        self.issues(&rest, rusqlite::params_from_iter(values))
    }

    /// Issues that somebody could start on or is at: open or in progress, with nothing open that
    /// blocks them. Most urgent first, at most `limit`.
    pub fn ready(&self, limit: Option<u32>) -> Result<Vec<Issue>, StoreError> {
        let limit = limit.map_or(-1, i64::from);
        self.issues(&format!("WHERE {} {BY_URGENCY}", ready()), [limit])
    }

    /// Issues that are not closed and wait for one that is not either. Most urgent first, at most
    /// `limit`.
    pub fn blocked(&self, limit: Option<u32>) -> Result<Vec<Blocked>, StoreError> {
        let limit = limit.map_or(-1, i64::from);
        let rest = format!("WHERE {} {BY_URGENCY}", blocked());
        let blockers = format!(
            "SELECT other.id {} ORDER BY other.id",
            OPEN_BLOCKERS.replace("issues.id", "?1")
        );
        self.read(|| {
            let waiting = self.issues(&rest, [limit])?;
            waiting
                .into_iter()
                .map(|issue| {
                    let blocked_by =
                        collect(self.connection(), self.path(), &blockers, [&issue.id], |row| {
                            row.get(0)
                        })?;
                    Ok(Blocked { issue, blocked_by })
                })
                .collect()
        })
    }

    /// How many issues there are, without the deleted ones.
    pub fn count(&self) -> Result<u64, StoreError> {
        self.count_where("status <> 'tombstone'")
    }

    /// How many lines the file has: deleted issues are in it too.
    pub(crate) fn lines(&self) -> Result<u64, StoreError> {
        self.count_where("true")
    }

    fn count_where(&self, condition: &str) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM issues WHERE {condition}");
        let counted =
            collect(self.connection(), self.path(), &sql, [], |row| row.get::<_, i64>(0))?;
        Ok(counted.first().copied().unwrap_or(0).unsigned_abs())
    }

    /// Every cycle of dependencies that order the work, the first id of each again at its end.
    pub fn cycles(&self) -> Result<Vec<Vec<String>>, StoreError> {
        Ok(graph::cycles(ordering_edges(self.connection(), self.path())?))
    }

    /// Hands every issue to `consume`, sorted by id, on one unchanging view of the database;
    /// deleted ones too, for they are in the file.
    pub fn each(
        &self,
        mut consume: impl FnMut(&Issue) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        self.each_line(0, |id, line| {
            let issue = read_line(self.path(), id, line)?;
            consume(&issue).map_err(StoreError::Consumer)
        })
    }

    /// Hands every issue that changed after `revision` to `consume` as its id and its line, sorted
    /// by id. Nothing is kept, so memory does not grow with the number of issues.
    pub(crate) fn each_line<E: From<StoreError>>(
        &self,
        revision: i64,
        mut consume: impl FnMut(&str, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |error| E::from(self.failed(error));
        // Not with `OR`: the one walks the table, the other the index of what is new.
        let sql = match revision {
            0 => "SELECT id, line FROM issues WHERE revision > ?1 ORDER BY id",
            _ => {
                "SELECT id, line FROM issues INDEXED BY issues_by_revision
                  WHERE revision > ?1 ORDER BY id"
            }
        };
        self.read(|| {
            let mut statement = self.connection().prepare_cached(sql).map_err(failed)?;
            let mut rows = statement.query([revision]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
                consume(text(0).map_err(failed)?, text(1).map_err(failed)?)?;
            }
            Ok(())
        })
    }

    fn issues(&self, rest: &str, values: impl rusqlite::Params) -> Result<Vec<Issue>, StoreError> {
        let sql = format!("SELECT id, line FROM issues {rest}");
        let rows: Vec<(String, String)> =
            collect(self.connection(), self.path(), &sql, values, |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        rows.iter().map(|(id, line)| read_line(self.path(), id, line)).collect()
    }
}

/// That somebody could start on it or is at it.
fn ready() -> String {
    format!("status IN ('open', 'in_progress') AND NOT EXISTS (SELECT 1 {OPEN_BLOCKERS})")
}

/// That it is not closed and waits for something that is not either.
fn blocked() -> String {
    format!("status NOT IN ('closed', 'tombstone') AND EXISTS (SELECT 1 {OPEN_BLOCKERS})")
}

/// Refuses the edge `id -> depends_on` if there is a way back.
pub(crate) fn check_acyclic(
    connection: &Connection,
    path: &Path,
    id: &str,
    depends_on: &str,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT depends_on_id FROM dependencies WHERE issue_id = ?1 AND {ORDERING}
         ORDER BY depends_on_id"
    );
    let back = graph::way(depends_on, id, |from| {
        collect(connection, path, &sql, [from], |row| row.get(0))
    })?;
    match back {
        None => Ok(()),
        Some(mut cycle) => {
            cycle.insert(0, id.into());
            Err(StoreError::Cycle { path: cycle })
        }
    }
}

/// One cycle among the edges that order the work, empty for none.
pub(crate) fn any_cycle(connection: &Connection, path: &Path) -> Result<Vec<String>, StoreError> {
    Ok(graph::cycle(&ordering_edges(connection, path)?).unwrap_or_default())
}

fn ordering_edges(
    connection: &Connection,
    path: &Path,
) -> Result<Vec<(String, String)>, StoreError> {
    let sql = format!("SELECT issue_id, depends_on_id FROM dependencies WHERE {ORDERING}");
    collect(connection, path, &sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::{DependencyKind, IssuePatch, IssueType, NewIssue, Status};

    fn titles(issues: Vec<Issue>) -> String {
        issues.into_iter().map(|issue| issue.title).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ready_waits_for_blockers_and_nothing_else() {
        let mut store = Store::open_in_memory().unwrap();
        let a = store.create(NewIssue::titled("a")).unwrap().id;
        let urgent = NewIssue { priority: Some(0), ..NewIssue::titled("b") };
        let b = store.create(urgent).unwrap().id;
        assert_eq!(titles(store.ready(None).unwrap()), "b a");
        store.add_dependency(&b, &a, DependencyKind::Related).unwrap();
        assert_eq!(titles(store.ready(Some(1)).unwrap()), "b");
        assert!(store.blocked(None).unwrap().is_empty());
        store.add_dependency(&b, &a, DependencyKind::Blocks).unwrap();
        assert_eq!(titles(store.ready(None).unwrap()), "a");
        let blocked = store.blocked(None).unwrap();
        assert_eq!(
            (blocked[0].issue.title.as_str(), &blocked[0].blocked_by),
            ("b", &vec![a.clone()])
        );
        store.close_issue(&a).unwrap();
        assert_eq!(titles(store.ready(None).unwrap()), "b");
        assert!(store.blocked(None).unwrap().is_empty());
    }

    #[test]
    fn a_unique_start_or_the_bare_hash_resolves() {
        let mut store = Store::open_in_memory().unwrap();
        store.set_prefix("tt").unwrap();
        // From a store of its own: its id is drawn, and may begin like any of these.
        let base = Store::open_in_memory().unwrap().create(NewIssue::titled("a")).unwrap();
        for id in ["tt-abc", "tt-abd", "tt-abde"] {
            store.import([Issue { id: id.into(), ..base.clone() }]).unwrap();
        }
        assert_eq!(store.resolve("tt-abc").unwrap(), "tt-abc");
        assert_eq!(store.resolve("abd").unwrap(), "tt-abd", "the whole hash is no start");
        assert_eq!(store.resolve("TT-ABD").unwrap(), "tt-abd");
        assert!(store.resolve("TT-X").unwrap_err().to_string().contains("TT-X"));
        let StoreError::Ambiguous { candidates, .. } = store.resolve("tt-a").unwrap_err() else {
            panic!("not ambiguous")
        };
        assert_eq!(candidates, ["tt-abc", "tt-abd", "tt-abde"]);
        store.delete("tt-abc", None).unwrap();
        store.delete("tt-abd", None).unwrap();
        assert_eq!(store.resolve("tt-a").unwrap(), "tt-abde", "the only one that is not deleted");
        for nothing in ["", "zz", "tt-%"] {
            assert!(matches!(store.resolve(nothing), Err(StoreError::NotFound { .. })));
        }
    }

    #[test]
    fn filters_hold_together_and_sort() {
        let mut store = Store::open_in_memory().unwrap();
        let mut make = |title: &str, priority, labels: &[&str], assignee: Option<&str>| {
            let labels = labels.iter().map(|&label| label.into()).collect();
            let assignee = assignee.map(Into::into);
            let new = NewIssue { labels, assignee, ..NewIssue::titled(title) };
            store.create(NewIssue { priority: Some(priority), ..new }).unwrap().id
        };
        let a = make("a 100% drip", 0, &["x", "y"], Some("me"));
        make("b_", 1, &["x"], None);
        make("c", 4, &["z"], Some("me"));
        let patch = IssuePatch {
            description: Some("DRIP".into()),
            issue_type: Some(IssueType::Bug),
            status: Some(Status::Closed),
            ..IssuePatch::default()
        };
        store.update("tt-", &patch).unwrap_err();
        let b = store.find(&Filter { text: Some("_".into()), ..Filter::default() }).unwrap();
        assert_eq!(titles(b.clone()), "b_", "`_` is a letter");
        store.update(&b[0].id, &patch).unwrap();

        let all = Filter::default;
        let words = |words: &[&str]| words.iter().map(|&word| word.into()).collect::<Vec<String>>();
        let cases: [(Filter, &str); 14] = [
            (all(), "a 100% drip b_ c"),
            (Filter { text: Some("drip".into()), ..all() }, "a 100% drip b_"),
            (Filter { text: Some("0%".into()), ..all() }, "a 100% drip"),
            (Filter { status: vec![Status::Closed], ..all() }, "b_"),
            (Filter { issue_type: vec![IssueType::Bug, IssueType::Epic], ..all() }, "b_"),
            (Filter { priority_max: Some(1), ..all() }, "a 100% drip b_"),
            (Filter { priority_min: Some(1), priority_max: Some(3), ..all() }, "b_"),
            (Filter { labels_all: words(&["x", "y"]), ..all() }, "a 100% drip"),
            (Filter { labels_any: words(&["y", "z"]), ..all() }, "a 100% drip c"),
            (Filter { assignee: Some("me".into()), reverse: true, ..all() }, "c a 100% drip"),
            (Filter { assignee: Some(String::new()), ..all() }, "b_"),
            (Filter { sort: Sort::Title, reverse: true, limit: Some(1), ..all() }, "c"),
            (Filter { sort: Sort::Created, ..all() }, "c b_ a 100% drip"),
            (Filter { sort: Sort::Updated, limit: Some(1), ..all() }, "b_"),
        ];
        for (filter, expected) in cases {
            assert_eq!(titles(store.find(&filter).unwrap()), expected, "{filter:?}");
            let sent = serde_json::to_string(&filter).unwrap();
            assert_eq!(serde_json::from_str::<Filter>(&sent).unwrap(), filter);
        }
        let created = store.show(&a).unwrap().created_at;
        let span = |after, before| Filter { created: Span { after, before }, ..all() };
        assert_eq!(titles(store.find(&span(None, Some(created))).unwrap()), "");
        assert_eq!(store.find(&span(Some(created), None)).unwrap().len(), 3);
        let closed = Span { after: Some(created), before: None };
        assert_eq!(titles(store.find(&Filter { closed, ..all() }).unwrap()), "b_");
        store.delete(&a, None).unwrap();
        assert_eq!(titles(store.find(&all()).unwrap()), "b_ c");
        let deleted = Filter { status: vec![Status::Tombstone], ..all() };
        assert_eq!(titles(store.find(&deleted).unwrap()), "a 100% drip");
    }

    #[test]
    fn the_stream_and_the_single_read_agree() {
        let mut store = Store::open_in_memory().unwrap();
        let first = store.create(NewIssue::titled("a")).unwrap().id;
        for n in 0..20 {
            let labels = (0..n % 3).map(|l| format!("l{l}")).collect();
            let id = store.create(NewIssue { labels, ..NewIssue::titled("x") }).unwrap().id;
            if n % 2 == 0 {
                store.add_dependency(&id, &first, DependencyKind::Blocks).unwrap();
            }
        }
        let mut seen = Vec::new();
        store
            .each(|issue| {
                assert_eq!(&store.show(&issue.id).unwrap(), issue);
                seen.push(issue.id.clone());
                Ok(())
            })
            .unwrap();
        assert_eq!(seen.len(), 21);
        assert!(seen.is_sorted());
    }

    #[test]
    fn what_is_new_since_a_revision_is_walked_alone() {
        let mut store = Store::open_in_memory().unwrap();
        for title in ["a", "b", "c"] {
            store.create(NewIssue::titled(title)).unwrap();
        }
        let seen = store.dirty().unwrap().newest;
        let changed = store.list(Some(1)).unwrap().remove(0).id;
        store.close_issue(&changed).unwrap();
        let mut ids = Vec::new();
        let walk = store.each_line(seen, |id, _| {
            ids.push(id.to_owned());
            Ok::<_, StoreError>(())
        });
        walk.unwrap();
        assert_eq!(ids, [changed]);
    }
}
