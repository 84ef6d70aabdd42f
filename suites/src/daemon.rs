//! The real daemon in a process of its own.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use watertight_tracker::daemon::control;
use watertight_tracker::process::PidFd;

use crate::{PATIENCE, Said, Workspace};

/// Short, so that a test sees many ticks.
const OFTEN: [&str; 2] = ["--interval", "20ms"];

/// A daemon that is our child: ended and reaped when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    process: PidFd,
    is_reaped: bool,
}

impl Daemon {
    /// Starts one that syncs every 20 ms; it answers when this returns.
    pub fn start(workspace: &Workspace) -> Result<Self> {
        Self::start_with(workspace, &OFTEN)
    }

    /// Starts one with other arguments than that.
    pub fn start_with(workspace: &Workspace, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(workspace.program());
        command.arg("--dir").arg(workspace.root()).args(["daemon", "run", "--detached"]);
        command.args(args);
        let started = control::start(workspace.paths(), &mut command, PATIENCE)?;
        let process = PidFd::open(started.pid)?;
        Ok(Self { child: started.child, process, is_reaped: false })
    }

    /// Starts `tracker daemon run` as a service manager does, and does not wait until it answers.
    pub fn in_foreground(workspace: &Workspace, set: &[(&str, &OsStr)]) -> Result<Self> {
        let mut command = Command::new(workspace.program());
        command.arg("--dir").arg(workspace.root()).args(["daemon", "run"]).args(OFTEN);
        command.envs(set.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        #[expect(clippy::disallowed_methods, reason = "ended and reaped when dropped")]
        let child = command.spawn()?;
        let process = PidFd::open(child.id())?;
        Ok(Self { child, process, is_reaped: false })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(self.process.signal(signal)?)
    }

    /// Waits for its end and reaps it.
    pub fn wait(mut self) -> Result<ExitStatus> {
        ensure!(self.process.wait(Instant::now() + PATIENCE)?, "the daemon does not end");
        self.is_reaped = true;
        Ok(self.child.wait()?)
    }

    /// Ends it the polite way, which must work.
    pub fn stop(self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = self.wait()?;
        ensure!(status.code() == Some(0), "the daemon ended with {status}");
        Ok(())
    }

    /// Ends it the way a power cut does.
    pub fn kill(self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        let status = self.wait()?;
        ensure!(status.signal() == Some(Signal::SIGKILL as i32), "the daemon ended with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.is_reaped {
            end(&self.process);
            let _reaped = self.child.wait();
        }
    }
}

/// A daemon that `tracker daemon start` has left in the background: somebody else reaps it.
#[derive(Debug)]
pub struct Launched {
    /// The pid that the launcher printed.
    pub pid: u32,
    process: PidFd,
}

impl Launched {
    /// Runs `tracker daemon start`, which returns when the daemon is ready.
    pub fn start(workspace: &Workspace) -> Result<Self> {
        let started = workspace.tracker(["--json", "daemon", "start"].iter().chain(&OFTEN))?;
        Self::told(&started.ok()?)
    }

    /// The one of which a launcher has told, as JSON.
    pub fn told(said: &Said) -> Result<Self> {
        let pid = said.json()?.get("pid").and_then(serde_json::Value::as_u64).context("no pid")?;
        let pid = u32::try_from(pid)?;
        Ok(Self { pid, process: PidFd::open(pid)? })
    }

    /// Whether it ends by itself, or by what somebody has done to it.
    pub fn has_ended(&self) -> Result<bool> {
        Ok(self.process.wait(Instant::now())?)
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        end(&self.process);
    }
}

/// A process that has nothing to do with any of this, and lives until it is dropped.
#[derive(Debug)]
pub struct Bystander(Child);

impl Bystander {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        #[expect(clippy::disallowed_methods, reason = "ended and reaped when dropped")]
        let child = command.spawn()?;
        Ok(Self(child))
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether nobody has ended it.
    pub fn is_alive(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Asks a process to end, and ends it if it does not.
fn end(process: &PidFd) {
    let _already_gone = process.signal(Signal::SIGTERM);
    if !process.wait(Instant::now() + PATIENCE).unwrap_or(false) {
        let _already_gone = process.signal(Signal::SIGKILL);
        let _ended = process.wait(Instant::now() + PATIENCE);
    }
}
