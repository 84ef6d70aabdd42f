//! `allow`: growth that one round may leave.

use std::collections::BTreeMap;

use watertight_report::document::{Amount, DocumentError, Table};
use watertight_report::model::Resource;

/// The resources that have a budget, under the names that `allow(...)` in an attribute knows as well.
pub(super) const NAMES: [(&str, Resource); 15] = [
    ("fd", Resource::Fd),
    ("socket", Resource::Socket),
    ("time_wait", Resource::TimeWait),
    ("thread", Resource::Thread),
    ("task", Resource::Task),
    ("process", Resource::Process),
    ("heap", Resource::Heap),
    ("heap_bytes", Resource::Heap),
    ("gauge", Resource::Gauge),
    ("mapping", Resource::Mapping),
    ("file", Resource::File),
    ("shm", Resource::Shm),
    ("inotify_watch", Resource::InotifyWatch),
    ("lock", Resource::Lock),
    ("state", Resource::State),
];

/// Things or bytes a round, by resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Allow(pub(crate) BTreeMap<Resource, u64>);

impl Allow {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, DocumentError> {
        let mut allow = BTreeMap::new();
        for (name, resource) in NAMES {
            let growth = match resource.is_bytes() {
                true => table.get(name)?.map(|Amount(bytes)| bytes),
                false => table.get(name)?,
            };
            if let Some(growth) = growth {
                allow.insert(resource, growth);
            }
        }
        Ok(Self(allow))
    }

    /// These, and `weaker` for every other resource.
    pub(super) fn over(mut self, weaker: &Self) -> Self {
        for (resource, growth) in &weaker.0 {
            self.0.entry(*resource).or_insert(*growth);
        }
        self
    }
}
