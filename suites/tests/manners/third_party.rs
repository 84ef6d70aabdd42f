//! The test suites of published crates, every test with the same outcome: what cargo fetches, never ours.
//!
//! What fails without the agent is compared as well; what is not the same in two plain runs is no evidence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use watertight_suites::published::{Suite, cargo, fetch, outcomes};

use crate::preload::Agent;
use crate::twice::{Outcome, TRIAL, plain, preloaded};

/// Files, sockets, processes, signals, threads, mappings, terminals. Quick to build and to run.
const SUITES: [Suite; 7] = [
    Suite { name: "jobserver", version: "0.1.35", options: &["--lib", "--tests"] },
    Suite { name: "memmap2", version: "0.9.12", options: &["--lib"] },
    Suite { name: "nix", version: "0.30.1", options: &["--lib", "--tests", "--all-features"] },
    // The others wait for the clock.
    Suite {
        name: "polling",
        version: "3.11.0",
        options: &[
            "--test",
            "io",
            "--test",
            "notify",
            "--test",
            "many_connections",
            "--test",
            "other_modes",
        ],
    },
    Suite { name: "shared_child", version: "1.1.2", options: &["--lib"] },
    Suite { name: "socket2", version: "0.6.5", options: &["--lib", "--all-features"] },
    Suite { name: "tempfile", version: "3.27.0", options: &["--lib", "--tests"] },
];

/// Tests of nix that, run by root, change the machine: process accounting, kernel modules, mounts.
const SKIPPED: [&str; 3] = ["acct", "kmod", "mount"];

/// Fewer tests than this with a certain outcome would show little.
const TESTS_MIN: usize = 400;

/// Further runs of each where the agent's outcome differs.
const MORE: usize = 3;

#[test]
fn suites_of_published_crates_have_the_same_outcomes() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("third-party");
    let sources = match fetch(&scratch, &SUITES) {
        Ok(sources) => sources,
        Err(reason) => {
            return println!(
                "skipped: cargo could not fetch the crates; is there a network? {reason}"
            );
        }
    };
    let agent = Agent::find();
    let mut compared = 0;
    let mut wrong = Vec::new();
    for (suite, source) in SUITES.iter().zip(sources) {
        let executables = build(&scratch, suite, &source);
        assert!(!executables.is_empty(), "{} has tests", suite.name);
        for executable in executables {
            let command = || {
                let mut command = Command::new(&executable);
                command.arg("--test-threads=1").current_dir(&source);
                command.env("CARGO_MANIFEST_DIR", &source);
                if suite.name == "nix" {
                    command.args(SKIPPED.iter().flat_map(|name| ["--skip", name]));
                }
                command
            };
            let expected =
                [plain(command()), plain(command())].map(|outcome| outcomes_of(&outcome));
            let with = outcomes_of(&preloaded(command(), &agent, TRIAL));
            let certain =
                expected[0].iter().filter(|(test, first)| expected[1].get(*test) == Some(first));
            let (same, other): (Vec<_>, Vec<_>) =
                certain.partition(|(test, first)| with.get(*test) == Some(first));
            compared += same.len();
            if other.is_empty() {
                continue;
            }
            // What now and then comes to the same, without the agent or with it, is no evidence either.
            let more: Vec<_> = (0..MORE).map(|_| outcomes_of(&plain(command()))).collect();
            let again = (0..MORE).map(|_| outcomes_of(&preloaded(command(), &agent, TRIAL)));
            let again: Vec<_> = again.collect();
            for (test, first) in other {
                let seen = with.get(test);
                let at_times = more.iter().any(|outcomes| outcomes.get(test) == seen)
                    || again.iter().any(|outcomes| outcomes.get(test) == Some(first));
                let line = format!("{} {test}: {first}, and {seen:?} with the agent", suite.name);
                if at_times { println!("uncertain: {line}") } else { wrong.push(line) }
            }
        }
    }
    println!("{compared} tests compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= TESTS_MIN, "only {compared} tests had a certain outcome");
}

/// Every test's outcome, and how the whole ended.
fn outcomes_of(outcome: &Outcome) -> BTreeMap<String, String> {
    let mut all = outcomes(&outcome.out);
    all.insert("(exit)".to_owned(), outcome.status.to_string());
    all
}

/// Builds a suite's tests; gives their executables. One folder of builds for all suites.
fn build(scratch: &Path, suite: &Suite, source: &Path) -> Vec<PathBuf> {
    let builds = scratch.join("target");
    let mut arguments = vec!["test", "--no-run", "--message-format=json", "--target-dir"];
    arguments.push(builds.to_str().expect("a path that is text"));
    arguments.extend(suite.options);
    let output =
        cargo(source, &arguments).unwrap_or_else(|reason| panic!("{}: {reason}", suite.name));
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let executable = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_test = message["profile"]["test"] == true;
        is_test.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    };
    messages.lines().filter_map(executable).collect()
}
