//! All readings of a subject at one instant.
//!
//! Two tiers (D6): [`Counts`] at every boundary, tens of microseconds; an [`Inventory`], the identity of
//! each thing, only at the first boundary and where a count has moved.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Acquire;

use crate::gauge;
use crate::probe::fd::{self, Descriptor};
use crate::probe::memory::{self, Resident};
use crate::probe::socket::{self, Socket};
use crate::probe::thread::{self, Thread};
use crate::probe::{Unavailable, time_wait};
use crate::region::{Heap, RegionMap};
use crate::table::Control;

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
}

impl Counts {
    /// Reads the trial's main process at a boundary.
    pub(crate) fn read(
        pid: u32,
        control: &Control,
        region: Option<&RegionMap>,
        private: bool,
    ) -> Self {
        let tasks = control.tasks.load(Acquire);
        Self {
            fds: fd::count(pid),
            threads: thread::count(pid),
            heap: region.map(RegionMap::heap),
            time_wait: if private { time_wait::count_private(pid).ok() } else { None },
            tasks: (tasks >= 0).then_some(tasks),
            gauges: gauge::read(control),
            memory: memory::resident(pid),
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
        }
    }

    /// Whether anything that has an identity is not as many as before.
    pub(crate) fn moved_since(&self, before: &Self) -> bool {
        self.fds != before.fds || self.threads != before.threads
    }
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
        let sockets =
            if fds.iter().any(Descriptor::is_socket) { socket::table(pid) } else { HashMap::new() };
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
