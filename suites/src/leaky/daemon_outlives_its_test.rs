//! A daemon that a test starts and leaves behind.

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
    Client::connect(&scratch.workspace)?.ping()?;
    Ok(())
}

/// The same, and stops it.
pub fn clean(_cx: &Context) -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let mut command = daemon("serve", &scratch)?;
    let mut started = control::start(&scratch.workspace, &mut command, PATIENCE)?;
    let asked = Client::connect(&scratch.workspace).and_then(|mut client| client.ping());
    control::stop(&scratch.workspace, PATIENCE)?;
    started.child.wait()?;
    asked?;
    // Stopped is stopped: nobody holds the database any more.
    Store::open_existing(&scratch.database())?.close()?;
    Ok(())
}
