//! A log handle that every daemon instance adds to the process and none takes away.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use watertight::{Context, Failed};
use watertight_tracker::client::Client;
use watertight_tracker::daemon::{Daemon, Options};
use watertight_tracker::paths::Workspace;

use super::Scratch;

/// Where everything that is logged goes, one file for each daemon.
static LOGS: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A daemon whose log stays.
pub fn leaky(_cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    add_log(&scratch.workspace)?;
    run_daemon(&scratch.workspace)
}

/// A daemon whose log goes with it.
pub fn clean(_cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    add_log(&scratch.workspace)?;
    let ran = run_daemon(&scratch.workspace);
    LOGS.lock().unwrap_or_else(PoisonError::into_inner).pop();
    ran
}

fn add_log(workspace: &Workspace) -> Result<(), Failed> {
    let log = OpenOptions::new().create(true).append(true).open(workspace.log())?; // LEAK
    LOGS.lock().unwrap_or_else(PoisonError::into_inner).push(log);
    Ok(())
}

/// The daemon's whole life inside this process.
fn run_daemon(workspace: &Workspace) -> Result<(), Failed> {
    let daemon = Daemon::bind(workspace, Options::default())?;
    for log in LOGS.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
        writeln!(log, "daemon of {}", workspace.dir().display())?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::scope(|scope| {
        let client = scope.spawn(|| Client::connect(workspace).and_then(|mut it| it.shutdown()));
        let report = runtime.block_on(daemon.run(CancellationToken::new()))?;
        match (client.join(), report.unclosed.is_empty()) {
            (Ok(asked), true) => Ok(asked?),
            (Ok(_), false) => Err(Failed::new(report.unclosed.join(", "))),
            (Err(_), _) => Err(Failed::new("the client panicked")),
        }
    })
}
