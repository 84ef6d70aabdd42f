//! The story as tests: every leak that crashed the original is caught, with its resource, its subject
//! and the line that creates it, and the same work released is clean.
//!
//! The twins are the cases of binaries of their own (`suites/src/leaky`); each test here runs one pair
//! and reads the ledger.

use std::process::Command;

use watertight_report::model::{
    CleanupStatus, Confidence, Finding, HolderClass, Mode, Outcome, ProcessState, Resource,
    SUBJECT_TEST, Status, Trial, Verdict,
};
use watertight_suites::leaky::engine_registry::TESTS;
use watertight_suites::ledger::{Ran, leaks, marked, resources, run};

/// What libtest and its likes exit with when a test has failed.
const RED: i32 = 101;

/// What a store holds while it is open: files, memory, the mapped index of its WAL and locks on that.
const OPEN_STORE: [Resource; 4] = [Resource::Fd, Resource::Heap, Resource::Mapping, Resource::Lock];

/// How often the daemon that ends in good order is watched.
const DAEMONS: usize = 6;

/// A source file of the twins: its name in the record, and its text.
macro_rules! source {
    ($name:literal) => {
        Source {
            file: concat!("suites/src/leaky/", $name),
            text: include_str!(concat!("../src/leaky/", $name)),
        }
    };
}

struct Source {
    file: &'static str,
    text: &'static str,
}

fn run_alone(case: &str) -> Ran {
    run(Command::new(env!("CARGO_BIN_EXE_leaky")).args(["--exact", case])).expect("a whole ledger")
}

/// Runs the leaky twin alone: its run is red and its verdict is `leaked`.
fn leaky(twin: &str) -> Trial {
    let case = format!("{twin}::leaky");
    let ran = run_alone(&case);
    let trial = ran.trial(&case);
    assert_eq!(trial.verdict, Verdict::Leaked, "{}", ran.output);
    assert_eq!(ran.code, Some(RED), "{}", ran.output);
    // A process that is gone before it can be read takes its descriptors and heap along.
    let was_read = matches!(trial.outcome, Outcome::Passed | Outcome::Failed);
    assert_eq!(trial.unmeasured.is_empty(), was_read, "{}", ran.output);
    trial.clone()
}

/// Runs the clean twin alone: its run is green, and every probe has looked.
fn clean(twin: &str) {
    let case = format!("{twin}::clean");
    let ran = run_alone(&case);
    let trial = ran.trial(&case);
    assert_eq!(trial.outcome, Outcome::Passed, "{}", ran.output);
    assert_eq!(trial.verdict, Verdict::Clean, "{}", ran.output);
    assert_eq!(ran.code, Some(0), "{}", ran.output);
    assert_eq!(trial.unmeasured, [], "{}", ran.output);
}

/// Checks where a finding was created: exactly the marked line, and below it the call in `via`.
#[track_caller]
fn assert_site(finding: &Finding, source: &Source, mark: &str, via: Option<&str>) {
    let site = finding.site.as_ref().map(|site| (site.file.as_str(), site.line));
    assert_eq!(site, Some((source.file, marked(source.text, mark))), "{finding:#?}");
    assert_eq!(finding.via.as_ref().map(|via| via.file.as_str()), via, "{finding:#?}");
}

/// Checks who holds what leaked: this variable for sure, or nobody.
#[track_caller]
fn assert_held(finding: &Finding, class: HolderClass, name: Option<&str>, kind: Option<&str>) {
    let holder = finding.holder.as_deref().unwrap_or_else(|| panic!("no holder: {finding:#?}"));
    assert_eq!((holder.class, holder.confidence), (class, Confidence::Sure), "{holder:#?}");
    let told = holder.name.as_deref().map(|path| path.rsplit("::").next().unwrap_or(path));
    assert_eq!((told, holder.type_name.as_deref()), (name, kind), "{holder:#?}");
}

/// What else was left lies beside the leak: memory that the twin's own lines filled in what leaked.
#[track_caller]
fn assert_rest_is_heap_of(source: &Source, subject: &str, rest: &[&Finding]) {
    for finding in rest {
        assert_eq!(resources(finding), [Resource::Heap], "{finding:#?}");
        assert_eq!(finding.subject, subject, "{finding:#?}");
        let site = finding.site.as_ref().expect("heap of a known stack");
        let is_near = site.file == source.file || site.file == "suites/src/leaky.rs";
        assert!(is_near, "{finding:#?}");
    }
}

#[test]
fn a_store_opened_inline_and_never_closed() {
    let source = source!("store_inline.rs");
    let trial = leaky("store_inline");
    let leaks = leaks(&trial);
    assert_eq!(resources(leaks[0]), OPEN_STORE);
    assert_eq!(leaks[0].subject, SUBJECT_TEST);
    assert_eq!(leaks[0].per_round, 3, "the database, its WAL and its index");
    assert_site(leaks[0], &source, "LEAK", Some("tracker/src/store.rs"));
    assert_held(leaks[0], HolderClass::Lost, None, None);
    assert_rest_is_heap_of(&source, SUBJECT_TEST, &leaks[1..]);
    clean("store_inline");
}

#[test]
fn a_store_in_memory_forgotten_is_heap_alone() {
    let source = source!("store_in_memory.rs");
    let trial = leaky("store_in_memory");
    let leaks = leaks(&trial);
    assert_eq!(resources(leaks[0]), [Resource::Heap]);
    assert_eq!(leaks[0].subject, SUBJECT_TEST);
    assert!(
        leaks[0].per_round > 10_000,
        "a connection is tens of kilobytes: {}",
        leaks[0].per_round
    );
    assert_site(leaks[0], &source, "LEAK", Some("tracker/src/store.rs"));
    assert_held(leaks[0], HolderClass::Lost, None, None);
    assert_rest_is_heap_of(&source, SUBJECT_TEST, &leaks[1..]);
    assert_eq!(trial.readings["fd"].before, trial.readings["fd"].after);
    clean("store_in_memory");
}

#[test]
fn an_engine_opened_at_every_tick_and_kept_by_a_daemon() {
    let source = source!("engine_per_tick.rs");
    // The daemon gives everything back as it ends, at a moment that the observer cannot choose: so
    // several times, each with one daemon, and none of them may be missed.
    let trials: Vec<Trial> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..DAEMONS).map(|_| scope.spawn(|| leaky("engine_per_tick"))).collect();
        runs.into_iter().map(|run| run.join().expect("each of them is caught")).collect()
    });
    for trial in &trials {
        let leaks = leaks(trial);
        let engine = leaks[0];
        assert_eq!(engine.resource, Resource::Fd, "{engine:#?}");
        assert!(is_daemon(&engine.subject, "tick-leaky"), "{engine:#?}");
        assert!(engine.growth >= 2 * 8, "the database and its WAL at every tick: {engine:#?}");
        assert_site(engine, &source, "LEAK", Some("tracker/src/store.rs"));
        let forecast = engine.forecast.as_ref().expect("a forecast");
        assert_eq!((forecast.limit.as_str(), forecast.unit.as_str()), ("RLIMIT_NOFILE", "second"));
        assert_held(engine, HolderClass::Local, Some("engines"), Some("Vec<Store>"));
        assert_rest_is_heap_of(&source, &engine.subject, &leaks[1..]);
    }
    clean("engine_per_tick");
}

#[test]
fn a_session_for_each_call_kept_by_a_daemon() {
    let source = source!("session_per_call.rs");
    let trial = leaky("session_per_call");
    let leaks = leaks(&trial);
    assert_eq!(leaks[0].resource, Resource::Socket, "{:#?}", leaks[0]);
    assert_eq!(leaks[0].per_round, 1, "one for each call");
    assert_site(leaks[0], &source, "LEAK", None);
    for leak in &leaks {
        assert!(is_daemon(&leak.subject, "session-leaky"), "{leak:#?}");
        // A session is a socket, and the buffer of its reader on the line below.
        let line = leak.site.as_ref().map_or(0, |site| site.line);
        let marked = marked(source.text, "LEAK");
        assert!((marked..=marked + 1).contains(&line), "{leak:#?}");
    }
    let buffer = leaks.iter().find(|leak| leak.resource == Resource::Heap).expect("the buffers");
    assert_held(buffer, HolderClass::Local, Some("sessions"), Some("Vec<Session>"));
    clean("session_per_call");
}

#[test]
fn a_connection_for_each_call_closed_by_the_client_first() {
    let source = source!("connection_per_call.rs");
    let trial = leaky("connection_per_call");
    let leaks = leaks(&trial);
    assert_eq!(leaks.len(), 1, "{leaks:#?}");
    assert_eq!(resources(leaks[0]), [Resource::TimeWait]);
    assert_eq!(leaks[0].subject, SUBJECT_TEST);
    assert_eq!((leaks[0].per_round, leaks[0].budget), (12, Some(8)));
    assert_site(leaks[0], &source, "LEAK", Some("tracker/src/client.rs"));
    clean("connection_per_call");
}

#[test]
fn a_daemon_that_outlives_its_test() {
    let source = source!("daemon_outlives_its_test.rs");
    let trial = leaky("daemon_outlives_its_test");
    let leaks = leaks(&trial);
    assert!(!leaks.is_empty());
    for leak in leaks {
        assert_eq!(resources(leak), [Resource::Process], "{leak:#?}");
        assert_eq!(leak.subject, SUBJECT_TEST);
        assert!(is_daemon(&leak.what, "serve"), "it is named by its command line: {leak:#?}");
        assert_site(leak, &source, "LEAK", Some("tracker/src/daemon/control.rs"));
        let process = leak.process.as_ref().expect("facts on the process");
        assert_eq!(process.state, ProcessState::Outlived, "{leak:#?}");
        // It was killed, and so it does not outlive the run.
        let there = std::fs::read_to_string(format!("/proc/{}/cmdline", process.pid));
        assert!(!there.is_ok_and(|command| command.contains("leaky-daemon")), "{leak:#?}");
    }
    clean("daemon_outlives_its_test");
}

/// Runs one half of the registry's suite with a limit of 256 descriptors.
fn registry(half: &str, passes: u32) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 256 && exec \"$0\" \"$@\""]);
    command.args([env!("CARGO_BIN_EXE_leaky-registry"), half]);
    run(command.env("REGISTRY_PASSES", passes.to_string())).expect("a whole ledger")
}

#[test]
fn a_registry_of_engines_over_a_suite() {
    let source = source!("engine_registry.rs");
    // Four passes of twelve tests stay below the limit: it is foretold.
    let ran = registry("leaky::", 4);
    assert_eq!((ran.code, ran.trials.len()), (Some(RED), TESTS), "{}", ran.output);
    let mut foretold = Vec::new();
    for trial in &ran.trials {
        assert_eq!((trial.mode, trial.outcome), (Mode::Shared, Outcome::Passed));
        assert_eq!((trial.verdict, trial.rounds), (Verdict::Leaked, 4), "{trial:#?}");
        let leaks = leaks(trial);
        assert_eq!(resources(leaks[0]), OPEN_STORE, "{leaks:#?}");
        assert_eq!((leaks[0].subject.as_str(), leaks[0].per_round), (SUBJECT_TEST, 3));
        assert_site(leaks[0], &source, "LEAK", Some("tracker/src/store.rs"));
        for leak in &leaks {
            assert_held(leak, HolderClass::Static, Some("ENGINES"), Some("Mutex<Vec<Store>>"));
        }
        assert_rest_is_heap_of(&source, SUBJECT_TEST, &leaks[1..]);
        let forecast = leaks[0].forecast.as_ref().expect("a forecast");
        assert_eq!((forecast.limit.as_str(), forecast.value), ("RLIMIT_NOFILE", 256));
        assert_eq!(forecast.unit, "test");
        foretold.push(forecast.at);
    }
    assert!(foretold.iter().all(|at| *at == foretold[0]), "one suite, one test: {foretold:?}");

    // Ten passes reach it: the registry's own count says at which test.
    let ran = registry("leaky::", 10);
    assert_eq!(ran.code, Some(RED), "{}", ran.output);
    let said = ran.trials.iter().flat_map(|trial| trial.notes.iter().chain(&trial.message));
    let met: Vec<u64> = said
        .filter_map(|said| {
            said.split_once(" got no engine")?.0.rsplit_once("test ")?.1.parse().ok()
        })
        .collect();
    assert_eq!(met, foretold[..1], "{}", ran.output);
    assert_eq!(ran.trials.len(), TESTS);

    let ran = registry("clean::", 10);
    assert_eq!((ran.code, ran.trials.len()), (Some(0), TESTS), "{}", ran.output);
    for trial in &ran.trials {
        assert_eq!((trial.verdict, trial.mode), (Verdict::Clean, Mode::Shared), "{trial:#?}");
    }
}

#[test]
fn a_log_handle_for_each_daemon() {
    let source = source!("log_per_daemon.rs");
    let trial = leaky("log_per_daemon");
    let leaks = leaks(&trial);
    assert_eq!(leaks.len(), 1, "{leaks:#?}");
    assert_eq!(resources(leaks[0]), [Resource::Fd]);
    assert_eq!(leaks[0].subject, SUBJECT_TEST);
    assert!(leaks[0].what.contains("daemon.log"), "{}", leaks[0].what);
    assert_site(leaks[0], &source, "LEAK", None);
    clean("log_per_daemon");
}

#[test]
fn tasks_and_connections_not_joined_at_shutdown() {
    let source = source!("tasks_not_joined.rs");
    let trial = leaky("tasks_not_joined");
    let leaks = leaks(&trial);
    let of = |resource| {
        let found: Vec<_> = leaks.iter().filter(|leak| leak.resource == resource).collect();
        assert_eq!(found.len(), 1, "one finding of {resource:?} in {leaks:#?}");
        *found[0]
    };
    let (connections, tasks) = (of(Resource::Socket), of(Resource::Task));
    assert_eq!((connections.per_round, tasks.per_round), (3, 3), "{leaks:#?}");
    assert_site(connections, &source, "LEAK connection", None);
    assert_site(tasks, &source, "LEAK task", None);
    // The runtime is the harness's own variable, of which nobody who reads this knows.
    assert_held(tasks, HolderClass::TestRuntime, None, None);
    assert!(leaks.iter().all(|leak| leak.subject == SUBJECT_TEST));
    clean("tasks_not_joined");
}

#[test]
fn a_clean_up_that_the_exit_is_faster_than() {
    let trial = leaky("cleanup_after_exit");
    assert_eq!(trial.outcome, Outcome::Crashed);
    assert_cleanup(&trial, CleanupStatus::NeverReached, "LEAK exit");
    clean("cleanup_after_exit");
}

#[test]
fn a_clean_up_that_an_abort_is_faster_than() {
    let trial = leaky("cleanup_after_abort");
    assert_eq!(trial.outcome, Outcome::Crashed);
    assert_cleanup(&trial, CleanupStatus::NeverReached, "LEAK abort");
    clean("cleanup_after_abort");
}

#[test]
fn a_clean_up_that_comes_too_late() {
    let trial = leaky("cleanup_too_late");
    assert_eq!(trial.outcome, Outcome::Failed);
    assert_cleanup(&trial, CleanupStatus::Failed, "LEAK order");
    clean("cleanup_too_late");
}

/// One clean-up has this status, and its finding names the line that declares it.
#[track_caller]
fn assert_cleanup(trial: &Trial, status: CleanupStatus, mark: &str) {
    let source = source!("cleanup_in_the_wrong_place.rs");
    let found = trial.cleanups.iter().filter(|cleanup| cleanup.status == status);
    let names: Vec<_> = found.map(|cleanup| cleanup.name.as_str()).collect();
    assert_eq!(names, ["close the store"], "{:#?}", trial.cleanups);
    let leaks = leaks(trial);
    assert_eq!(leaks.len(), 1, "{leaks:#?}");
    assert_eq!(resources(leaks[0]), [Resource::Cleanup]);
    assert_eq!(
        (leaks[0].what.as_str(), leaks[0].subject.as_str()),
        ("close the store", SUBJECT_TEST)
    );
    assert_site(leaks[0], &source, mark, None);
}

#[test]
fn all_twins_in_one_run_have_the_same_verdicts() {
    let ran = run(&mut Command::new(env!("CARGO_BIN_EXE_leaky"))).unwrap();
    assert_eq!(ran.code, Some(RED), "{}", ran.output);
    assert_eq!(ran.trials.len(), watertight_suites::leaky::cases().len());
    for trial in &ran.trials {
        let expected =
            if trial.case.ends_with("::leaky") { Verdict::Leaked } else { Verdict::Clean };
        assert_eq!(trial.verdict, expected, "{trial:#?}");
        let has_leak = trial.findings.iter().any(|finding| finding.status == Status::Leak);
        assert_eq!(has_leak, expected == Verdict::Leaked, "{trial:#?}");
    }
}

/// Whether a command line is that of our daemon, as the kernel gives it or with the name alone.
fn is_daemon(command: &str, verb: &str) -> bool {
    command.split_once(' ').is_some_and(|(program, rest)| {
        program.ends_with("leaky-daemon") && rest.starts_with(&format!("{verb} /"))
    })
}
