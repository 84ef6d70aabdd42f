//! A daemon that opens an engine at every sync tick and keeps it.
//!
//! The leak is in another process than the test: it must be caught there, with its line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::process::Stdio;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use watertight::{Context, Failed};
use watertight_tracker::paths::Workspace;
use watertight_tracker::store::Store;
use watertight_tracker::sync::{self, SyncOptions};

use super::{Scratch, daemon};

/// The time between two ticks, where the daemon is told no other.
pub const TICK: Duration = Duration::from_millis(50);
/// Ticks that the test waits for.
const TICKS: usize = 12;

/// A test of the daemon that keeps its engines.
pub fn leaky(_cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    watch_ticks(daemon("tick-leaky", &scratch)?)
}

/// The same test of the daemon that closes them.
pub fn clean(_cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    watch_ticks(daemon("tick-clean", &scratch)?)
}

/// Runs the daemon until it has reported enough ticks, then hangs up and waits for its end.
fn watch_ticks(mut command: std::process::Command) -> Result<(), Failed> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    #[expect(clippy::disallowed_methods, reason = "it ends with its input and is waited for below")]
    let mut child = command.spawn()?;
    let ticks = child.stdout.take().map(BufReader::new).into_iter().flat_map(|out| out.lines());
    let seen = ticks.take(TICKS).filter(Result::is_ok).count();
    drop(child.stdin.take());
    let status = child.wait()?;
    match (seen, status.success()) {
        (TICKS, true) => Ok(()),
        _ => Err(Failed::new(format!("{seen} ticks, and the daemon ended with {status}"))),
    }
}

/// The daemon: a sync pass at every tick until its input ends. The engines of `is_leaky` stay.
///
/// # Errors
/// What the store, the pass or the pipe says.
pub fn serve(workspace: &Workspace, interval: Duration, is_leaky: bool) -> anyhow::Result<()> {
    let mut engines = Vec::new();
    let stdin = std::io::stdin();
    let mut tick = 0;
    while !has_ended(&stdin, interval)? {
        tick += 1;
        if is_leaky {
            let mut engine = Store::open(&workspace.database())?; // LEAK
            sync::pass(&mut engine, workspace, &SyncOptions::default())?;
            engines.push(engine);
        } else {
            let mut engine = Store::open(&workspace.database())?;
            sync::pass(&mut engine, workspace, &SyncOptions::default())?;
            engine.close()?;
        }
        // Nobody may be listening any more: the test has seen enough.
        let _ = writeln!(std::io::stdout(), "tick {tick}");
    }
    Ok(())
}

/// Waits for the next tick; true where the input has ended instead.
fn has_ended(input: &std::io::Stdin, interval: Duration) -> nix::Result<bool> {
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(interval).unwrap_or(PollTimeout::ZERO);
    Ok(poll(&mut fds, timeout)? > 0)
}
