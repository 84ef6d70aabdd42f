//! What the fold keeps.

use watertight_report::model::{Frame, Outcome, Verdict};
use watertight_report::report::{EXAMPLES_MAX, GROUPS_MAX, Kind};

use crate::ledgers::{ended, everything, heap, records, store, trial};
use crate::report_of;

#[test]
fn the_same_leak_in_forty_cases_is_one_group() {
    let report = report_of(&everything());
    let largest = &report.groups[0];
    // And in the first attempt of one more.
    assert_eq!((largest.kind, largest.cases), (Kind::Leak, 41));
    assert_eq!(largest.left.values().copied().collect::<Vec<_>>(), [41 * 3, 41 * 231_036]);
    let named: Vec<&str> = largest.examples.iter().map(|example| example.case.as_str()).collect();
    assert_eq!(named.len(), EXAMPLES_MAX);
    assert_eq!(named, ["flaky", "opens_00", "opens_01"]);
}

#[test]
fn retries_hide_no_leak_and_the_last_attempt_tells() {
    let mut leaked = trial("x", vec![store("/a")]);
    leaked.outcome = Outcome::Failed;
    let mut clean = trial("x", Vec::new());
    clean.attempt = 2;
    // In a merged ledger the attempts may stand in any order.
    for trials in [vec![leaked.clone(), clean.clone()], vec![clean, leaked]] {
        let report = report_of(&records(trials));
        let summary = &report.summary;
        assert_eq!((summary.cases, summary.leaked, summary.failed), (1, 1, 0));
        assert_eq!(report.groups[0].cases, 1);
        assert!(report.troubles.is_empty(), "{:?}", report.troubles);
    }
}

#[test]
fn a_leak_in_two_attempts_counts_once() {
    let first = trial("x", vec![store("/a")]);
    let mut second = first.clone();
    second.attempt = 2;
    let report = report_of(&records(vec![first, second]));
    assert_eq!((report.summary.cases, report.groups[0].cases), (1, 1));
    assert_eq!(report.groups[0].left.values().next(), Some(&3));
}

#[test]
fn a_failure_that_a_retry_mended_is_no_trouble() {
    let first = ended("x", Outcome::Failed, "no");
    let mut second = trial("x", Vec::new());
    second.attempt = 2;
    let report = report_of(&records(vec![first.clone(), second]));
    assert_eq!((report.summary.failed, report.troubles.len()), (0, 0));
    assert_eq!(report_of(&records(vec![first])).troubles.len(), 1);
}

#[test]
fn the_same_case_of_two_runs_is_two_cases() {
    let first = trial("x", Vec::new());
    let mut second = first.clone();
    second.run = "cd34".into();
    assert_eq!(report_of(&records(vec![first, second])).summary.cases, 2);
}

#[test]
fn without_a_site_the_name_tells_what_is_the_same() {
    let without_site = |path: &str| {
        let mut finding = store(path);
        finding.site = None;
        finding
    };
    let trials = ["/tmp/.tmpQ8/a.db", "/tmp/.tmpZ9/a.db", "/tmp/.tmpZ9/b.db"]
        .map(|path| trial(path, vec![without_site(path)]));
    let report = report_of(&records(trials.to_vec()));
    assert_eq!(report.groups.iter().map(|group| group.cases).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn heap_that_an_unedited_test_keeps_fails_nothing() {
    let mut unedited = trial("x", vec![heap(1 << 20)]);
    unedited.command = Some("cargo watertight test".into());
    let ours = trial("y", vec![heap(1 << 20)]);
    let report = report_of(&records(vec![unedited, ours]));
    let kinds: Vec<Kind> = report.groups.iter().map(|group| group.kind).collect();
    assert_eq!(kinds, [Kind::Unconfirmed, Kind::Retained]);
    assert!(report.summary.is_green());
}

#[test]
fn a_verdict_without_a_finding_is_told() {
    let mut silent = trial("x", Vec::new());
    silent.verdict = Verdict::Leaked;
    let report = report_of(&records(vec![silent]));
    assert!(report.troubles[0].said.contains("does not say what"), "{:?}", report.troubles);
}

#[test]
fn a_project_that_leaks_everywhere_fits_into_memory() {
    let many = GROUPS_MAX as u32 + 7;
    let trials = (0..many).map(|line| {
        let mut finding = store("/a");
        finding.site = Some(Frame::new("src/a.rs", line, "a::b"));
        trial(&line.to_string(), vec![finding])
    });
    let report = report_of(&records(trials.collect()));
    assert_eq!(report.groups.len(), GROUPS_MAX + 1);
    let counted: u64 = report.groups.iter().map(|group| group.cases).sum();
    assert_eq!(counted, u64::from(many));
    // The rest is no one site's.
    let rest = report.groups.iter().find(|group| group.cases == 7).unwrap();
    assert_eq!(rest.finding.site, None);
}
