//! Clients of a daemon that is about to be killed.

use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use watertight_tracker::client::Client;
use watertight_tracker::issue::NewIssue;
use watertight_tracker::paths::Workspace;

use crate::wait_for;

/// Calls of `create` between two of `sync` to a daemon, each of which ends in a commit.
const CREATED_A_SYNC: usize = 3;

/// A client that keeps a daemon busy until there is none any more.
pub(super) struct Traffic(JoinHandle<Vec<String>>);

impl Traffic {
    /// Begins as soon as the daemon answers, which it may take so long for.
    pub(super) fn begin(workspace: &Workspace, patience: Duration) -> Result<Self> {
        let workspace = workspace.clone();
        let talk = move || {
            let mut acknowledged = Vec::new();
            // It ends with the daemon, which is killed in the middle of some call.
            let _lost = talk(&workspace, patience, &mut acknowledged);
            acknowledged
        };
        Ok(Self(Builder::new().name("traffic".into()).spawn(talk)?))
    }

    /// What was acknowledged, in that order.
    pub(super) fn end(self) -> Result<Vec<String>> {
        self.0.join().ok().context("the client panicked")
    }
}

fn talk(workspace: &Workspace, patience: Duration, acknowledged: &mut Vec<String>) -> Result<()> {
    let mut client = None;
    let deadline = Instant::now() + patience;
    wait_for("somebody answers", || {
        client = Client::connect(workspace).ok();
        Ok(client.is_some() || Instant::now() > deadline)
    })?;
    let mut client = client.context("the daemon was killed before it answered")?;
    for number in 0_usize.. {
        acknowledged.push(client.create(&NewIssue::titled(format!("call {number}")))?.id);
        if number % CREATED_A_SYNC == 0 {
            client.sync()?;
        }
    }
    Ok(())
}
