//! The daemon: answers calls and keeps the JSONL file in step, one per workspace.
//!
//! ```text
//!  Daemon::bind: lock, two stores, socket (and TCP)      everything that can fail, fails here
//!  Daemon::run:
//!     accept ──► connection ──► dispatch ──► worker "requests" (a thread, a store)
//!     ticker ──► sync pass ────────────────► worker "sync"     (a thread, a store, git)
//!     stop   ──► stop accepting, answer what is here, end git, join tasks and threads, report
//! ```
//!
//! It is an ordinary value: no statics, no signals, no log subscriber, so a program can run many.
//! Once [`Daemon::run`] has returned, no task, thread, descriptor, child or file of it is left,
//! or the [`ShutdownReport`] names what is.

mod accept;
mod connection;
pub mod control;
mod dispatch;
mod listen;
pub mod lock;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::{Endpoint, TcpEndpoint};
use crate::paths::{Workspace, WorkspaceError};
use crate::process::Interrupt;
use crate::protocol::{LINE_BYTES_MAX, Status};
use crate::store::{BUSY_TIMEOUT, Store, StoreError};
use crate::sync::{GIT_TIMEOUT, SyncError, SyncOptions, SyncReport, WhenBusy, WhenToCommit};

pub use control::ControlError;
pub use lock::{DaemonLock, LockError};

use listen::{TcpSocket, UnixSocket};
use worker::{JobLost, Worker, WorkerHandle};

/// The least a shutdown leaves its threads, even if its tasks have used up all the time.
const THREAD_PATIENCE_MIN: Duration = Duration::from_secs(1);

/// How a daemon behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The time between two sync passes.
    pub interval: Duration,
    /// A loopback address to listen on beside the socket; its port may be 0.
    pub tcp: Option<SocketAddr>,
    /// Connections that may be open at once.
    pub connections_max: usize,
    /// The longest request.
    pub line_bytes_max: usize,
    /// How long a request may take to arrive, to be carried out, and its answer to be read.
    pub request_timeout: Duration,
    /// How long a statement waits for another process's transaction.
    pub busy_timeout: Duration,
    /// How long one call of git may take.
    pub git_timeout: Duration,
    /// How long a shutdown waits for what is under way.
    /// After half of it git is ended, after all of it connections are cut.
    pub shutdown_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            tcp: None,
            connections_max: 100,
            line_bytes_max: LINE_BYTES_MAX,
            request_timeout: Duration::from_secs(30),
            busy_timeout: BUSY_TIMEOUT,
            git_timeout: GIT_TIMEOUT,
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The workspace is not as it should be.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// There is one already.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The database would not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot listen there.
    #[error("cannot listen at {at}: {source}")]
    Listen {
        /// The socket, address or file.
        at: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The issues are for this machine's users alone.
    #[error("{address} is not a loopback address")]
    NotLoopback {
        /// What was asked for.
        address: SocketAddr,
    },
    /// The kernel gave no thread or descriptor.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
}

/// Why a daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// Whoever runs it cancelled the token.
    Cancelled,
    /// A client asked for it.
    Asked,
    /// Its workspace is gone.
    WorkspaceGone,
    /// Its pidfile is not the one it holds any more.
    LockReplaced,
}

/// What a daemon did, and what of it would not end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Why it ended.
    pub reason: StopReason,
    /// Sync passes.
    pub ticks: u64,
    /// Sync passes that wrote something.
    pub exports: u64,
    /// Requests answered.
    pub requests: u64,
    /// What did not close in time, or not without an error. Empty after a clean shutdown.
    pub unclosed: Vec<String>,
}

/// A daemon that holds everything it needs and has not begun.
#[derive(Debug)]
#[must_use]
pub struct Daemon {
    workspace: Workspace,
    options: Options,
    unix: UnixSocket,
    tcp: Option<TcpSocket>,
    requests: Store,
    sync: Store,
    /// The last to go: as long as the lock is held, the names in the file system are ours.
    lock: DaemonLock,
}

impl Daemon {
    /// Takes the lock, opens the stores and listens. Clients may connect from here on; they are
    /// answered as soon as the daemon runs.
    pub fn bind(workspace: &Workspace, options: Options) -> Result<Self, DaemonError> {
        workspace.ensure_run_dir()?;
        let lock = DaemonLock::acquire(&workspace.pidfile())?;
        let open = || worker::open(&workspace.database(), options.busy_timeout);
        let (requests, sync) = (open()?, open()?);
        let unix = UnixSocket::bind(workspace)?;
        let tcp = match options.tcp {
            Some(address) => Some(TcpSocket::bind(workspace, address)?),
            None => {
                listen::forget_tcp(workspace)?;
                None
            }
        };
        Ok(Self { workspace: workspace.clone(), options, unix, tcp, requests, sync, lock })
    }

    /// Where its socket is.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.workspace.socket())
    }

    /// Address and token of its second transport, if it has one.
    pub fn tcp_endpoint(&self) -> Option<TcpEndpoint> {
        self.tcp.as_ref().map(|tcp| tcp.endpoint.clone())
    }

    /// Serves until `shutdown` is cancelled, a client asks for the end, or the workspace goes.
    ///
    /// Runs on any tokio runtime with time and I/O.
    /// Dropping the future ends everything too, without a report.
    pub async fn run(self, shutdown: CancellationToken) -> Result<ShutdownReport, DaemonError> {
        let Self { workspace, options, unix, tcp, requests, sync, lock } = self;
        let interrupt = Arc::new(Interrupt::new().map_err(DaemonError::Start)?);
        let requests = Worker::start("requests", requests).map_err(DaemonError::Start)?;
        let syncer = Worker::start("sync", sync).map_err(DaemonError::Start)?;
        let shared = Arc::new(Shared {
            stopping: CancellationToken::new(),
            reason: OnceLock::new(),
            slots: Arc::new(Semaphore::new(options.connections_max)),
            requests: requests.handle(),
            syncer: syncer.handle(),
            interrupt: Arc::clone(&interrupt),
            started: Instant::now(),
            tcp: tcp.as_ref().map(|tcp| tcp.endpoint.address),
            ticks: AtomicU64::new(0),
            exports: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            last_error: Mutex::new(None),
            workspace,
            options,
        });

        // Whatever way this function ends, no task goes on: the guard cancels them all.
        let cut = CancellationToken::new();
        let _cut_on_drop = cut.clone().drop_guard();
        let tasks = TaskTracker::new();
        let acceptor = accept::Acceptor::new(&shared, &tasks, &cut);
        acceptor.unix(unix.listener)?;
        let tcp_name = match tcp {
            Some(tcp) => Some(acceptor.tcp(tcp)?),
            None => None,
        };
        let lock = Arc::new(lock);
        tasks.spawn(
            cut.clone().run_until_cancelled_owned(tick(Arc::clone(&shared), Arc::clone(&lock))),
        );
        tracing::info!(workspace = %shared.workspace.dir().display(), "ready");

        tokio::select! {
            () = shutdown.cancelled() => shared.stop(StopReason::Cancelled),
            () = shared.stopping.cancelled() => {}
        }

        let deadline = Instant::now() + shared.options.shutdown_timeout;
        let mut unclosed = Vec::new();
        join_tasks(&tasks, &cut, &interrupt, shared.options.shutdown_timeout, &mut unclosed).await;
        for worker in [requests, syncer] {
            let patience = deadline.saturating_duration_since(Instant::now());
            if let Err(error) = worker.close(patience.max(THREAD_PATIENCE_MIN)).await {
                unclosed.push(error.to_string());
            }
        }
        let report = ShutdownReport {
            reason: shared.reason.get().copied().unwrap_or(StopReason::Cancelled),
            ticks: shared.ticks.load(Ordering::Relaxed),
            exports: shared.exports.load(Ordering::Relaxed),
            requests: shared.answered.load(Ordering::Relaxed),
            unclosed,
        };
        drop((unix.name, tcp_name));
        drop(lock);
        tracing::info!(?report, "stopped");
        Ok(report)
    }
}

/// Waits for the tasks: first for all they do, then for all but git, then not at all.
async fn join_tasks(
    tasks: &TaskTracker,
    cut: &CancellationToken,
    interrupt: &Interrupt,
    patience: Duration,
    unclosed: &mut Vec<String>,
) {
    tasks.close();
    if timeout(patience / 2, tasks.wait()).await.is_err() {
        tracing::warn!(tasks = tasks.len(), "still busy, ending git");
    }
    if let Err(error) = interrupt.raise() {
        unclosed.push(format!("git could not be interrupted: {error}"));
    }
    if timeout(patience / 2, tasks.wait()).await.is_err() {
        unclosed.push(format!("{} task(s) had to be cut short", tasks.len()));
        cut.cancel();
        tasks.wait().await;
    }
}

/// Syncs at every tick, and leaves when there is nothing left to serve.
async fn tick(shared: Arc<Shared>, lock: Arc<DaemonLock>) {
    // The first tick is at once: what changed while no daemon ran is due already.
    let mut ticks = interval(shared.options.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shared.stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        if !lock.is_in_place() {
            let is_there = shared.workspace.dir().is_dir();
            shared.stop(match is_there {
                true => StopReason::LockReplaced,
                false => StopReason::WorkspaceGone,
            });
            return;
        }
        if shared.sync().await.is_err() {
            tracing::error!("a sync pass did not finish");
        }
    }
}

/// What every task of one daemon knows.
#[derive(Debug)]
struct Shared {
    workspace: Workspace,
    options: Options,
    /// Cancelled when the shutdown begins.
    stopping: CancellationToken,
    reason: OnceLock<StopReason>,
    /// One permit for each connection that may be open.
    slots: Arc<Semaphore>,
    requests: WorkerHandle,
    syncer: WorkerHandle,
    interrupt: Arc<Interrupt>,
    started: Instant,
    tcp: Option<SocketAddr>,
    ticks: AtomicU64,
    exports: AtomicU64,
    answered: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Shared {
    /// Begins the shutdown; the first reason counts.
    fn stop(&self, reason: StopReason) {
        if self.reason.set(reason).is_ok() {
            tracing::info!(?reason, "stopping");
        }
        self.stopping.cancel();
    }

    /// One sync pass on its own thread and store, so that no request waits for git.
    async fn sync(&self) -> Result<Result<SyncReport, SyncError>, JobLost> {
        let options = SyncOptions {
            git_timeout: self.options.git_timeout,
            interrupt: Some(Arc::clone(&self.interrupt)),
            when_busy: WhenBusy::Refuse,
            commit: WhenToCommit::Now,
        };
        let workspace = self.workspace.clone();
        let outcome =
            self.syncer.call(move |store| crate::sync::pass(store, &workspace, &options)).await?;
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.note(&outcome);
        Ok(outcome)
    }

    /// Remembers what came of a pass, and logs it if it is news.
    fn note(&self, outcome: &Result<SyncReport, SyncError>) {
        let mut last_error = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(report) => {
                if report.exported.is_some() {
                    self.exports.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(?report, "synced");
                }
                *last_error = None;
            }
            Err(error) => {
                let text = error.to_string();
                // A fault that stays is logged once, not at every tick.
                if last_error.as_ref() != Some(&text) {
                    tracing::warn!(error = text, "sync failed");
                }
                *last_error = Some(text);
            }
        }
    }

    fn count_request(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn status(&self) -> Status {
        let free = self.slots.available_permits();
        Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            workspace: self.workspace.dir().display().to_string(),
            socket: self.workspace.socket().display().to_string(),
            tcp: self.tcp,
            uptime_ms: millis(self.started.elapsed()),
            interval_ms: millis(self.options.interval),
            ticks: self.ticks.load(Ordering::Relaxed),
            exports: self.exports.load(Ordering::Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            connections: self.options.connections_max.saturating_sub(free) as u64,
            requests: self.answered.load(Ordering::Relaxed),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
