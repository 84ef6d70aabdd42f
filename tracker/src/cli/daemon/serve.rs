//! `tracker daemon run`: the daemon in this process, and its end by a signal.

use std::io::{self, Write};

use nix::sys::signal::{SigSet, Signal};
use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::args::{Run, Serve};
use super::log;
use crate::cli::output::{Output, Trouble};
use crate::daemon::{Daemon, DaemonError, Options, ShutdownReport, control};
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::paths::Workspace;

pub(super) fn run(workspace: &Workspace, run: &Run, output: &Output) -> Result<Exit, Trouble> {
    if run.detached {
        // Fails only for the leader of a group, who has no terminal to lose by being started so.
        let _already_leads = nix::unistd::setsid();
    }
    log::init(workspace);
    let bound = bind(workspace, &run.serve);
    if run.detached {
        let outcome = match &bound {
            Ok(_) => Ok(std::process::id()),
            Err(error) => Err(Failure::from(error)),
        };
        release_launcher(&control::report_ready(outcome))?;
    }
    let bound = bound?;
    tell_systemd(&NotifyState::Ready);
    let (report, exit) = bound.run()?;
    if report.unclosed.is_empty() {
        return Ok(exit);
    }
    for left in &report.unclosed {
        output.say(&format!("did not close: {left}"));
    }
    Ok(Exit::Failure)
}

/// A daemon that can be told by a signal to end.
struct Bound {
    daemon: Daemon,
    runtime: Runtime,
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

/// Everything that can fail, signals included: whoever hears that the daemon is ready may end it
/// at once, and it must end well.
fn bind(workspace: &Workspace, serve: &Serve) -> Result<Bound, DaemonError> {
    let start = DaemonError::Start;
    accept_signals().map_err(start)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(start)?;
    let (terminate, interrupt) = {
        let _inside = runtime.enter();
        let terminate = signal(SignalKind::terminate()).map_err(start)?;
        (terminate, signal(SignalKind::interrupt()).map_err(start)?)
    };
    let daemon = Daemon::bind(workspace, options(serve))?;
    Ok(Bound { daemon, runtime, terminate, interrupt })
}

fn options(serve: &Serve) -> Options {
    Options {
        interval: serve.interval,
        commit_interval: serve.commit_interval,
        tcp: serve.tcp,
        idle_timeout: serve.idle_timeout,
        ..Options::default()
    }
}

impl Bound {
    /// Runs the daemon on this thread alone, until it ends or a signal ends it.
    fn run(self) -> Result<(ShutdownReport, Exit), DaemonError> {
        let Self { daemon, runtime, mut terminate, mut interrupt } = self;
        runtime.block_on(async {
            let shutdown = CancellationToken::new();
            let stopping = daemon.stopping();
            let running = daemon.run(shutdown.clone());
            tokio::pin!(running);
            let exit = tokio::select! {
                ended = &mut running => return Ok((ended?, Exit::Ok)),
                () = stopping.cancelled() => Exit::Ok,
                exit = first_of(&mut terminate, &mut interrupt) => exit,
            };
            tell_systemd(&NotifyState::Stopping);
            shutdown.cancel();
            Ok((running.await?, exit))
        })
    }
}

/// Makes sure that the signals which end us arrive: a launcher that has blocked them for itself
/// hands that down, through `exec` too. Before any thread is there, so it holds for all of them.
fn accept_signals() -> io::Result<()> {
    Ok(SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]).thread_unblock()?)
}

async fn first_of(terminate: &mut unix::Signal, interrupt: &mut unix::Signal) -> Exit {
    tokio::select! {
        _ = terminate.recv() => Exit::Ok,
        _ = interrupt.recv() => Exit::Interrupted,
    }
}

/// Gives the launcher its message and then our end of its pipe.
///
/// A launcher that was ended before it heard us has told nobody that there is a daemon, and whoever
/// ended it wants none. So there will be none.
fn release_launcher(message: &[u8]) -> Result<(), Trouble> {
    let told = io::stdout().write_all(message).and_then(|()| io::stdout().flush());
    if let Err(error) = told {
        tracing::warn!(%error, "whoever started this daemon is gone");
        let failure = Failure::new(
            Exit::Failure,
            "launcher_gone",
            format!("whoever started this daemon is gone: {error}"),
            "run `tracker daemon start` again",
        );
        return Err(failure.into());
    }
    let null = std::fs::File::options().write(true).open("/dev/null")?;
    nix::unistd::dup2_stdout(null).map_err(io::Error::from)?;
    Ok(())
}

/// Tells the service manager, if there is one that wants to know.
fn tell_systemd(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
