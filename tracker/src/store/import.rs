//! Taking over many issues at once: all of them, or none.

use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::issue::Issue;
use crate::query;

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// Issues that were new here.
    pub created: usize,
    /// Issues that were changed here.
    pub updated: usize,
    /// Issues that were the same already.
    pub unchanged: usize,
    /// Issues that were left alone because what is here changed later.
    pub kept: usize,
}

impl Store {
    /// Takes over `issues`: each one replaces an older version here and leaves a newer one alone.
    ///
    /// One transaction: an invalid issue or a dependency cycle changes nothing.
    pub fn import(
        &mut self,
        issues: impl IntoIterator<Item = Issue>,
    ) -> Result<ImportReport, StoreError> {
        self.write(|scope| {
            let mut report = ImportReport::default();
            for mut issue in issues {
                issue.normalise();
                issue.check()?;
                let here = match query::load(scope.connection(), scope.path(), &issue.id) {
                    Ok(here) => Some(here),
                    Err(StoreError::NotFound { .. }) => None,
                    Err(error) => return Err(error),
                };
                match here {
                    Some(here) if here == issue => {
                        report.unchanged += 1;
                        continue;
                    }
                    Some(here) if here.updated_at > issue.updated_at => {
                        report.kept += 1;
                        continue;
                    }
                    Some(_) => report.updated += 1,
                    None => report.created += 1,
                }
                super::change::put(scope, &issue)?;
            }
            query::check_all_acyclic(scope.connection(), scope.path())?;
            Ok(report)
        })
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
    fn a_cycle_in_the_file_changes_nothing() {
        let mut from = Store::open_in_memory().unwrap();
        let a = from.create(NewIssue::titled("a")).unwrap().id;
        let b = from.create(NewIssue::titled("b")).unwrap().id;
        from.add_dependency(&a, &b, DependencyKind::Blocks).unwrap();
        let mut issues = vec![from.show(&a).unwrap(), from.show(&b).unwrap()];
        let mut back = issues[0].dependencies[0].clone();
        (back.issue_id, back.depends_on_id) = (b, a);
        issues[1].dependencies.push(back);
        let mut to = Store::open_in_memory().unwrap();
        assert!(matches!(to.import(issues), Err(StoreError::Cycle { .. })));
        assert!(to.list(None).unwrap().is_empty());
    }
}
