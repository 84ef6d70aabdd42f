//! The project `held`: memory that nothing points to any more is a leak, however little it is, and memory
//! that somebody holds is none; in whichever way the project is built.

use std::fs;

use watertight_report::model::{Finding, HolderClass, Outcome, Resource, Trial, Verdict};
use watertight_suites::Ending;
use watertight_suites::command::Said;
use watertight_suites::ledger::{leaks, marked, resources};
use watertight_suites::plain;

/// A test of the project, and how what it leaves hangs together.
const FORGOTTEN: [(&str, HolderClass); 5] = [
    ("box_of_64_bytes", HolderClass::Lost),
    ("box_of_100_kib", HolderClass::Lost),
    ("leaked_string", HolderClass::Lost),
    ("c_string_into_raw", HolderClass::Lost),
    ("rc_cycle", HolderClass::Cycle),
];
/// More tests that leave what somebody holds.
const KEPT_MIN: usize = 8;
const SOURCE: &str = "src/forgotten.rs";

#[test]
fn forgotten_memory_is_a_leak_and_held_memory_is_none() -> Ending {
    check(&[], true)
}

#[test]
fn the_same_when_it_is_all_in_one_piece() -> Ending {
    check(&["--profile", "fat"], true)
}

#[test]
fn the_same_without_debug_information() -> Ending {
    check(&["--profile", "stripped"], false)
}

/// Tests the project with these words; the leaking lines must be named where the build has `lines`.
fn check(profile: &[&str], lines: bool) -> Ending {
    let words = [&["test", "--lib", "--no-fail-fast"], profile].concat();
    let said = crate::planted("held").watertight(words).end()?;
    assert_eq!(said.code, Some(101), "{said}");
    let mut faults = Vec::new();
    for (test, class) in FORGOTTEN {
        let trial = said.trial(&format!("forgotten::{test}"));
        let line = lines.then(|| line(test));
        if !leaks(&trial).iter().any(|finding| is_told(finding, class, line)) {
            faults.push(format!("{test}, {line:?}: {:?} {:#?}", trial.verdict, trial.findings));
        }
    }
    faults.extend(said.trials().iter().filter_map(accused));
    assert!(faults.is_empty(), "{}\n{said}", faults.join("\n"));
    assert_held(&said);
    Ok(())
}

/// The line of the project that makes what this test forgets.
fn line(test: &str) -> u32 {
    let text = fs::read_to_string(plain::project("held").join(SOURCE)).expect("its source");
    marked(&text, &format!("leaks here: {test}"))
}

/// Whether a finding is heap from that line that nothing points to.
fn is_told(finding: &Finding, class: HolderClass, line: Option<u32>) -> bool {
    let site = finding.site.as_ref().map(|site| (site.file.as_str(), site.line));
    resources(finding).contains(&Resource::Heap)
        && finding.holder.as_deref().is_some_and(|holder| holder.class == class)
        && line.is_none_or(|line| site == Some((SOURCE, line)))
}

/// What is wrong with a trial that must be clean.
fn accused(trial: &Trial) -> Option<String> {
    let leaks = FORGOTTEN.iter().any(|(test, _)| trial.case == format!("forgotten::{test}"));
    let is_well = trial.outcome == Outcome::Passed
        && trial.unmeasured.is_empty()
        && (leaks || trial.verdict == Verdict::Clean);
    let Trial { case, outcome, verdict, findings, unmeasured, .. } = trial;
    (!is_well).then(|| format!("{case}: {outcome:?}, {verdict:?} {findings:#?} {unmeasured:#?}"))
}

/// What is listed and fails nothing is never called lost.
fn assert_held(said: &Said) {
    let mut kept = said.trials();
    kept.retain(|trial| trial.case.starts_with("kept::"));
    assert!(kept.len() >= KEPT_MIN, "{said}");
    for trial in kept {
        let lost = |finding: &&Finding| {
            finding.holder.as_deref().is_some_and(|holder| holder.class.is_lost())
        };
        assert_eq!(trial.findings.iter().find(lost), None, "{}: {said}", trial.case);
    }
}
