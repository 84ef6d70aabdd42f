//! A daemon from the outside: is there one, start one, end it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::{DaemonLock, FileId, LockError, Options};
use crate::client::{Client, ClientError};
use crate::failure::Failure;
use crate::paths::{Workspace, WorkspaceError};
use crate::process::{PidFd, wait_readable};
use crate::protocol::{Response, Status};

/// How long `stop` waits for the daemon's word before it sends a signal instead.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// A daemon that takes longer to say how it is, is not well.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// As much of a log is told when a daemon has died before it was ready.
const WORDS_BYTES_MAX: u64 = 2048;
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
    /// The daemon ended without a word over the pipe.
    #[error("the daemon ended before it was ready ({status}){}", last_words(words))]
    EndedEarly {
        /// How it ended.
        status: ExitStatus,
        /// What it has written to its log instead.
        words: String,
    },
    /// The daemon said nothing in time; it was killed.
    #[error("the daemon was not ready after {}", humantime::format_duration(*after))]
    NotReady {
        /// How long it had.
        after: Duration,
    },
    /// Somebody has the lock and does not say who it is.
    #[error("a daemon has locked {} and not written its pid", path.display())]
    Nameless {
        /// The pidfile.
        path: PathBuf,
    },
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
    /// Somebody does; the pid is missing if they do not write it, which daemons do at once.
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

/// How the daemon of a workspace is, in its own words.
pub fn status(workspace: &Workspace) -> Result<Status, ClientError> {
    Client::connect_within(workspace, STATUS_TIMEOUT)?.status()
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
    let path = workspace.log();
    let log = open_log(&path).map_err(io(&path.display().to_string()))?;
    let written = log.metadata().map_or(0, |found| found.len());
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
            let words = since(&workspace.log(), written).unwrap_or_default();
            Err(ControlError::EndedEarly { status, words })
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
/// the lock and has its file open: a pid in a stale file is left alone.
pub fn stop(workspace: &Workspace, patience: Duration) -> Result<Option<u32>, ControlError> {
    let deadline = Instant::now() + patience;
    let State::Running { pid } = state(workspace)? else { return Ok(None) };
    let pid = pid.ok_or_else(|| ControlError::Nameless { path: workspace.pidfile() })?;
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
    let asked = Client::connect_any(workspace, ASK_TIMEOUT.min(patience))
        .and_then(|mut client| client.shutdown());
    if asked.is_err() && has_open(pid, &workspace.pidfile()) {
        // Gone in the meantime is as good.
        let _gone = process.signal(Signal::SIGTERM);
    }
    match waited(&process)? {
        true => Ok(Some(pid)),
        false => Err(ControlError::StillThere { pid, after: patience }),
    }
}

/// Whether a process has a file open: the pidfile, only its daemon has. Whatever number stands in
/// there, nobody else's process gets a signal from us.
fn has_open(pid: u32, path: &Path) -> bool {
    let Ok(ours) = FileId::of(path) else { return false };
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten().any(|fd| FileId::behind(&fd.path()).is_ok_and(|theirs| theirs == ours))
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

/// Opens the log to append to.
fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The end of what was added to the log since it was `written` bytes long.
fn since(path: &Path, written: u64) -> io::Result<String> {
    let mut log = File::open(path)?;
    let end = log.metadata()?.len();
    log.seek(SeekFrom::Start(written.max(end.saturating_sub(WORDS_BYTES_MAX)).min(end)))?;
    let mut words = Vec::new();
    log.take(WORDS_BYTES_MAX).read_to_end(&mut words)?;
    Ok(String::from_utf8_lossy(&words).trim().to_owned())
}

fn last_words(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!("; it said: {words}") }
}

/// How a daemon was started, as far as its `status` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// [`Options::interval`].
    pub interval: Duration,
    /// [`Options::commit_interval`].
    pub commit_interval: Duration,
    /// [`Options::tcp`], with the port that it was given.
    pub tcp: Option<SocketAddr>,
    /// [`Options::idle_timeout`].
    pub idle_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        let Options { interval, commit_interval, tcp, idle_timeout, .. } = Options::default();
        Self { interval, commit_interval, tcp, idle_timeout }
    }
}

/// How the daemon of a workspace was started; `None` if there is none that answers.
///
/// One of another version tells too: it is what a new version is started in place of.
pub fn settings(workspace: &Workspace) -> Option<Settings> {
    let mut client = Client::connect_any(workspace, ASK_TIMEOUT).ok()?;
    let status = client.call("status", json!({})).ok()?;
    let time = |name: &str| Some(Duration::from_millis(status.get(name)?.as_u64()?));
    Some(Settings {
        interval: time("interval_ms")?,
        commit_interval: time("commit_interval_ms")
            .unwrap_or_else(|| Settings::default().commit_interval),
        tcp: status.get("tcp").and_then(|address| address.as_str()?.parse().ok()),
        idle_timeout: time("idle_timeout_ms"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::tests::sh;
    use std::fs;

    fn workspace() -> (tempfile::TempDir, Workspace) {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::create(dir.path()).unwrap();
        (dir, workspace)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn one_that_dies_at_once_is_told_with_its_last_words() {
        let (_dir, workspace) = workspace();
        fs::write(workspace.log(), "of yesterday\n").unwrap();
        let started = start(&workspace, &mut sh("echo no such library >&2; exit 127"), LONG);
        let said = started.unwrap_err().to_string();
        assert!(said.contains("127") && said.ends_with("it said: no such library"), "{said}");
    }

    #[test]
    fn one_that_is_never_ready_is_ended() {
        let (_dir, workspace) = workspace();
        let started = start(&workspace, &mut sh("exec sleep 1000"), Duration::from_millis(20));
        assert!(matches!(started, Err(ControlError::NotReady { .. })), "{started:?}");
    }

    #[test]
    fn what_is_no_message_is_no_readiness() {
        let (_dir, workspace) = workspace();
        let started = start(&workspace, &mut sh("echo ready"), LONG);
        assert!(matches!(started, Err(ControlError::EndedEarly { .. })), "{started:?}");
    }
}
