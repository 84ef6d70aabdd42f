//! Counts of everything that can be counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{blocked, ready};
use crate::store::{Store, StoreError, collect};

/// How many issues there are, by what they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// All of them but the deleted ones.
    pub issues: u64,
    /// By status.
    pub by_status: BTreeMap<String, u64>,
    /// By type.
    pub by_type: BTreeMap<String, u64>,
    /// By priority.
    pub by_priority: BTreeMap<String, u64>,
    /// What could be started on.
    pub ready: u64,
    /// What waits for another.
    pub blocked: u64,
    /// Deleted and remembered.
    pub deleted: u64,
    /// What has not reached the JSONL file yet.
    pub unsynced: u64,
}

impl Store {
    /// Counts everything, on one unchanging view of the database.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        self.read(|| {
            let by_status = self.counts("status", "")?;
            let live = "WHERE status <> 'tombstone'";
            let deleted = by_status.get("tombstone").copied().unwrap_or(0);
            let by_status: BTreeMap<_, _> =
                by_status.into_iter().filter(|(status, _)| status != "tombstone").collect();
            Ok(Stats {
                issues: by_status.values().sum(),
                by_type: self.counts("issue_type", live)?,
                by_priority: self.counts("priority", live)?,
                ready: self.count_where(&ready())?,
                blocked: self.count_where(&blocked())?,
                deleted,
                unsynced: self.dirty()?.issues,
                by_status,
            })
        })
    }

    /// Every label and how many issues have it, the most used first.
    pub fn labels(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT label, count(*) FROM labels JOIN issues ON issues.id = labels.issue_id
                   WHERE issues.status <> 'tombstone' GROUP BY label ORDER BY 2 DESC, 1";
        collect(self.connection(), self.path(), sql, [], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
        })
    }

    fn counts(&self, column: &str, condition: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let sql = format!(
            "SELECT CAST({column} AS TEXT), count(*) FROM issues {condition} GROUP BY {column}"
        );
        let rows = collect(self.connection(), self.path(), &sql, [], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
        })?;
        Ok(rows.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::{DependencyKind, NewIssue};

    #[test]
    fn everything_is_counted_once() {
        let mut store = Store::open_in_memory().unwrap();
        let ids =
            ["a", "b", "c", "d"].map(|title| store.create(NewIssue::titled(title)).unwrap().id);
        store.close_issue(&ids[0]).unwrap();
        store.delete(&ids[1], None).unwrap();
        store.add_dependency(&ids[2], &ids[3], DependencyKind::Blocks).unwrap();
        let stats = store.stats().unwrap();
        assert_eq!((stats.issues, stats.deleted, stats.ready, stats.blocked), (3, 1, 1, 1));
        assert_eq!(stats.by_status, BTreeMap::from([("closed".into(), 1), ("open".into(), 2)]));
        assert_eq!(stats.by_priority, BTreeMap::from([("2".into(), 3)]));
        assert_eq!(stats.unsynced, 4);
    }
}
