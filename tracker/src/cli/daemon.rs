//! The verbs of the daemon.

mod args;

use std::io::{self, IsTerminal, Write};
use std::process::Command;
use std::time::Duration;

use crate::client::Client;
use crate::daemon::control::{self, State};
use crate::daemon::{Daemon, DaemonError, Options, ShutdownReport};
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::paths::Workspace;
use crate::process::close_inherited_on_exec;
use nix::sys::signal::{SigSet, Signal};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

pub(crate) use args::DaemonVerb;
use args::{Run, Serve};

use super::args::Place;
use super::output::{Output, Trouble};

/// A daemon that takes longer to say how it is, is not well.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn run(place: &Place, verb: DaemonVerb, output: &mut Output) -> Result<Exit, Trouble> {
    let workspace = place.workspace()?;
    match verb {
        DaemonVerb::Run(run) => serve(&workspace, &run, output),
        DaemonVerb::Start { run, timeout } => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--dir").arg(workspace.root()).args(["daemon", "run", "--detached"]);
            command.arg("--interval").arg(humantime::format_duration(run.interval).to_string());
            if let Some(address) = run.tcp {
                command.arg("--tcp").arg(address.to_string());
            }
            close_inherited_on_exec()?;
            // We end next, and whoever reaps orphans here inherits the child.
            let pid = control::start(&workspace, &mut command, timeout)?.pid;
            output.print(&json!({ "pid": pid }), |_| format!("daemon started, pid {pid}"))?;
            Ok(Exit::Ok)
        }
        DaemonVerb::Stop { timeout } => {
            let ended = control::stop(&workspace, timeout)?;
            output.print(
                &json!({ "stopped": ended.is_some(), "pid": ended }),
                |_| match ended {
                    Some(pid) => format!("daemon stopped, pid {pid}"),
                    None => "no daemon was running".into(),
                },
            )?;
            Ok(Exit::Ok)
        }
        DaemonVerb::Status => status(&workspace, output),
    }
}

/// Tells how the daemon is: exit 0 if it answers, 6 if it does not or there is none.
fn status(workspace: &Workspace, output: &mut Output) -> Result<Exit, Trouble> {
    let State::Running { pid } = control::state(workspace)? else {
        output.print(&json!({ "running": false, "pid": null }), |_| "not running".into())?;
        output.say("`tracker daemon start` starts it");
        return Ok(Exit::Busy);
    };
    let asked = Client::connect(workspace).and_then(|mut client| {
        client.set_timeout(STATUS_TIMEOUT)?;
        client.status()
    });
    match asked {
        Ok(status) => {
            let mut all = json!({ "running": true, "answers": true });
            if let (Some(all), Ok(serde_json::Value::Object(status))) =
                (all.as_object_mut(), serde_json::to_value(&status))
            {
                all.extend(status);
            }
            output.print(&all, |_| {
                let failing = match &status.last_error {
                    Some(error) => format!("\nlast sync failed: {error}"),
                    None => String::new(),
                };
                format!(
                    "running, pid {}, {} ticks, {} exports, {} requests{failing}",
                    status.pid, status.ticks, status.exports, status.requests
                )
            })?;
            Ok(Exit::Ok)
        }
        Err(error) => {
            let all = json!({
                "running": true, "answers": false, "pid": pid, "last_error": error.to_string(),
            });
            output.print(&all, |_| format!("running, but it does not answer: {error}"))?;
            output.say("`tracker daemon stop` ends it");
            Ok(Exit::Busy)
        }
    }
}

fn serve(workspace: &Workspace, run: &Run, output: &Output) -> Result<Exit, Trouble> {
    if run.detached {
        // Fails only for the leader of a group, who has no terminal to lose by being started so.
        let _already_leads = nix::unistd::setsid();
    }
    log_to_stderr();
    let bound = bind(workspace, &run.serve);
    if run.detached {
        let outcome = match &bound {
            Ok(_) => Ok(std::process::id()),
            Err(error) => Err(Failure::from(error)),
        };
        release_launcher(&control::report_ready(outcome))?;
    }
    let (report, exit) = bound?.run()?;
    if report.unclosed.is_empty() {
        return Ok(exit);
    }
    for left in &report.unclosed {
        output.say(&format!("did not close: {left}"));
    }
    Ok(Exit::Failure)
}

fn options(serve: &Serve) -> Options {
    Options { interval: serve.interval, tcp: serve.tcp, ..Options::default() }
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

impl Bound {
    /// Runs the daemon on this thread alone, until it ends or a signal ends it.
    fn run(self) -> Result<(ShutdownReport, Exit), DaemonError> {
        let Self { daemon, runtime, mut terminate, mut interrupt } = self;
        runtime.block_on(async {
            let shutdown = CancellationToken::new();
            let running = daemon.run(shutdown.clone());
            tokio::pin!(running);
            let exit = tokio::select! {
                report = &mut running => return Ok((report?, Exit::Ok)),
                exit = first_of(&mut terminate, &mut interrupt) => exit,
            };
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
fn release_launcher(message: &[u8]) -> Result<(), Trouble> {
    // A launcher that has given up is no reason to do so too.
    let _nobody_waits = io::stdout().write_all(message).and_then(|()| io::stdout().flush());
    let null = std::fs::File::options().write(true).open("/dev/null")?;
    nix::unistd::dup2_stdout(null).map_err(io::Error::from)?;
    Ok(())
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("TRACKER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
}
