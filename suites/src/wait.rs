//! Waiting for what another process does, where there is nothing to block on.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a fixture waits for anything: so long that only a hang exceeds it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two looks doubles from the first to the longest.
const PAUSE_FIRST: Duration = Duration::from_micros(500);
const PAUSE_LONGEST: Duration = Duration::from_millis(20);

/// Waits until `condition` holds, or says which did not.
///
/// Only for what no descriptor announces: the content of a file, the counters of a daemon.
pub fn wait_for(what: &str, condition: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_within(PATIENCE, what, condition)
}

/// The same for what takes longer, or less.
#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two looks, with a deadline; nothing relies on its length"
)]
pub fn wait_within(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    let mut pause = PAUSE_FIRST;
    while !condition()? {
        if Instant::now() >= deadline {
            bail!("not after {} s: {what}", patience.as_secs());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_LONGEST);
    }
    Ok(())
}
