//! What every task of one daemon knows.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::counters::Counters;
use super::scheduler::Caller;
use super::worker::{OpenStores, WorkerHandle};
use super::{DaemonLock, FileId, Options, ShutdownReport, StopReason};
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::git::Commit;
use crate::paths::Workspace;
use crate::process::Interrupt;
use crate::protocol::{Hello, PROTOCOL_VERSION, Status};
use crate::sync::SyncReport;

/// The code of the failure that says that git is off for now.
pub(super) const GIT_OFF: &str = "git_off";

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) workspace: Workspace,
    pub(super) options: Options,
    /// Cancelled when the shutdown begins.
    pub(super) stopping: CancellationToken,
    reason: OnceLock<StopReason>,
    /// One permit for each connection that may be open.
    pub(super) slots: Arc<Semaphore>,
    pub(super) requests: WorkerHandle,
    pub(super) scheduler: Caller,
    pub(super) interrupt: Arc<Interrupt>,
    is_in_haste: AtomicBool,
    pub(super) tasks: TaskTracker,
    pub(super) stores: OpenStores,
    pub(super) counters: Counters,
    started: Instant,
    tcp: Option<SocketAddr>,
    database: FileId,
    here: FileId,
    syncing: Mutex<Syncing>,
}

/// What a daemon brings with it when it begins.
pub(super) struct Parts {
    pub(super) workspace: Workspace,
    pub(super) options: Options,
    pub(super) stopping: CancellationToken,
    pub(super) requests: WorkerHandle,
    pub(super) scheduler: Caller,
    pub(super) interrupt: Arc<Interrupt>,
    pub(super) tasks: TaskTracker,
    pub(super) stores: OpenStores,
    pub(super) tcp: Option<SocketAddr>,
    pub(super) database: FileId,
    pub(super) here: FileId,
}

/// How the syncing goes.
#[derive(Debug, Default)]
struct Syncing {
    /// Why the last pass failed, if it did.
    error: Option<String>,
    /// Why git is off for now, if it is. No failure: its user is in the middle of something.
    git_off: Option<String>,
    /// When a failed pass is tried again.
    retry: Option<Instant>,
    /// The size of git's objects after the last commit.
    git_bytes: Option<u64>,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(parts.options.connections_max)),
            workspace: parts.workspace,
            options: parts.options,
            stopping: parts.stopping,
            reason: OnceLock::new(),
            requests: parts.requests,
            scheduler: parts.scheduler,
            interrupt: parts.interrupt,
            is_in_haste: AtomicBool::new(false),
            tasks: parts.tasks,
            stores: parts.stores,
            counters: Counters::default(),
            started: Instant::now(),
            tcp: parts.tcp,
            database: parts.database,
            here: parts.here,
            syncing: Mutex::default(),
        }
    }

    /// Begins the shutdown; the first reason counts.
    pub(super) fn stop(&self, reason: StopReason) {
        if self.reason.set(reason).is_ok() {
            tracing::info!(?reason, "stopping");
        }
        self.stopping.cancel();
    }

    /// Ends git, now and from now on: the time for a shutdown is running out.
    pub(super) fn make_haste(&self) -> std::io::Result<()> {
        self.is_in_haste.store(true, Ordering::Release);
        self.interrupt.raise()
    }

    pub(super) fn is_in_haste(&self) -> bool {
        self.is_in_haste.load(Ordering::Acquire)
    }

    /// Whether it ends with everything still its own, so that what it does last is in its place.
    pub(super) fn keeps_its_place(&self) -> bool {
        use StopReason::{DatabaseReplaced, LockReplaced, WorkspaceGone};
        !matches!(self.reason.get(), Some(DatabaseReplaced | LockReplaced | WorkspaceGone))
    }

    /// Why there is nothing left to serve, if that is so.
    pub(super) fn lost_place(&self, lock: &DaemonLock) -> Option<StopReason> {
        let reason = if !lock.is_in_place() {
            StopReason::LockReplaced
        } else if !self.database_is_in_place() {
            StopReason::DatabaseReplaced
        } else {
            return None;
        };
        let is_there = self.workspace.dir().is_dir();
        Some(if is_there { reason } else { StopReason::WorkspaceGone })
    }

    /// Whether the database's name still leads to the file that our stores have open. What is
    /// written to another one would be acknowledged, and gone.
    pub(super) fn database_is_in_place(&self) -> bool {
        FileId::behind(&self.workspace.database()).is_ok_and(|found| found == self.database)
    }

    /// The refusal for when it does not, and the end of this daemon.
    pub(super) fn database_replaced(&self) -> Failure {
        self.stop(StopReason::DatabaseReplaced);
        Failure::new(
            Exit::Busy,
            "database_replaced",
            format!("{} was replaced under the daemon", self.workspace.database().display()),
            "nothing was changed; the daemon ends, run `tracker daemon start` for the new one",
        )
    }

    /// Remembers what came of a pass, and logs it if it is news.
    pub(super) fn note(&self, outcome: &Result<SyncReport, Failure>, retry: Option<Instant>) {
        let mut syncing = self.syncing();
        syncing.retry = retry;
        let (mut error, mut git_off) = (None, None);
        match outcome {
            Ok(report) => self.note_report(report),
            Err(failure) if failure.code == GIT_OFF => git_off = Some(failure.message.clone()),
            Err(failure) => {
                self.counters.failed.add();
                error = Some(failure.message.clone());
            }
        }
        // What stays as it is, is logged once and not at every attempt.
        if git_off.is_some() && syncing.git_off != git_off {
            tracing::info!(reason = git_off, "not committed");
        }
        if let Err(failure) = outcome
            && error.is_some()
            && syncing.error != error
        {
            tracing::warn!(error, hint = failure.hint, "sync failed");
        }
        (syncing.error, syncing.git_off) = (error, git_off);
    }

    /// Counts what a pass did, and logs it if it did anything.
    pub(super) fn note_report(&self, report: &SyncReport) {
        if report.imported.is_some() {
            self.counters.imports.add();
        }
        if report.exported.is_some() {
            self.counters.exports.add();
        }
        if report.commit == Some(Commit::Done) {
            self.counters.commits.add();
        }
        if !report.is_idle() {
            tracing::info!("{report}");
        }
    }

    /// Remembers the size of git's objects, if it is known.
    pub(super) fn note_git_bytes(&self, bytes: Option<u64>) {
        let mut syncing = self.syncing();
        syncing.git_bytes = bytes.or(syncing.git_bytes);
    }

    /// The size of git's objects after the last commit.
    pub(super) fn git_bytes(&self) -> Option<u64> {
        self.syncing().git_bytes
    }

    /// How long until a failed pass is tried again.
    pub(super) fn backoff(&self) -> Option<Duration> {
        self.syncing().retry.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Connections open now.
    pub(super) fn connections(&self) -> usize {
        self.options.connections_max.saturating_sub(self.slots.available_permits())
    }

    pub(super) fn hello(&self) -> Hello {
        Hello {
            protocol: PROTOCOL_VERSION,
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            workspace: self.workspace.dir().display().to_string(),
            identity: Some(self.here),
        }
    }

    pub(super) fn status(&self) -> Status {
        let backoff = self.backoff();
        let (last_error, git_off) = {
            let syncing = self.syncing();
            (syncing.error.clone(), syncing.git_off.clone())
        };
        Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            workspace: self.workspace.dir().display().to_string(),
            socket: self.workspace.socket().display().to_string(),
            tcp: self.tcp,
            uptime_ms: millis(self.started.elapsed()),
            interval_ms: millis(self.options.interval),
            commit_interval_ms: millis(self.options.commit_interval),
            idle_timeout_ms: self.options.idle_timeout.map(millis),
            ticks: self.counters.ticks.count(),
            passes: self.counters.passes.count(),
            exports: self.counters.exports.get(),
            commits: self.counters.commits.get(),
            imports: self.counters.imports.get(),
            last_error,
            git_off,
            retry_in_ms: backoff.map(millis),
            connections: self.connections() as u64,
            requests: self.counters.requests(),
        }
    }

    pub(super) fn report(&self, unclosed: Vec<String>) -> ShutdownReport {
        ShutdownReport {
            reason: self.reason.get().copied().unwrap_or(StopReason::Cancelled),
            ticks: self.counters.ticks.count(),
            passes: self.counters.passes.count(),
            exports: self.counters.exports.get(),
            requests: self.counters.requests(),
            unclosed,
        }
    }

    fn syncing(&self) -> MutexGuard<'_, Syncing> {
        self.syncing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
