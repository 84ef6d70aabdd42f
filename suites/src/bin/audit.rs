//! The audit of the reference tracker: its own cases, which must be clean, then the leaks of the story,
//! which must not be, with the leak report of each; and a table of both.
//!
//! `cargo run -p watertight-suites --bin audit`

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use watertight_report::ledger;
use watertight_report::model::{Frame, Outcome, Record, Trial, Verdict};

const PACKAGE: &str = "watertight-suites";
/// The suites of the real tracker.
const TRACKER: [&str; 4] = ["daemon", "ipc", "sync", "store"];
/// The binaries whose cases leak on purpose, each beside its clean twin.
const STORY: [&str; 2] = ["leaky", "leaky-registry"];

fn main() -> ExitCode {
    match audit() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("audit: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs both halves; true where each of them is what it must be.
fn audit() -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let (tracker, story) = (folder.path().join("tracker.jsonl"), folder.path().join("story.jsonl"));

    println!("# The reference tracker: every case must be clean\n");
    let mut tests = cargo("test");
    for suite in TRACKER {
        tests.args(["--test", suite]);
    }
    // A case that fails shows in the table; the audit goes on.
    tests.arg("--no-fail-fast").env("WATERTIGHT_LEDGER", &tracker).status()?;

    println!(
        "\n# The leaks that crashed the original: each must be caught, its twin must be clean\n"
    );
    let built = cargo("build").arg("--bins").status()?;
    anyhow::ensure!(built.success(), "the story's binaries did not build");
    let here = env::current_exe()?;
    for name in STORY {
        let program = here.with_file_name(name);
        let ended =
            Command::new(&program).env("WATERTIGHT_LEDGER", &story).stdin(Stdio::null()).status();
        ended.with_context(|| format!("{} cannot be started", program.display()))?;
    }

    println!("# What the ledgers say\n");
    let mut good = true;
    for trial in trials(&tracker)? {
        good &= row(&trial, trial.verdict == Verdict::Clean && trial.outcome == Outcome::Passed);
    }
    println!();
    for trial in trials(&story)? {
        let is_clean_twin = trial.case.split("::").any(|part| part == "clean");
        let expected = if is_clean_twin { Verdict::Clean } else { Verdict::Leaked };
        good &= row(&trial, trial.verdict == expected);
    }
    println!("\n{}", if good { "as it must be" } else { "NOT as it must be: see the rows with !" });
    Ok(good)
}

/// A cargo command on this package, by the cargo that runs us.
fn cargo(verb: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([verb, "--quiet", "--package", PACKAGE]);
    // What it starts is a run of its own, whoever has started us.
    for name in ["WATERTIGHT_RUN", "WATERTIGHT_MODE", "WATERTIGHT_BLIND", "NEXTEST_RUN_ID"] {
        command.env_remove(name);
    }
    command
}

fn trials(path: &Path) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for record in ledger::read(path)? {
        if let Record::Trial(trial) = record? {
            trials.push(*trial);
        }
    }
    trials.sort_by(|a, b| (&a.suite, &a.case).cmp(&(&b.suite, &b.case)));
    Ok(trials)
}

/// Prints a trial's row; gives back whether it is as it must be.
fn row(trial: &Trial, good: bool) -> bool {
    let mark = if good { ' ' } else { '!' };
    let name = format!("{} {}", trial.suite, trial.case);
    let verdict = format!("{:?}", trial.verdict).to_lowercase();
    let found = trial
        .findings
        .iter()
        .find(|finding| finding.status == watertight_report::model::Status::Leak);
    let site = |frame: &Frame| format!("{}:{}", frame.file, frame.line);
    let found = found.map_or_else(String::new, |finding| {
        format!(
            "{} at {}",
            finding.resource.name(),
            finding.site.as_ref().map_or("?".to_owned(), site)
        )
    });
    println!("{mark} {name:<74} {verdict:<10} {found}");
    good
}
