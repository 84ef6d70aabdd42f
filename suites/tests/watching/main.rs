//! `cargo watertight run`, `watch` and `agent`: what grows in a running program is named, what does not is left
//! in peace, and the program is as it was without.
//!
//! Every test runs real processes: the command as people start it, in `/` as a service is, and programs that
//! are `watertight_suites::unsteady` or the story's daemon. Each of those ends with its input, so none is left.

mod leaky;
mod distribution;
mod output;
mod memory;
mod outside;
mod stopping;
mod subjects;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::unistd::Uid;
use tempfile::TempDir;
use watertight_report::model::{Finding, Status, Trended, Trial};
use watertight_report::trend::{Growth, Trend};
use watertight_suites::command::{self, Call, Project, Said};

/// A program that is to be watched, and has habits.
const UNSTEADY: &str = env!("CARGO_BIN_EXE_unsteady");

/// `cargo watertight` with these arguments, in no project.
fn watertight<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Call {
    anywhere().watertight(arguments)
}

/// The command itself.
fn binary() -> &'static Path {
    command::binary(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// No project.
fn anywhere() -> Project {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    Project::at(tmp, PathBuf::from("/"), tmp.join("watching"))
}

/// A program that somebody else has started; killed and reaped when dropped.
struct Subject(Child);

impl Subject {
    /// Starts it with an input that ends with this value, and with nobody who reads what it prints.
    #[expect(clippy::disallowed_methods, reason = "ended and reaped on drop")]
    fn start(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    /// One of the programs with habits.
    fn unsteady(habit: &str, every: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(UNSTEADY);
        command.args([habit, every]);
        Self::start(command)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends its input, and so most of these programs.
    fn end_input(&mut self) {
        drop(self.0.stdin.take());
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A folder for what a test writes, gone with the value.
struct Place(TempDir);

impl Place {
    fn new() -> anyhow::Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Whether a program is there; says so where its test is skipped.
fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let is_there = places.any(|place| place.join(program).is_file());
    if !is_there {
        println!("skipped: {program} is not installed");
    }
    is_there
}

/// Whether a program can be started as another user, by setpriv; says so where its test is skipped.
fn may_become_another_user() -> bool {
    let is_root = Uid::effective().is_root();
    if !is_root {
        println!("skipped: only root can become another user");
    }
    is_root && installed("setpriv")
}

/// The one record of a watch.
fn only(said: &Said) -> Trial {
    let mut trials = said.trials();
    assert_eq!(trials.len(), 1, "records; {said}");
    trials.remove(0)
}

/// The findings by which it is red.
fn leaks(trial: &Trial) -> Vec<&Finding> {
    trial.findings.iter().filter(|finding| finding.status == Status::Leak).collect()
}

/// What is said of a metric of the program itself.
fn trend<'a>(trial: &'a Trial, metric: &str) -> Option<&'a Trend> {
    let is_it = |it: &&Trended| trial.is_of_program(&it.subject) && it.metric == metric;
    trial.trends.iter().find(is_it).map(|it| &it.trend)
}

fn growth(trend: Option<&Trend>) -> Option<&Growth> {
    match trend {
        Some(Trend::Growing(growth)) => Some(growth),
        _ => None,
    }
}
