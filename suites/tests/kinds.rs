//! Every kind of leak is detected, named and sited, and the same work released is clean.
//!
//! The kinds are in `suites/src/kinds`, the cases of a binary of their own; it runs once.

use std::path::Path;

use watertight_suites::matrix::{Row, run_kinds};

#[test]
fn every_kind_is_detected_named_and_sited_and_its_twin_is_clean() {
    let (ran, rows) = run_kinds(Path::new(env!("CARGO_BIN_EXE_kinds"))).expect("a whole ledger");
    let wrong: Vec<String> = rows.iter().filter(|row| !row.is_good()).map(tell).collect();
    assert!(wrong.is_empty(), "{} of {} kinds:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert_eq!(ran.code, Some(101), "leaks turn a run red: {}", ran.output);
}

/// What is wrong with a kind, and what the ledger says of it.
fn tell(row: &Row) -> String {
    let [detected, named, sited, clean] = row.cells();
    let [leaky, twin] = &row.trials;
    let mut text = format!(
        "{}: detected {detected}, named {named}, sited {sited}, twin clean {clean}\n",
        row.kind
    );
    if !(detected && named && sited) {
        let (outcome, verdict) = (leaky.outcome, leaky.verdict);
        text += &format!("  leaky: {outcome:?}, {verdict:?}: {:#?}\n", leaky.findings);
    }
    if !clean {
        let (outcome, verdict) = (twin.outcome, twin.verdict);
        text += &format!(
            "  clean: {outcome:?} {:?}, {verdict:?}: {:#?} {:#?}\n",
            twin.message, twin.findings, twin.unmeasured
        );
    }
    text
}
