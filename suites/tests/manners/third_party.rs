//! The test suites of published crates, every test with the same outcome: what cargo fetches, never ours.
//!
//! What fails without the agent is compared as well; what is not the same in two plain runs is no evidence.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::preload::Agent;
use crate::preload::table::FLAG_FD_STACKS;
use crate::twice::{Outcome, plain, preloaded};

/// A crate whose tarball has its tests.
struct Suite {
    name: &'static str,
    version: &'static str,
    /// What of it is built, in cargo's words.
    options: &'static [&'static str],
}

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

/// Further plain runs where the agent's differs.
const PLAIN_MORE: usize = 3;

#[test]
fn suites_of_published_crates_have_the_same_outcomes() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("third-party");
    let sources = match fetch(&scratch) {
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
            let expected = [plain(command()), plain(command())].map(|outcome| outcomes(&outcome));
            let with = outcomes(&preloaded(command(), &agent, FLAG_FD_STACKS));
            let certain =
                expected[0].iter().filter(|(test, first)| expected[1].get(*test) == Some(first));
            let (same, other): (Vec<_>, Vec<_>) =
                certain.partition(|(test, first)| with.get(*test) == Some(first));
            compared += same.len();
            if other.is_empty() {
                continue;
            }
            // What now and then comes to the same without the agent is no evidence either.
            let more: Vec<_> = (0..PLAIN_MORE).map(|_| outcomes(&plain(command()))).collect();
            for (test, first) in other {
                let seen = with.get(test);
                let at_times = more.iter().any(|outcomes| outcomes.get(test) == seen);
                let line = format!("{} {test}: {first}, and {seen:?} with the agent", suite.name);
                if at_times { println!("uncertain: {line}") } else { wrong.push(line) }
            }
        }
    }
    println!("{compared} tests compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= TESTS_MIN, "only {compared} tests had a certain outcome");
}

/// Every test's outcome by libtest's own words (`test NAME ... ok`), and how the whole ended.
fn outcomes(outcome: &Outcome) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([("(exit)".to_owned(), outcome.status.to_string())]);
    let mut name = None;
    for line in outcome.out.lines() {
        let mut rest = line;
        if let Some((test, after)) =
            line.strip_prefix("test ").and_then(|line| line.split_once(" ... "))
        {
            name = Some(test.to_owned());
            rest = after;
        }
        // What the test's children print comes in between.
        let word = ["ok", "FAILED", "ignored"]
            .into_iter()
            .find(|word| rest.ends_with(word) || rest.starts_with("ignored,"));
        if let Some((test, word)) = name.clone().zip(word) {
            all.insert(test, word.to_owned());
            name = None;
        }
    }
    all
}

fn cargo(scratch: &Path, arguments: &[&str]) -> Result<Output, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(scratch).env("CARGO_NET_RETRY", "1");
    for variable in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(variable);
    }
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The sources of all suites, copied so that each is a package of its own.
fn fetch(scratch: &Path) -> Result<Vec<PathBuf>, String> {
    let asking = scratch.join("asking");
    write(&asking.join("src/lib.rs"), "");
    let wants: String =
        SUITES.iter().map(|suite| format!("{} = \"={}\"\n", suite.name, suite.version)).collect();
    let manifest =
        "[package]\nname = \"asking\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n";
    write(&asking.join("Cargo.toml"), &(manifest.to_owned() + &wants));
    let output = cargo(&asking, &["metadata", "--format-version", "1"])?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    SUITES.iter().map(|suite| copied(scratch, suite, &metadata)).collect()
}

fn copied(scratch: &Path, suite: &Suite, metadata: &Value) -> Result<PathBuf, String> {
    let target = scratch.join(format!("{}-{}", suite.name, suite.version));
    let manifest = target.join("Cargo.toml");
    if !manifest.exists() {
        let is_it =
            |package: &&Value| package["name"] == suite.name && package["version"] == suite.version;
        let packages = metadata["packages"].as_array().ok_or("metadata without packages")?;
        let package = packages.iter().find(is_it).ok_or("a package that was asked for")?;
        let source = package["manifest_path"].as_str().and_then(|path| Path::new(path).parent());
        copy(source.ok_or("a package without a place")?, &target);
        // Its manifest comes last: with it the copy is whole.
        let text = fs::read_to_string(target.join("Cargo.toml.copied")).expect("its manifest");
        write(&manifest, &(text + "\n[workspace]\n"));
    }
    cargo(&target, &["fetch"])?;
    Ok(target)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a package") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default();
        match name.to_str() {
            _ if path.is_dir() => copy(&path, &to.join(name)),
            Some("Cargo.lock") => {}
            Some("Cargo.toml") => {
                write(&to.join("Cargo.toml.copied"), &fs::read_to_string(&path).expect("text"))
            }
            _ => drop(fs::copy(&path, to.join(name)).expect("a copy")),
        }
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap_or(path)).expect("a directory");
    fs::write(path, text).expect("a file");
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
