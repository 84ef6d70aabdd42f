//! When each thing of a subject was first seen: its identity, against the round.

use std::collections::HashMap;

use crate::descendant::is_believed;
use crate::probe::fd::Descriptor;
use crate::probe::thread::Thread;
use crate::region::RegionMap;
use crate::snapshot::Inventory;

/// The things of a subject, by their round of birth; 0 is before the first round.
#[derive(Debug, Default)]
pub(crate) struct Births {
    fds: HashMap<(u32, String), Birth>,
    threads: HashMap<u32, Birth>,
    /// The inventory that was taken last.
    pub(crate) last: Inventory,
}

/// When a thing was first seen, and the stack that made it: asked at once, because a thing that is
/// released later takes its note along.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Birth {
    pub(crate) round: u32,
    pub(crate) stack: Option<u32>,
}

fn key(fd: &Descriptor) -> (u32, String) {
    (fd.number, fd.link.clone())
}

impl Births {
    /// Enters what is there now; what is new was born in `round`.
    pub(crate) fn take(&mut self, now: Inventory, round: u32, region: Option<&RegionMap>) {
        let mut fds = HashMap::with_capacity(now.fds.len());
        for fd in &now.fds {
            let birth = self.fds.get(&key(fd)).copied().unwrap_or_else(|| {
                let believed = region.filter(|region| is_believed(region, fd));
                let stack = believed.and_then(|region| region.fd_stack(fd.number));
                // What a program makes before its test begins is no part of that.
                let is_early = believed.is_some_and(|region| region.fd_round(fd.number) == Some(0));
                Birth { round: if is_early { 0 } else { round }, stack }
            });
            fds.insert(key(fd), birth);
        }
        self.fds = fds;
        let mut threads = HashMap::with_capacity(now.threads.len());
        for thread in &now.threads {
            let known = self.threads.get(&thread.tid).copied();
            // The first threads are there before anyone could note them.
            let region = region.filter(|_| round > 0);
            let birth = match known {
                // One that was only starting has its own note by now.
                Some(known) => Birth {
                    stack: region
                        .filter(|_| known.round > 0)
                        .and_then(|region| region.thread_stack(thread.tid))
                        .or(known.stack),
                    ..known
                },
                None => Birth {
                    round,
                    stack: region.and_then(|region| region.starting_thread_stack(thread.tid)),
                },
            };
            threads.insert(thread.tid, birth);
        }
        self.threads = threads;
        self.last = now;
    }

    /// Descriptors born after the beginning that are still there.
    pub(crate) fn fds(&self) -> Vec<(Descriptor, Birth)> {
        let born =
            |fd: &Descriptor| self.fds.get(&key(fd)).copied().filter(|birth| birth.round > 0);
        self.last.fds.iter().filter_map(|fd| Some((fd.clone(), born(fd)?))).collect()
    }

    /// Threads born after the beginning that are still there, but for the one that is `held` at its exit.
    pub(crate) fn threads(&self, held: u32) -> Vec<(Thread, Birth)> {
        let born = |thread: &Thread| {
            let is_it = |birth: &Birth| birth.round > 0 && thread.tid != held;
            self.threads.get(&thread.tid).copied().filter(is_it)
        };
        self.last
            .threads
            .iter()
            .filter_map(|thread| Some((thread.clone(), born(thread)?)))
            .collect()
    }
}
