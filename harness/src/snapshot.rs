//! All readings of a subject at one instant.
//!
//! Two tiers (D6): [`Counts`] at every boundary, tens of microseconds; an [`Inventory`], the identity of
//! each thing, only at the first boundary and where a count has moved.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Acquire;

use crate::gauge;
use crate::probe::fd::{self, Descriptor};
use crate::probe::lock::{self, Lock};
use crate::probe::mapping::{self, Mapping};
use crate::probe::memory::{self, Resident};
use crate::probe::socket::{self, Socket};
use crate::probe::state::{self, State};
use crate::probe::thread::{self, Thread};
use crate::probe::{Unavailable, time_wait, watch};
use crate::region::{Heap, RegionMap};
use crate::table::{
    Control, ENTRY_FLOCK, ENTRY_MAPPING, ENTRY_OFD_LOCK, ENTRY_POSIX_LOCK, ENTRY_WATCH,
};

/// Kinds of entries that tell of locks.
pub(crate) const LOCKS: [u32; 3] = [ENTRY_FLOCK, ENTRY_POSIX_LOCK, ENTRY_OFD_LOCK];

/// The fast tier.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) fds: Result<u64, Unavailable>,
    pub(crate) threads: Result<u64, Unavailable>,
    pub(crate) heap: Option<Heap>,
    /// Pairs in the trial's own namespace; none in the machine's network.
    pub(crate) time_wait: Option<u64>,
    pub(crate) tasks: Option<i64>,
    pub(crate) gauges: Vec<(String, i64)>,
    pub(crate) memory: Result<Resident, Unavailable>,
    /// Mappings that the program has made in a round.
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) locks: Vec<Lock>,
    /// Inotify watches by descriptor and number.
    pub(crate) watches: Vec<(u64, u64)>,
    pub(crate) state: State,
}

impl Counts {
    /// Reads the trial's main process at a boundary; `first` is what was read at the first one.
    pub(crate) fn read(
        pid: u32,
        control: &Control,
        region: Option<&RegionMap>,
        private: bool,
        first: Option<&Self>,
    ) -> Self {
        let tasks = control.tasks.load(Acquire);
        let status = memory::status(pid);
        let entries =
            |kinds: &[u32]| region.map(|region| region.entries(kinds)).unwrap_or_default();
        let mut mapped = entries(&[ENTRY_MAPPING]);
        mapped.retain(|entry| entry.round > 0);
        let fds = fd::count(pid);
        // A lock lives on a descriptor: with as many as at first, and none locked through libc, there is
        // no new one.
        let may_hold_locks = first.is_none_or(|first| fds != first.fds)
            || region.is_some_and(|region| LOCKS.iter().any(|kind| region.has_entries(*kind)));
        Self {
            fds,
            threads: thread::count(pid),
            heap: region.map(RegionMap::heap),
            time_wait: if private { time_wait::count_private(pid).ok() } else { None },
            tasks: (tasks >= 0).then_some(tasks),
            gauges: gauge::read(control),
            memory: status.as_deref().map_err(Unavailable::clone).and_then(memory::resident_in),
            mappings: mapping::confirmed(pid, &mapped).unwrap_or_default(),
            locks: if may_hold_locks {
                lock::held(pid)
            } else {
                first.map(|first| first.locks.clone()).unwrap_or_default()
            },
            watches: watches(pid, &entries(&[ENTRY_WATCH])),
            state: state::state(pid, status.as_deref().unwrap_or_default()),
        }
    }

    /// These counts with what happened between two others on top: one case's share in a process
    /// that runs many.
    pub(crate) fn plus(&self, before: &Self, after: &Self) -> Self {
        let add = |to: u64, before: u64, after: u64| (to + after).saturating_sub(before);
        let each = |to: &Result<u64, Unavailable>,
                    before: &Result<u64, Unavailable>,
                    after: &Result<u64, Unavailable>| {
            match (to, before, after) {
                (Ok(to), Ok(before), Ok(after)) => Ok(add(*to, *before, *after)),
                (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => Err(error.clone()),
            }
        };
        let heap = match (self.heap, before.heap, after.heap) {
            (Some(to), Some(before), Some(after)) => Some(Heap {
                calls: to.calls + after.calls - before.calls,
                blocks: to.blocks + after.blocks - before.blocks,
                bytes: to.bytes + after.bytes - before.bytes,
            }),
            _ => None,
        };
        let gauge = |gauges: &[(String, i64)], name: &str| {
            gauges.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value)
        };
        Self {
            fds: each(&self.fds, &before.fds, &after.fds),
            threads: each(&self.threads, &before.threads, &after.threads),
            heap,
            time_wait: match (self.time_wait, before.time_wait, after.time_wait) {
                (Some(to), Some(before), Some(after)) => Some(add(to, before, after)),
                _ => None,
            },
            // Each case has a runtime of its own there, which begins with no task and ends with the case.
            tasks: after.tasks.map(|own| self.tasks.unwrap_or(0) + own),
            gauges: after
                .gauges
                .iter()
                .map(|(name, value)| {
                    (name.clone(), gauge(&self.gauges, name) + value - gauge(&before.gauges, name))
                })
                .collect(),
            memory: after.memory.clone(),
            // These are told apart by the round in which each was made.
            mappings: after.mappings.clone(),
            locks: after.locks.clone(),
            watches: after.watches.clone(),
            state: after.state.clone(),
        }
    }

    /// Whether more is held than before, or state is another: what a further round could confirm.
    pub(crate) fn holds_more_than(&self, before: &Self) -> bool {
        let mapped =
            |counts: &Self| counts.mappings.iter().map(|mapping| mapping.bytes).sum::<u64>();
        self.locks.len() > before.locks.len()
            || self.watches.len() > before.watches.len()
            || mapped(self) > mapped(before)
            || self.state != before.state
    }

    /// Whether anything that has an identity is not as many as before.
    pub(crate) fn moved_since(&self, before: &Self) -> bool {
        self.fds != before.fds || self.threads != before.threads
    }
}

/// The watches on every inotify descriptor that the agent saw one added to.
fn watches(pid: u32, noted: &[crate::region::Noted]) -> Vec<(u64, u64)> {
    let mut fds: Vec<u64> = noted.iter().map(|note| note.value).collect();
    fds.sort_unstable();
    fds.dedup();
    fds.into_iter()
        .flat_map(|fd| watch::on(pid, fd).into_iter().map(move |watch| (fd, watch)))
        .collect()
}

/// The full tier.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inventory {
    pub(crate) fds: Vec<Descriptor>,
    pub(crate) threads: Vec<Thread>,
    /// Facts on the sockets among the descriptors, by inode.
    pub(crate) sockets: HashMap<u64, Socket>,
}

impl Inventory {
    /// Reads one process. What cannot be read is empty; the counts say why.
    pub(crate) fn read(pid: u32) -> Self {
        let fds = fd::list(pid).unwrap_or_default();
        let sockets = socket::table(pid, fd::socket_inodes(&fds));
        Self { fds, threads: thread::list(pid).unwrap_or_default(), sockets }
    }

    /// How a person would name a descriptor.
    pub(crate) fn name(&self, descriptor: &Descriptor) -> String {
        match self.sockets.get(&descriptor.inode) {
            Some(socket) if descriptor.is_socket() => socket.name.clone(),
            _ if descriptor.is_socket() => "socket, not connected any more".to_owned(),
            _ => descriptor.link.clone(),
        }
    }

    /// Number of socket descriptors.
    pub(crate) fn socket_count(&self) -> u64 {
        self.fds.iter().filter(|descriptor| descriptor.is_socket()).count() as u64
    }

    /// Socket descriptors by protocol and state.
    pub(crate) fn sockets_by_state(&self) -> std::collections::BTreeMap<String, u64> {
        let mut states = std::collections::BTreeMap::new();
        for descriptor in self.fds.iter().filter(|descriptor| descriptor.is_socket()) {
            let key = self.sockets.get(&descriptor.inode).map_or_else(
                || "other/unknown".to_owned(),
                |socket| format!("{}/{}", socket.protocol, socket.state),
            );
            *states.entry(key).or_insert(0) += 1;
        }
        states
    }
}
