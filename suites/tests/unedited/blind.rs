//! Who could not look has not seen that nothing is there.

use watertight_report::model::{Outcome, Verdict};
use watertight_suites::Ending;

#[test]
fn without_the_agent_nothing_is_green() -> Ending {
    let project = crate::library("blind", "#[test]\nfn passes() {}\n");
    for (profile, code) in [("ci", 101), ("default", 0)] {
        let said = project
            .watertight(["test", "--lib"])
            .env("WATERTIGHT_BLIND", "agent")
            .env("WATERTIGHT_PROFILE", profile)
            .end()?;
        assert_eq!(said.code, Some(code), "{profile}: {said}");
        let trial = said.trial("passes");
        assert_eq!((trial.outcome, trial.verdict), (Outcome::Passed, Verdict::Unmeasured));
        assert!(!trial.unmeasured.is_empty(), "{trial:?}");
        let gate = project.watertight(["gate"]).ledger(&said.ledger).end()?;
        assert_eq!(gate.code, Some(1), "{profile}: {gate}");
        assert!(gate.out.contains("WATERTIGHT_BLIND"), "it says why: {gate}");
    }
    let sees = project.watertight(["test", "--lib"]).env("WATERTIGHT_PROFILE", "ci").end()?;
    assert_eq!(sees.code, Some(0), "{sees}");
    let gate = project.watertight(["gate"]).ledger(&sees.ledger).end()?;
    assert_eq!(gate.code, Some(0), "{gate}");
    Ok(())
}

/// A run that tests nothing has proven nothing.
#[test]
fn a_run_without_tests_is_no_proof() -> Ending {
    let project = crate::library("empty", "/// Nothing.\npub fn nothing() {}\n");
    let said = project.watertight(["test", "--lib"]).end()?;
    assert_eq!(said.code, Some(0), "cargo is content: {said}");
    assert!(said.err.contains("no test was audited"), "{said}");
    let gate = project.watertight(["gate"]).ledger(&said.ledger).end()?;
    assert_eq!(gate.code, Some(1), "{gate}");
    Ok(())
}
