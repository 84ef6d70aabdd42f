//! The watch itself does not leak: what it keeps of a process is bounded, however long it looks.

use std::process::Command;

use watertight_report::metric;
use watertight_report::model::{Outcome, Resource, Verdict};
use watertight_suites::Ending;
use watertight_suites::ledger::{leaks, resources, run};

/// What it may keep of one process, as its heap counts.
const HEAP_MAX: u64 = 640 << 10;

#[test]
fn what_is_kept_of_a_process_is_bounded() -> Ending {
    let ran = run(&mut Command::new(env!("CARGO_BIN_EXE_watch-for-long")))?;
    let trial = ran.trial("looks");
    assert_eq!(trial.outcome, Outcome::Passed, "{trial:#?}");
    // As it happens, the rounds in which something is filled are among the last, within the budget, or not.
    assert!(matches!(trial.verdict, Verdict::Clean | Verdict::Tolerated), "{trial:#?}");
    let heap = &trial.readings[metric::HEAP_BYTES];
    let kept = heap.after - heap.before;
    println!("{} rounds, heap of each: {:?}; {kept} bytes in all", trial.rounds, heap.per_round);
    assert!(kept > 0, "something is kept: {trial:#?}");
    assert!(kept <= HEAP_MAX, "{kept} bytes are kept of one process: {trial:#?}");

    let twin = ran.trial("looks_and_keeps");
    let leaks = leaks(twin);
    assert!(leaks.iter().any(|leak| resources(leak).contains(&Resource::Heap)), "{twin:#?}");
    Ok(())
}
