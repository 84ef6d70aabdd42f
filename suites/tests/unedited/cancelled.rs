//! Ctrl-C and SIGTERM: everything that was started is ended, and the ledger says what became of each test.

use std::fs;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use watertight_report::model::{CANCELLED, CARGO, Outcome, Verdict};
use watertight_suites::command::{Call, Project, Started};
use watertight_suites::{Ending, wait_for};

/// Four tests that never end, each with a child that does not either.
const TESTS: &str = r#"
#[cfg(test)]
fn waits_with_a_child() {
    let mut child = std::process::Command::new("sleep").arg("86398.5").spawn().unwrap();
    child.wait().unwrap();
}
#[test] fn one() { waits_with_a_child() }
#[test] fn two() { waits_with_a_child() }
#[test] fn three() { waits_with_a_child() }
#[test] fn four() { waits_with_a_child() }
"#;

/// How long those sleep, by which they are known.
const SLEEP: &str = "86398.5";

const TESTS_AT_ONCE: usize = 2;

/// The variable that all processes of a run inherit, and nobody else has with this value.
const MARK: &str = "CANCELLED_RUN";

/// The mark of one run; ends whoever still has it when dropped.
struct Mark(String);

impl Mark {
    fn new(name: &str) -> Self {
        Self(format!("{}-{name}", std::process::id()))
    }

    /// The living processes that have it.
    fn processes(&self) -> Vec<Pid> {
        let entry = format!("{MARK}={}", self.0);
        let has = |pid: &Pid| {
            let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            bytes.split(|byte| *byte == 0).any(|variable| variable == entry.as_bytes())
        };
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.map(Pid::from_raw).filter(has).collect()
    }

    /// How many of them sleep.
    fn sleepers(&self) -> usize {
        let sleeps = |pid: &&Pid| {
            let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            bytes.split(|byte| *byte == 0).any(|word| word == SLEEP.as_bytes())
        };
        self.processes().iter().filter(|pid| sleeps(pid)).count()
    }

    fn wait_for_end(&self) -> Ending {
        wait_for("nothing of the run lives", || Ok(self.processes().is_empty()))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _gone_already = kill(pid, Signal::SIGKILL);
        }
    }
}

/// Starts the command and waits until as many tests sleep as may run at once.
fn asleep(project: &Project, call: Call, mark: &Mark) -> anyhow::Result<Started> {
    // Built before, so that nobody is interrupted in it.
    let built = project.cargo(["test", "--lib", "--no-run"]).end()?;
    assert_eq!(built.code, Some(0), "{built}");
    let started = call.env(MARK, &mark.0).start()?;
    wait_for("the tests sleep", || Ok(mark.sleepers() == TESTS_AT_ONCE))?;
    Ok(started)
}

/// What must be so after a run that a signal has ended.
fn assert_ended(project: &Project, started: Started, mark: &Mark, code: i32) -> Ending {
    let said = started.end()?;
    assert_eq!(said.code, Some(code), "{said}");
    let trials = said.trials();
    let count = |outcome| trials.iter().filter(|trial| trial.outcome == outcome).count();
    assert_eq!(count(Outcome::Killed), TESTS_AT_ONCE, "{trials:#?}\n{said}");
    assert_eq!(count(Outcome::Skipped), trials.len() - TESTS_AT_ONCE, "{trials:#?}");
    assert!(trials.iter().all(|trial| trial.verdict != Verdict::Clean), "{trials:#?}");
    mark.wait_for_end()?;
    let gate = project.watertight(["gate"]).ledger(&said.ledger).end()?;
    assert_eq!(gate.code, Some(1), "{gate}");
    assert!(gate.out.contains("cancelled"), "{gate}");
    Ok(())
}

#[test]
fn ctrl_c_ends_everything_and_writes_the_ledger() -> Ending {
    let project = crate::library("interrupted", TESTS);
    let mark = Mark::new("interrupted");
    let call = project.watertight(["test", "--lib", "--", "--test-threads=2"]);
    let started = asleep(&project, call, &mark)?;
    // As a terminal does.
    killpg(started.pid(), Signal::SIGINT)?;
    assert_ended(&project, started, &mark, 130)
}

#[test]
fn sigterm_for_the_command_alone_does_the_same() -> Ending {
    let project = crate::library("terminated", TESTS);
    let mark = Mark::new("terminated");
    let call = project.watertight(["test", "--lib", "--", "--test-threads=2"]);
    let started = asleep(&project, call, &mark)?;
    // As a CI job that is cancelled.
    kill(started.pid(), Signal::SIGTERM)?;
    assert_ended(&project, started, &mark, 143)
}

#[test]
fn nextest_is_ended_as_well() -> Ending {
    if !crate::nextest::is_here() {
        return Ok(());
    }
    let project = crate::library("cancelled-nextest", TESTS);
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mark = Mark::new(signal.as_str());
        let call = project.watertight(["nextest", "--lib", "--test-threads=2"]);
        let started = asleep(&project, call, &mark)?;
        match signal {
            // As a terminal does.
            Signal::SIGINT => killpg(started.pid(), signal)?,
            _ => kill(started.pid(), signal)?,
        }
        // nextest starts none of the others, so they have no record.
        let said = started.end()?;
        assert_eq!(said.code, Some(code), "{said}");
        let mut trials = said.trials();
        // Nor would anybody know by the others that more were to come: that the run was cancelled has one.
        let told = trials.iter().position(|trial| trial.case == CARGO);
        let cancelled = trials.remove(told.expect("a record of the run itself"));
        assert_eq!(cancelled.message.as_deref(), Some(CANCELLED), "{said}");
        assert_eq!(trials.len(), TESTS_AT_ONCE, "{said}");
        assert!(trials.iter().all(|trial| trial.outcome == Outcome::Killed), "{trials:#?}");
        mark.wait_for_end()?;
        let gate = project.watertight(["gate"]).ledger(&said.ledger).end()?;
        assert_eq!(gate.code, Some(1), "{gate}");
    }
    Ok(())
}

/// Nobody writes a last word then, and what was written before looks well.
#[test]
fn a_run_that_was_killed_is_not_green() -> Ending {
    let project = crate::library("cancelled-killed", TESTS);
    let mark = Mark::new("killed");
    let started = asleep(&project, project.watertight(["test", "--lib"]), &mark)?;
    killpg(started.pid(), Signal::SIGKILL)?;
    let said = started.end()?;
    let gate = project.watertight(["gate"]).ledger(&said.ledger).end()?;
    assert_eq!(gate.code, Some(1), "{gate}");
    assert!(gate.out.contains("did not come to its end"), "{gate}");
    mark.wait_for_end()
}

/// What is not libtest's runs without us around it, and must end all the same. Its doctest does not end by
/// itself either.
const PASSED_BY: &str = r#"
/// ```
/// std::process::Command::new("sleep").arg("86398.5").status().unwrap();
/// ```
pub fn documented() {}
"#;
const OWN_MAIN: &str = r#"
fn main() {
    std::process::Command::new("sleep").arg("86398.5").status().unwrap();
}
"#;
const OWN_MANIFEST: &str = r#"
[package]
name = "passed-by"
version = "0.1.0"
edition = "2024"

[[test]]
name = "own"
harness = false

[workspace]
"#;

#[test]
fn what_passes_us_by_is_ended_as_well() -> Ending {
    let files =
        [("Cargo.toml", OWN_MANIFEST), ("src/lib.rs", PASSED_BY), ("tests/own.rs", OWN_MAIN)];
    let project = Project::written(crate::tmp(), "passed-by", &files)?;
    for words in [["test", "--doc"].as_slice(), &["test", "--test", "own"]] {
        let mark = Mark::new(words[1]);
        let started = project.watertight(words).env(MARK, &mark.0).start()?;
        wait_for("the sleeper", || Ok(mark.sleepers() == 1))?;
        kill(started.pid(), Signal::SIGTERM)?;
        let said = started.end()?;
        assert_eq!(said.code, Some(143), "{said}");
        mark.wait_for_end()?;
    }
    Ok(())
}

/// The binary that is running is not the last one: cargo must not start the others.
#[test]
fn nothing_is_started_after_the_signal() -> Ending {
    let files = [("src/lib.rs", TESTS), ("tests/later.rs", TESTS)];
    let project = Project::written(crate::tmp(), "later", &files)?;
    let mark = Mark::new("later");
    let words = ["test", "--no-fail-fast", "--", "--test-threads=2"];
    let started = asleep(&project, project.watertight(words), &mark)?;
    kill(started.pid(), Signal::SIGTERM)?;
    assert_ended(&project, started, &mark, 143)
}
