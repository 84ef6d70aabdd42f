//! Where a probe cannot look the trial is `unmeasured`, with the reason, and not green under the profile
//! `ci`. Where it can look in another way, the trial is measured.
//!
//! Each test takes something away from a run: the preload, the namespaces, /proc. What this machine does
//! not let us take away is skipped with a message.

use std::path::Path;
use std::process::Command;

use watertight_report::model::{Net, Outcome, Resource, Trial, Verdict};
use watertight_suites::ledger::{Ran, leaks, marked, run};

/// What a failed run exits with.
const RED: i32 = 101;

/// A shell that does `preparation` in namespaces of its own and then becomes the suite.
fn without(namespaces: &[&str], preparation: &str) -> Option<Command> {
    let shell = |then: &str| {
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["sh", "-c", &format!("{preparation} && {then}")]);
        command
    };
    let tried = shell("true").output();
    if !tried.as_ref().is_ok_and(|tried| tried.status.success()) {
        println!(
            "skipped: `unshare {} sh -c {preparation:?}` is refused: {tried:?}",
            namespaces.join(" ")
        );
        return None;
    }
    let mut command = shell("exec \"$0\" \"$@\"");
    command.arg(env!("CARGO_BIN_EXE_leaky"));
    Some(command)
}

/// Runs one twin under a profile; gives the run and the twin's trial.
fn run_twin(mut command: Command, profile: &str, case: &str) -> (Ran, Trial) {
    let ran = run(command.env("WATERTIGHT_PROFILE", profile).args(["--exact", case]))
        .expect("a whole ledger");
    let trial = ran.trial(case).clone();
    (ran, trial)
}

/// A clean twin whose heap could not be measured: warned of, and red under `ci`.
fn assert_heap_unmeasured(command: impl Fn() -> Command, reason: &str) {
    for (profile, code) in [("default", 0), ("ci", RED)] {
        let (ran, trial) = run_twin(command(), profile, "store_inline::clean");
        assert_eq!(ran.code, Some(code), "under {profile}: {}", ran.output);
        assert_eq!(trial.outcome, Outcome::Passed);
        assert_eq!(trial.verdict, Verdict::Unmeasured);
        assert_reason(&trial, Resource::Heap, reason);
        assert!(ran.output.contains(reason), "the reason is said: {}", ran.output);
        // The kernel needs no agent to count descriptors.
        assert_eq!(trial.readings["fd"].before, trial.readings["fd"].after);
    }
    // Half blind it still sees what it can.
    let (ran, trial) = run_twin(command(), "default", "store_inline::leaky");
    assert_eq!((ran.code, trial.verdict), (Some(RED), Verdict::Leaked), "{}", ran.output);
    assert_eq!(leaks(&trial)[0].resource, Resource::Fd);
    assert_reason(&trial, Resource::Heap, reason);
}

#[track_caller]
fn assert_reason(trial: &Trial, probe: Resource, reason: &str) {
    let found = trial.unmeasured.iter().find(|unmeasured| unmeasured.probe == probe);
    assert!(
        found.is_some_and(|unmeasured| unmeasured.reason.contains(reason)),
        "{probe:?} should be unmeasured for {reason:?}: {:#?}",
        trial.unmeasured
    );
}

#[test]
fn the_agent_is_switched_off() {
    let blind = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leaky"));
        command.env("WATERTIGHT_BLIND", "agent");
        command
    };
    assert_heap_unmeasured(blind, "WATERTIGHT_BLIND");
}

#[test]
fn the_preload_is_refused() {
    // Nothing may be executed in either place where the agent's file could lie.
    let mount = "mount -t tmpfs -o noexec,size=1g none /dev/shm && export TMPDIR=/dev/shm";
    let take = || without(&["-m"], mount);
    if take().is_some() {
        assert_heap_unmeasured(|| take().expect("it was possible a moment ago"), "noexec");
    }
}

/// A hardened machine forbids execution in /dev/shm alone: the agent lies elsewhere then.
#[test]
fn a_dev_shm_without_execution_is_no_obstacle() {
    let mount = "mount -t tmpfs -o noexec,size=1g none /dev/shm";
    if let Some(command) = without(&["-m"], mount) {
        let (ran, trial) = run_twin(command, "ci", "store_inline::clean");
        assert_eq!((ran.code, trial.verdict), (Some(0), Verdict::Clean), "{}", ran.output);
    }
}

/// Most people are not root: nobody's capabilities are needed, not even for the canaries.
#[test]
fn a_user_without_privileges_sees_as_much() {
    // The inner shell is a user like any other, with a /dev/shm of its own to write to.
    let become_user = "mount -t tmpfs -o mode=1777,size=1g none /dev/shm && \
                       exec unshare -U --map-user=1000 --map-group=1000 \"$0\" \"$@\"";
    let take = || without(&["-U", "-r", "-m"], become_user);
    if take().is_none() {
        return;
    }
    for (case, code, verdict) in [
        ("store_inline::clean", 0, Verdict::Clean),
        ("connection_per_call::leaky", RED, Verdict::Leaked),
    ] {
        let (ran, trial) = run_twin(take().expect("it was possible a moment ago"), "ci", case);
        assert_eq!((ran.code, trial.verdict), (Some(code), verdict), "{}", ran.output);
        let blind: Vec<_> = ran.run.canaries.iter().filter(|canary| !canary.seen).collect();
        assert!(blind.is_empty(), "{blind:#?}");
    }
}

/// A user namespace in which no network namespace may be made.
fn without_networks() -> Option<Command> {
    without(&["-U", "-r"], "echo 0 >/proc/sys/user/max_net_namespaces")
}

#[test]
fn namespaces_are_refused_alone() {
    let Some(command) = without_networks() else { return };
    let (ran, trial) = run_twin(command, "ci", "connection_per_call::clean");
    assert_eq!((ran.code, trial.verdict), (Some(0), Verdict::Clean), "{}", ran.output);
    assert_eq!((trial.net, &trial.unmeasured), (Net::Host, &vec![]));
    assert!(trial.notes.iter().any(|note| note.contains("refused")), "{:?}", trial.notes);

    let (ran, trial) = run_twin(without_networks().unwrap(), "ci", "connection_per_call::leaky");
    assert_eq!((ran.code, trial.verdict), (Some(RED), Verdict::Leaked), "{}", ran.output);
    let leaks = leaks(&trial);
    assert_eq!((leaks.len(), leaks[0].resource), (1, Resource::TimeWait), "{leaks:#?}");
    assert_eq!(leaks[0].per_round, 12, "as exact as in a namespace");
    let source = include_str!("../src/leaky/connection_per_call.rs");
    let site = leaks[0].site.as_ref().map(|site| (site.file.as_str(), site.line));
    let expected = ("suites/src/leaky/connection_per_call.rs", marked(source, "LEAK"));
    assert_eq!(site, Some(expected));
}

#[test]
fn neither_namespaces_nor_port_pairs() {
    for (profile, code) in [("default", 0), ("ci", RED)] {
        let Some(mut command) = without_networks() else { return };
        command.env("WATERTIGHT_BLIND", "agent");
        let (ran, trial) = run_twin(command, profile, "connection_per_call::clean");
        assert_eq!((ran.code, trial.verdict), (Some(code), Verdict::Unmeasured), "{}", ran.output);
        assert_reason(&trial, Resource::TimeWait, "neither");
    }
}

#[test]
fn proc_is_hidden() {
    for (profile, code) in [("default", 0), ("ci", RED)] {
        // A program finds itself by /proc/self/exe, so this one link stays.
        let exe = Path::new(env!("CARGO_BIN_EXE_leaky")).display();
        let hide =
            format!("mount -t tmpfs none /proc && mkdir /proc/self && ln -s {exe} /proc/self/exe");
        let Some(command) = without(&["-m"], &hide) else { return };
        let (ran, trial) = run_twin(command, profile, "store_inline::clean");
        assert_eq!((ran.code, trial.verdict), (Some(code), Verdict::Unmeasured), "{}", ran.output);
        assert_eq!(trial.outcome, Outcome::Passed, "{:?}", trial.message);
        for probe in [Resource::Fd, Resource::Thread, Resource::Process, Resource::Memory] {
            assert_reason(&trial, probe, "/proc");
        }
    }
}

#[test]
fn proc_is_hidden_and_even_the_program_is_not_found() {
    let Some(command) = without(&["-m"], "mount -t tmpfs none /proc") else { return };
    let (ran, trial) = run_twin(command, "ci", "store_inline::clean");
    assert_eq!(ran.code, Some(RED), "{}", ran.output);
    assert_eq!(trial.verdict, Verdict::Unmeasured);
}

/// One probe at a time is blinded: its canary says so, and no trial of the run is clean.
#[test]
fn a_probe_that_does_not_see_its_canary_is_never_green() {
    const PROBES: [(&str, Resource); 15] = [
        ("fd", Resource::Fd),
        ("socket", Resource::Socket),
        ("thread", Resource::Thread),
        ("process", Resource::Process),
        ("heap", Resource::Heap),
        ("time_wait", Resource::TimeWait),
        ("memory", Resource::Memory),
        ("task", Resource::Task),
        ("gauge", Resource::Gauge),
        ("mapping", Resource::Mapping),
        ("file", Resource::File),
        ("shm", Resource::Shm),
        ("inotify_watch", Resource::InotifyWatch),
        ("lock", Resource::Lock),
        ("state", Resource::State),
    ];
    for (name, probe) in PROBES {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leaky"));
        command.env("WATERTIGHT_BLIND", name);
        let (ran, trial) = run_twin(command, "ci", "store_inline::clean");
        assert_eq!((ran.code, trial.verdict), (Some(RED), Verdict::Unmeasured), "{name}");
        assert_reason(&trial, probe, "its planted leak was not seen");
        let blind: Vec<_> = ran.run.canaries.iter().filter(|canary| !canary.seen).collect();
        assert!(blind.iter().any(|canary| canary.probe == probe), "{name}: {blind:?}");
    }
    let (ran, _) = run_twin(Command::new(env!("CARGO_BIN_EXE_leaky")), "ci", "store_inline::clean");
    assert_eq!(ran.code, Some(0), "with all eyes open it is green: {}", ran.output);
    assert!(
        ran.run.canaries.len() == PROBES.len() && ran.run.canaries.iter().all(|canary| canary.seen)
    );
}
