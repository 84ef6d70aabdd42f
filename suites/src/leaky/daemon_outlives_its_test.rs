//! A daemon that a test starts and leaves behind.

use std::time::Instant;

use watertight::{Context, Failed};
use watertight_tracker::client::Client;
use watertight_tracker::daemon::control;
use watertight_tracker::store::Store;

use super::{PATIENCE, Scratch, daemon};

/// Starts it, asks it something, and is done.
pub fn leaky(_cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let mut command = daemon("serve", &scratch)?;
    let _started = control::start(&scratch.workspace, &mut command, PATIENCE)?; // LEAK
    wait_for_a_tick(&mut Client::connect(&scratch.workspace)?)?;
    Ok(())
}

/// The same, and stops it.
pub fn clean(_cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let mut command = daemon("serve", &scratch)?;
    let mut started = control::start(&scratch.workspace, &mut command, PATIENCE)?;
    let asked = Client::connect(&scratch.workspace).map_err(Failed::from);
    let asked = asked.and_then(|mut client| wait_for_a_tick(&mut client));
    control::stop(&scratch.workspace, PATIENCE)?;
    started.child.wait()?;
    asked?;
    // Stopped is stopped: nobody holds the database any more.
    Store::open_existing(&scratch.database())?.close()?;
    Ok(())
}

/// Asks until the daemon has had its first tick, at which it would notice that its workspace is gone.
fn wait_for_a_tick(client: &mut Client) -> Result<(), Failed> {
    let deadline = Instant::now() + PATIENCE;
    while client.status()?.passes == 0 {
        if Instant::now() > deadline {
            return Err(Failed::new("the daemon has no first tick"));
        }
        std::thread::yield_now();
    }
    Ok(())
}
