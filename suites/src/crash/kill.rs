//! A process that is killed at a moment, and everything that it has started.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use watertight_tracker::process::PidFd;

use crate::{PATIENCE, wait_for};

/// Whom the kill hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Manner {
    /// The process alone; what it has started ends in its own time.
    Process,
    /// Its process group, as a terminal does it.
    Group,
    /// It and all its descendants, as the end of a container does it.
    Tree,
}

impl Manner {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Process, Self::Group, Self::Tree];
}

/// A child in a process group of its own, which somebody is about to kill. Killed and reaped when dropped.
#[derive(Debug)]
pub(super) struct Victim {
    child: Child,
    process: PidFd,
    /// Disconnected when nobody can print any more.
    running: Receiver<()>,
    reader: Option<JoinHandle<String>>,
}

/// How a victim ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Whether the kill ended it: it may have been faster.
    pub(super) was_killed: bool,
    /// Whether it said that all went well.
    pub(super) success: bool,
    /// Its standard output, whole lines alone.
    pub(super) printed: String,
}

impl Victim {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        #[expect(clippy::disallowed_methods, reason = "killed and reaped when dropped")]
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let process = PidFd::open(child.id())?;
        let mut output = child.stdout.take().context("its output")?;
        let (alive, running) = channel::<()>();
        let reader = Builder::new().name("victim's output".into()).spawn(move || {
            let _alive = alive;
            let mut printed = Vec::new();
            // What came before an error is what it has said.
            let _cut = output.read_to_end(&mut printed);
            let whole = printed.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            String::from_utf8_lossy(&printed[..whole]).into_owned()
        })?;
        Ok(Self { child, process, running, reader: Some(reader) })
    }

    /// Lets it come to its end.
    pub(super) fn wait(mut self) -> Result<Ended> {
        ensure!(self.process.wait(Instant::now() + PATIENCE)?, "it does not end");
        self.reap(false)
    }

    /// Kills it after that time, if it has not ended before, and waits for all that it has started.
    pub(super) fn kill_after(mut self, moment: Duration, manner: Manner) -> Result<Ended> {
        if self.running.recv_timeout(moment) == Err(RecvTimeoutError::Disconnected) {
            // It has closed its output, which it does at its end alone.
            return self.wait();
        }
        // Stopped, it starts nothing more: whom it has started can be counted.
        self.process.signal(Signal::SIGSTOP)?;
        wait_for("it stands still", || Ok(is_still(self.child.id())))?;
        let descendants: Vec<PidFd> = descendants(self.child.id());
        match manner {
            Manner::Process => self.process.signal(Signal::SIGKILL)?,
            Manner::Group => {
                let group = Pid::from_raw(i32::try_from(self.child.id())?);
                match killpg(group, Signal::SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Manner::Tree => {
                self.process.signal(Signal::SIGKILL)?;
                for descendant in &descendants {
                    // It may have ended meanwhile.
                    let _gone = descendant.signal(Signal::SIGKILL);
                }
            }
        }
        for descendant in &descendants {
            let has_ended = descendant.wait(Instant::now() + PATIENCE)?;
            ensure!(has_ended, "what it has started goes on without it");
        }
        self.reap(true)
    }

    fn reap(&mut self, is_killed: bool) -> Result<Ended> {
        let status = self.child.wait()?;
        let printed = self.reader.take().and_then(|reader| reader.join().ok());
        Ok(Ended {
            was_killed: is_killed && status.code().is_none(),
            success: status.success(),
            printed: printed.context("nobody has read its output")?,
        })
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if self.reader.is_some() {
            let _already_gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// Whether a process is stopped or has ended: the state is the first word after the name
/// (`proc_pid_stat(5)`).
fn is_still(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_none_or(|state| "TtZX".contains(state))
}

/// The processes below one, as far as they are there (`proc_pid_task(5)`, `children`).
fn descendants(pid: u32) -> Vec<PidFd> {
    let mut pids = vec![pid];
    let mut next = 0;
    while let Some(pid) = pids.get(next).copied() {
        next += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    pids[1..].iter().filter_map(|pid| PidFd::open(*pid).ok()).collect()
}
