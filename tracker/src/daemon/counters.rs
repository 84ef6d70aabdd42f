//! What a daemon has done so far, in numbers that any of its tasks may raise.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counts since the daemon began.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) ticks: Spent,
    pub(super) passes: Spent,
    pub(super) exports: Count,
    pub(super) imports: Count,
    pub(super) commits: Count,
    /// Passes that failed.
    pub(super) failed: Count,
    /// Requests that were refused, wrong ones among them.
    pub(super) refused: Count,
    /// Connections that could not be accepted, or not be kept.
    pub(super) turned_away: Count,
    requests: Count,
    by_method: Mutex<BTreeMap<&'static str, u64>>,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often something was done, and how long that took altogether.
#[derive(Debug, Default)]
pub(super) struct Spent {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Spent {
    fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64()
    }
}

impl Counters {
    pub(super) fn ticked(&self, time: Duration) {
        self.ticks.add(time);
    }

    pub(super) fn passed(&self, time: Duration) {
        self.passes.add(time);
    }

    /// Counts a request by its method, which is one of those we know or a word for the rest: what
    /// clients say must not make more and more counters.
    pub(super) fn answered(&self, method: &'static str, is_refused: bool) {
        self.requests.add();
        if is_refused {
            self.refused.add();
        }
        *self.methods().entry(method).or_default() += 1;
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.get()
    }

    pub(super) fn by_method(&self) -> Vec<(&'static str, u64)> {
        self.methods().iter().map(|(method, count)| (*method, *count)).collect()
    }

    fn methods(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.by_method.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
