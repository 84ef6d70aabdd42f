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
    /// A dependency cycle that is there now, its first issue again at its end; empty for none.
    /// Two who each add a dependency make one between them, so it is told and not refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cycle: Vec<String>,
}

impl ImportReport {
    /// This one and the next, as one.
    pub(crate) fn and(self, next: Self) -> Self {
        Self {
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
        let Self { created, updated, unchanged, kept, .. } = self;
        write!(
            f,
            "{created} new, {updated} changed, {unchanged} the same, {kept} kept as they are here"
        )
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
        let merged = merged(&here, issue.clone(), self.now);
        if merged == here {
            self.report.kept += 1;
            return Ok(());
        }
        self.report.updated += 1;
        let line = line.filter(|_| merged == issue);
        self.put(&merged, Some(&here), line)
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
