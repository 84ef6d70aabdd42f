//! When the daemon syncs: one task, and the only one that has the sync's thread and store.
//!
//! ```text
//!  tick ────► look: lock, database, workspace ──gone?──► stop
//!                   data_version, file ──changed?─┐
//!  change by a request ───────────────────────────┴─► debounce ─┐
//!  back-off or commit interval over ────────────────────────────┼─► pass, one at a time
//!  `sync` ─────────────────────── at once, whatever waits ──────┘
//!  stop ──────► one last pass, if anything waits
//! ```
//!
//! Whatever comes while a pass runs is the next one's, however much it is.
//! A tick that finds nothing forks nothing and writes nothing: it is three `stat`s and one question
//! to SQLite.

mod plan;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::dispatch::internal;
use super::shared::GIT_OFF;
use super::worker::{JobLost, WorkerHandle};
use super::{DaemonLock, Shared, StopReason};
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::git::{Commit, Git};
use crate::sync::{SyncOptions, SyncReport, WhenBusy, WhenToCommit};
use plan::{Ended, Pace, Plan};

/// Calls of `sync` that may wait to be heard; whoever comes later waits to hand theirs in.
const CALLS_MAX: usize = 64;
/// Bounds of the interval, so that no sum of times overflows and no tick chases the next.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(1);
pub(super) const INTERVAL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a pass did, or why it did not.
type Outcome = Result<SyncReport, Failure>;

/// A way to ask for a pass.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    calls: mpsc::Sender<oneshot::Sender<Outcome>>,
}

/// The other end, for the scheduler.
pub(super) type Calls = mpsc::Receiver<oneshot::Sender<Outcome>>;

/// Both ends.
pub(super) fn calls() -> (Caller, Calls) {
    let (calls, heard) = mpsc::channel(CALLS_MAX);
    (Caller { calls }, heard)
}

impl Caller {
    /// Asks for a pass that begins after now, and returns what came of it.
    pub(super) async fn sync(&self) -> Result<Outcome, JobLost> {
        let (asked, answer) = oneshot::channel();
        self.calls.send(asked).await.map_err(|_| JobLost)?;
        answer.await.map_err(|_| JobLost)
    }
}

/// The one who decides.
pub(super) struct Scheduler {
    shared: Arc<Shared>,
    lock: Arc<DaemonLock>,
    syncer: WorkerHandle,
    calls: Calls,
    plan: Plan,
    running: Option<Running>,
    /// Who asked since the running pass began.
    waiting: Vec<oneshot::Sender<Outcome>>,
    seen: Seen,
    /// When somebody last was here, or something last changed.
    active: Instant,
}

/// A pass under way.
struct Running {
    pass: Pin<Box<dyn Future<Output = Result<Passed, JobLost>> + Send>>,
    /// Who waits for it.
    asked: Vec<oneshot::Sender<Outcome>>,
    began: Instant,
}

/// What comes back from the sync's thread.
struct Passed {
    outcome: Outcome,
    /// Taken before the pass: what changes meanwhile shows as a change.
    seen: Marks,
    /// The size of git's objects after a commit.
    git_bytes: Option<u64>,
}

/// What tells of other people's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Marks {
    data_version: Option<i64>,
    file: Option<Stamp>,
}

/// Inode, size, and the times of change of content and inode: what no change leaves alone.
type Stamp = (u64, u64, (i64, i64), (i64, i64));

#[derive(Debug, Default)]
struct Seen {
    marks: Marks,
    requests: u64,
}

impl Scheduler {
    pub(super) fn new(
        shared: &Arc<Shared>,
        lock: &Arc<DaemonLock>,
        syncer: WorkerHandle,
        calls: Calls,
    ) -> Self {
        let (now, options) = (Instant::now(), &shared.options);
        let pace = Pace::new(bounded(options.interval), options.commit_interval);
        Self {
            shared: Arc::clone(shared),
            lock: Arc::clone(lock),
            syncer,
            calls,
            plan: Plan::new(pace, now),
            running: None,
            waiting: Vec::new(),
            seen: Seen::default(),
            active: now,
        }
    }

    /// Decides until the daemon stops, and sees to it that what is done is passed on.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut ticks = ticker(bounded(shared.options.interval));
        loop {
            self.begin_if_due();
            let next = self.plan.next().filter(|_| self.running.is_none());
            tokio::select! {
                () = shared.stopping.cancelled() => break,
                passed = finish(&mut self.running) => self.finished(passed),
                Some(asked) = self.calls.recv() => self.waiting.push(asked),
                () = shared.changed.notified() => self.plan.changed(Instant::now()),
                _ = ticks.tick() => self.tick().await,
                () = until(next) => {}
            }
        }
        self.last_pass().await;
    }

    /// Begins a pass if somebody waits for one or it is time, and none runs.
    fn begin_if_due(&mut self) {
        let now = Instant::now();
        let is_due = self.plan.next().is_some_and(|due| due <= now);
        if self.running.is_none() && (is_due || !self.waiting.is_empty()) {
            let commit = match self.waiting.is_empty() {
                true => WhenToCommit::AtMostEvery(self.shared.options.commit_interval),
                false => WhenToCommit::Now,
            };
            self.begin(commit);
        }
    }

    fn begin(&mut self, commit: WhenToCommit) {
        self.plan.began();
        let shared = Arc::clone(&self.shared);
        let options = SyncOptions {
            git_timeout: shared.options.git_timeout,
            interrupt: Some(Arc::clone(&shared.interrupt)),
            when_busy: WhenBusy::Refuse,
            commit,
        };
        let syncer = self.syncer.clone();
        let pass = Box::pin(async move {
            syncer
                .call(move |store| {
                    let seen = Marks {
                        data_version: store.data_version().ok(),
                        file: stamp(&shared.workspace.jsonl()),
                    };
                    let outcome = match shared.database_is_in_place() {
                        true => crate::sync::pass(store, &shared.workspace, &options)
                            .map_err(|error| Failure::from(&error)),
                        false => Err(shared.database_replaced()),
                    };
                    let is_new = outcome.as_ref().is_ok_and(|it| it.commit == Some(Commit::Done));
                    let git_bytes = is_new.then(|| git_bytes(&shared)).flatten();
                    Passed { outcome, seen, git_bytes }
                })
                .await
        });
        let asked = std::mem::take(&mut self.waiting);
        self.running = Some(Running { pass, asked, began: Instant::now() });
    }

    /// Notes what came of a pass and tells whoever asked for it.
    fn finished(&mut self, passed: Result<Passed, JobLost>) {
        let Some(Running { asked, began, .. }) = self.running.take() else { return };
        let now = Instant::now();
        self.shared.counters.passed(now.duration_since(began));
        // A pass that panicked is a failed one: the text of the panic is in the log.
        let outcome = match passed {
            Err(lost) => Err(internal(lost.to_string())),
            Ok(passed) => {
                self.seen.marks = passed.seen;
                self.shared.note_git_bytes(passed.git_bytes);
                passed.outcome
            }
        };
        let ended = how(&outcome);
        if matches!(ended, Ended::Wrote | Ended::Committed) {
            self.active = now;
        }
        self.plan.ended(ended, now);
        self.shared.note(&outcome, self.plan.retry());
        for asked in asked {
            // Who does not wait any more need not be told.
            let _gone = asked.send(outcome.clone());
        }
    }

    /// Looks whether there is still something to serve, and whether something has changed.
    async fn tick(&mut self) {
        let began = Instant::now();
        if let Some(reason) = self.has_lost_its_place() {
            return self.shared.stop(reason);
        }
        // While a pass runs its thread cannot be asked, and the next tick will do.
        if self.running.is_none() {
            self.look_for_changes().await;
        }
        if self.is_idle_for_long(began) {
            return self.shared.stop(StopReason::Idle);
        }
        self.shared.counters.ticked(began.elapsed());
    }

    fn has_lost_its_place(&self) -> Option<StopReason> {
        let reason = if !self.lock.is_in_place() {
            StopReason::LockReplaced
        } else if !self.shared.database_is_in_place() {
            StopReason::DatabaseReplaced
        } else {
            return None;
        };
        let is_there = self.shared.workspace.dir().is_dir();
        Some(if is_there { reason } else { StopReason::WorkspaceGone })
    }

    async fn look_for_changes(&mut self) {
        let Ok(data_version) = self.syncer.call(|store| store.data_version().ok()).await else {
            return;
        };
        let marks = Marks { data_version, file: stamp(&self.shared.workspace.jsonl()) };
        if marks != self.seen.marks {
            self.plan.changed(Instant::now());
        }
    }

    /// Whether nobody was here and nothing has changed for longer than the daemon shall wait.
    fn is_idle_for_long(&mut self, now: Instant) -> bool {
        let requests = self.shared.counters.requests();
        let is_in_use = requests != self.seen.requests || self.shared.connections() > 0;
        self.seen.requests = requests;
        if is_in_use || self.running.is_some() {
            self.active = now;
        }
        let idle = now.saturating_duration_since(self.active);
        self.shared.options.idle_timeout.is_some_and(|timeout| idle >= timeout)
    }

    /// Does what is asked for until nobody asks any more, then begins a last pass if anything
    /// waits, be it for its time.
    async fn last_pass(&mut self) {
        if !self.shared.keeps_its_place() || self.has_lost_its_place().is_some() {
            // Somebody else's files are not ours to write.
            return;
        }
        let shared = Arc::clone(&self.shared);
        // Connections have been told to end with the request that they are at, which may change
        // something or be a `sync`. One that does not end is waited for only so long.
        let everyone = shared.options.connections_max.try_into().unwrap_or(u32::MAX);
        let gone =
            timeout(shared.options.shutdown_timeout / 4, shared.slots.acquire_many(everyone));
        tokio::pin!(gone);
        let mut has_failed = false;
        loop {
            if self.running.is_none() && !self.waiting.is_empty() {
                self.begin(WhenToCommit::Now);
            }
            let is_free = self.running.is_none();
            tokio::select! {
                passed = finish(&mut self.running) => {
                    self.finished(passed);
                    has_failed = self.plan.retry().is_some();
                }
                Some(asked) = self.calls.recv() => self.waiting.push(asked),
                _gone_or_not = &mut gone, if is_free => break,
            }
        }
        self.look_for_changes().await;
        // What has failed in this very moment will fail again.
        if self.plan.is_pending() && !has_failed {
            self.begin(WhenToCommit::Now);
            let passed = finish(&mut self.running).await;
            self.finished(passed);
        }
    }
}

/// Waits for the running pass; for ever where there is none.
async fn finish(running: &mut Option<Running>) -> Result<Passed, JobLost> {
    match running {
        Some(running) => running.pass.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Waits for a moment; for ever where there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// The first tick is an interval away: what is due at once is planned so.
fn ticker(interval: Duration) -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn bounded(interval: Duration) -> Duration {
    interval.clamp(INTERVAL_MIN, INTERVAL_MAX)
}

fn how(outcome: &Outcome) -> Ended {
    match outcome {
        Ok(report) if report.commit == Some(Commit::Done) => Ended::Committed,
        Ok(report) if report.is_idle() => Ended::Idle,
        Ok(_) => Ended::Wrote,
        Err(failure) if failure.exit == Exit::Busy => Ended::Busy,
        Err(failure) if failure.code == GIT_OFF => Ended::Paused,
        Err(_) => Ended::Failed,
    }
}

/// How much git keeps here, or nothing if it does not tell: a number is not worth a failure.
fn git_bytes(shared: &Shared) -> Option<u64> {
    let git = Git {
        root: shared.workspace.root(),
        timeout: shared.options.git_timeout,
        interrupt: Some(&shared.interrupt),
    };
    git.objects_bytes().ok()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    let (modified, changed) = (found.mtime(), found.ctime());
    let times = ((modified, found.mtime_nsec()), (changed, found.ctime_nsec()));
    Some((found.ino(), found.size(), times.0, times.1))
}
