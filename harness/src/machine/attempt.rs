//! What can only be tried: this same binary, started again for one purpose, which its environment tells.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};
use watertight_report::model::Canary;

use super::network;
use crate::config::Config;
use crate::run::{Run, Subjects};
use crate::{canary, survivor};

/// Tells a process what it was started for.
const PURPOSE: &str = "WATERTIGHT_EXAMINE";

/// What a process was started for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// Supervise the canaries.
    Canaries,
    /// Enter a private network.
    Network,
    /// Wait until nobody holds its input, and be looked at.
    Wait,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Canaries, Self::Network, Self::Wait];

    fn name(self) -> &'static str {
        match self {
            Self::Canaries => "canaries",
            Self::Network => "network",
            Self::Wait => "wait",
        }
    }
}

/// What the canaries' supervisor has to say.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sung {
    /// Why no process can be started with the agent.
    pub(super) unloadable: Option<String>,
    pub(super) canaries: Vec<Canary>,
    /// Why it cannot be told who holds what leaked.
    pub(super) holders_blind: Option<String>,
}

/// Does what this process was started for by [`examine`](super::examine), and gives its exit code; none
/// where a person has started it. Before any thread is started, and after [`unedited::enter`]: the canaries
/// are trials.
///
/// [`unedited::enter`]: crate::unedited::enter
pub fn enter() -> Option<ExitCode> {
    let asked = std::env::var_os(PURPOSE)?;
    let purpose = Purpose::ALL.into_iter().find(|purpose| asked == purpose.name())?;
    let answer = match purpose {
        Purpose::Canaries => sing(),
        Purpose::Network => Ok(network::attempt()),
        Purpose::Wait => wait(),
    };
    let (written, code) = match &answer {
        Ok(text) => (io::stdout().write_all(text.as_bytes()), ExitCode::SUCCESS),
        Err(text) => (io::stderr().write_all(text.as_bytes()), ExitCode::FAILURE),
    };
    Some(written.map_or(ExitCode::FAILURE, |()| code))
}

/// This same binary, for one purpose.
fn again(purpose: Purpose) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(PURPOSE, purpose.name()).stdin(Stdio::piped()).stderr(Stdio::piped());
    command.stdout(Stdio::piped());
    Ok(command)
}

/// Starts this same binary and gives what it says: on stdout, or as an error what it says on stderr.
/// Each purpose ends by itself: a canary's trial has its own deadline.
pub(super) fn answer(
    purpose: Purpose,
    more: &[(&str, &std::ffi::OsStr)],
) -> Result<String, String> {
    let output = again(purpose)
        .and_then(|mut command| command.envs(more.iter().copied()).output())
        .map_err(|error| format!("this program could not be started again: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(match said.trim() {
        "" => format!("its process ended with {}", output.status),
        said => said.to_owned(),
    })
}

/// Shows every probe its planted leak, in a run of its own that nobody finds in a report.
pub(super) fn canaries() -> Result<Sung, String> {
    let folder = tempfile::tempdir().map_err(|error| {
        format!("no temporary directory: {error}; set TMPDIR to one that can be written")
    })?;
    let ledger = folder.path().join("ledger.jsonl");
    let run = format!("doctor-{}", std::process::id());
    let said = answer(
        Purpose::Canaries,
        &[("WATERTIGHT_LEDGER", ledger.as_os_str()), ("WATERTIGHT_RUN", run.as_ref())],
    )?;
    serde_json::from_str(&said).map_err(|error| format!("its process said no sense: {error}"))
}

/// Supervises the canaries, inside the process that was started for it.
fn sing() -> Result<String, String> {
    survivor::become_subreaper();
    let config = Config::load().map_err(|error| error.to_string())?;
    let run = Run::open(Subjects::own("doctor"), false, config)?;
    let sung = Sung {
        unloadable: run.agent.as_ref().err().cloned(),
        canaries: canary::sing(&run),
        holders_blind: run.holders_blind().map(str::to_owned),
    };
    run.home.leave();
    serde_json::to_string(&sung).map_err(|error| error.to_string())
}

/// Waits until nobody holds the other end of its input.
fn wait() -> Result<String, String> {
    let ended = io::stdin().read_to_end(&mut Vec::new());
    ended.map(|_| String::new()).map_err(|error| error.to_string())
}

/// Whether the system call that a child of ours waits in can be read (proc(5), `/proc/PID/syscall`: the
/// permission is that of a tracer).
#[expect(clippy::disallowed_methods, reason = "ended and reaped here")]
pub(super) fn sees_waits() -> bool {
    let Ok(mut child) = again(Purpose::Wait).and_then(|mut command| command.spawn()) else {
        return false;
    };
    let seen = std::fs::read_to_string(format!("/proc/{}/syscall", child.id())).is_ok();
    // Waiting closes its input first, and that ends it.
    child.wait().is_ok() && seen
}
