//! The project `targets`: every sort of target that cargo tests. What is not libtest's is started exactly
//! as often as by plain cargo, and with the same words.

use std::collections::BTreeSet;
use std::fs;

use watertight_report::model::Verdict;
use watertight_suites::Ending;
use watertight_suites::command::Said;

/// What started, sorted.
fn starts(runs: &std::path::Path) -> Vec<String> {
    let text = fs::read_to_string(runs).unwrap_or_default();
    let mut starts: Vec<String> = text.lines().map(str::to_owned).collect();
    starts.sort();
    starts
}

/// Runs plain cargo and ours with the same words; gives what ours said and what of both started.
fn both(words: &[&str]) -> anyhow::Result<(Said, Said, [Vec<String>; 2])> {
    let project = crate::planted("targets");
    let folder = tempfile::tempdir()?;
    let files = [folder.path().join("plain"), folder.path().join("ours")];
    let plain = project.cargo(words).env("TARGETS_RUNS", &files[0]).end()?;
    let ours = project.watertight(words).env("TARGETS_RUNS", &files[1]).end()?;
    Ok((plain, ours, files.map(|file| starts(&file))))
}

#[test]
fn each_binary_is_started_once() -> Ending {
    let (plain, ours, [expected, started]) = both(&["test"])?;
    assert_eq!((plain.code, ours.code), (Some(0), Some(0)), "{plain}\n{ours}");
    assert_eq!(expected, ["mimic", "own_main "], "{plain}");
    assert_eq!(started, expected, "{ours}");
    assert_audited(&ours);
    // Doctests are left to rustdoc, which says the same of them.
    let (_, plain_doctests) =
        plain.out.split_once("running 2 tests\ntest src/").unwrap_or_default();
    assert!(!plain_doctests.is_empty() && ours.out.contains(plain_name(plain_doctests)), "{ours}");
    for said in [&plain, &ours] {
        assert!(said.err.contains("Doc-tests targets"), "{said}");
    }
    let warned =
        |said: &Said| said.out.matches("WARNING").count() + said.err.matches("WARNING").count();
    assert_eq!(warned(&ours), warned(&plain), "{ours}");
    Ok(())
}

/// A doctest's name.
fn plain_name(text: &str) -> &str {
    text.split(" ... ").next().unwrap_or_default()
}

#[test]
fn each_binary_is_started_once_among_all_targets() -> Ending {
    let (plain, ours, [expected, started]) = both(&["test", "--all-targets"])?;
    assert_eq!((plain.code, ours.code), (Some(0), Some(0)), "{plain}\n{ours}");
    assert_eq!(started, expected, "{ours}");
    for said in [&plain, &ours] {
        assert_eq!(said.out.matches("own_bench has run: 500500").count(), 1, "{said}");
    }
    assert_audited(&ours);
    Ok(())
}

/// Every libtest test has a clean record in a suite that nextest would call so.
fn assert_audited(said: &Said) {
    let trials = said.trials();
    assert!(trials.iter().all(|trial| trial.verdict == Verdict::Clean), "{said}");
    let names: BTreeSet<String> =
        trials.iter().map(|trial| format!("{} {}", trial.suite, trial.case)).collect();
    let expected = [
        "targets tests::of_the_library",
        "targets::bin/targets of_the_program",
        "targets::example/tested of_the_example",
        "targets::with_libtest of_the_integration",
        "targets::with_libtest starts_the_program",
    ];
    assert_eq!(names, expected.map(str::to_owned).into(), "{said}");
}

#[test]
fn a_listing_is_plain_cargos() -> Ending {
    let (plain, ours, [expected, started]) = both(&["test", "--", "--list"])?;
    assert_eq!((plain.code, ours.code), (Some(0), Some(0)), "{plain}\n{ours}");
    assert_eq!(ours.out, plain.out);
    assert_eq!(started, expected);
    assert_eq!(expected, ["mimic", "own_main --list"]);
    Ok(())
}
