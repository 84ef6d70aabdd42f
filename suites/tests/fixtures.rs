//! A suite's set-ups and tear-downs are in its ledger, and one that fails makes the run red.

use std::process::Command;

use watertight_report::model::{CleanupStatus, Outcome, Verdict};
use watertight_suites::ledger::run;

#[test]
fn a_tear_down_that_fails_is_recorded_and_red() {
    let ran = run(&mut Command::new(env!("CARGO_BIN_EXE_fixtures"))).expect("a whole ledger");
    assert_eq!(ran.code, Some(101), "{}", ran.output);
    assert_eq!(ran.trial("passes").verdict, Verdict::Clean);
    let fixtures = ran.trial("(fixtures)");
    let became: Vec<_> =
        fixtures.cleanups.iter().map(|cleanup| (cleanup.name.as_str(), cleanup.status)).collect();
    assert_eq!(became, [("prepare", CleanupStatus::Ran), ("put away", CleanupStatus::Failed)]);
    assert_eq!((fixtures.outcome, fixtures.verdict), (Outcome::Failed, Verdict::Leaked));
}
