//! The watch over one running process: what is read at each boundary, what is waited for, how it is let go.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::steady::Steady;
use super::waits::{Above, Falls};
use super::{EXIT, Purpose, Step, Waits};
use crate::births::Births;
use crate::case::{Case, DEADLINE};
use crate::descendant::Descendants;
use crate::holder::{self, Looked};
use crate::probe::{process, time_wait};
use crate::region::{self, ControlMap, LiveStack, RegionMap, read_text};
use crate::settle::{Backoff, SETTLE_ALONE};
use crate::snapshot::{Counts, Inventory};
use crate::subject::Subject;
use crate::table::{BODY_PASSED, GO_AGAIN, GO_LEAVE, NET_PRIVATE, STAGE_EXIT, STAGE_STEADY};
use crate::unedited::ends::End;

/// How the rounds came to their end.
#[derive(Default)]
pub(super) struct Ended {
    pub(super) rounds: u32,
    /// The first round's body, `BODY_*`.
    pub(super) body: u32,
    pub(super) message: String,
    pub(super) later_failure: Option<String>,
    pub(super) timed_out: bool,
    /// The process had entered: it stood at its first boundary.
    pub(super) entered: bool,
}

/// A running execution.
pub(super) struct Watch<'a> {
    pub(super) purpose: Purpose,
    /// By how much longer than declared everything may take.
    pub(super) patience: u32,
    /// How long to wait for what may still be released.
    pub(super) settle: Duration,
    pub(super) control: &'a Arc<ControlMap>,
    pub(super) descendants: &'a Arc<Mutex<Descendants>>,
    pub(super) directory: &'a Path,
    pub(super) pid: u32,
    pub(super) deadline: Instant,
    pub(super) region: Option<RegionMap>,
    /// The trial's private network namespace, by which its processes are known.
    pub(super) network: Option<String>,
    pub(super) counts: Vec<Counts>,
    pub(super) stacks: Vec<HashMap<u32, LiveStack>>,
    pub(super) waiting: Vec<u64>,
    pub(super) first: Inventory,
    pub(super) births: Births,
    pub(super) steady: Vec<Steady>,
    pub(super) steps: Vec<Step>,
    pub(super) waits: Waits,
    /// Time spent waiting: it is not the test's, and no reason to run fewer rounds.
    pub(super) settling: Duration,
    pub(super) unsettled: bool,
    pub(super) end: Option<End>,
    pub(super) refused_connects: u64,
}

impl Watch<'_> {
    pub(super) fn allow(&mut self, case: &Case) {
        self.deadline = Instant::now() + case.deadline.unwrap_or(DEADLINE) * self.patience;
    }

    /// Whether the main process neither ended nor stands at its exit: it hangs.
    pub(super) fn is_overdue(&self, subject: &Subject) -> bool {
        !subject.has_ended() && self.control.stage.load(Acquire) != STAGE_EXIT
    }

    /// TIME_WAIT at each boundary, whichever way it was measured.
    pub(super) fn waiting_series(&self) -> Vec<i64> {
        let private = self.counts.iter().map(|counts| counts.time_wait.map(|count| count as i64));
        private
            .zip(&self.waiting)
            .map(|(private, confirmed)| private.unwrap_or(*confirmed as i64))
            .collect()
    }

    /// Waits until the main process stands at its next boundary between rounds; boundaries of
    /// `cx.steady` are served on the way. False where it ended or the deadline passed.
    pub(super) fn next_boundary(&mut self, subject: &Subject) -> bool {
        loop {
            let control = Arc::clone(self.control);
            let at_exit = || control.stage.load(Acquire) == STAGE_EXIT;
            let reached =
                || control.boundary.load(Acquire) > control.answered.load(Acquire) || at_exit();
            if !subject.wait_until(self.deadline, reached) || at_exit() {
                return false;
            }
            if self.control.stage.load(Acquire) != STAGE_STEADY {
                return true;
            }
            self.read_steady();
            self.answer(GO_AGAIN);
        }
    }

    pub(super) fn answer(&self, answer: u32) {
        self.control.answer.store(answer, Release);
        self.control.answered.store(self.control.boundary.load(Acquire), Release);
        region::futex_wake(&self.control.answered);
    }

    /// Waits for the first boundary and reads there; false where the main process never came to it.
    pub(super) fn begin(&mut self, subject: &Subject, ended: &mut Ended) -> bool {
        if !self.next_boundary(subject) {
            ended.timed_out = self.is_overdue(subject);
            ended.message = read_text(&self.control.message);
            return false;
        }
        ended.entered = true;
        self.enter();
        true
    }

    /// The first boundary, before any round.
    pub(super) fn enter(&mut self) {
        self.region = RegionMap::open(&self.region_path());
        if self.is_private() {
            self.network = process::network(self.pid);
        }
        self.counts.push(self.counts_now());
        self.read_stacks();
        self.waiting.push(0);
        self.first = Inventory::read(self.pid);
        self.births.take(self.first.clone(), 0, self.region.as_ref());
    }

    /// The region of the main process: its latest, where it has become another program by exec.
    fn region_path(&self) -> PathBuf {
        let own = format!("{}-", self.pid);
        let is_own = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&own))
        };
        RegionMap::paths(self.directory).into_iter().rfind(is_own).unwrap_or_default()
    }

    pub(super) fn is_private(&self) -> bool {
        self.control.net.load(Acquire) == NET_PRIVATE
    }

    pub(super) fn counts_now(&self) -> Counts {
        let region = self.region.as_ref();
        Counts::read(self.pid, self.control, region, self.is_private(), self.counts.first())
    }

    /// A boundary after a round: counts, settled where it matters, and identities where they moved.
    pub(super) fn read(&mut self, round: u32, is_last: bool) {
        // In round 1 another round tells more than waiting would, and sooner.
        let counts = if round > 1 || is_last { self.settle() } else { self.counts_now() };
        self.note(counts, round, is_last);
    }

    /// Enters what was read at a boundary.
    pub(super) fn note(&mut self, counts: Counts, round: u32, is_last: bool) {
        if self.is_private() && self.control.body.load(Acquire) != BODY_PASSED {
            self.refused_connects = crate::probe::socket::refused_connects(self.pid);
        }
        let moved = self.counts.last().is_none_or(|before| counts.moved_since(before));
        if moved || is_last {
            self.births.take(Inventory::read(self.pid), round, self.region.as_ref());
        }
        let waiting = if self.is_private() { 0 } else { self.confirmed_pairs() };
        self.counts.push(counts);
        self.read_stacks();
        self.waiting.push(waiting);
    }

    /// In an explain run: what lives of each stack now.
    fn read_stacks(&mut self) {
        if matches!(self.purpose, Purpose::Explain { .. }) {
            let live = self.region.as_ref().map(RegionMap::live_stacks).unwrap_or_default();
            self.stacks.push(live);
        }
    }

    /// In an explain run: the heap of the main process, which waits at its last boundary or its exit.
    pub(super) fn held_heap(&self, subject: &Subject) -> Option<Looked> {
        let explains = matches!(self.purpose, Purpose::Explain { .. });
        let region = self.region.as_ref().filter(|_| explains && !subject.has_ended())?;
        let waits = self.control.boundary.load(Acquire) > self.control.answered.load(Acquire);
        if !waits && self.control.stage.load(Acquire) != STAGE_EXIT {
            return None;
        }
        holder::look_at(self.pid, region)
    }

    /// Waits while descriptors or threads are above the last boundary and something is alive that
    /// may still release them; gives what it has read last.
    fn settle(&mut self) -> Counts {
        let mut now = self.counts_now();
        let Some(before) = self.counts.last().cloned() else { return now };
        let above = |counts: &Counts| Above::of(counts, &before);
        if !self.waits.expects(above(&now)) {
            return now;
        }
        let others = now.threads.as_ref().is_ok_and(|count| *count > 1)
            || process::children(self.pid).is_ok_and(|children| !children.is_empty());
        let patient = !matches!(self.purpose, Purpose::Canary { .. });
        if !others || self.waits.is_vain() || !patient {
            // Who has gone since the first look may have released something.
            return self.counts_now();
        }
        let begun = Instant::now();
        let alone = matches!(self.purpose, Purpose::Alone);
        let deadline = (Instant::now()
            + if alone { self.settle.max(SETTLE_ALONE) } else { self.settle })
        .min(self.deadline);
        let mut backoff = Backoff::new(deadline);
        let mut falls = Falls::from(above(&now));
        while self.waits.expects(above(&now)) && backoff.pause() {
            now = self.counts_now();
            falls.note(above(&now));
        }
        self.settling += begun.elapsed();
        let in_vain = self.waits.expects(above(&now));
        self.unsettled = in_vain && falls.go_on();
        if in_vain {
            self.waits.ended_in_vain(above(&now));
        }
        now
    }

    /// Port pairs that this trial closed first and the kernel has in TIME_WAIT.
    fn confirmed_pairs(&self) -> u64 {
        let mut noted = Vec::new();
        let mut collect = |region: &RegionMap| {
            noted.extend(region.pairs().into_iter().map(|pair| (pair.local, pair.remote)));
        };
        if let Some(region) = &self.region {
            collect(region);
        }
        let descendants = self.descendants.lock().unwrap_or_else(PoisonError::into_inner);
        for descendant in descendants.iter() {
            collect(&descendant.region);
        }
        let confirmed = time_wait::confirmed(self.pid, &noted);
        noted.iter().filter(|pair| confirmed.contains(pair)).count() as u64
    }

    /// Lets the main process leave, and reads at its exit what can be read only there: zombies and
    /// the peak of its memory.
    pub(super) fn leave(
        &mut self,
        subject: &Subject,
        ended: &Ended,
    ) -> (Vec<process::Stat>, Option<u64>) {
        if ended.timed_out {
            let peak = crate::probe::memory::resident(self.pid).ok().map(|resident| resident.peak);
            subject.signal(Signal::SIGKILL);
            return (Vec::new(), peak);
        }
        if subject.has_ended() {
            return (Vec::new(), None);
        }
        if self.control.stage.load(Acquire) != STAGE_EXIT {
            self.answer(GO_LEAVE);
        }
        let control = Arc::clone(self.control);
        let held =
            subject.wait_until(Instant::now() + EXIT, || control.stage.load(Acquire) == STAGE_EXIT);
        let peak = crate::probe::memory::resident(self.pid).ok().map(|resident| resident.peak);
        let zombies = if held { self.zombies() } else { Vec::new() };
        self.descendants.lock().unwrap_or_else(PoisonError::into_inner).sample();
        // A process that never reached its first boundary may be held as well.
        if self.region.is_none() {
            self.region = RegionMap::open(&self.region_path());
        }
        if let Some(region) = &self.region {
            region.release();
        }
        (zombies, peak)
    }

    /// Children that have ended and were never waited for. One that still runs may be about to end,
    /// and another thread may be about to wait for one that has. Once this process is let go it is too
    /// late to tell: a child may end because its parent has.
    fn zombies(&self) -> Vec<process::Stat> {
        let look = || {
            let children = process::children(self.pid).unwrap_or_default();
            children.into_iter().filter_map(|pid| process::stat(pid).ok()).collect::<Vec<_>>()
        };
        let others = crate::probe::thread::count(self.pid).is_ok_and(|count| count > 1);
        let patience = if matches!(self.purpose, Purpose::Canary { .. }) {
            Duration::ZERO
        } else {
            self.settle
        };
        let mut backoff = Backoff::new(Instant::now() + patience);
        let mut children = look();
        while children.iter().any(|child| others || !child.is_zombie()) && backoff.pause() {
            children = look();
        }
        children.retain(process::Stat::is_zombie);
        children
    }
}
