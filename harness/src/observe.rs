//! One execution of a case, watched from outside: its rounds, what was read at each boundary, how it ended.
//!
//! ```text
//! boundary ─► counts (and, where they moved, an inventory) ─► another round? ─► ... ─► leave ─► held at exit ─► survivors
//! ```
//!
//! Nothing is judged here and no stack is named: the result is what was seen.

use std::collections::HashMap;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use watertight_report::model::{Cleanup, CleanupStatus, Net as NetRecord, Outcome};

use crate::case::{Case, DEADLINE, Net};
use crate::descendant::Descendants;
use crate::probe::fd::Descriptor;
use crate::probe::process;
use crate::probe::time_wait;
use crate::region::{self, ControlMap, RegionMap, read_text, write_text};
use crate::run::Run;
use crate::settle::{Backoff, SETTLE, SETTLE_ALONE};
use crate::snapshot::{Counts, Inventory};
use crate::subject::{Spawn, Subject};
use crate::survivor::{self, Survivor};
use crate::table::{
    BODY_FAILED, BODY_PASSED, BODY_RUNNING, CLEANUP_FAILED, CLEANUP_RAN, FLAG_FD_STACKS,
    FLAG_HEAP_STACKS, FLAG_HOLD_EXIT, GO_AGAIN, GO_LEAVE, NET_PRIVATE, NET_REFUSED, PAIR_SLOTS,
    STAGE_EXIT, STAGE_STEADY,
};

/// Confirming rounds may add this much, or twice the first round, whichever is more.
const CONFIRM_MIN: Duration = Duration::from_secs(1);
const CONFIRM_FACTOR: u32 = 2;
/// Time a process may take from its last boundary to its exit.
const EXIT: Duration = Duration::from_secs(10);
/// How much longer than the first run an explain run may take.
const EXPLAIN_FACTOR: u32 = 5;

/// How to execute a case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Count, and repeat while something still grows.
    Measure,
    /// Run exactly this many rounds with a stack for every heap block.
    Explain { rounds: u32 },
    /// Measure again, alone, with a longer settle time.
    Alone,
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
    pub(crate) born_fds: Vec<(Descriptor, u32)>,
    pub(crate) born_threads: Vec<(crate::probe::thread::Thread, u32)>,
    pub(crate) peak_bytes: Option<u64>,
    pub(crate) zombies: Vec<process::Stat>,
    pub(crate) survivors: Vec<Survivor>,
    pub(crate) cleanups: Vec<Cleanup>,
    pub(crate) steady: Vec<Steady>,
    pub(crate) unsettled: bool,
    /// Connects that were refused, in a private namespace.
    pub(crate) refused_connects: u64,
    pub(crate) region: Option<RegionMap>,
    pub(crate) descendants: Arc<Mutex<Descendants>>,
    pub(crate) control: Arc<ControlMap>,
    pub(crate) output: String,
    /// Live heap blocks at the last boundary, by stack and round of birth (explain).
    pub(crate) blocks: Vec<LiveBlock>,
    pub(crate) duration: Duration,
    directory: PathBuf,
}

/// A heap block that lives at the end of an explain run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LiveBlock {
    pub(crate) stack: u32,
    pub(crate) round: u32,
    pub(crate) bytes: u64,
}

/// One subject at each boundary of `cx.steady`.
#[derive(Debug, Clone)]
pub(crate) struct Steady {
    pub(crate) pid: u32,
    pub(crate) fds: Vec<i64>,
    pub(crate) threads: Vec<i64>,
    pub(crate) heap_bytes: Vec<i64>,
    pub(crate) heap_blocks: Vec<i64>,
    /// Sample number at each boundary.
    pub(crate) samples: Vec<u32>,
}

impl Drop for Observation {
    fn drop(&mut self) {
        // Notes that cannot be removed are swept by the next run.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Executes a case once.
///
/// # Errors
/// Only where the process could not be started at all.
pub(crate) fn observe(
    run: &Run,
    case: &Case,
    index: usize,
    purpose: Purpose,
) -> io::Result<Observation> {
    let directory = run.trial_directory()?;
    let control = Arc::new(ControlMap::create(&directory)?);
    let explain = matches!(purpose, Purpose::Explain { .. });
    control.flags.store(
        FLAG_FD_STACKS | FLAG_HOLD_EXIT | if explain { FLAG_HEAP_STACKS } else { 0 },
        Relaxed,
    );
    control.warm_round.store(u32::from(explain), Relaxed);
    control.case.store(index as u32, Relaxed);
    write_text(&control.case_name, &case.name);
    if case.net.unwrap_or_default() == Net::Private {
        control.net.store(NET_PRIVATE, Release);
    }
    let descendants =
        Arc::new(Mutex::new(Descendants::new(directory.clone(), Arc::clone(&control))));
    let strangers = process::children(std::process::id()).unwrap_or_default();
    let started = Instant::now();
    let subject = Subject::spawn(&Spawn {
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
    run.running.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    let limit = case.deadline.unwrap_or(DEADLINE) * if explain { EXPLAIN_FACTOR } else { 1 };
    let mut watch = Watch {
        case,
        purpose,
        control: &control,
        descendants: &descendants,
        directory: &directory,
        pid,
        deadline: started + limit,
        region: None,
        network: None,
        counts: Vec::new(),
        waiting: Vec::new(),
        first: Inventory::default(),
        last: Inventory::default(),
        fd_births: HashMap::new(),
        thread_births: HashMap::new(),
        steady: Vec::new(),
        waiting_helps: true,
        unsettled: false,
        refused_connects: 0,
    };
    let ended = watch.rounds(&subject);
    let blocks =
        watch.region.as_ref().filter(|_| explain).map(RegionMap::live_blocks).unwrap_or_default();
    let (zombies, peak) = watch.leave(&subject, &ended);
    let status = subject.end(Instant::now() + EXIT);
    run.running.lock().unwrap_or_else(PoisonError::into_inner).retain(|running| *running != pid);
    descendants.lock().unwrap_or_else(PoisonError::into_inner).discover();
    let mut strangers = strangers;
    strangers.extend(run.running.lock().unwrap_or_else(PoisonError::into_inner).iter());
    let survivors = survivor::settle(&directory, watch.network.as_deref(), &strangers);
    for survivor in &survivors {
        survivor.kill();
    }
    let (outcome, message) = outcome(&control, &ended, status);
    let net = match control.net.load(Acquire) {
        NET_PRIVATE => NetRecord::Private,
        _ => NetRecord::Host,
    };
    let last = std::mem::take(&mut watch.last);
    let born_fds = last
        .fds
        .iter()
        .filter_map(|fd| {
            let round = *watch.fd_births.get(&fd_key(fd))?;
            (round > 0).then(|| (fd.clone(), round))
        })
        .collect();
    let born_threads = last
        .threads
        .iter()
        .filter_map(|thread| {
            let round = *watch.thread_births.get(&thread.tid)?;
            (round > 0).then(|| (thread.clone(), round))
        })
        .collect();
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
        first: watch.first,
        born_fds,
        born_threads,
        last,
        peak_bytes,
        zombies,
        survivors,
        cleanups: read_cleanups(&control),
        steady: watch.steady,
        unsettled: watch.unsettled,
        refused_connects: watch.refused_connects,
        region: watch.region,
        output: subject.output(),
        descendants,
        control,
        blocks,
        duration: started.elapsed(),
        directory,
    })
}

/// How the rounds came to their end.
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
    case: &'a Case,
    purpose: Purpose,
    control: &'a Arc<ControlMap>,
    descendants: &'a Arc<Mutex<Descendants>>,
    directory: &'a Path,
    pid: u32,
    deadline: Instant,
    region: Option<RegionMap>,
    /// The trial's private network namespace, by which its processes are known.
    network: Option<String>,
    counts: Vec<Counts>,
    waiting: Vec<u64>,
    first: Inventory,
    last: Inventory,
    fd_births: HashMap<(u32, String), u32>,
    thread_births: HashMap<u32, u32>,
    steady: Vec<Steady>,
    waiting_helps: bool,
    unsettled: bool,
    refused_connects: u64,
}

fn fd_key(fd: &Descriptor) -> (u32, String) {
    (fd.number, fd.link.clone())
}

impl Watch<'_> {
    /// Lets the main process run its rounds.
    fn rounds(&mut self, subject: &Subject) -> Ended {
        let mut ended = Ended {
            rounds: 0,
            body: BODY_RUNNING,
            message: String::new(),
            later_failure: None,
            timed_out: false,
            entered: false,
        };
        if !self.next_boundary(subject) {
            ended.timed_out = self.is_overdue(subject);
            ended.message = read_text(&self.control.message);
            return ended;
        }
        ended.entered = true;
        self.enter();
        let max = self.rounds_max();
        let mut first_round = Duration::ZERO;
        let mut confirming = Instant::now();
        for round in 1..=max {
            self.control.round.store(round, Release);
            let begun = Instant::now();
            self.answer(GO_AGAIN);
            if !self.next_boundary(subject) {
                ended.timed_out = self.is_overdue(subject);
                let message = read_text(&self.control.message);
                if round == 1 {
                    ended.message = message;
                    ended.body = self.control.body.load(Acquire);
                } else {
                    ended.later_failure = Some(format!("round {round} did not end: {message}"));
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
            let spent =
                round > 1 && confirming.elapsed() > CONFIRM_MIN.max(first_round * CONFIRM_FACTOR);
            if ended.body != BODY_PASSED || !self.wants_more(round) || spent {
                break;
            }
        }
        ended
    }

    /// Whether the main process neither ended nor stands at its exit: it hangs.
    fn is_overdue(&self, subject: &Subject) -> bool {
        !subject.has_ended() && self.control.stage.load(Acquire) != STAGE_EXIT
    }

    fn rounds_max(&self) -> u32 {
        match self.purpose {
            Purpose::Explain { rounds } => rounds,
            _ => self.case.rounds.unwrap_or(crate::case::ROUNDS_MAX),
        }
    }

    /// Whether the next round could show more.
    fn wants_more(&self, round: u32) -> bool {
        if matches!(self.purpose, Purpose::Explain { .. }) {
            return true;
        }
        let [.., before, now] = self.counts.as_slice() else { return false };
        let rose = |before: &Result<u64, _>, now: &Result<u64, _>| matches!((before, now), (Ok(before), Ok(now)) if now > before);
        let heap = match (before.heap, now.heap) {
            (Some(before), Some(now)) => now.blocks > before.blocks || now.bytes > before.bytes,
            _ => false,
        };
        let waiting = self.waiting_series();
        let budget = self.case.budget.allowed(watertight_report::model::Resource::TimeWait) as i64;
        let round = round as usize;
        let port_pairs = waiting.get(round).copied().unwrap_or(0)
            - waiting.get(round - 1).copied().unwrap_or(0)
            > budget;
        let gauges = now.gauges.iter().any(|(name, value)| {
            before.gauges.iter().find(|(known, _)| known == name).is_none_or(|(_, old)| value > old)
        });
        rose(&before.fds, &now.fds)
            || rose(&before.threads, &now.threads)
            || heap
            || port_pairs
            || gauges
            || now.tasks > before.tasks
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

    /// The first boundary, before any round.
    fn enter(&mut self) {
        self.region = RegionMap::open(&self.region_path());
        if self.is_private() {
            self.network = process::network(self.pid);
        }
        self.counts.push(self.counts_now());
        self.waiting.push(0);
        self.first = Inventory::read(self.pid);
        for fd in &self.first.fds {
            self.fd_births.insert(fd_key(fd), 0);
        }
        for thread in &self.first.threads {
            self.thread_births.insert(thread.tid, 0);
        }
        self.last = self.first.clone();
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
        if round > 1 || is_last {
            self.settle();
        }
        if self.is_private() && self.control.body.load(Acquire) != BODY_PASSED {
            self.refused_connects = crate::probe::socket::refused_connects(self.pid);
        }
        let counts = self.counts_now();
        let moved = self.counts.last().is_none_or(|before| counts.moved_since(before));
        if moved || is_last {
            self.take_inventory(round);
        }
        let waiting = if self.is_private() { 0 } else { self.confirmed_pairs() };
        self.counts.push(counts);
        self.waiting.push(waiting);
    }

    fn take_inventory(&mut self, round: u32) {
        let now = Inventory::read(self.pid);
        let keys: std::collections::HashSet<_> = now.fds.iter().map(fd_key).collect();
        self.fd_births.retain(|key, _| keys.contains(key));
        for key in keys {
            self.fd_births.entry(key).or_insert(round);
        }
        self.thread_births.retain(|tid, _| now.threads.iter().any(|thread| thread.tid == *tid));
        for thread in &now.threads {
            self.thread_births.entry(thread.tid).or_insert(round);
        }
        self.last = now;
    }

    /// Waits while descriptors or threads are above the last boundary and something is alive that
    /// may still release them.
    fn settle(&mut self) {
        let Some(before) = self.counts.last().cloned() else { return };
        let above = |counts: &Counts| {
            let over = |now: &Result<u64, _>, before: &Result<u64, _>| matches!((now, before), (Ok(now), Ok(before)) if now > before);
            over(&counts.fds, &before.fds) || over(&counts.threads, &before.threads)
        };
        let mut now = self.counts_now();
        let others = now.threads.as_ref().is_ok_and(|count| *count > 1)
            || process::children(self.pid).is_ok_and(|children| !children.is_empty());
        if !above(&now) || !others || !self.waiting_helps {
            return;
        }
        let alone = matches!(self.purpose, Purpose::Alone);
        let deadline =
            (Instant::now() + if alone { SETTLE_ALONE } else { SETTLE }).min(self.deadline);
        let mut backoff = Backoff::new(deadline);
        let start = now.clone();
        while above(&now) && backoff.pause() {
            now = self.counts_now();
        }
        self.waiting_helps = !above(&now);
        let fell = |now: &Result<u64, _>, start: &Result<u64, _>| matches!((now, start), (Ok(now), Ok(start)) if now < start);
        self.unsettled =
            above(&now) && (fell(&now.fds, &start.fds) || fell(&now.threads, &start.threads));
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
        if noted.is_empty() {
            return 0;
        }
        time_wait::confirmed(self.pid, &noted).into_iter().filter(|waits| *waits).count() as u64
    }

    /// A boundary of `cx.steady`: every watched process, and the main one.
    fn read_steady(&mut self) {
        let repetition = self.control.steady_round.load(Acquire);
        let mut descendants = self.descendants.lock().unwrap_or_else(PoisonError::into_inner);
        descendants.sample();
        let sample = self.control.sample.load(Acquire);
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
            let heap = if pid == self.pid {
                self.region.as_ref().map(RegionMap::heap)
            } else {
                descendants.of(pid).map(|descendant| descendant.region.heap())
            };
            let steady = &mut self.steady[at];
            let count = |count: Result<u64, _>| count.map_or(-1, |count: u64| count as i64);
            steady.fds.push(count(crate::probe::fd::count(pid)));
            steady.threads.push(count(crate::probe::thread::count(pid)));
            let heap = heap.unwrap_or_default();
            steady.heap_bytes.push(heap.bytes);
            steady.heap_blocks.push(heap.blocks);
            steady.samples.push(sample);
        }
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

    /// Children that have ended and were never waited for. Another thread may be about to.
    fn zombies(&self) -> Vec<process::Stat> {
        let look = || {
            let children = process::children(self.pid).unwrap_or_default();
            children
                .into_iter()
                .filter_map(|pid| process::stat(pid).ok())
                .filter(process::Stat::is_zombie)
                .collect::<Vec<_>>()
        };
        let mut zombies = look();
        if crate::probe::thread::count(self.pid).is_ok_and(|count| count > 1) {
            let mut backoff = Backoff::new(Instant::now() + SETTLE);
            while !zombies.is_empty() && backoff.pause() {
                zombies = look();
            }
        }
        zombies
    }
}

impl Steady {
    fn new(pid: u32) -> Self {
        Self {
            pid,
            fds: Vec::new(),
            threads: Vec::new(),
            heap_bytes: Vec::new(),
            heap_blocks: Vec::new(),
            samples: Vec::new(),
        }
    }
}

/// What became of the body, from what it said and how the process ended.
fn outcome(
    control: &ControlMap,
    ended: &Ended,
    status: Option<std::process::ExitStatus>,
) -> (Outcome, Option<String>) {
    let text = |message: &str| Some(message.to_owned()).filter(|message| !message.is_empty());
    match ended.body {
        // A body that has ended counts only with its first boundary: what comes between is the test's too.
        BODY_PASSED if ended.rounds > 0 => return (Outcome::Passed, None),
        BODY_FAILED => return (Outcome::Failed, text(&ended.message)),
        _ => {}
    }
    let said = if ended.message.is_empty() {
        String::new()
    } else {
        format!("; it said: {}", ended.message)
    };
    if ended.timed_out {
        return (
            Outcome::TimedOut,
            Some(format!("it had not ended at its deadline and was killed{said}")),
        );
    }
    if control.net.load(Acquire) == NET_REFUSED && !ended.entered {
        return (Outcome::Crashed, Some(format!("it ended before the test began{said}")));
    }
    let Some(status) = status else {
        return (
            Outcome::Crashed,
            Some(format!("it ended and its status could not be read{said}")),
        );
    };
    match status.signal() {
        Some(signal) => {
            let name = Signal::try_from(signal)
                .map_or_else(|_| format!("signal {signal}"), |signal| signal.as_str().to_owned());
            let by_itself = matches!(
                Signal::try_from(signal),
                Ok(Signal::SIGABRT
                    | Signal::SIGSEGV
                    | Signal::SIGBUS
                    | Signal::SIGILL
                    | Signal::SIGFPE
                    | Signal::SIGTRAP
                    | Signal::SIGSYS)
            );
            let outcome = if by_itself { Outcome::Crashed } else { Outcome::Killed };
            (outcome, Some(format!("its process was ended by {name}{said}")))
        }
        None => {
            let code = status.code().unwrap_or(-1);
            (
                Outcome::Crashed,
                Some(format!(
                    "its process exited with code {code} before the test had ended{said}"
                )),
            )
        }
    }
}

fn read_cleanups(control: &ControlMap) -> Vec<Cleanup> {
    control
        .cleanups
        .iter()
        .filter(|cleanup| cleanup.status.load(Acquire) != 0)
        .map(|cleanup| {
            let error = Some(read_text(&cleanup.error)).filter(|error| !error.is_empty());
            let status = match cleanup.status.load(Acquire) {
                CLEANUP_RAN => CleanupStatus::Ran,
                CLEANUP_FAILED => CleanupStatus::Failed,
                _ => CleanupStatus::NeverReached,
            };
            Cleanup::new(read_text(&cleanup.name), status, error)
        })
        .collect()
}

/// A port pair that a process has noted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) local: u16,
    pub(crate) remote: u16,
    pub(crate) stack: u32,
    pub(crate) round: u32,
}

impl RegionMap {
    /// The pairs that this process closed first.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        let count = (self.pair_next.load(Acquire) as usize).min(PAIR_SLOTS);
        self.pairs[..count]
            .iter()
            .filter(|pair| pair.ready.load(Acquire) == 1)
            .map(|pair| Pair {
                local: pair.local_port.load(Relaxed),
                remote: pair.remote_port.load(Relaxed),
                stack: pair.stack.load(Relaxed),
                round: pair.round.load(Relaxed),
            })
            .collect()
    }
}
