//! `cx.steady`: every watched process, and the test's own, at each repetition.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::{Purpose, Watch};
use crate::descendant::is_believed;
use crate::holder::{self, Looked};
use crate::judge;
use crate::probe;
use crate::region::{LiveStack, RegionMap};
use crate::snapshot::Inventory;

/// One subject at each boundary of `cx.steady`.
pub(crate) struct Steady {
    pub(crate) pid: u32,
    pub(crate) fds: Vec<i64>,
    pub(crate) threads: Vec<i64>,
    pub(crate) heap_bytes: Vec<i64>,
    pub(crate) heap_blocks: Vec<i64>,
    /// What lived of each stack after the first repetition, which warms up, and after the last.
    pub(crate) warm: HashMap<u32, LiveStack>,
    pub(crate) last: HashMap<u32, LiveStack>,
    /// What the kernel calls the newest descriptor of each stack, and whether it is a socket.
    pub(crate) names: HashMap<u32, (bool, String)>,
    /// Its heap after the last repetition, and who points to whom (explain).
    pub(crate) heap: Option<Looked>,
}

impl Steady {
    /// Whether live heap grew with each of the last repetitions.
    pub(crate) fn heap_grows(&self) -> bool {
        let grows = |series: &[i64]| judge::grows_each_time(series, judge::HEAP_ROUNDS);
        grows(&self.heap_bytes) || grows(&self.heap_blocks)
    }

    fn new(pid: u32) -> Self {
        Self {
            pid,
            fds: Vec::new(),
            threads: Vec::new(),
            heap_bytes: Vec::new(),
            heap_blocks: Vec::new(),
            warm: HashMap::new(),
            last: HashMap::new(),
            names: HashMap::new(),
            heap: None,
        }
    }
}

impl Watch<'_> {
    /// A boundary of `cx.steady`: every watched process, and the main one.
    pub(super) fn read_steady(&mut self) {
        let repetition = self.control.steady_round.load(Acquire);
        let is_last = repetition == self.control.steady.load(Acquire);
        let looks = is_last && matches!(self.purpose, Purpose::Explain { .. });
        let mut descendants = self.descendants.lock().unwrap_or_else(PoisonError::into_inner);
        descendants.sample();
        let watched =
            self.control.watched.iter().map(|pid| pid.load(Acquire)).filter(|pid| *pid != 0);
        for pid in std::iter::once(self.pid).chain(watched) {
            let at = match self.steady.iter().position(|steady| steady.pid == pid) {
                Some(at) if repetition > 0 || self.steady[at].fds.is_empty() => at,
                Some(at) => {
                    // `cx.steady` again, or another round: it starts anew.
                    self.steady[at] = Steady::new(pid);
                    at
                }
                None => {
                    self.steady.push(Steady::new(pid));
                    self.steady.len() - 1
                }
            };
            let region = match &self.region {
                Some(region) if pid == self.pid => Some(region),
                _ => descendants.of(pid).map(|descendant| &descendant.region),
            };
            let held = region.filter(|_| looks).and_then(|region| holder::look_at(pid, region));
            let heap = region.map(RegionMap::heap);
            let stacks = region.map(RegionMap::live_stacks).unwrap_or_default();
            let fds = probe::fd::count(pid).map_or(-1, |count| count as i64);
            let grew = self.steady[at].fds.last().is_some_and(|before| *before < fds);
            let names = region.filter(|_| grew).map(|region| descriptor_names(pid, region));
            let steady = &mut self.steady[at];
            steady.heap = held;
            steady.fds.push(fds);
            steady.names.extend(names.into_iter().flatten());
            steady.threads.push(probe::thread::count(pid).map_or(-1, |count| count as i64));
            let heap = heap.unwrap_or_default();
            steady.heap_bytes.push(heap.bytes);
            steady.heap_blocks.push(heap.blocks);
            if repetition <= 1 {
                steady.warm = stacks;
            } else {
                steady.last = stacks;
            }
        }
    }
}

/// What a process has open, by creation stack.
fn descriptor_names(pid: u32, region: &RegionMap) -> HashMap<u32, (bool, String)> {
    let inventory = Inventory::read(pid);
    let named = inventory.fds.iter().filter(|fd| is_believed(region, fd)).filter_map(|fd| {
        let stack = region.fds.get(fd.number as usize)?.stack.load(Relaxed);
        Some((stack, (fd.is_socket(), inventory.name(fd))))
    });
    named.collect()
}
