//! Load for a tracker's daemon: `ipc-load DIRECTORY [CALLS A SECOND]`, until its input ends.
//!
//! Each call is a connection of its own, one in four of them over TCP, and one in eight changes an issue. No
//! issue is ever added, so that a daemon which keeps nothing stays flat.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use watertight_tracker::client::Client;
use watertight_tracker::issue::{IssuePatch, NewIssue};
use watertight_tracker::paths::Workspace;

/// Issues that are there from the beginning.
const ISSUES: usize = 200;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().context("in which directory?")?;
    let rate: u32 = arguments.next().map_or(Ok(20), |rate| rate.parse())?;
    let workspace = Workspace::find(Path::new(&root))?;
    let ids = fill(&workspace)?;
    let interval = Duration::from_secs(1) / rate.max(1);
    let stdin = std::io::stdin();
    let mut next = Instant::now();
    for number in 0usize.. {
        call(&workspace, number, &ids)?;
        next += interval;
        let left = next.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        if poll(&mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)], timeout)? > 0 {
            eprintln!("{} calls", number + 1);
            break;
        }
    }
    Ok(())
}

fn fill(workspace: &Workspace) -> Result<Vec<String>> {
    let mut client = Client::connect(workspace)?;
    let known = client.list(None)?;
    let new = (known.len()..ISSUES).map(|number| {
        let issue = NewIssue::titled(format!("the tap drips, {number}"));
        Ok(client.create(&issue)?.id)
    });
    let new: Vec<String> = new.collect::<Result<_>>()?;
    Ok(known.into_iter().map(|issue| issue.id).chain(new).collect())
}

fn call(workspace: &Workspace, number: usize, ids: &[String]) -> Result<()> {
    let mut client = match number % 4 {
        0 => Client::connect_tcp(workspace)?,
        _ => Client::connect(workspace)?,
    };
    let id = &ids[number % ids.len()];
    match number % 8 {
        1 => {
            let title = format!("the tap drips, {}", number % 1000);
            let patch = IssuePatch { title: Some(title), ..IssuePatch::default() };
            client.update(id, patch)?;
        }
        2 => drop(client.list(Some(50))?),
        3 => drop(client.ready(Some(10))?),
        _ => drop(client.show(id)?),
    }
    Ok(())
}
