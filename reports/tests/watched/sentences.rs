//! The sentence of a watched program.

use watertight_report::metric;
use watertight_report::model::{
    Finding, Outcome, Resource, Status, Trended, Trial, Unmeasured, Verdict,
};
use watertight_report::render::sentence;
use watertight_report::trend::Limit;

use crate::programs::{
    PID, flat, from_outside, leaky, limited, nofile, opened, per_tick, program, says,
    three_every_five, too_short, trend, with_workers,
};

#[track_caller]
fn assert_said(trial: &Trial, said: &str) {
    assert_eq!(sentence(trial), said);
}

#[test]
fn what_grows_is_said_with_its_limit_and_its_line() {
    let mut trial = program("leaky-daemon", 120, vec![opened(69, "/tmp/x/tracker.db", 31)]);
    let grown = limited(metric::DESCRIPTOR, 120, nofile(), three_every_five);
    says(&mut trial, metric::DESCRIPTOR, 81, grown);
    assert_said(
        &trial,
        "`leaky-daemon` grows: +3 file descriptors every 5.0 s, RLIMIT_NOFILE 1,024 is met in \
         26 min; they were opened at suites/src/leaky/engine_per_tick.rs:31.",
    );
}

#[test]
fn the_limit_of_all_descriptors_is_met_by_those_that_grow() {
    assert_said(
        &leaky(),
        "`leaky-daemon` grows: +3 file descriptors every 5.0 s, RLIMIT_NOFILE 1,024 is met in \
         18 min; they were opened at 2 sites, one of them at suites/src/leaky/engine_per_tick.rs:31.",
    );
}

#[test]
fn a_limit_behind_is_met() {
    let mut trial = program("leaky-daemon", 120, vec![opened(69, "/tmp/x/tracker.db", 31)]);
    let limit = Some(Limit::new("RLIMIT_NOFILE", 50.0));
    let grown = limited(metric::DESCRIPTOR, 120, limit, three_every_five);
    says(&mut trial, metric::DESCRIPTOR, 81, grown);
    let said = sentence(&trial);
    assert!(said.contains("every 5.0 s, RLIMIT_NOFILE 50 is met; they"), "{said}");
}

#[test]
fn what_is_flat_is_said_to_be() {
    assert_said(&flat(), "`tracker` is flat: nothing grew in 10 min.");
    let mut stepped = flat();
    let step =
        trend(metric::MEMORY_BYTES, 600, |second| if second < 60 { 5 << 20 } else { 9 << 20 });
    says(&mut stepped, metric::MEMORY_BYTES, 9 << 20, step);
    assert_said(
        &stepped,
        "`tracker` is flat: memory grew and stopped, nothing else grew in 10 min.",
    );
}

#[test]
fn what_grows_without_a_finding_is_not_kept_quiet() {
    let mut trial = flat();
    let grown = trend(metric::VIRTUAL_BYTES, 600, |second| (80 << 20) + second * 10_000);
    says(&mut trial, metric::VIRTUAL_BYTES, 89_876_080, grown);
    assert_said(
        &trial,
        "`tracker` was watched for 10 min; only address space grew, which alone is no leak.",
    );
    trial.verdict = Verdict::Unmeasured;
    trial.unmeasured.push(Unmeasured::new(Resource::Heap, "static"));
    assert_said(
        &trial,
        "`tracker` was watched for 10 min, but the heap probe could not look; address space grew.",
    );
}

#[test]
fn too_short_is_not_flat() {
    assert_said(
        &too_short(),
        "`redis-server` was watched for 20.0 s, which is too short to tell for memory.",
    );
    let mut nothing_known = too_short();
    nothing_known.trends.remove(0);
    assert_said(
        &nothing_known,
        "`redis-server` was watched for 20.0 s, which is too short to tell.",
    );
    let mut blind = too_short();
    blind.unmeasured.push(Unmeasured::new(Resource::Heap, "static"));
    assert_said(
        &blind,
        "`redis-server` was watched for 20.0 s, which is too short to tell for memory, \
         and the heap probe could not look.",
    );
    blind.trends.pop();
    assert_said(
        &blind,
        "`redis-server` was watched for 20.0 s, but the heap probe could not look; nothing else grew.",
    );
}

#[test]
fn of_two_that_grow_both_are_said() {
    assert_said(
        &from_outside(),
        "`node` grows: +1 thread per tick; where they were started is not known; \
         also +10,000 B of memory a second.",
    );
}

#[test]
fn of_many_the_worst_is_said() {
    let mut trial = leaky();
    for resource in [Resource::Thread, Resource::Heap] {
        trial.findings.push(Finding::leak(resource, "more", 40));
    }
    let said = sentence(&trial);
    assert!(said.ends_with("engine_per_tick.rs:31; 2 more resources grow."), "{said}");
}

#[test]
fn a_descendant_is_named() {
    assert_said(
        &with_workers(),
        "`supervisor` grows in `worker --queue mail`: +1 socket every 10.0 s; \
         where they were opened is not known.",
    );
    // It is not counted together with what the program itself opens.
    let mut both = with_workers();
    both.findings.push(Finding::leak(Resource::Socket, "tcp", 20));
    assert_said(
        &both,
        "`supervisor` grows: +20 sockets in 10 min; where they were opened is not known; \
         in `worker --queue mail` +1 socket every 10.0 s; where they were opened is not known.",
    );
    // A fork bears the name of its parent, and has series of its own.
    let mut trial = with_workers();
    trial.findings.clear();
    trial.findings.push(Finding::leak(Resource::Thread, "pool", 40));
    let forked = per_tick(metric::THREAD, 600, |ticks| ticks);
    trial.trends.push(Trended::new("supervisor", PID + 1, metric::THREAD, 40, forked));
    let said = sentence(&trial);
    assert!(said.contains("+40 threads in 10 min"), "{said}");
}

#[test]
fn a_program_that_ended_badly_says_that_first() {
    let mut trial = leaky();
    trial.outcome = Outcome::Crashed;
    trial.message = Some("signal 11 (SIGSEGV)".into());
    let said = sentence(&trial);
    assert!(
        said.starts_with("`leaky-daemon` crashed (signal 11 (SIGSEGV)) and grew: +3 "),
        "{said}"
    );
    let mut trial = flat();
    trial.outcome = Outcome::Killed;
    assert_said(&trial, "`tracker` was killed from outside and was flat: nothing grew in 10 min.");
}

#[test]
fn what_is_accepted_is_no_leak() {
    let mut trial = leaky();
    for finding in &mut trial.findings {
        finding.status = Status::Accepted;
    }
    trial.verdict = Verdict::Tolerated;
    assert_said(
        &trial,
        "`leaky-daemon` was watched for 10 min, and grew only by what is accepted.",
    );
}

/// Whatever the record says, a sentence is one line that begins with the name and ends.
#[test]
fn a_record_that_says_little_is_told_all_the_same() {
    let mut trial = program("x", 1, Vec::new());
    for verdict in [
        Verdict::Clean,
        Verdict::Tolerated,
        Verdict::Leaked,
        Verdict::Unsettled,
        Verdict::Unmeasured,
    ] {
        trial.verdict = verdict;
        let said = sentence(&trial);
        assert!(said.starts_with("`x` ") && said.ends_with('.'), "{said}");
        assert!(said.contains("1.0 s"), "{said}");
    }
}
