//! Goldens of the line at the end of a run.

use watertight_report::metric;
use watertight_report::model::{Outcome, Reading, Trial, Verdict};
use watertight_report::render::Summary;
use watertight_report::render::terminal::{self, Style};

fn add(summary: &mut Summary, many: u32, outcome: Outcome, verdict: Verdict) {
    for n in 0..many {
        let mut trial = Trial::default();
        trial.outcome = outcome;
        trial.verdict = verdict;
        let mut rss = Reading::new(5 << 20, 9 << 20);
        rss.peak = Some((22_334_668 - u64::from(n)).max(1));
        trial.readings.insert(metric::RSS_BYTES.into(), rss);
        summary.add(&trial);
    }
}

fn summary() -> Summary {
    let mut summary = Summary::default();
    summary.supervisor_peak_rss_bytes = Some(34 << 20);
    summary.ledger = Some("target/watertight/ab12.jsonl".into());
    summary
}

fn shown(summary: &Summary) -> String {
    terminal::summary(summary, &Style::default())
}

#[test]
fn green() {
    let mut summary = summary();
    add(&mut summary, 29, Outcome::Passed, Verdict::Clean);
    assert!(summary.is_green());
    insta::assert_snapshot!(shown(&summary));
    let style = Style { colour: true, ..Style::default() };
    let coloured = terminal::summary(&summary, &style).replace('\x1b', "\\e");
    insta::assert_snapshot!("green_in_colour", coloured);
}

#[test]
fn not_green() {
    let mut summary = summary();
    add(&mut summary, 1_200, Outcome::Passed, Verdict::Clean);
    add(&mut summary, 2, Outcome::Passed, Verdict::Tolerated);
    add(&mut summary, 2, Outcome::Passed, Verdict::Leaked);
    add(&mut summary, 1, Outcome::Failed, Verdict::Leaked);
    add(&mut summary, 1, Outcome::Passed, Verdict::Unsettled);
    add(&mut summary, 1, Outcome::Passed, Verdict::Unmeasured);
    add(&mut summary, 1, Outcome::Skipped, Verdict::Clean);
    add(&mut summary, 1, Outcome::Crashed, Verdict::Clean);
    add(&mut summary, 1, Outcome::Killed, Verdict::Clean);
    add(&mut summary, 1, Outcome::TimedOut, Verdict::Clean);
    assert!(!summary.is_green());
    insta::assert_snapshot!(shown(&summary));
}

#[test]
fn unmeasured_is_not_green() {
    let mut summary = summary();
    add(&mut summary, 28, Outcome::Passed, Verdict::Clean);
    add(&mut summary, 1, Outcome::Passed, Verdict::Unmeasured);
    assert!(!summary.is_green());
    insta::assert_snapshot!(shown(&summary));
}

#[test]
fn one_case() {
    let mut summary = Summary::default();
    add(&mut summary, 1, Outcome::Passed, Verdict::Clean);
    insta::assert_snapshot!(shown(&summary));
}

#[test]
fn nothing_ran() {
    insta::assert_snapshot!(shown(&Summary::default()));
}

/// Entries of the acceptance file that have to go.
#[test]
fn remarks_follow() {
    let mut summary = summary();
    add(&mut summary, 3, Outcome::Passed, Verdict::Tolerated);
    summary.remarks = ["accepted.toml:1 accepts fd of `a`", "a \x1b[2J"].map(String::from).to_vec();
    insta::assert_snapshot!(shown(&summary));
}
