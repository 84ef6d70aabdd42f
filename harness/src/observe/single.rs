//! The one run of a test in a program that has not a line for us: read before its `main` and at its exit.
//!
//! There is no second round to tell what stays from what is about to go, so at the exit it is looked at who
//! is left: threads that only wait for each other will release nothing, one that sleeps may leave when it
//! wakes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant};

use super::{Ended, Watch};
use crate::births::Births;
use crate::case::Case;
use crate::probe::blocked::{Blocked, blocked, pauses};
use crate::probe::process;
use crate::probe::thread;
use crate::region::RegionMap;
use crate::settle::Backoff;
use crate::snapshot::{Counts, Inventory};
use crate::subject::Subject;
use crate::table::{GO_AGAIN, STAGE_EXIT};
use crate::unedited::ends::End;

/// Nobody has said how long the test may take, and cargo would wait for ever as well.
const PATIENCE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// What an idle thread of a pool may wait before it leaves: half a minute is the longest that is common.
const IDLE: Duration = Duration::from_secs(35);
/// A thread that has woken so often goes on: to its end, if that is near, or for ever.
const WAKES: u64 = 3;
/// What such a one is given.
const ROUNDS: Duration = Duration::from_secs(10);
/// What a thread may take that is only leaving: its note goes before it does.
const LEAVING: Duration = Duration::from_millis(200);

impl Watch<'_> {
    /// Lets the main process run. `is_once` tells whether what a stack made is made once in a process;
    /// `body_over` is told when only waiting may be left.
    pub(super) fn single(
        &mut self,
        subject: &Subject,
        case: &Case,
        is_once: &dyn Fn(&RegionMap, u32) -> bool,
        body_over: impl FnOnce(),
    ) -> Ended {
        let mut ended = Ended::default();
        self.deadline = Instant::now() + case.deadline.unwrap_or(PATIENCE);
        if !self.next_boundary(subject) {
            ended.timed_out = self.is_overdue(subject);
            return ended;
        }
        // A runner of the user's own may have started it.
        self.pid = self.control.main.load(Acquire);
        ended.entered = true;
        self.enter();
        self.answer(GO_AGAIN);
        let control = Arc::clone(self.control);
        let at_exit = || control.stage.load(Acquire) == STAGE_EXIT;
        if !subject.wait_until(self.deadline, at_exit) {
            ended.timed_out = self.is_overdue(subject);
            return ended;
        }
        body_over();
        let counts = self.settle_single(is_once);
        self.note(counts, 1, false);
        if let Some(region) = &self.region {
            // As in an explain run: nothing before the test, then what lives now.
            self.stacks = vec![HashMap::new(), HashMap::new(), region.live_stacks()];
            let calls = region.calls_of(self.control.body_tp.load(Acquire));
            self.end = self.grown_heap().map(|(bytes, blocks)| End { bytes, blocks, calls });
        }
        ended.rounds = 1;
        ended
    }

    /// Bytes and blocks of the heap that live now and did not before the program's `main`.
    fn grown_heap(&self) -> Option<(i64, i64)> {
        let (first, last) = (self.counts.first()?.heap?, self.counts.last()?.heap?);
        Some((last.bytes - first.bytes, last.blocks - first.blocks))
    }

    /// Waits while something is there that the test has made, and somebody who may release it.
    fn settle_single(&mut self, is_once: &dyn Fn(&RegionMap, u32) -> bool) -> Counts {
        let begun = Instant::now();
        let mut seen: HashMap<u32, Seen> = HashMap::new();
        let mut backoff = Backoff::new(begun + IDLE + self.settle);
        loop {
            let now = self.counts_now();
            let Some(first) = self.counts.first() else { return now };
            let moved = now.moved_since(first) || now.holds_more_than(first);
            if !moved {
                return now;
            }
            let until = match self.suspicion(is_once) {
                Suspicion::None => begun,
                Suspicion::Leaving => begun + LEAVING,
                Suspicion::Some => self.hope(begun, &mut seen),
            };
            if Instant::now() >= until || !backoff.pause() {
                // Who has gone since the counts were taken has taken along what was its own.
                return self.counts_now();
            }
        }
    }

    /// What may be held against the test, as far as the program's symbols tell.
    fn suspicion(&self, is_once: &dyn Fn(&RegionMap, u32) -> bool) -> Suspicion {
        let Some(region) = &self.region else { return Suspicion::Some };
        let mut births = Births::default();
        births.take(self.first.clone(), 0, Some(region));
        births.take(Inventory::read(self.pid), 1, Some(region));
        let fds = births.fds().into_iter().map(|(_, birth)| birth.stack);
        let threads = births.threads(self.control.exit_thread.load(Acquire));
        let leaving = threads.iter().any(|(_, birth)| birth.stack.is_none());
        let threads = threads.into_iter().map(|(_, birth)| birth.stack);
        let mut things = fds.chain(threads).peekable();
        // With neither it is locks and mappings, the work of somebody who may let them go.
        if things.peek().is_none()
            || things.any(|stack| stack.is_some_and(|stack| !is_once(region, stack)))
        {
            return Suspicion::Some;
        }
        if leaving { Suspicion::Leaving } else { Suspicion::None }
    }

    /// Until when what is there may still be released.
    fn hope(&self, begun: Instant, seen: &mut HashMap<u32, Seen>) -> Instant {
        let main = self.pid;
        let held = self.control.exit_thread.load(Acquire);
        let others = thread::ids(main).unwrap_or_default().into_iter();
        let others = others.filter(|tid| *tid != main && *tid != held);
        let mut hope = begun;
        for tid in others {
            let pauses = pauses(main, tid).unwrap_or(0);
            let before = seen.entry(tid).or_insert(Seen { pauses, woke: begun });
            let goes_on = pauses.saturating_sub(before.pauses) >= WAKES;
            let until = match blocked(main, tid) {
                Blocked::Inside => begun,
                // It sleeps longer than anyone would wait.
                Blocked::Timed(Some(left)) if left > IDLE => begun,
                Blocked::Timed(_) if !goes_on => {
                    before.woke = Instant::now();
                    begun + IDLE
                }
                // One that has just woken may be about to leave.
                _ if goes_on => begun + ROUNDS.max(self.settle),
                _ => before.woke + self.settle,
            };
            hope = hope.max(until);
        }
        let children = process::children(main).unwrap_or_default();
        let runs = |pid: &u32| process::is_running(*pid);
        if children.iter().any(runs) { hope.max(begun + self.settle) } else { hope }
    }
}

/// What may be held against a test.
enum Suspicion {
    None,
    /// A thread without a note: it is leaving, or libc's own.
    Leaving,
    Some,
}

/// What was seen of a thread while waiting.
struct Seen {
    /// How often it had paused at the first look.
    pauses: u64,
    /// When it was last seen to wait for time to pass, or the beginning.
    woke: Instant,
}
