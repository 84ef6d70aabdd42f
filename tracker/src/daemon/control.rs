//! A daemon from the outside: is there one, start one, end it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::{DaemonLock, LockError};
use crate::client::Client;
use crate::failure::Failure;
use crate::paths::{Workspace, WorkspaceError};
use crate::process::{PidFd, wait_readable};
use crate::protocol::Response;

/// How long `stop` waits for the daemon's word before it sends a signal instead.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// A log that has grown beyond this is put aside at the next start, over the one put aside before.
const LOG_BYTES_MAX: u64 = 1024 * 1024;
/// The longest readiness message.
const READY_BYTES_MAX: usize = 64 * 1024;

/// Why a daemon could not be started or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The workspace is not as it should be.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The pidfile could not be read, or a daemon runs already.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The daemon said why it cannot start.
    #[error("the daemon did not start: {0}")]
    Refused(Failure),
    /// The daemon ended without a word.
    #[error("the daemon ended before it was ready ({status})")]
    EndedEarly {
        /// How it ended.
        status: ExitStatus,
    },
    /// The daemon said nothing in time; it was killed.
    #[error("the daemon was not ready after {}", humantime::format_duration(*after))]
    NotReady {
        /// How long it had.
        after: Duration,
    },
    /// A daemon is about to start and has not written its pid.
    #[error("a daemon is just starting")]
    JustStarting,
    /// It did not end in time.
    #[error("the daemon (pid {pid}) is still there after {}", humantime::format_duration(*after))]
    StillThere {
        /// The daemon.
        pid: u32,
        /// How long it had.
        after: Duration,
    },
    /// The kernel refused.
    #[error("{what}: {source}")]
    Io {
        /// What we tried.
        what: String,
        /// What it said.
        source: io::Error,
    },
}

/// Whether a workspace has a daemon, by its lock alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody holds the lock.
    Stopped,
    /// Somebody does; the pid is missing in the moment between locking and writing it.
    Running {
        /// The daemon.
        pid: Option<u32>,
    },
}

/// Whether a workspace has a daemon. Asks the kernel and disturbs nobody.
pub fn state(workspace: &Workspace) -> Result<State, LockError> {
    Ok(match DaemonLock::holder(&workspace.pidfile())? {
        None => State::Stopped,
        Some(pid) => State::Running { pid },
    })
}

/// A daemon that was started and is ready.
#[derive(Debug)]
#[must_use]
pub struct Started {
    /// The daemon.
    pub pid: u32,
    /// Its process, for a caller that lives on and so has to reap it one day.
    pub child: Child,
}

/// Starts `command` as a daemon and returns when it is ready, or with its own reason why not.
///
/// The command must report over its standard output, as [`report_ready`] does.
/// It gets none of our standard streams: whoever reads our output sees its end when we end.
/// What the caller itself inherited from careless parents is the caller's to keep from it, with
/// [`close_inherited_on_exec`](crate::process::close_inherited_on_exec).
pub fn start(
    workspace: &Workspace,
    command: &mut Command,
    patience: Duration,
) -> Result<Started, ControlError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| ControlError::Io { what, source }
    };
    if let State::Running { pid } = state(workspace)? {
        return Err(LockError::Held { pid }.into());
    }
    workspace.ensure_run_dir()?;
    let log = open_log(&workspace.log())
        .map_err(|(path, source)| ControlError::Io { what: path.display().to_string(), source })?;
    let (mut ready, writer) = io::pipe().map_err(io("pipe"))?;
    command.current_dir("/").stdin(Stdio::null()).stdout(writer).stderr(log);
    #[expect(clippy::disallowed_methods, reason = "ended below if it fails, else the caller's")]
    let spawned = command.spawn();
    // The command holds our copy of the write end; with it open the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = spawned.map_err(io("start the daemon"))?;

    match read_ready(&mut ready, patience) {
        Ok(Some(pid)) => Ok(Started { pid, child }),
        Ok(None) => {
            let status = child.wait().map_err(io("wait for the daemon"))?;
            Err(ControlError::EndedEarly { status })
        }
        Err(error) => {
            // It is not ready and shall not become so behind our back.
            let _ended_already = child.kill();
            let _status = child.wait();
            Err(error)
        }
    }
}

/// The message by which a daemon tells its launcher that it answers, or why it never will.
pub fn report_ready(outcome: Result<u32, Failure>) -> Vec<u8> {
    let outcome = outcome.map(|pid| json!({ "pid": pid })).map_err(Into::into);
    Response::new(serde_json::Value::Null, outcome).to_line()
}

/// Ends the daemon of a workspace and returns when it is gone; `None` if there was none.
///
/// It is asked first. If it does not answer, it gets a SIGTERM, but only the process that holds
/// the lock: a pid in a stale file is left alone.
pub fn stop(workspace: &Workspace, patience: Duration) -> Result<Option<u32>, ControlError> {
    let deadline = Instant::now() + patience;
    let State::Running { pid } = state(workspace)? else { return Ok(None) };
    let pid = pid.ok_or(ControlError::JustStarting)?;
    let process = match PidFd::open(pid) {
        Ok(process) => process,
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(Some(pid)),
        Err(source) => return Err(ControlError::Io { what: format!("pid {pid}"), source }),
    };
    // Looked at again now that the process is pinned: it was and is the holder.
    if state(workspace)? != (State::Running { pid: Some(pid) }) {
        return Ok(Some(pid));
    }
    let waited = |process: &PidFd| {
        process
            .wait(deadline)
            .map_err(|source| ControlError::Io { what: format!("pid {pid}"), source })
    };
    let asked = Client::connect(workspace).and_then(|mut client| {
        client.set_timeout(ASK_TIMEOUT.min(patience))?;
        client.shutdown()
    });
    if asked.is_err() {
        // Gone in the meantime is as good.
        let _gone = process.signal(Signal::SIGTERM);
    }
    match waited(&process)? {
        true => Ok(Some(pid)),
        false => Err(ControlError::StillThere { pid, after: patience }),
    }
}

/// Reads the readiness message: the pid, the reason, or `None` if the daemon ended without one.
fn read_ready(ready: &mut io::PipeReader, patience: Duration) -> Result<Option<u32>, ControlError> {
    let io = |source| ControlError::Io { what: "readiness pipe".into(), source };
    let deadline = Instant::now() + patience;
    let mut text = Vec::new();
    while !text.ends_with(b"\n") && text.len() < READY_BYTES_MAX {
        if !wait_readable(&[ready.as_fd()], deadline).map_err(io)?[0] {
            return Err(ControlError::NotReady { after: patience });
        }
        let mut chunk = [0; 4096];
        match ready.read(&mut chunk).map_err(io)? {
            0 => break,
            count => text.extend_from_slice(&chunk[..count]),
        }
    }
    let Ok(message) = serde_json::from_slice::<Response>(&text) else { return Ok(None) };
    if let Some(error) = &message.error {
        return Err(ControlError::Refused(error.into()));
    }
    let pid = message.result.as_ref().and_then(|result| result.get("pid")?.as_u64());
    Ok(pid.and_then(|pid| u32::try_from(pid).ok()))
}

/// Opens the log to append to, after putting a long one aside.
fn open_log(path: &Path) -> Result<File, (PathBuf, io::Error)> {
    if fs::metadata(path).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
        let aside = path.with_extension("log.1");
        fs::rename(path, &aside).map_err(|source| (aside, source))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| (path.into(), source))
}
