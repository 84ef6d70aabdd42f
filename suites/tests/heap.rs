//! The heap is counted exactly, to the block and the byte, however blocks are made and freed.

use std::process::Command;

use watertight_report::metric;
use watertight_report::model::{Outcome, Verdict};
use watertight_suites::ledger::run;

#[test]
fn counted_to_the_byte() {
    let ran = run(&mut Command::new(env!("CARGO_BIN_EXE_exact-heap"))).expect("a whole ledger");
    assert_eq!(ran.trials.len(), 5, "{}", ran.output);
    for trial in &ran.trials {
        let keeps = trial.case != "freed_by_another_thread";
        assert_eq!(trial.outcome, Outcome::Passed, "{trial:#?}");
        assert!(trial.rounds > 3 || !keeps, "what grows is repeated: {trial:#?}");
        for (heap, kept) in
            [(metric::HEAP_BYTES, "kept_bytes"), (metric::HEAP_BLOCKS, "kept_blocks")]
        {
            let heap = &trial.readings[heap].per_round;
            let kept = &trial.readings[&metric::gauge(kept)].per_round;
            // The first round warms up what the standard library keeps.
            assert_eq!(heap[1..], kept[1..], "{}: {trial:#?}", trial.case);
        }
        assert_eq!(trial.verdict == Verdict::Leaked, keeps, "{trial:#?}");
    }
}
