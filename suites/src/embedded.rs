//! The real daemon on a thread of the test's own process.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use nix::sys::signal::{SigSet, Signal};
use tokio_util::sync::CancellationToken;
use watertight_tracker::client::TcpEndpoint;
use watertight_tracker::daemon::{Daemon, Options, ShutdownReport};

use crate::{PATIENCE, Workspace};

/// What a daemon in a test is like: it syncs every 20 ms.
pub fn options() -> Options {
    Options { interval: Duration::from_millis(20), ..Options::default() }
}

/// A daemon with a thread and a runtime of its own; ended and joined when dropped.
#[derive(Debug)]
pub struct Embedded {
    shutdown: CancellationToken,
    /// Disconnected when the thread is about to end.
    running: Receiver<()>,
    thread: Option<JoinHandle<Result<ShutdownReport>>>,
    tcp: Option<TcpEndpoint>,
}

impl Embedded {
    /// Starts one; clients may connect when this returns.
    pub fn start(workspace: &Workspace, options: Options) -> Result<Self> {
        let daemon = Daemon::bind(workspace.paths(), options)?;
        let tcp = daemon.tcp_endpoint();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shutdown = CancellationToken::new();
        let asked = shutdown.clone();
        let (alive, running) = sync_channel(0);
        let thread = Builder::new().name("daemon".into()).spawn(move || {
            let _alive = alive;
            // As the tracker's own `main` does: git is ended by this signal, and a child inherits
            // what its parent blocks.
            SigSet::from_iter([Signal::SIGTERM]).thread_unblock()?;
            Ok(runtime.block_on(daemon.run(asked))?)
        })?;
        Ok(Self { shutdown, running, thread: Some(thread), tcp })
    }

    /// Its second transport, if it has one.
    pub fn tcp(&self) -> Option<&TcpEndpoint> {
        self.tcp.as_ref()
    }

    /// Begins its end and does not wait for it.
    pub fn ask_to_stop(&self) {
        self.shutdown.cancel();
    }

    /// Ends it and returns what it reports.
    pub fn stop(self) -> Result<ShutdownReport> {
        self.ask_to_stop();
        self.wait()
    }

    /// Waits until it has ended by itself and returns what it reports.
    pub fn wait(mut self) -> Result<ShutdownReport> {
        if self.running.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            bail!("the daemon does not end");
        }
        self.thread.take().and_then(|thread| thread.join().ok()).ok_or(anyhow!("it panicked"))?
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let _reported_nowhere = thread.join();
        }
    }
}
