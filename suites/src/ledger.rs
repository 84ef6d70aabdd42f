//! Runs a suite in a process of its own and reads what it has written into its ledger.
//!
//! The suites that leak or misbehave on purpose are binaries, and ordinary tests run them with this.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use watertight_report::ledger;
use watertight_report::model::{Finding, Record, Resource, Run, Status, Trial};
use watertight_tracker::process;

/// Longest time for one run; the slowest takes some seconds on a busy machine.
pub const RUN_TIMEOUT: Duration = Duration::from_secs(180);

/// What a developer or a CI job may have set for the tests, and what the runs inside them must not get.
const FOREIGN: [&str; 6] = [
    "WATERTIGHT_PROFILE",
    "WATERTIGHT_MODE",
    "WATERTIGHT_BLIND",
    "WATERTIGHT_STACKS",
    "WATERTIGHT_CONFIG",
    "NEXTEST_RUN_ID",
];

/// How a run ended, and its ledger.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// The beginning of what it printed.
    pub output: String,
    /// Its first record.
    pub run: Run,
    /// Its trials in the order in which they ended.
    pub trials: Vec<Trial>,
}

/// Runs `command`, a suite's binary or something that ends up executing one, with a ledger and a run
/// of its own.
///
/// # Errors
/// Where it did not end in time, or its ledger is not whole: a line that cannot be read is an error.
pub fn run(command: &mut Command) -> Result<Ran> {
    run_within(RUN_TIMEOUT, command)
}

/// The same for what takes longer.
///
/// # Errors
/// Those of [`run`].
pub fn run_within(timeout: Duration, command: &mut Command) -> Result<Ran> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("ledger.jsonl");
    for name in FOREIGN {
        // What the caller has set on purpose stays.
        if !command.get_envs().any(|(set, _)| set == name) {
            command.env_remove(name);
        }
    }
    command
        .env("WATERTIGHT_LEDGER", &path)
        .env("WATERTIGHT_RUN", format!("suites-{}-{number}", std::process::id()));
    let ended = process::run(command, timeout, None)
        .with_context(|| format!("{command:?} did not end by itself"))?;
    let code = ended.status.code();
    let (run, trials) = read(&path).with_context(|| {
        format!("the ledger of {command:?} ({}); it printed:\n{}", ended.status, ended.output)
    })?;
    Ok(Ran { code, output: ended.output, run, trials })
}

fn read(path: &Path) -> Result<(Run, Vec<Trial>)> {
    let mut runs = Vec::new();
    let mut trials = Vec::new();
    for record in ledger::read(path)? {
        match record? {
            Record::Run(run) => runs.push(run),
            Record::Trial(trial) => trials.push(*trial),
            other => bail!("an unknown record: {other:?}"),
        }
    }
    match runs.len() {
        1 => Ok((runs.remove(0), trials)),
        count => bail!("{count} run records"),
    }
}

impl Ran {
    /// The one trial of a case.
    ///
    /// # Panics
    /// Where there is none or more than one: every case has exactly one record.
    pub fn trial(&self, case: &str) -> &Trial {
        let mut found = self.trials.iter().filter(|trial| trial.case == case);
        match (found.next(), found.next()) {
            (Some(trial), None) => trial,
            (first, _) => {
                let count = usize::from(first.is_some()) + found.count();
                panic!("{count} records of `{case}`; the run printed:\n{}", self.output)
            }
        }
    }
}

/// The findings of a trial that fail it.
pub fn leaks(trial: &Trial) -> Vec<&Finding> {
    trial.findings.iter().filter(|finding| finding.status == Status::Leak).collect()
}

/// Every resource in a finding, the leading one first, each once.
pub fn resources(finding: &Finding) -> Vec<Resource> {
    let mut all = vec![finding.resource];
    for part in &finding.parts {
        if !all.contains(&part.resource) {
            all.push(part.resource);
        }
    }
    all
}

/// The number of the one line in `source` that ends with the comment `mark`.
///
/// # Panics
/// Where no line or more than one is marked.
pub fn marked(source: &str, mark: &str) -> u32 {
    let comment = format!("// {mark}");
    let mut lines =
        (1..).zip(source.lines()).filter(|(_, line)| line.trim_end().ends_with(&comment));
    match (lines.next(), lines.next()) {
        (Some((number, _)), None) => number,
        (None, _) => panic!("no line is marked `{comment}`"),
        (Some((first, _)), Some((second, _))) => {
            panic!("lines {first} and {second} are marked `{comment}`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_a_line_number() {
        assert_eq!(marked("a\nb // LEAK\nc // LEAK task\n", "LEAK"), 2);
        assert_eq!(marked("a\nb // LEAK\nc // LEAK task\n", "LEAK task"), 3);
    }

    #[test]
    #[should_panic = "lines 1 and 2"]
    fn two_marks_are_refused() {
        marked("a // LEAK\nb // LEAK\n", "LEAK");
    }
}
