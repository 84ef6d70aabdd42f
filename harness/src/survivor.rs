//! Survivors: processes of a trial that still run when its main process has ended.
//!
//! The supervisor is a child subreaper, so a process whose parent has gone becomes its child. One is
//! attributed to its trial by its region, by the table in its environment, or by its network
//! namespace. Survivors are findings, and then killed with their group.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::pidfd;
use crate::probe::process::{self, Stat};
use crate::region::RegionMap;
use crate::run::Run;
use crate::settle::Backoff;
use crate::table::ENV_TABLE;

/// How long a killed process may take to go.
const KILLED: Duration = Duration::from_secs(5);

/// A process that is left.
pub(crate) struct Survivor {
    pub(crate) pid: u32,
    pub(crate) command: String,
    pub(crate) cwd: Option<String>,
    pub(crate) age_ms: Option<u64>,
    started: u64,
    group: u32,
}

/// Becomes the parent of every orphan below (prctl(2), PR_SET_CHILD_SUBREAPER).
pub(crate) fn become_subreaper() {
    // Refused nowhere since Linux 3.4; without it survivors are found by region alone.
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

/// Takes the exit status of every orphan that has ended: a test may look whether a grandchild that it has
/// killed is gone, as init would have seen to it. Only for a supervisor that starts nothing but main
/// processes, `running`: whatever else is its child is an orphan.
pub(crate) fn reap_orphans(running: &Mutex<Vec<u32>>) {
    let running = running.lock().unwrap_or_else(PoisonError::into_inner);
    let children = process::children(std::process::id()).unwrap_or_default();
    for pid in children.into_iter().filter(|pid| !running.contains(pid)) {
        if process::stat(pid).is_ok_and(|stat| stat.is_zombie()) {
            reap(pid);
        }
    }
}

/// Children of the supervisor that are nobody's orphans: its own main processes, and whatever a
/// set-up has started.
pub(crate) struct Strangers<'a> {
    run: &'a Run,
    before: Vec<u32>,
}

impl<'a> Strangers<'a> {
    /// Whoever is there before a trial starts.
    pub(crate) fn before(run: &'a Run) -> Self {
        // Who runs the tests of another program has no other children.
        let before = match run.subjects.unedited {
            Some(_) => Vec::new(),
            None => process::children(std::process::id()).unwrap_or_default(),
        };
        Self { run, before }
    }

    /// The children of the supervisor that are not among them, and the lock that keeps it so.
    fn others(&self) -> (Vec<u32>, std::sync::MutexGuard<'a, Vec<u32>>) {
        let running = self.run.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut children = process::children(std::process::id()).unwrap_or_default();
        children.retain(|pid| !self.before.contains(pid) && !running.contains(pid));
        (children, running)
    }
}

/// Waits until nothing of the trial runs any more, at most for `patience`; gives what still does.
pub(crate) fn settle(
    directory: &Path,
    network: Option<&str>,
    strangers: &Strangers<'_>,
    patience: Duration,
) -> Vec<Survivor> {
    let deadline = Instant::now() + patience;
    let mut backoff = Backoff::new(deadline);
    loop {
        let left = find(directory, network, Some(strangers));
        if left.is_empty() || !backoff.pause() {
            return left;
        }
    }
}

/// The trial's processes that run now. Orphans that have ended are reaped on the way.
fn find(
    directory: &Path,
    network: Option<&str>,
    strangers: Option<&Strangers<'_>>,
) -> Vec<Survivor> {
    let mut stats: Vec<Stat> = Vec::new();
    for pid in RegionMap::processes(directory) {
        if let Ok(stat) = process::stat(pid)
            && belongs(&stat, directory, network)
        {
            stats.push(stat);
        }
    }
    if let Some(strangers) = strangers {
        let (orphans, _running) = strangers.others();
        for stat in orphans.into_iter().filter_map(|pid| process::stat(pid).ok()) {
            if stat.is_zombie() {
                reap(stat.pid);
            } else if belongs(&stat, directory, network) {
                stats.push(stat);
            }
        }
    }
    stats.sort_by_key(|stat| stat.pid);
    stats.dedup_by_key(|stat| stat.pid);
    stats.retain(|stat| !stat.is_zombie());
    stats.iter().map(Survivor::new).collect()
}

/// Whether a process is the trial's: a process id in a region file may long be somebody else's.
fn belongs(stat: &Stat, directory: &Path, network: Option<&str>) -> bool {
    let table = format!("{ENV_TABLE}={}", directory.display());
    process::environment(stat.pid).contains(&table)
        || network.is_some() && process::network(stat.pid).as_deref() == network
}

/// Takes the exit status of an orphan that has ended.
fn reap(pid: u32) {
    // SAFETY: waitpid(2) on a child that was born elsewhere and re-parented to us.
    unsafe { libc::waitpid(pid as libc::pid_t, std::ptr::null_mut(), libc::WNOHANG) };
}

impl Survivor {
    fn new(stat: &Stat) -> Self {
        Self {
            pid: stat.pid,
            command: process::command_line(stat.pid),
            cwd: process::cwd(stat.pid).map(|path| path.to_string_lossy().into_owned()),
            age_ms: process::age_ms(stat),
            started: stat.started,
            group: stat.group,
        }
    }

    /// Kills the process and its group, and waits until it has gone.
    pub(crate) fn kill(&self) {
        let Some(pidfd) = pidfd::open(self.pid) else { return };
        // Only now is it certain that the number still is this process's.
        if !process::stat(self.pid).is_ok_and(|stat| stat.started == self.started) {
            return;
        }
        // SAFETY: getpgrp has no failure.
        if self.group != unsafe { libc::getpgrp() } as u32 {
            pidfd::signal_group(self.group, Signal::SIGKILL);
        }
        pidfd::signal(&pidfd, Signal::SIGKILL);
        let mut backoff = Backoff::new(Instant::now() + KILLED);
        while process::is_running(self.pid) && backoff.pause() {}
        reap(self.pid);
    }
}

/// Ends what still runs of a trial whose supervisor has gone; says what.
pub(crate) fn kill_of_dead_trial(directory: &Path) -> Vec<String> {
    let survivors = find(directory, None, None);
    survivors
        .iter()
        .map(|survivor| {
            survivor.kill();
            format!("process {} ({}), left by a run that has gone", survivor.pid, survivor.command)
        })
        .collect()
}
