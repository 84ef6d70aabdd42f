//! Who holds a leaked block is said truly, or that it could not be told.
//!
//! The ways to hold one are in `suites/src/held`, the cases of a binary of their own; it runs once.

use std::path::Path;
use std::sync::LazyLock;

use watertight_suites::held::table::{Debug, Grade, Row, run};
use watertight_suites::ledger::Ran;

static TABLE: LazyLock<(Ran, Vec<Row>)> = LazyLock::new(|| {
    run(Path::new(env!("CARGO_BIN_EXE_held")), Debug::Full).expect("a whole ledger")
});

#[test]
fn no_holder_is_named_wrongly() {
    let (ran, rows) = &*TABLE;
    assert_eq!(ran.code, Some(101), "leaks turn a run red: {}", ran.output);
    let wrong: Vec<String> = rows.iter().filter(|row| !row.grade.is_honest()).map(tell).collect();
    assert!(wrong.is_empty(), "{} of {} holders:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// To say always that it could not be told would never be wrong.
#[test]
fn every_holder_that_can_be_found_is() {
    let plain = TABLE.1.iter().filter(|row| !row.is_disguised);
    let missed: Vec<String> = plain.filter(|row| row.grade != Grade::Right).map(tell).collect();
    assert!(missed.is_empty(), "{} holders:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn the_same_work_released_is_clean() {
    let unclean: Vec<&Row> =
        TABLE.1.iter().filter(|row| row.is_twin_clean == Some(false)).collect();
    assert!(unclean.is_empty(), "{unclean:#?}");
}

fn tell(row: &Row) -> String {
    let Row { name, expected, said, grade, faults, .. } = row;
    format!("{name}: {grade}: expected {expected}, said {said}: {}", faults.join(", "))
}
