//! Taking connections in, no more at once than allowed.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::listen::{Published, TcpSocket};
use super::{DaemonError, Shared, connection};

/// Clients that are being told that there are too many; whoever comes on top is told nothing.
const REFUSALS_MAX: usize = 16;
/// After a failed accept (no descriptor left) the next waits, or it would fail at full speed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// A failure to accept is not told again for so long.
const QUIET: Duration = Duration::from_secs(60);

/// Starts the tasks that accept.
pub(super) struct Acceptor<'a> {
    shared: &'a Arc<Shared>,
    tasks: &'a TaskTracker,
    cut: &'a CancellationToken,
}

/// Everything a connection's task needs, for as many as come.
struct Door {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    cut: CancellationToken,
    refusals: Arc<Semaphore>,
    token: Option<String>,
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl<'a> Acceptor<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        tasks: &'a TaskTracker,
        cut: &'a CancellationToken,
    ) -> Self {
        Self { shared, tasks, cut }
    }

    /// Accepts on the socket.
    pub(super) fn unix(
        &self,
        listener: std::os::unix::net::UnixListener,
    ) -> Result<(), DaemonError> {
        let listener = UnixListener::from_std(listener).map_err(DaemonError::Start)?;
        self.start(Listener::Unix(listener), None);
        Ok(())
    }

    /// Accepts on TCP from whoever knows the token.
    pub(super) fn tcp(&self, tcp: TcpSocket) -> Result<Published, DaemonError> {
        let listener = TcpListener::from_std(tcp.listener).map_err(DaemonError::Start)?;
        self.start(Listener::Tcp(listener), Some(tcp.endpoint.token));
        Ok(tcp.name)
    }

    fn start(&self, listener: Listener, token: Option<String>) {
        let door = Door {
            shared: Arc::clone(self.shared),
            tasks: self.tasks.clone(),
            cut: self.cut.clone(),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            token,
        };
        self.tasks.spawn(self.cut.clone().run_until_cancelled_owned(door.watch(listener)));
    }
}

impl Door {
    async fn watch(self, listener: Listener) {
        let stopping = &self.shared.stopping;
        // An error that stays, or comes and goes, is logged once a minute, not ten times a second.
        let mut quiet_until = Instant::now();
        while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok(stream) => self.admit(stream),
                Err(error) => {
                    self.shared.counters.turned_away.add();
                    if Instant::now() >= quiet_until {
                        tracing::warn!(%error, "cannot accept connections");
                        quiet_until = Instant::now() + QUIET;
                    }
                    let _stopping = timeout(ACCEPT_BACKOFF, stopping.cancelled()).await;
                }
            }
        }
    }

    fn admit(&self, stream: Stream) {
        if !stream.is_ours() {
            self.shared.counters.turned_away.add();
            tracing::warn!("a connection of another user was refused");
            return;
        }
        if let Ok(slot) = Arc::clone(&self.shared.slots).try_acquire_owned() {
            let (shared, token) = (Arc::clone(&self.shared), self.token.clone());
            self.spawn(async move {
                match stream {
                    Stream::Unix(stream) => connection::serve(shared, stream, None).await,
                    Stream::Tcp(stream) => connection::serve(shared, stream, token).await,
                }
                drop(slot);
            });
            return;
        }
        self.shared.counters.turned_away.add();
        if let Ok(slot) = Arc::clone(&self.refusals).try_acquire_owned() {
            let patience = self.shared.options.request_timeout;
            self.spawn(async move {
                match stream {
                    Stream::Unix(stream) => connection::refuse(stream, patience).await,
                    Stream::Tcp(stream) => connection::refuse(stream, patience).await,
                }
                drop(slot);
            });
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.cut.clone().run_until_cancelled_owned(task));
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // An answer is one small write that its reader waits for.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

impl Stream {
    /// Whether the peer may talk to us: over the socket our own user or root, over TCP anybody,
    /// who then has to know the token.
    fn is_ours(&self) -> bool {
        match self {
            Self::Unix(stream) => stream
                .peer_cred()
                .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw()),
            Self::Tcp(_) => true,
        }
    }
}
