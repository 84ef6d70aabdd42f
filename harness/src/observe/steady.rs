//! `cx.steady`: every watched process, and the test's own, at each repetition.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Acquire;

use super::Watch;
use crate::judge::{self, Growth};
use crate::probe;
use crate::region::{LiveStack, RegionMap};

/// One subject at each boundary of `cx.steady`.
#[derive(Debug, Clone)]
pub(crate) struct Steady {
    pub(crate) pid: u32,
    pub(crate) fds: Vec<i64>,
    pub(crate) threads: Vec<i64>,
    pub(crate) heap_bytes: Vec<i64>,
    pub(crate) heap_blocks: Vec<i64>,
    /// What lived of each stack after the first repetition, which warms up, and after the last.
    pub(crate) warm: HashMap<u32, LiveStack>,
    pub(crate) last: HashMap<u32, LiveStack>,
}

impl Steady {
    /// Whether live heap grew with each of the last repetitions.
    pub(crate) fn heap_grows(&self) -> bool {
        let grows = |series: &[i64]| judge::classify(series, 0, judge::HEAP_ROUNDS) == Growth::Leak;
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
        }
    }
}

impl Watch<'_> {
    /// A boundary of `cx.steady`: every watched process, and the main one.
    pub(super) fn read_steady(&mut self) {
        let repetition = self.control.steady_round.load(Acquire);
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
            let heap = region.map(RegionMap::heap);
            let stacks = region.map(RegionMap::live_stacks).unwrap_or_default();
            let steady = &mut self.steady[at];
            let count = |count: Result<u64, _>| count.map_or(-1, |count: u64| count as i64);
            steady.fds.push(count(probe::fd::count(pid)));
            steady.threads.push(count(probe::thread::count(pid)));
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
