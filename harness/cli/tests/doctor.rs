//! `cargo watertight doctor` as a person starts it: on this machine, and where something is refused.

use std::process::{Command, Output};

use serde_json::Value;

fn doctor() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-watertight"));
    command.args(["watertight", "doctor"]).env_remove("WATERTIGHT_BLIND").env_remove("RUSTFLAGS");
    command
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The remarks on one subject.
fn remarks<'a>(document: &'a Value, subject: &str) -> Vec<&'a Value> {
    let all = document["remarks"].as_array().into_iter().flatten();
    all.filter(|remark| remark["subject"] == subject).collect()
}

#[test]
fn every_planted_leak_is_seen_here() {
    let output = doctor().arg("--json").output().unwrap();
    let document = document(&output);
    assert_eq!(output.status.code(), Some(0), "{document:#}");
    assert_eq!(document["blind"], false);
    let canaries = remarks(&document, "canaries");
    assert_eq!(canaries.len(), 1, "{canaries:?}");
    let finding = canaries[0]["finding"].as_str().unwrap();
    for probe in ["fd", "socket", "thread", "process", "heap", "time_wait", "mapping", "file"] {
        assert!(finding.contains(probe), "{probe}: {finding}");
    }
    for subject in ["agent", "kernel", "private network", "limits", "cargo", "line tables"] {
        assert!(!remarks(&document, subject).is_empty(), "{subject}: {document:#}");
    }
}

#[test]
fn people_get_one_line_for_each_fact() {
    let output = doctor().output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\x1b'), "{text:?}");
    for line in text.lines() {
        let level = line.split(' ').next().unwrap();
        assert!(["ok", "weaker", "blind"].contains(&level), "{line}");
    }
    assert!(text.lines().any(|line| line.contains("canaries")), "{text}");
}

#[test]
fn an_agent_that_is_refused_is_said_and_ends_with_1() {
    let output = doctor().arg("--json").env("WATERTIGHT_BLIND", "agent").output().unwrap();
    let document = document(&output);
    assert_eq!(output.status.code(), Some(1), "{document:#}");
    assert_eq!(remarks(&document, "agent")[0]["level"], "blind");
    let canaries = remarks(&document, "canaries");
    let heap = |remark: &&Value| {
        let finding = remark["finding"].as_str().unwrap_or_default();
        remark["level"] == "blind" && finding.starts_with("heap ")
    };
    assert!(canaries.iter().any(heap), "{canaries:?}");
}

#[test]
fn a_small_limit_is_said() {
    let mut shell = Command::new("sh");
    let script = "ulimit -Sn 64; exec \"$0\" doctor --json";
    let output = shell
        .args(["-c", script, env!("CARGO_BIN_EXE_cargo-watertight")])
        .env_remove("WATERTIGHT_BLIND")
        .output()
        .unwrap();
    let document = document(&output);
    let limits = remarks(&document, "limits");
    assert_eq!(limits[0]["level"], "weaker", "{document:#}");
    assert!(limits[0]["finding"].as_str().unwrap().starts_with("64 descriptors"), "{limits:?}");
    assert!(limits[0]["change"].is_string(), "{limits:?}");
}

#[test]
fn a_broken_configuration_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("watertight.toml");
    std::fs::write(&config, "profile = [").unwrap();
    let output = doctor().arg("--json").env("WATERTIGHT_CONFIG", &config).output().unwrap();
    let document = document(&output);
    assert_eq!(output.status.code(), Some(1), "{document:#}");
    let finding = remarks(&document, "canaries")[0]["finding"].as_str().unwrap();
    assert!(finding.contains("watertight.toml"), "{finding}");
}

/// It leaves nothing where people work: no ledger, no folder.
#[test]
fn nothing_is_written_into_the_project() {
    let folder = tempfile::tempdir().unwrap();
    let output = doctor().current_dir(folder.path()).output().unwrap();
    assert!(!output.stdout.is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
