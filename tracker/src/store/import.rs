//! Taking over many issues at once: all of them, or none.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Scope, Store, StoreError};
use crate::issue::{Issue, merged};
use crate::query;

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// Issues that were new here.
    pub created: usize,
    /// Issues that were changed here.
    pub updated: usize,
    /// Issues that were the same already.
    pub unchanged: usize,
    /// Issues that were left alone: what is here changed later, or was deleted.
    pub kept: usize,
    /// Issues that got another id, because theirs was another's too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
    /// A dependency cycle that is there now, its first issue again at its end; empty for none.
    /// Two who each add a dependency make one between them, so it is told and not refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cycle: Vec<String>,
}

/// An issue that got another id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The id it was made with, which is that of an older issue now.
    pub from: String,
    /// The one it has.
    pub to: String,
}

impl ImportReport {
    /// This one and the next, as one.
    pub(crate) fn and(mut self, next: Self) -> Self {
        self.moved.extend(next.moved);
        Self {
            moved: self.moved,
            created: self.created + next.created,
            updated: self.updated + next.updated,
            unchanged: self.unchanged + next.unchanged,
            kept: self.kept + next.kept,
            cycle: next.cycle,
        }
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { created, updated, unchanged, kept, moved, .. } = self;
        write!(
            f,
            "{created} new, {updated} changed, {unchanged} the same, {kept} kept as they are here"
        )?;
        moved.iter().try_for_each(|Moved { from, to }| {
            write!(f, "; {from} was given to two issues, the later one is {to} now")
        })
    }
}

/// An import under way, in its transaction.
pub(crate) struct Importer<'a> {
    scope: &'a Scope<'a>,
    now: Timestamp,
    report: ImportReport,
    has_new_edges: bool,
}

impl Store {
    /// Takes over `issues`, each merged with what is here ([`merged`]).
    ///
    /// One transaction: an invalid issue changes nothing.
    pub fn import(
        &mut self,
        issues: impl IntoIterator<Item = Issue>,
    ) -> Result<ImportReport, StoreError> {
        self.import_with(|importer| {
            issues.into_iter().try_for_each(|issue| importer.take(issue, None))
        })
    }

    /// The same for whoever has one issue after the other; an error of `body` changes nothing.
    pub(crate) fn import_with<E: From<StoreError>>(
        &mut self,
        body: impl FnOnce(&mut Importer<'_>) -> Result<(), E>,
    ) -> Result<ImportReport, E> {
        self.write(|scope| {
            let mut importer = Importer {
                scope,
                now: Timestamp::now(),
                report: ImportReport::default(),
                has_new_edges: false,
            };
            body(&mut importer)?;
            let Importer { mut report, has_new_edges, .. } = importer;
            if has_new_edges {
                report.cycle = query::any_cycle(scope.connection(), scope.path())?;
            }
            Ok(report)
        })
    }
}

impl Importer<'_> {
    /// Takes over one issue, with the line it was read from if it comes from a file.
    ///
    /// The line is kept as it is until the issue changes: whatever wrote it, in whatever order and
    /// with whatever times of day, finds it again.
    pub(crate) fn take(&mut self, mut issue: Issue, line: Option<&str>) -> Result<(), StoreError> {
        issue.normalise();
        issue.check_file()?;
        let Some(here) = self.scope.load(&issue.id)? else {
            self.report.created += 1;
            return self.put(&issue, None, line);
        };
        if here == issue {
            self.report.unchanged += 1;
            return match line {
                Some(line) => self.scope.put_line(&issue, line),
                None => Ok(()),
            };
        }
        if issue.is_another(&here) {
            return self.take_both(here, issue, line);
        }
        let merged = merged(&here, issue.clone(), self.now);
        if merged == here {
            self.report.kept += 1;
            return Ok(());
        }
        self.report.updated += 1;
        let line = line.filter(|_| merged == issue);
        self.put(&merged, Some(&here), line)
    }

    /// Keeps two issues that were given the same id by two who had not met: the older one has it,
    /// and the other moves to one that is the same wherever they meet.
    fn take_both(
        &mut self,
        here: Issue,
        there: Issue,
        line: Option<&str>,
    ) -> Result<(), StoreError> {
        let moves = match here.created_at < there.created_at {
            true => there,
            false => {
                self.put(&there, Some(&here), line)?;
                here
            }
        };
        let from = moves.id.clone();
        let moved = moves.moved();
        // It comes again with every file that is older than the move.
        if self.scope.load(&moved.id)?.is_none() {
            self.report.moved.push(Moved { from, to: moved.id.clone() });
        }
        self.take(moved, None)
    }

    fn put(
        &mut self,
        issue: &Issue,
        before: Option<&Issue>,
        line: Option<&str>,
    ) -> Result<(), StoreError> {
        self.has_new_edges |= !issue.dependencies.is_empty();
        self.scope.put_as(issue, before, line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::{DependencyKind, NewIssue};

    #[test]
    fn older_lines_lose_and_equal_ones_do_nothing() {
        let mut store = Store::open_in_memory().unwrap();
        let old = store.create(NewIssue::titled("a")).unwrap();
        assert_eq!(store.import([old.clone()]).unwrap().unchanged, 1);
        store.close_issue(&old.id).unwrap();
        assert_eq!(store.import([old.clone()]).unwrap().kept, 1);
        assert_eq!(store.show(&old.id).unwrap().status.as_str(), "closed");
    }

    #[test]
    fn an_issue_that_is_there_twice_is_merged() {
        let mut store = Store::open_in_memory().unwrap();
        let old = store.create(NewIssue::titled("a")).unwrap();
        let new = Issue { title: "b".into(), updated_at: Timestamp::now(), ..old.clone() };
        let report = Store::open_in_memory().unwrap().import([new.clone(), old.clone()]).unwrap();
        assert_eq!((report.created, report.kept), (1, 1));
        let report = Store::open_in_memory().unwrap().import([old, new]).unwrap();
        assert_eq!((report.created, report.updated), (1, 1));
    }

    #[test]
    fn a_deleted_issue_is_not_brought_back() {
        let mut store = Store::open_in_memory().unwrap();
        let issue = store.create(NewIssue::titled("a")).unwrap();
        store.delete(&issue.id, None).unwrap();
        let later = Issue { title: "b".into(), updated_at: Timestamp::now(), ..issue.clone() };
        assert_eq!(store.import([issue, later]).unwrap().kept, 2);
        assert_eq!(store.count().unwrap(), 0);
    }

    #[test]
    fn two_issues_that_were_given_one_id_both_stay_wherever_they_meet() {
        let mut one = Store::open_in_memory().unwrap();
        let ours = one.create(NewIssue::titled("ours")).unwrap();
        let later = ours.created_at + jiff::SignedDuration::from_mins(5);
        let mut theirs = Issue { title: "theirs".into(), created_at: later, ..ours.clone() };
        theirs.updated_at = later;
        theirs.dependencies.push(crate::issue::Dependency {
            issue_id: theirs.id.clone(),
            depends_on_id: "x".into(),
            kind: DependencyKind::Blocks,
            created_at: later,
            extra: crate::issue::Extra::default(),
        });
        let mut other = Store::open_in_memory().unwrap();
        other.import([theirs.clone()]).unwrap();
        let here = one.import([theirs.clone()]).unwrap();
        let there = other.import([ours.clone()]).unwrap();
        assert_eq!((here.created, here.moved.len()), (1, 1));
        assert_eq!(here.moved, there.moved);
        let all = |store: &Store| store.find(&crate::query::Filter::default()).unwrap();
        assert_eq!(all(&one), all(&other));
        assert_eq!(one.show(&ours.id).unwrap(), ours);
        let moved = one.any_version(&here.moved[0].to).unwrap().unwrap();
        assert_eq!(moved.title, "theirs");
        assert_eq!(moved.dependencies[0].issue_id, moved.id);

        // What was written before they met brings nothing new, nor does what was written since.
        assert_eq!(
            one.import([theirs]).unwrap(),
            ImportReport { unchanged: 1, ..ImportReport::default() }
        );
        assert_eq!(
            other.import(all(&one)).unwrap(),
            ImportReport { unchanged: 2, ..ImportReport::default() }
        );
    }

    #[test]
    fn a_deletion_is_not_one_of_another_issue_with_its_id() {
        let mut one = Store::open_in_memory().unwrap();
        let ours = one.create(NewIssue::titled("ours")).unwrap();
        let later = ours.created_at + jiff::SignedDuration::from_mins(5);
        one.delete(&ours.id, None).unwrap();
        let theirs = Issue { title: "theirs".into(), created_at: later, updated_at: later, ..ours };
        assert_eq!(one.import([theirs]).unwrap().moved.len(), 1);
        assert_eq!(one.list(None).unwrap()[0].title, "theirs");
    }

    #[test]
    fn a_cycle_between_two_files_is_told() {
        let mut from = Store::open_in_memory().unwrap();
        let a = from.create(NewIssue::titled("a")).unwrap().id;
        let b = from.create(NewIssue::titled("b")).unwrap().id;
        from.add_dependency(&a, &b, DependencyKind::Blocks).unwrap();
        let mut issues = vec![from.show(&a).unwrap(), from.show(&b).unwrap()];
        assert!(Store::open_in_memory().unwrap().import(issues.clone()).unwrap().cycle.is_empty());
        let mut back = issues[0].dependencies[0].clone();
        (back.issue_id, back.depends_on_id) = (b, a);
        issues[1].dependencies.push(back);
        let cycle = Store::open_in_memory().unwrap().import(issues).unwrap().cycle;
        assert_eq!((cycle.len(), cycle.first()), (3, cycle.last()));
    }
}
