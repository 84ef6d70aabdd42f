//! The verbs of the daemon.

mod args;
mod log;
mod logs;
mod serve;
mod state;
mod unit;

use std::process::Command;
use std::time::Duration;

use serde_json::json;

pub(crate) use args::DaemonVerb;
use args::{Changes, Serve};

use super::output::{Output, Trouble};
use super::place::Place;
use crate::client::Client;
use crate::daemon::{DaemonError, control};
use crate::exit_code::Exit;
use crate::paths::Workspace;
use crate::process::close_inherited_on_exec;

/// How long `restart` waits for the daemon that is to end: as long as `stop` does.
const GONE_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) fn run(place: &Place, verb: DaemonVerb, output: &mut Output) -> Result<Exit, Trouble> {
    let workspace = place.workspace()?;
    match verb {
        DaemonVerb::Run(run) => serve::run(&workspace, &run, output),
        DaemonVerb::Start { serve, ready } => {
            let pid = start(&workspace, &serve, ready.timeout)?;
            output.print(&json!({ "pid": pid }), |_| format!("daemon started, pid {pid}"))?;
            Ok(Exit::Ok)
        }
        DaemonVerb::Stop { gone } => {
            let ended = control::stop(&workspace, gone.timeout)?;
            let all = json!({ "stopped": ended.is_some(), "pid": ended });
            output.print(&all, |_| match ended {
                Some(pid) => format!("daemon stopped, pid {pid}"),
                None => "no daemon was running".into(),
            })?;
            Ok(Exit::Ok)
        }
        DaemonVerb::Restart { changes, ready } => {
            let serve = changed(changes, control::settings(&workspace));
            // What the new one would refuse must not cost the old one.
            check(&serve)?;
            let ended = control::stop(&workspace, GONE_TIMEOUT)?;
            let pid = start(&workspace, &serve, ready.timeout)?;
            output.print(&json!({ "pid": pid, "stopped": ended }), |_| match ended {
                Some(old) => format!("daemon restarted, pid {pid} instead of {old}"),
                None => format!("daemon started, pid {pid}; none was running"),
            })?;
            Ok(Exit::Ok)
        }
        DaemonVerb::Status => state::status(&workspace, output),
        DaemonVerb::Health => state::health(&workspace, output),
        DaemonVerb::Logs(logs) => logs::run(&workspace, &logs, output),
        DaemonVerb::Metrics => {
            let metrics = Client::connect(&workspace)?.metrics()?;
            output.print(&metrics, |metrics| metrics.text.clone())?;
            Ok(Exit::Ok)
        }
        DaemonVerb::Unit { serve } => {
            let text = unit::text(&std::env::current_exe()?, workspace.root(), &serve);
            output.print(&json!({ "unit": text }), |_| text.clone())?;
            output.say(
                "save it as ~/.config/systemd/user/NAME.service, then `systemctl --user enable --now NAME`",
            );
            Ok(Exit::Ok)
        }
    }
}

/// Starts this program as a daemon in the background and returns its pid when it answers.
fn start(workspace: &Workspace, serve: &Serve, timeout: Duration) -> Result<u32, Trouble> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--dir").arg(workspace.root()).args(["daemon", "run", "--detached"]);
    command.args(serve.to_args());
    close_inherited_on_exec()?;
    // We end next, and whoever reaps orphans here inherits the child.
    Ok(control::start(workspace, &mut command, timeout)?.pid)
}

fn check(serve: &Serve) -> Result<(), DaemonError> {
    match serve.tcp {
        Some(address) if !address.ip().is_loopback() => Err(DaemonError::NotLoopback { address }),
        _ => Ok(()),
    }
}

/// What a daemon is to be that takes over from one that was like `before`.
fn changed(changes: Changes, before: Option<control::Settings>) -> Serve {
    let before = before.unwrap_or_default();
    Serve {
        interval: changes.interval.unwrap_or(before.interval),
        commit_interval: changes.commit_interval.unwrap_or(before.commit_interval),
        tcp: changes.tcp.or(before.tcp),
        idle_timeout: changes.idle_timeout.or(before.idle_timeout),
    }
}
