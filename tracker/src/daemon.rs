//! The daemon: answers calls and keeps the JSONL file in step, one per workspace.
//!
//! ```text
//!  Daemon::bind: lock, two stores, socket (and TCP)      everything that can fail, fails here
//!  Daemon::run:
//!     accept ──► connection ──► dispatch ──► worker "requests" (a thread, a store)
//!                                  │ changed, sync
//!     ticks ───────────────────────┴─────► scheduler "sync"     (a thread, a store, git)
//!     stop ──► stop accepting, answer what is here, sync once more, end git, join tasks and
//!              threads, report
//! ```
//!
//! It is an ordinary value: no statics, no signals, no log subscriber, so a program can run many.
//! Once [`Daemon::run`] has returned, no task, thread, descriptor, child or file of it is left,
//! or the [`ShutdownReport`] names what is.

mod accept;
mod connection;
pub mod control;
mod counters;
mod dispatch;
mod listen;
pub mod lock;
mod metrics;
mod scheduler;
mod shared;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::{Endpoint, TcpEndpoint};
use crate::paths::{Workspace, WorkspaceError};
use crate::process::Interrupt;
use crate::protocol::LINE_BYTES_MAX;
use crate::store::{BUSY_TIMEOUT, Store, StoreError};
use crate::sync::GIT_TIMEOUT;

pub use crate::file_id::FileId;
pub use control::ControlError;
pub use lock::{DaemonLock, LockError};

use listen::{TcpSocket, UnixSocket};
use scheduler::Syncer;
use shared::Shared;
use worker::{OpenStores, Worker};

/// The least a shutdown leaves its threads, even if its tasks have used up all the time.
const THREAD_PATIENCE_MIN: Duration = Duration::from_secs(1);

/// How a daemon behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The time between two ticks, from 1 ms to a year, of which the scheduler's other times are
    /// parts and multiples: a change waits a tenth of it for others, a failed pass is tried again
    /// after 6, then 12, and at last every 360 of it.
    pub interval: Duration,
    /// The time between two commits, if git is on. A sync that was asked for, and the last one of
    /// a daemon that stops, do not wait for it.
    pub commit_interval: Duration,
    /// Leave when nobody was connected and nothing has changed for so long, seen at a tick.
    pub idle_timeout: Option<Duration>,
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
            commit_interval: Duration::from_secs(5 * 60),
            idle_timeout: None,
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
    /// Its database is not the one it has open any more.
    DatabaseReplaced,
    /// Nobody needed it for as long as it was to wait.
    Idle,
    /// The thread that syncs has ended, which is a fault of ours.
    SchedulerLost,
}

/// What a daemon did, and what of it would not end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Why it ended.
    pub reason: StopReason,
    /// Looks at what there is to do.
    pub ticks: u64,
    /// Sync passes.
    pub passes: u64,
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
    /// Which database the stores are of.
    database: FileId,
    /// Which directory the workspace is.
    here: FileId,
    stopping: CancellationToken,
    /// The last to go: as long as the lock is held, the names in the file system are ours.
    lock: DaemonLock,
}

impl Daemon {
    /// Takes the lock, opens the stores and listens. Clients may connect from here on; they are
    /// answered as soon as the daemon runs.
    pub fn bind(workspace: &Workspace, options: Options) -> Result<Self, DaemonError> {
        workspace.ensure_run_dir()?;
        let lock = DaemonLock::acquire(&workspace.pidfile())?;
        let path = workspace.database();
        // Before it is opened: one that is put there from now on is seen to be another.
        let database = FileId::behind(&path);
        let open = || worker::open(&path, options.busy_timeout);
        let (requests, sync) = (open()?, open()?);
        let database = database.map_err(DaemonError::Start)?;
        let here = FileId::of(workspace.dir()).map_err(DaemonError::Start)?;
        let unix = UnixSocket::bind(workspace)?;
        let tcp = match options.tcp {
            Some(address) => Some(TcpSocket::bind(workspace, address)?),
            None => {
                listen::forget_tcp(workspace)?;
                None
            }
        };
        let (workspace, stopping) = (workspace.clone(), CancellationToken::new());
        Ok(Self { workspace, options, unix, tcp, requests, sync, database, here, stopping, lock })
    }

    /// Where its socket is.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.workspace.socket())
    }

    /// Address and token of its second transport, if it has one.
    pub fn tcp_endpoint(&self) -> Option<TcpEndpoint> {
        self.tcp.as_ref().map(|tcp| tcp.endpoint.clone())
    }

    /// Cancelled when its end begins, for whatever reason.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Serves until `shutdown` is cancelled, a client asks for the end, or the workspace goes.
    ///
    /// Runs on any tokio runtime with time and I/O.
    /// Dropping the future ends everything too, without a report.
    pub async fn run(self, shutdown: CancellationToken) -> Result<ShutdownReport, DaemonError> {
        let Self { workspace, options, unix, tcp, requests, sync, database, here, stopping, lock } =
            self;
        let stores = OpenStores::default();
        let requests = Worker::start("requests", requests, &stores).map_err(DaemonError::Start)?;
        let tasks = TaskTracker::new();
        let (scheduler, heard) = scheduler::calls();
        let shared = Arc::new(Shared::new(shared::Parts {
            here,
            interrupt: Arc::new(Interrupt::new().map_err(DaemonError::Start)?),
            tcp: tcp.as_ref().map(|tcp| tcp.endpoint.address),
            requests: requests.handle(),
            tasks: tasks.clone(),
            stores: stores.clone(),
            workspace,
            options,
            database,
            stopping,
            scheduler,
        }));

        // Whatever way this function ends, no task goes on: the guard cancels them all.
        let cut = CancellationToken::new();
        let _cut_on_drop = cut.clone().drop_guard();
        let acceptor = accept::Acceptor::new(&shared, &tasks, &cut);
        acceptor.unix(unix.listener)?;
        let tcp_name = match tcp {
            Some(tcp) => Some(acceptor.tcp(tcp)?),
            None => None,
        };
        let lock = Arc::new(lock);
        let syncer = Syncer::start(&shared, &lock, heard, sync, &stores);
        let syncer = syncer.map_err(DaemonError::Start)?;
        let watching = scheduler::watch_over_passes(Arc::clone(&shared), Arc::clone(&lock));
        tasks.spawn(cut.clone().run_until_cancelled_owned(watching));
        tracing::info!(workspace = %shared.workspace.dir().display(), "ready");

        tokio::select! {
            () = shutdown.cancelled() => shared.stop(StopReason::Cancelled),
            () = shared.stopping.cancelled() => {}
            // Without it the file would fall behind in silence.
            () = syncer.thread.ended().cancelled() => shared.stop(StopReason::SchedulerLost),
        }

        let deadline = Instant::now() + shared.options.shutdown_timeout;
        let mut unclosed = Vec::new();
        finish(&shared, &syncer, &cut, &mut unclosed).await;
        let patience = deadline.saturating_duration_since(Instant::now()).max(THREAD_PATIENCE_MIN);
        for closed in [requests.close(patience).await, syncer.close(patience).await] {
            if let Err(error) = closed {
                unclosed.push(error.to_string());
            }
        }
        let report = shared.report(unclosed);
        drop((unix.name, tcp_name));
        drop(lock);
        tracing::info!(?report, "stopped");
        Ok(report)
    }
}

/// Waits for the tasks, and then for the last sync: first for all they do, then for all but git,
/// then not at all.
async fn finish(
    shared: &Shared,
    syncer: &Syncer,
    cut: &CancellationToken,
    unclosed: &mut Vec<String>,
) {
    let (tasks, patience) = (&shared.tasks, shared.options.shutdown_timeout / 2);
    let end_git = |unclosed: &mut Vec<String>| {
        if let Err(error) = shared.make_haste() {
            unclosed.push(format!("git could not be interrupted: {error}"));
        }
    };
    tasks.close();
    if !shared.keeps_its_place() {
        end_git(unclosed);
    }
    let all = async {
        tasks.wait().await;
        syncer.finish();
        syncer.thread.ended().cancelled().await;
    };
    tokio::pin!(all);
    if timeout(patience, &mut all).await.is_ok() {
        return;
    }
    tracing::warn!(tasks = tasks.len(), "still busy, ending git");
    end_git(unclosed);
    syncer.finish();
    if timeout(patience, &mut all).await.is_err() && !tasks.is_empty() {
        unclosed.push(format!("{} task(s) had to be cut short", tasks.len()));
        cut.cancel();
        tasks.wait().await;
    }
}
