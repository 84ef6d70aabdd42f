//! When the daemon syncs: one thread, and the only one that has the sync's store.
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
//! A tick that finds nothing forks nothing and writes nothing, and wakes no other thread: it is three
//! `stat`s and one question to SQLite.

mod plan;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::dispatch::internal;
use super::shared::GIT_OFF;
use super::worker::{JobLost, NotClosed, OpenStores, StoreThread};
use super::{DaemonLock, Shared, StopReason};
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::git::{Commit, Git};
use crate::jsonl::FileIdentity;
use crate::store::{Store, StoreError};
use crate::sync::{SyncError, SyncOptions, SyncReport, WhenBusy, WhenToCommit};
use plan::{Ended, Pace, Plan};

/// Bounds of the interval, so that no sum of times overflows and no tick chases the next.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(1);
pub(super) const INTERVAL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a pass did, or why it did not.
type Outcome = Result<SyncReport, Failure>;

/// What others tell the scheduler.
enum Event {
    Changed,
    /// Somebody wants a pass, and to know what came of it. No more of them than connections.
    Asked(oneshot::Sender<Outcome>),
    Finish(LastPass),
}

/// Whether what waits at the end is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastPass {
    IfAnythingWaits,
    Never,
}

/// A way to tell the scheduler something.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    events: Sender<Event>,
    /// Whether it has been told of a change that it has not seen to: however many there are, they
    /// are told once.
    is_told: Arc<AtomicBool>,
    /// Whether a pass runs.
    passing: watch::Sender<bool>,
}

/// The other end, for the scheduler.
pub(super) struct Heard {
    events: Receiver<Event>,
    caller: Caller,
}

/// Both ends.
pub(super) fn calls() -> (Caller, Heard) {
    let (events, heard) = channel();
    let caller = Caller { events, is_told: Arc::default(), passing: watch::Sender::new(false) };
    (caller.clone(), Heard { events: heard, caller })
}

impl Caller {
    /// Asks for a pass that begins after now, and returns what came of it.
    pub(super) async fn sync(&self) -> Result<Outcome, JobLost> {
        let (asked, answer) = oneshot::channel();
        self.events.send(Event::Asked(asked)).map_err(|_| JobLost)?;
        answer.await.map_err(|_| JobLost)
    }

    /// Tells of a change.
    pub(super) fn changed(&self) {
        if !self.is_told.swap(true, Ordering::AcqRel) {
            self.tell(Event::Changed);
        }
    }

    fn tell(&self, event: Event) {
        // A scheduler that has ended needs not be told any more.
        let _ended = self.events.send(event);
    }
}

/// The scheduler's thread, from the outside.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    pub(super) thread: StoreThread,
}

impl Syncer {
    /// Gives the store to a new thread, whose first pass is at once.
    pub(super) fn start(
        shared: &Arc<Shared>,
        lock: &Arc<DaemonLock>,
        heard: Heard,
        store: Store,
        open: &OpenStores,
    ) -> std::io::Result<Self> {
        let scheduler = Scheduler::new(shared, lock, heard, store);
        let thread = StoreThread::start("sync", open, move || scheduler.run())?;
        Ok(Self { shared: Arc::clone(shared), thread })
    }

    /// Begins the end, with a last pass if anything waits.
    pub(super) fn finish(&self) {
        self.shared.scheduler.tell(Event::Finish(LastPass::IfAnythingWaits));
    }

    /// Joins the thread, which was told to end.
    pub(super) async fn close(mut self, patience: Duration) -> Result<(), NotClosed> {
        self.thread.join_within(patience).await
    }
}

impl Drop for Syncer {
    /// For a daemon whose future was dropped: the thread must not outlive it, and git not hold it.
    fn drop(&mut self) {
        let _unheard = self.shared.make_haste();
        self.shared.scheduler.tell(Event::Finish(LastPass::Never));
        self.thread.join();
    }
}

/// Looks after lock, database and workspace in the scheduler's stead while a pass runs, which a
/// git that hangs can draw out for long.
pub(super) async fn watch_over_passes(shared: Arc<Shared>, lock: Arc<DaemonLock>) {
    let interval = bounded(shared.options.interval);
    let mut passing = shared.scheduler.passing.subscribe();
    let watch = async {
        while passing.wait_for(|is_passing| *is_passing).await.is_ok() {
            while timeout(interval, passing.wait_for(|is_passing| !is_passing)).await.is_err() {
                if let Some(reason) = shared.lost_place(&lock) {
                    return shared.stop(reason);
                }
            }
        }
    };
    shared.stopping.run_until_cancelled(watch).await;
}

/// The one who decides.
struct Scheduler {
    shared: Arc<Shared>,
    lock: Arc<DaemonLock>,
    store: Store,
    heard: Heard,
    plan: Plan,
    next_tick: Instant,
    /// Who asked since the last pass began.
    waiting: Vec<oneshot::Sender<Outcome>>,
    /// Other people's changes that were seen to.
    marks: Marks,
    /// Requests at the last tick.
    requests: u64,
    /// When somebody last was here, or something last changed.
    active: Instant,
}

/// What tells of other people's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Marks {
    data_version: Option<i64>,
    file: Option<FileIdentity>,
}

impl Scheduler {
    fn new(shared: &Arc<Shared>, lock: &Arc<DaemonLock>, heard: Heard, store: Store) -> Self {
        let (now, options) = (Instant::now(), &shared.options);
        let interval = bounded(options.interval);
        Self {
            shared: Arc::clone(shared),
            lock: Arc::clone(lock),
            store,
            heard,
            plan: Plan::new(Pace::new(interval, options.commit_interval), now),
            // What is due at once is planned so.
            next_tick: now + interval,
            waiting: Vec::new(),
            marks: Marks::default(),
            requests: 0,
            active: now,
        }
    }

    /// Decides until it is told to finish, and sees to it that what is done is passed on.
    fn run(mut self) -> Result<(), StoreError> {
        let last_pass = loop {
            if let Some(finish) = self.hear() {
                break finish;
            }
            let now = Instant::now();
            if now >= self.next_tick {
                self.tick(now);
                self.next_tick = now + bounded(self.shared.options.interval);
            }
            if !self.waiting.is_empty() {
                self.pass(WhenToCommit::Now);
            } else if self.due().is_some_and(|due| due <= now) {
                self.pass(WhenToCommit::AtMostEvery(self.shared.options.commit_interval));
            }
        };
        let is_wanted = last_pass == LastPass::IfAnythingWaits && !self.shared.is_in_haste();
        if is_wanted && self.has_its_place() {
            self.look_for_changes();
            if self.plan.is_pending() {
                self.pass(WhenToCommit::Now);
            }
        }
        self.store.close()
    }

    /// Waits for whatever comes first, and takes in all that is there, so that many who ask at
    /// once get one pass.
    fn hear(&mut self) -> Option<LastPass> {
        let due = self.due().unwrap_or(self.next_tick);
        let mut patience = due.min(self.next_tick).saturating_duration_since(Instant::now());
        while let Ok(event) = self.heard.events.recv_timeout(patience) {
            match event {
                Event::Changed => {
                    self.heard.caller.is_told.store(false, Ordering::Release);
                    self.plan.changed(Instant::now());
                }
                Event::Asked(asked) => self.waiting.push(asked),
                Event::Finish(last_pass) => return Some(last_pass),
            }
            patience = Duration::ZERO;
        }
        None
    }

    /// When the next pass is due that nobody has asked for. Once the daemon stops, what waits is
    /// the last pass's.
    fn due(&self) -> Option<Instant> {
        self.plan.next().filter(|_| !self.shared.stopping.is_cancelled())
    }

    fn has_its_place(&self) -> bool {
        self.shared.keeps_its_place() && self.shared.lost_place(&self.lock).is_none()
    }

    /// One pass, for all who wait.
    fn pass(&mut self, commit: WhenToCommit) {
        let asked = std::mem::take(&mut self.waiting);
        let began = Instant::now();
        self.plan.began();
        // What changes meanwhile shows as a change.
        self.marks = self.look();
        self.heard.caller.passing.send_replace(true);
        // A pass that panicked is a failed one, whose transaction was rolled back.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.bring_up_to_date(commit)))
            .unwrap_or_else(|_| Err(internal("the sync panicked".into())));
        self.heard.caller.passing.send_replace(false);
        if outcome.as_ref().is_ok_and(|report| !report.is_idle()) {
            // Not as it was before: one that the pass has made and somebody has removed would be no change.
            self.marks.file = crate::sync::left(&self.store);
        }
        let now = Instant::now();
        self.shared.counters.passed(now.duration_since(began));
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

    fn bring_up_to_date(&mut self, commit: WhenToCommit) -> Outcome {
        let shared = &self.shared;
        if !shared.database_is_in_place() {
            return Err(shared.database_replaced());
        }
        let options = SyncOptions {
            git_timeout: shared.options.git_timeout,
            interrupt: Some(Arc::clone(&shared.interrupt)),
            when_busy: WhenBusy::Refuse,
            commit,
        };
        let report = match crate::sync::pass(&mut self.store, &shared.workspace, &options) {
            Ok(report) => report,
            Err(error) => {
                if let SyncError::Git { report, .. } = &error {
                    shared.note_report(report);
                }
                return Err(Failure::from(&error));
            }
        };
        if report.commit == Some(Commit::Done) {
            shared.note_git_bytes(git_bytes(shared));
        }
        Ok(report)
    }

    /// Looks whether there is still something to serve, and whether something has changed.
    fn tick(&mut self, began: Instant) {
        if let Some(reason) = self.shared.lost_place(&self.lock) {
            return self.shared.stop(reason);
        }
        self.look_for_changes();
        if self.is_idle_for_long(began) {
            return self.shared.stop(StopReason::Idle);
        }
        self.shared.counters.ticked(began.elapsed());
    }

    fn look_for_changes(&mut self) {
        if self.look() != self.marks {
            self.plan.changed(Instant::now());
        }
    }

    fn look(&self) -> Marks {
        Marks {
            data_version: self.store.data_version().ok(),
            file: FileIdentity::at(&self.shared.workspace.jsonl()),
        }
    }

    /// Whether nobody was here and nothing has changed for longer than the daemon shall wait.
    fn is_idle_for_long(&mut self, now: Instant) -> bool {
        let requests = self.shared.counters.requests();
        if requests != self.requests || self.shared.connections() > 0 {
            self.active = now;
        }
        self.requests = requests;
        let idle = now.saturating_duration_since(self.active);
        self.shared.options.idle_timeout.is_some_and(|timeout| idle >= timeout)
    }
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
