//! One execution of a case, watched from outside: its rounds, what was read at each boundary, how it ended.
//!
//! ```text
//! boundary ─► counts (and, where they moved, an inventory) ─► another round? ─► ... ─► leave ─► held at exit ─► survivors
//! ```
//!
//! Nothing is judged here and no stack is named: the result is what was seen.

mod left;
mod outcome;
mod passes;
mod rounds;
mod steady;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use watertight_report::model::{Cleanup, Net as NetRecord, Outcome};

use crate::births::{Birth, Births};
use crate::case::{Case, DEADLINE, Net};
use crate::descendant::Descendants;
use crate::judge::Creation;
use crate::probe::process;
use crate::probe::time_wait;
use crate::region::{self, ControlMap, LiveStack, RegionMap, read_text, write_text};
use crate::run::Run;
use crate::settle::{Backoff, SETTLE, SETTLE_ALONE};
use crate::snapshot::{Counts, Inventory};
use crate::subject::{Spawn, Subject};
use crate::survivor::Strangers;
use crate::survivor::{self, Survivor};
use crate::table::{
    BODY_PASSED, FLAG_FD_STACKS, FLAG_HEAP_STACKS, FLAG_HOLD_EXIT, FLAG_IMPATIENT, GO_AGAIN,
    GO_LEAVE, NET_PRIVATE, STAGE_EXIT, STAGE_STEADY,
};

pub(crate) use left::{Left, Thing};
pub(crate) use passes::Step;
pub(crate) use steady::Steady;

/// Time a process may take from its last boundary to its exit.
const EXIT: Duration = Duration::from_secs(10);
/// How much longer than the first run an explain run may take.
const EXPLAIN_FACTOR: u32 = 5;

/// What a main process runs.
#[derive(Clone, Copy)]
pub(crate) enum Script<'a> {
    /// One case, in rounds.
    Case(&'a Case),
    /// The selected cases of a suite, one after the other, in passes.
    Suite { cases: &'a [Case], selected: &'a [usize], passes: u32 },
}

impl Script<'_> {
    fn is_private(&self) -> bool {
        match self {
            Self::Case(case) => case.net.unwrap_or_default() == Net::Private,
            // One process has one network: the machine's, if any case wants it.
            Self::Suite { cases, selected, .. } => {
                selected.iter().all(|index| cases[*index].net.unwrap_or_default() == Net::Private)
            }
        }
    }

    /// How long to wait for what may still be released.
    fn settle(&self) -> Duration {
        let of = |case: &Case| case.settle.unwrap_or(SETTLE);
        match self {
            Self::Case(case) => of(case),
            Self::Suite { cases, selected, .. } => {
                selected.iter().map(|index| of(&cases[*index])).max().unwrap_or(SETTLE)
            }
        }
    }

    /// What the child finds under `Control::case`, and under `Control::case_name`.
    fn label(&self) -> (u32, &str) {
        match self {
            Self::Case(case) => (case.special.unwrap_or(0), &case.name),
            Self::Suite { .. } => (crate::shared::CASES, ""),
        }
    }
}

/// How to execute it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Count, and repeat while something still grows.
    Measure,
    /// Run exactly this many rounds with a stack for every heap block.
    Explain {
        rounds: u32,
        /// Whether waiting for what may still be released has helped the first time.
        patient: bool,
    },
    /// Measure again, alone, with a longer settle time.
    Alone,
    /// Run exactly this many rounds, and settle nothing: every plant is meant to stay.
    Canary { rounds: u32 },
}

/// What an execution has shown.
pub(crate) struct Observation {
    pub(crate) outcome: Outcome,
    pub(crate) message: Option<String>,
    /// Rounds that ran to their end.
    pub(crate) rounds: u32,
    /// Why the repetition ended early, where a later round failed.
    pub(crate) later_failure: Option<String>,
    pub(crate) net: NetRecord,
    /// At each boundary, the first before round 1.
    pub(crate) counts: Vec<Counts>,
    /// Confirmed TIME_WAIT pairs at each boundary (machine's network).
    pub(crate) waiting: Vec<u64>,
    pub(crate) first: Inventory,
    pub(crate) last: Inventory,
    /// Round of birth of what is in `last` and not in `first`.
    pub(crate) born_fds: Vec<(crate::probe::fd::Descriptor, Birth)>,
    pub(crate) born_threads: Vec<(crate::probe::thread::Thread, Birth)>,
    pub(crate) peak_bytes: Option<u64>,
    pub(crate) zombies: Vec<process::Stat>,
    pub(crate) survivors: Vec<Survivor>,
    /// Files, directories and shared memory that were made and are still there.
    pub(crate) left: Vec<Left>,
    pub(crate) cleanups: Vec<(Cleanup, Option<Creation>)>,
    pub(crate) steady: Vec<Steady>,
    /// The cases that ran, in shared mode, in their order.
    pub(crate) steps: Vec<Step>,
    pub(crate) unsettled: bool,
    /// Whether everything that was waited for was released.
    pub(crate) waiting_helped: bool,
    /// Connects that were refused, in a private namespace.
    pub(crate) refused_connects: u64,
    pub(crate) region: Option<RegionMap>,
    pub(crate) descendants: Arc<Mutex<Descendants>>,
    pub(crate) control: Arc<ControlMap>,
    pub(crate) output: String,
    /// What lived of each stack at each boundary (explain).
    pub(crate) stacks: Vec<HashMap<u32, LiveStack>>,
    pub(crate) duration: Duration,
    directory: PathBuf,
}

impl Drop for Observation {
    fn drop(&mut self) {
        // Notes that cannot be removed are swept by the next run.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Executes a script once.
///
/// # Errors
/// Only where the process could not be started at all.
pub(crate) fn observe(run: &Run, script: Script<'_>, purpose: Purpose) -> io::Result<Observation> {
    let directory = run.trial_directory()?;
    let control = Arc::new(ControlMap::create(&directory)?);
    let explain = matches!(purpose, Purpose::Explain { .. });
    let impatient = matches!(purpose, Purpose::Explain { patient: false, .. });
    let when = |flag: u32, set: bool| if set { flag } else { 0 };
    let flags = when(FLAG_HEAP_STACKS, explain) | when(FLAG_IMPATIENT, impatient);
    control.flags.store(FLAG_FD_STACKS | FLAG_HOLD_EXIT | flags, Relaxed);
    control.warm_round.store(u32::from(explain), Relaxed);
    let (number, name) = script.label();
    control.case.store(number, Relaxed);
    write_text(&control.case_name, name);
    if script.is_private() {
        control.net.store(NET_PRIVATE, Release);
    }
    let descendants =
        Arc::new(Mutex::new(Descendants::new(directory.clone(), Arc::clone(&control))));
    let strangers = Strangers::before(run);
    let started = Instant::now();
    let subject = run.start(&Spawn {
        agent: run.agent.as_ref().ok(),
        directory: &directory,
        control: &control,
        descendants: &descendants,
        stream: run.stream && !explain,
    });
    let mut subject = match subject {
        Ok(subject) => subject,
        Err(error) => {
            let _ = std::fs::remove_dir_all(&directory);
            return Err(error);
        }
    };
    let pid = subject.pid;
    let patience = if explain { EXPLAIN_FACTOR } else { 1 };
    let mut watch = Watch {
        purpose,
        patience,
        settle: script.settle(),
        control: &control,
        descendants: &descendants,
        directory: &directory,
        pid,
        deadline: started + DEADLINE,
        region: None,
        network: None,
        counts: Vec::new(),
        stacks: Vec::new(),
        waiting: Vec::new(),
        first: Inventory::default(),
        births: Births::default(),
        steady: Vec::new(),
        steps: Vec::new(),
        waiting_helps: !impatient,
        settling: Duration::ZERO,
        unsettled: false,
        refused_connects: 0,
    };
    let ended = match script {
        Script::Case(case) => watch.rounds(&subject, case),
        Script::Suite { cases, selected, passes } => {
            watch.passes(&subject, cases, selected, passes)
        }
    };
    let (zombies, peak) = watch.leave(&subject, &ended);
    let status = subject.end(Instant::now() + EXIT);
    run.ended(pid);
    descendants.lock().unwrap_or_else(PoisonError::into_inner).discover();
    let survivors =
        survivor::settle(&directory, watch.network.as_deref(), &strangers, watch.settle);
    for survivor in &survivors {
        survivor.kill();
    }
    let left = left::left(run, watch.region.as_ref(), &descendants);
    let (outcome, message) = outcome::outcome(&control, &ended, status, started.elapsed());
    let net = match control.net.load(Acquire) {
        NET_PRIVATE => NetRecord::Private,
        _ => NetRecord::Host,
    };
    let peak_bytes = peak.or_else(|| {
        watch.counts.iter().filter_map(|counts| Some(counts.memory.as_ref().ok()?.peak)).max()
    });
    Ok(Observation {
        outcome,
        message,
        rounds: ended.rounds,
        later_failure: ended.later_failure,
        net,
        counts: watch.counts,
        waiting: watch.waiting,
        stacks: watch.stacks,
        first: watch.first,
        born_fds: watch.births.fds(),
        born_threads: watch.births.threads(),
        last: watch.births.last,
        peak_bytes,
        zombies,
        survivors,
        left,
        cleanups: outcome::read_cleanups(&control),
        steady: watch.steady,
        steps: watch.steps,
        unsettled: watch.unsettled,
        waiting_helped: watch.waiting_helps,
        refused_connects: watch.refused_connects,
        region: watch.region,
        output: subject.output(),
        descendants,
        control,
        duration: started.elapsed(),
        directory,
    })
}

/// How the rounds came to their end.
#[derive(Default)]
struct Ended {
    rounds: u32,
    /// The first round's body, `BODY_*`.
    body: u32,
    message: String,
    later_failure: Option<String>,
    timed_out: bool,
    /// The process had entered: it stood at its first boundary.
    entered: bool,
}

/// A running execution.
struct Watch<'a> {
    purpose: Purpose,
    /// By how much longer than declared everything may take.
    patience: u32,
    /// How long to wait for what may still be released.
    settle: Duration,
    control: &'a Arc<ControlMap>,
    descendants: &'a Arc<Mutex<Descendants>>,
    directory: &'a Path,
    pid: u32,
    deadline: Instant,
    region: Option<RegionMap>,
    /// The trial's private network namespace, by which its processes are known.
    network: Option<String>,
    counts: Vec<Counts>,
    stacks: Vec<HashMap<u32, LiveStack>>,
    waiting: Vec<u64>,
    first: Inventory,
    births: Births,
    steady: Vec<Steady>,
    steps: Vec<Step>,
    waiting_helps: bool,
    /// Time spent waiting: it is not the test's, and no reason to run fewer rounds.
    settling: Duration,
    unsettled: bool,
    refused_connects: u64,
}

impl Watch<'_> {
    fn allow(&mut self, case: &Case) {
        self.deadline = Instant::now() + case.deadline.unwrap_or(DEADLINE) * self.patience;
    }

    /// Whether the main process neither ended nor stands at its exit: it hangs.
    fn is_overdue(&self, subject: &Subject) -> bool {
        !subject.has_ended() && self.control.stage.load(Acquire) != STAGE_EXIT
    }

    /// TIME_WAIT at each boundary, whichever way it was measured.
    fn waiting_series(&self) -> Vec<i64> {
        let private = self.counts.iter().map(|counts| counts.time_wait.map(|count| count as i64));
        private
            .zip(&self.waiting)
            .map(|(private, confirmed)| private.unwrap_or(*confirmed as i64))
            .collect()
    }

    /// Waits until the main process stands at its next boundary between rounds; boundaries of
    /// `cx.steady` are served on the way. False where it ended or the deadline passed.
    fn next_boundary(&mut self, subject: &Subject) -> bool {
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

    fn answer(&self, answer: u32) {
        self.control.answer.store(answer, Release);
        self.control.answered.store(self.control.boundary.load(Acquire), Release);
        region::futex_wake(&self.control.answered);
    }

    /// Waits for the first boundary and reads there; false where the main process never came to it.
    fn begin(&mut self, subject: &Subject, ended: &mut Ended) -> bool {
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
    fn enter(&mut self) {
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

    fn region_path(&self) -> PathBuf {
        self.directory.join(format!("{}-0{}", self.pid, crate::table::REGION_ENDING))
    }

    fn is_private(&self) -> bool {
        self.control.net.load(Acquire) == NET_PRIVATE
    }

    fn counts_now(&self) -> Counts {
        Counts::read(self.pid, self.control, self.region.as_ref(), self.is_private())
    }

    /// A boundary after a round: counts, settled where it matters, and identities where they moved.
    fn read(&mut self, round: u32, is_last: bool) {
        // In round 1 another round tells more than waiting would, and sooner.
        let counts = if round > 1 || is_last { self.settle() } else { self.counts_now() };
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

    /// Waits while descriptors or threads are above the last boundary and something is alive that
    /// may still release them; gives what it has read last.
    fn settle(&mut self) -> Counts {
        let mut now = self.counts_now();
        let Some(before) = self.counts.last().cloned() else { return now };
        let above = |counts: &Counts| {
            let over = |now: &Result<u64, _>, before: &Result<u64, _>| matches!((now, before), (Ok(now), Ok(before)) if now > before);
            over(&counts.fds, &before.fds)
                || over(&counts.threads, &before.threads)
                || counts.locks.len() > before.locks.len()
        };
        if !above(&now) {
            return now;
        }
        let others = now.threads.as_ref().is_ok_and(|count| *count > 1)
            || process::children(self.pid).is_ok_and(|children| !children.is_empty());
        let patient = !matches!(self.purpose, Purpose::Canary { .. });
        if !others || !self.waiting_helps || !patient {
            // Who has gone since the first look may have released something.
            return self.counts_now();
        }
        let begun = Instant::now();
        let alone = matches!(self.purpose, Purpose::Alone);
        let deadline = (Instant::now()
            + if alone { self.settle.max(SETTLE_ALONE) } else { self.settle })
        .min(self.deadline);
        let mut backoff = Backoff::new(deadline);
        let start = now.clone();
        while above(&now) && backoff.pause() {
            now = self.counts_now();
        }
        self.waiting_helps = !above(&now);
        self.settling += begun.elapsed();
        let fell = |now: &Result<u64, _>, start: &Result<u64, _>| matches!((now, start), (Ok(now), Ok(start)) if now < start);
        self.unsettled =
            above(&now) && (fell(&now.fds, &start.fds) || fell(&now.threads, &start.threads));
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
    fn leave(&mut self, subject: &Subject, ended: &Ended) -> (Vec<process::Stat>, Option<u64>) {
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
