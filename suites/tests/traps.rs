//! No correct program is accused, however much it looks as if it leaked.
//!
//! The traps are in `suites/src/traps`, the cases of a binary of their own; it runs once.

use std::path::Path;

use watertight_suites::matrix::{is_clean, run_traps};

#[test]
fn no_correct_program_is_accused() {
    let ran = run_traps(Path::new(env!("CARGO_BIN_EXE_traps"))).expect("a whole ledger");
    assert_eq!(ran.trials.len(), watertight_suites::traps::cases().len(), "{}", ran.output);
    let accused: Vec<_> = ran.trials.iter().filter(|trial| !is_clean(trial)).collect();
    assert!(accused.is_empty(), "{} accused: {accused:#?}", accused.len());
    assert_eq!(ran.code, Some(0), "{}", ran.output);
}
