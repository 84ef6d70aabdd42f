//! A TCP connection for every call, closed by the client first: each leaves a port pair in TIME_WAIT.
//!
//! No descriptor and no process holds these; after 28,000 calls in a minute there is no port left.

use watertight::{Context, Failed};
use watertight_tracker::client::Client;
use watertight_tracker::daemon::control;

use super::{PATIENCE, Scratch, daemon};

/// Calls in one test: more than the default budget of 8 port pairs a round.
const CALLS: usize = 12;

/// Connects for every call.
pub fn leaky(_cx: &Context) -> Result<(), Failed> {
    with_daemon(|scratch| {
        for _ in 0..CALLS {
            let mut client = Client::connect_tcp(&scratch.workspace)?; // LEAK
            client.ping()?;
        }
        Ok(())
    })
}

/// Connects once.
pub fn clean(_cx: &Context) -> Result<(), Failed> {
    with_daemon(|scratch| {
        let mut client = Client::connect_tcp(&scratch.workspace)?;
        for _ in 0..CALLS {
            client.ping()?;
        }
        Ok(())
    })
}

/// Runs `body` beside the tracker's daemon, which listens on loopback TCP.
fn with_daemon(body: impl FnOnce(&Scratch) -> Result<(), Failed>) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let mut started =
        control::start(&scratch.workspace, &mut daemon("serve", &scratch)?, PATIENCE)?;
    let called = body(&scratch);
    let stopped = control::stop(&scratch.workspace, PATIENCE);
    if stopped.is_err() {
        started.child.kill()?;
    }
    started.child.wait()?;
    stopped?;
    called
}
