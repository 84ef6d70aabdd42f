//! Tests that end as no test should: each has a clear outcome and a whole record, and the others of the
//! same run go on.

use std::process::Command;
use std::sync::OnceLock;

use watertight_report::model::{Outcome, ProcessState, Resource, Trial, Verdict};
use watertight_suites::ledger::{Ran, leaks, marked, run};

const SOURCE: &str = include_str!("../src/bin/misbehaving.rs");

/// All of them, in one run.
fn ran() -> &'static Ran {
    static RAN: OnceLock<Ran> = OnceLock::new();
    RAN.get_or_init(|| {
        run(&mut Command::new(env!("CARGO_BIN_EXE_misbehaving"))).expect("a whole ledger")
    })
}

/// The trial of a case, which ended like this.
#[track_caller]
fn trial(case: &str, outcome: Outcome) -> &'static Trial {
    let trial = ran().trial(case);
    assert_eq!(trial.outcome, outcome, "{trial:#?}");
    assert_eq!((trial.run.as_str(), trial.suite.as_str()), (ran().run.run.as_str(), "misbehaving"));
    assert_eq!(trial.message.is_none(), outcome == Outcome::Passed, "{:?}", trial.message);
    trial
}

#[track_caller]
fn assert_message(trial: &Trial, part: &str) {
    let message = trial.message.as_deref().unwrap_or_default();
    assert!(message.contains(part), "{message:?} does not say {part:?}");
}

/// A trial that ended early has nothing to be accused of.
#[track_caller]
fn assert_no_leak(trial: &Trial) {
    assert!(leaks(trial).is_empty(), "{:#?}", leaks(trial));
    assert_ne!(trial.verdict, Verdict::Leaked);
}

#[test]
fn the_run_is_red_and_has_a_record_of_every_case() {
    let declared = SOURCE.matches("\n        .case(").count();
    assert_eq!(ran().trials.len(), declared, "{}", ran().output);
    assert_eq!(ran().code, Some(101), "{}", ran().output);
}

#[test]
fn the_others_go_on() {
    for case in ["behaves_first", "yet_another_behaves"] {
        let trial = trial(case, Outcome::Passed);
        assert_eq!(trial.verdict, Verdict::Clean, "{trial:#?}");
    }
}

/// A lock that is never released stops its next taker for ever: the rounds end, the trial does not hang.
#[test]
fn a_later_round_that_blocks_ends_the_repetition() {
    let trial = trial("blocks_its_second_round", Outcome::Passed);
    assert_eq!((trial.verdict, trial.rounds), (Verdict::Leaked, 1), "{trial:#?}");
    assert!(trial.notes.iter().any(|note| note.contains("round 2 did not end")), "{trial:#?}");
    let leaks = leaks(trial);
    let lines: Vec<u32> = leaks.iter().filter_map(|leak| Some(leak.site.as_ref()?.line)).collect();
    let opened = marked(SOURCE, "LEAK lock");
    assert_eq!(lines, [opened, opened + 1], "{leaks:#?}");
    assert_eq!(leaks[1].resource, Resource::Lock);
}

#[test]
fn killed() {
    let trial = trial("killed", Outcome::Killed);
    assert_message(trial, "SIGKILL");
    assert_no_leak(trial);
}

#[test]
fn aborted() {
    let trial = trial("aborts", Outcome::Crashed);
    assert_message(trial, "SIGABRT");
    assert_no_leak(trial);
}

#[test]
fn faulted() {
    let trial = trial("faults", Outcome::Crashed);
    assert_message(trial, "SIGSEGV");
    assert_no_leak(trial);
}

#[test]
fn out_of_stack() {
    // The standard library's handler turns the fault into an abort.
    assert_message(trial("overflows_its_stack", Outcome::Crashed), "SIGABRT");
}

#[test]
fn exited_in_the_body() {
    let trial = trial("exits", Outcome::Crashed);
    assert_message(trial, "code 0");
    assert_no_leak(trial);
}

#[test]
fn panicked() {
    let trial = trial("panics", Outcome::Failed);
    assert_message(trial, "on purpose");
    assert_message(trial, "misbehaving.rs");
}

#[test]
fn hung() {
    for case in ["hangs", "hangs_loudly", "stops"] {
        let trial = trial(case, Outcome::TimedOut);
        assert_no_leak(trial);
        assert!((2_000..20_000).contains(&trial.duration_ms), "{case}: {}", trial.duration_ms);
    }
}

#[test]
fn out_of_descriptors() {
    let trial = trial("exhausts_descriptors", Outcome::Failed);
    assert_message(trial, "Too many open files");
    assert_eq!(trial.verdict, Verdict::Leaked, "it keeps what it took: {trial:#?}");
    let leaks = leaks(trial);
    assert_eq!(leaks[0].resource, Resource::Fd);
    assert!(leaks[0].growth > 150, "{:#?}", leaks[0]);
    let site = leaks[0].site.as_ref().expect("a site");
    let expected = ("suites/src/bin/misbehaving.rs", marked(SOURCE, "LEAK"));
    assert_eq!((site.file.as_str(), site.line), expected);
}

#[test]
fn without_any_descriptor() {
    // Whatever is said of it, it is said.
    trial("closes_everything", Outcome::Passed);
}

#[test]
fn loud() {
    let quiet = trial("prints_10_megabytes", Outcome::Passed);
    assert_eq!(quiet.verdict, Verdict::Clean, "{quiet:#?}");
    let failed = trial("prints_and_fails", Outcome::Failed);
    assert_message(failed, "after 10 MB");
    // One line of JSON with everything in it would be of no use to anybody.
    assert!(failed.message.as_ref().is_some_and(|message| message.len() < 4096));
}

#[test]
fn a_survivor_that_holds_the_tests_output() {
    for (case, mark) in
        [("leaves_a_survivor_on_stdout", "LEAK survivor"), ("daemonizes", "LEAK daemon")]
    {
        let trial = trial(case, Outcome::Passed);
        assert_eq!(trial.verdict, Verdict::Leaked, "{trial:#?}");
        for leak in leaks(trial) {
            assert_eq!((leak.resource, leak.what.as_str()), (Resource::Process, "sleep 1000"));
            let site = leak.site.as_ref().expect("a site");
            let expected = ("suites/src/bin/misbehaving.rs", marked(SOURCE, mark));
            assert_eq!((site.file.as_str(), site.line), expected, "{case}");
            let process = leak.process.as_ref().expect("facts on the process");
            assert_eq!(process.state, ProcessState::Outlived);
            let there = std::fs::read_to_string(format!("/proc/{}/cmdline", process.pid));
            assert!(!there.is_ok_and(|command| command.contains("1000")), "it still runs");
        }
        assert!(trial.duration_ms < 30_000, "{case}: {}", trial.duration_ms);
    }
}
