//! When each thing of a subject was first seen: its identity, against the round.

use std::collections::HashMap;

use crate::probe::fd::Descriptor;
use crate::probe::thread::Thread;
use crate::snapshot::Inventory;

/// The things of a subject, by their round of birth; 0 is before the first round.
#[derive(Debug, Default)]
pub(crate) struct Births {
    fds: HashMap<(u32, String), u32>,
    threads: HashMap<u32, u32>,
    /// The inventory that was taken last.
    pub(crate) last: Inventory,
}

fn key(fd: &Descriptor) -> (u32, String) {
    (fd.number, fd.link.clone())
}

impl Births {
    /// Enters what is there now; what is new was born in `round`.
    pub(crate) fn take(&mut self, now: Inventory, round: u32) {
        let keys: std::collections::HashSet<_> = now.fds.iter().map(key).collect();
        self.fds.retain(|key, _| keys.contains(key));
        for key in keys {
            self.fds.entry(key).or_insert(round);
        }
        self.threads.retain(|tid, _| now.threads.iter().any(|thread| thread.tid == *tid));
        for thread in &now.threads {
            self.threads.entry(thread.tid).or_insert(round);
        }
        self.last = now;
    }

    /// Descriptors born after the beginning that are still there, with their round.
    pub(crate) fn fds(&self) -> Vec<(Descriptor, u32)> {
        let born = |fd: &Descriptor| self.fds.get(&key(fd)).copied().filter(|round| *round > 0);
        self.last.fds.iter().filter_map(|fd| Some((fd.clone(), born(fd)?))).collect()
    }

    /// Threads born after the beginning that are still there, with their round.
    pub(crate) fn threads(&self) -> Vec<(Thread, u32)> {
        let born =
            |thread: &Thread| self.threads.get(&thread.tid).copied().filter(|round| *round > 0);
        self.last
            .threads
            .iter()
            .filter_map(|thread| Some((thread.clone(), born(thread)?)))
            .collect()
    }
}
