//! The project `habits`: correct programs that look as if they leaked. None of them is accused.

use watertight_report::model::{Outcome, Verdict};
use watertight_suites::Ending;

/// The slowest has a thread that leaves after half a minute, so the whole takes longer than that.
#[test]
fn no_habit_is_accused() -> Ending {
    let project = crate::planted("habits");
    let said = project.watertight(["test", "--no-fail-fast"]).end()?;
    let trials = said.trials();
    let accused = trials.iter().filter(|it| it.verdict != Verdict::Clean);
    let accused: Vec<_> = accused.map(|it| (&it.case, it.verdict, &it.findings)).collect();
    assert!(accused.is_empty(), "{accused:#?}\n{said}");
    assert!(trials.iter().all(|trial| trial.outcome == Outcome::Passed), "{said}");
    assert_eq!(said.code, Some(0), "{said}");

    let listed =
        project.cargo(["test", "--tests", "-q", "--", "--list", "--format=terse"]).end()?;
    let listed = listed.out.lines().filter(|line| line.ends_with(": test")).count();
    assert_eq!(trials.len(), listed, "every test has a record: {said}");
    assert!(listed > 30, "{listed}");
    Ok(())
}
