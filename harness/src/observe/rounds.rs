//! The rounds of one case: as many as can still tell something.

use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use watertight_report::model::Resource;

use super::{Ended, Purpose, Watch};
use crate::case::{Case, ROUNDS_MAX};
use crate::judge::{self, HeapEvidence};
use crate::region::{Heap, read_text};
use crate::settle::Backoff;
use crate::snapshot::Counts;
use crate::subject::Subject;
use crate::table::{BODY_PASSED, ENTRY_PATH, GO_AGAIN};

/// Confirming rounds may add this much, or twice the first round, whichever is more.
const CONFIRM_MIN: Duration = Duration::from_secs(1);
const CONFIRM_FACTOR: u32 = 2;
/// The same while heap has grown in too few rounds to be judged.
const CONFIRM_HEAP_FACTOR: u32 = judge::HEAP_ROUNDS as u32;
/// A later round that takes this long, and so many times the first, is stuck.
const STUCK_MIN: Duration = Duration::from_secs(10);
const STUCK_FACTOR: u32 = 20;
/// Most rounds where the heap has grown and the rounds are short: a container that doubles is seen to do
/// so, a channel takes its third block of 31 messages, and what is freed by the batch (crossbeam's epochs:
/// every 128th use) is freed.
const ROUNDS_LONG: u32 = 300;
/// What quiet rounds may take after a first round that grew the heap, and as a part of that round.
const QUIET: Duration = Duration::from_millis(4);
const QUIET_PART: u32 = 4;
/// What they may take once the heap has grown again.
const PAUSES: Duration = Duration::from_millis(500);
/// Most short rounds where things that are counted exactly have grown, and what they may take.
const ROUNDS_POOL: u32 = 40;
const POOLS: Duration = Duration::from_millis(50);
/// A test that leaves more than this needs no more rounds to be believed.
const LARGE_BYTES: i64 = 64 << 20;

impl Watch<'_> {
    /// Lets the main process run its rounds.
    pub(super) fn rounds(&mut self, subject: &Subject, case: &Case) -> Ended {
        let mut ended = Ended::default();
        self.allow(case);
        if !self.begin(subject, &mut ended) {
            return ended;
        }
        let max = self.rounds_max(case);
        let mut first_round = Duration::ZERO;
        let mut confirming = Instant::now();
        let whole = self.deadline;
        for round in 1..=max {
            self.control.round.store(round, Release);
            let begun = Instant::now();
            self.answer(GO_AGAIN);
            if round > 1 {
                // What the first round has kept may block a later one for ever: a lock, a port.
                let patience = STUCK_MIN.max(first_round * STUCK_FACTOR) * self.patience;
                self.deadline = whole.min(begun + patience);
            }
            if !self.next_boundary(subject) {
                ended.timed_out = self.is_overdue(subject);
                let message = read_text(&self.control.message);
                if round == 1 {
                    ended.message = message;
                    ended.body = self.control.body.load(Acquire);
                } else {
                    let said =
                        if message.is_empty() { String::new() } else { format!(": {message}") };
                    ended.later_failure = Some(format!("round {round} did not end{said}"));
                }
                return ended;
            }
            let body = self.control.body.load(Acquire);
            if round == 1 {
                first_round = begun.elapsed();
                ended.body = body;
                ended.message = read_text(&self.control.message);
            } else if body != BODY_PASSED {
                ended.later_failure = Some(read_text(&self.control.message));
                break;
            }
            self.read(round, round == max);
            ended.rounds = round;
            if round == 1 {
                confirming = Instant::now();
            }
            let spent = confirming.elapsed().saturating_sub(self.settling);
            // A round that is killed half-way leaves what it would have cleaned up.
            let fits = whole.saturating_duration_since(Instant::now()) > first_round;
            let wants_more = fits && self.wants_more(case, round, first_round, spent);
            if ended.body != BODY_PASSED || !wants_more {
                break;
            }
        }
        self.settle_heap(case);
        ended
    }

    /// Heap that is about to be held against the test may be work that another thread has not come to
    /// yet: it is looked at until the growth that counts has gone, or the deadline has come.
    fn settle_heap(&mut self, case: &Case) {
        let measures = matches!(self.purpose, Purpose::Measure | Purpose::Alone);
        let others =
            self.counts.last().and_then(|it| it.threads.as_ref().ok()).is_some_and(|it| *it > 1);
        if !measures || !others || self.waits.is_vain() {
            return;
        }
        let heap = self.heap();
        if judge::heap_growth(&heap, &case.budget) != judge::Growth::Leak {
            return;
        }
        let bytes = judge::before_last_growth(&heap.bytes);
        let blocks = judge::before_last_growth(&heap.blocks);
        let begun = Instant::now();
        let mut backoff = Backoff::new((begun + self.settle).min(self.deadline));
        let mut now = self.counts_now();
        let is_over =
            |now: &Counts| now.heap.is_none_or(|heap| heap.bytes <= bytes && heap.blocks <= blocks);
        while !is_over(&now) && backoff.pause() {
            now = self.counts_now();
        }
        self.settling += begun.elapsed();
        if let Some(last) = self.counts.last_mut().filter(|_| is_over(&now)) {
            last.heap = now.heap;
        }
    }

    /// Live heap at each boundary; empty where it could not be read at one.
    fn heap(&self) -> HeapEvidence {
        let of = |read: fn(&Heap) -> i64| {
            let series = self.counts.iter().map(|counts| counts.heap.as_ref().map(read));
            series.collect::<Option<Vec<i64>>>().unwrap_or_default()
        };
        HeapEvidence { bytes: of(|heap| heap.bytes), blocks: of(|heap| heap.blocks), groups: None }
    }

    fn rounds_max(&self, case: &Case) -> u32 {
        match self.purpose {
            Purpose::Explain { rounds, .. } | Purpose::Canary { rounds } => rounds,
            _ => case.rounds.unwrap_or(ROUNDS_LONG),
        }
    }

    /// Whether the next round could show more, for the time that it would take.
    fn wants_more(&self, case: &Case, round: u32, first_round: Duration, spent: Duration) -> bool {
        if matches!(self.purpose, Purpose::Explain { .. } | Purpose::Canary { .. }) {
            return true;
        }
        let [.., before, now] = self.counts.as_slice() else { return false };
        let heap = match (before.heap, now.heap) {
            (Some(before), Some(now)) => now.blocks > before.blocks || now.bytes > before.bytes,
            _ => false,
        };
        let others = self.others_grew(case, round);
        match round < ROUNDS_MAX {
            true if heap || others => {
                // Two rounds more than the first tell of what is exact, heap needs one more than that.
                let is_undecided = heap && round as usize <= judge::HEAP_ROUNDS;
                let factor = if is_undecided { CONFIRM_HEAP_FACTOR } else { CONFIRM_FACTOR };
                spent <= CONFIRM_MIN.max(first_round * factor)
            }
            // What is exact was seen often enough, unless more rounds cost nothing: a pool may be full.
            false if others => round < ROUNDS_POOL && spent <= POOLS,
            // Each round would leave more of it.
            _ if self.leaves_files() => false,
            _ => self.heap_may_come_back(first_round, spent),
        }
    }

    /// Whether something that the body has created lies about already.
    fn leaves_files(&self) -> bool {
        let noted = self.region.as_ref().map(|region| region.entries(&[ENTRY_PATH]));
        noted.unwrap_or_default().iter().any(|entry| Path::new(&entry.text).exists())
    }

    /// Whether live heap may be that of a container that grows with pauses, or of a cache that is not
    /// full yet: a test that is fast enough is asked for many rounds more.
    fn heap_may_come_back(&self, first_round: Duration, spent: Duration) -> bool {
        let heap = self.heap();
        [heap.bytes, heap.blocks].iter().any(|series| {
            let deltas = judge::deltas(series);
            let Some((first, later)) = deltas.split_first() else { return false };
            if deltas.iter().sum::<i64>() > LARGE_BYTES {
                return false;
            }
            let patience = match later.iter().any(|delta| *delta > 0) {
                true if judge::may_come_back(later) => PAUSES.max(first_round),
                false if *first > 0 && later.iter().all(|delta| *delta == 0) => {
                    QUIET + first_round / QUIET_PART
                }
                _ => return false,
            };
            spent <= patience
        })
    }

    /// Whether the last round has left something that is counted exactly.
    fn others_grew(&self, case: &Case, round: u32) -> bool {
        let [.., before, now] = self.counts.as_slice() else { return false };
        let rose = |before: &Result<u64, _>, now: &Result<u64, _>| matches!((before, now), (Ok(before), Ok(now)) if now > before);
        let waiting = self.waiting_series();
        let budget = case.budget.allowed(Resource::TimeWait) as i64;
        let round = round as usize;
        let port_pairs = waiting.get(round).copied().unwrap_or(0)
            - waiting.get(round - 1).copied().unwrap_or(0)
            > budget;
        let gauges = now.gauges.iter().any(|(name, value)| {
            before.gauges.iter().find(|(known, _)| known == name).is_none_or(|(_, old)| value > old)
        });
        rose(&before.fds, &now.fds)
            || rose(&before.threads, &now.threads)
            || port_pairs
            || gauges
            || now.holds_more_than(before)
            || now.tasks > before.tasks
    }
}
