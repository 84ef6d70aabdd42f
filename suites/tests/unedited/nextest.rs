//! The same under `cargo nextest run`: one process for each test is nextest's own way, retries and shards
//! are told apart in the record.

use std::collections::BTreeSet;
use std::process::Command;

use watertight_report::model::{Shard, Verdict};
use watertight_suites::Ending;
use watertight_suites::command::{Project, cargo};
use watertight_suites::ledger::leaks;

/// Whether this machine has nextest; says so where it has not.
pub(crate) fn is_here() -> bool {
    let asked = Command::new(cargo()).args(["nextest", "--version"]).output();
    let is_here = asked.is_ok_and(|asked| asked.status.success());
    if !is_here {
        eprintln!("skipped: cargo-nextest is not installed; cargo install cargo-nextest");
    }
    is_here
}

#[test]
fn every_planted_leak_is_named_under_nextest() -> Ending {
    if !is_here() {
        return Ok(());
    }
    let number = crate::leaky::Number::new();
    let call = crate::planted("leaky").watertight(["nextest", "--no-fail-fast"]);
    let said = number.of(call).end()?;
    assert_eq!(said.code, Some(100), "{said}");
    crate::leaky::assert_found(&said.trials(), &said);
    let suites: BTreeSet<String> = said.trials().into_iter().map(|trial| trial.suite).collect();
    let expected = ["leaky", "leaky::bin/leaky", "leaky::integration"];
    assert_eq!(suites, expected.map(str::to_owned).into());
    said.run();
    Ok(())
}

const ONCE: &str = r#"
/// Leaks when it is tried first, and not again.
#[test]
fn leaks_at_first() {
    if std::env::var("NEXTEST_ATTEMPT").as_deref() == Ok("1") {
        std::mem::forget(std::fs::File::open("/dev/null").unwrap());
    }
}

#[test]
fn never_leaks() {}
"#;

#[test]
fn a_retry_hides_no_leak() -> Ending {
    if !is_here() {
        return Ok(());
    }
    let project = crate::library("retried", ONCE);
    let said = project.watertight(["nextest", "--lib", "--retries", "2"]).end()?;
    let mut trials = said.trials();
    trials.retain(|trial| trial.case == "leaks_at_first");
    trials.sort_by_key(|trial| trial.attempt);
    let told: Vec<(u32, Verdict)> =
        trials.iter().map(|trial| (trial.attempt.max(1), trial.verdict)).collect();
    assert_eq!(told, [(1, Verdict::Leaked), (2, Verdict::Clean)], "{said}");
    assert_eq!(leaks(&trials[0])[0].what, "/dev/null");
    assert!(said.err.contains("1 leaked"), "the last line tells of it: {said}");
    let gate = project.watertight(["gate"]).ledger(&said.ledger).end()?;
    assert_eq!(gate.code, Some(1), "{gate}");
    assert!(gate.out.contains("leaks_at_first"), "{gate}");
    Ok(())
}

const MANY: &str = "
#[test] fn one() {}
#[test] fn two() {}
#[test] fn three() {}
#[test] fn four() {}
#[test] fn five() {}
#[test] fn six() {}
#[test] fn seven() {}
#[test] fn eight() {}
";

#[test]
fn shards_are_put_together_and_a_missing_one_is_red() -> Ending {
    if !is_here() {
        return Ok(());
    }
    let project: Project = crate::library("sharded", MANY);
    let shard = |index: u32| {
        let partition = format!("hash:{index}/2");
        project.watertight(["nextest", "--lib", "--partition", &partition]).end()
    };
    let (first, second) = (shard(1)?, shard(2)?);
    let mut names = BTreeSet::new();
    for (said, index) in [(&first, 1), (&second, 2)] {
        assert_eq!(said.code, Some(0), "{said}");
        assert_eq!(said.run().shard, Shard::new(index, 2), "{said}");
        let trials = said.trials();
        assert!(!trials.is_empty() && trials.len() < 8, "{said}");
        assert!(trials.into_iter().all(|trial| names.insert(trial.case)), "in one shard only");
    }
    assert_eq!(names.len(), 8, "{names:?}");

    let folder = tempfile::tempdir()?;
    let merged = folder.path().join("merged.jsonl");
    let words = [first.ledger.as_os_str(), second.ledger.as_os_str()];
    let into = ["merge".as_ref(), "--output".as_ref(), merged.as_os_str()];
    let merge = project.watertight(into.iter().chain(&words)).end()?;
    assert_eq!(merge.code, Some(0), "{merge}");
    let gate = project.watertight(["gate"]).ledger(&merged).end()?;
    assert_eq!(gate.code, Some(0), "{gate}");
    assert!(gate.out.contains("8 cases"), "{gate}");

    let alone = project.watertight(["gate".as_ref(), first.ledger.as_os_str()]).end()?;
    assert_eq!(alone.code, Some(1), "{alone}");
    assert!(alone.out.contains("shard 2 of 2 is not here"), "{alone}");
    Ok(())
}
