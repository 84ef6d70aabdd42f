//! One program, with the agent and without.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use watertight_suites::wait_within;

use crate::preload::table::{self, Control, FLAG_FD_STACKS, FLAG_HEAP_STACKS};
use crate::preload::{Agent, Asked};

/// Longest time for one run; the slowest suite takes half a minute on a busy machine.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);

/// What the agent does in a trial.
pub(crate) const TRIAL: Asked = (FLAG_FD_STACKS, 0);
/// That, what it does in an explain run, and what where it samples the heap: more blocks than it would, so that
/// many are tracked and many are not.
pub(crate) const MODES: [(&str, Asked); 3] = [
    ("descriptor stacks", TRIAL),
    ("heap stacks", (FLAG_FD_STACKS | FLAG_HEAP_STACKS, 0)),
    ("heap samples", (FLAG_FD_STACKS | FLAG_HEAP_STACKS, 1024)),
];

/// How a run ended and what it printed.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a program to its end without the agent.
pub(crate) fn plain(mut command: Command) -> Outcome {
    run(&mut command)
}

/// Runs a program to its end with the agent, as the main process of a trial. It must have been measured.
pub(crate) fn preloaded(mut command: Command, agent: &Agent, asked: Asked) -> Outcome {
    let table = agent.table(asked);
    table.preload(&mut command);
    let outcome = run(&mut command);
    table.region();
    outcome
}

#[expect(clippy::disallowed_methods, reason = "ended with all its group and reaped below")]
fn run(command: &mut Command) -> Outcome {
    let mut out = tempfile::tempfile().expect("a file");
    let mut err = tempfile::tempfile().expect("a file");
    let copy = |file: &File| Stdio::from(file.try_clone().expect("a descriptor"));
    command.stdin(Stdio::null()).stdout(copy(&out)).stderr(copy(&err)).process_group(0);
    let mut child = command.spawn().expect("the program starts");
    if let Some(directory) = of_table(command) {
        is_main(Path::new(&directory), child.id());
    }
    let ended = wait_within(RUN_TIMEOUT, "the program ends", || Ok(child.try_wait()?.is_some()));
    // Whatever it left behind, and itself where it hangs.
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    let status = child.wait().expect("a child of ours");
    let (out, err) = (text(&mut out), text(&mut err));
    ended.unwrap_or_else(|error| panic!("{command:?}: {error}\n{out}\n{err}"));
    Outcome { status, out, err }
}

/// The table that a command was given.
fn of_table(command: &Command) -> Option<std::ffi::OsString> {
    command.get_envs().find(|(name, _)| *name == table::ENV_TABLE)?.1.map(ToOwned::to_owned)
}

/// Names the main process, whose own state is noted as well.
fn is_main(directory: &Path, pid: u32) {
    let control = File::options().write(true).open(directory.join(table::CONTROL_FILE));
    let at = std::mem::offset_of!(Control, main) as u64;
    control.expect("the control file").write_all_at(&pid.to_ne_bytes(), at).expect("room");
}

fn text(file: &mut File) -> String {
    let len = file.metadata().expect("its length").len() as usize;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0).expect("what was printed");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a program plainly and in all modes of the agent, and compares.
///
/// # Panics
/// Where they differ, or the plain one ends by a signal that it was not meant to end by.
pub(crate) fn same(command: impl Fn() -> Command, meant: impl Fn(ExitStatus) -> bool) -> Outcome {
    let expected = plain(command());
    assert!(
        meant(expected.status),
        "without the agent: {}\n{}{}",
        expected.status,
        expected.out,
        expected.err
    );
    let agent = Agent::find();
    for (mode, asked) in MODES {
        let outcome = preloaded(command(), &agent, asked);
        assert_eq!(outcome.status, expected.status, "with {mode}: {}{}", outcome.out, outcome.err);
        assert_eq!(outcome.out, expected.out, "with {mode}");
        assert_eq!(outcome.err, expected.err, "with {mode}");
    }
    expected
}

/// A good end.
pub(crate) fn success(status: ExitStatus) -> bool {
    status.success()
}

/// An end by SIGTERM.
pub(crate) fn terminated(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::SIGTERM as i32)
}
