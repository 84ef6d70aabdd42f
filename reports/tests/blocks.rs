//! Goldens of the failure block: one for every situation a person may be told of.

use watertight_report::model::{
    AcceptedBy, Cleanup, CleanupStatus, Finding, Forecast, Frame, Mode, Outcome, Part,
    ProcessFacts, ProcessState, Reading, Resource, Status, Trial, Unmeasured, Verdict,
};
use watertight_report::render::terminal::{Style, failure};

fn trial(suite: &str, case: &str, rounds: u32, findings: Vec<Finding>) -> Trial {
    let mut trial = Trial::default();
    trial.schema = 1;
    trial.run = "ab12".into();
    trial.suite = suite.into();
    trial.case = case.into();
    trial.rounds = rounds;
    let leaked = findings.iter().any(|finding| finding.status == Status::Leak);
    trial.verdict = if leaked { Verdict::Leaked } else { Verdict::Clean };
    trial.findings = findings;
    trial
}

/// `per_round` of a resource in each of three rounds.
fn leak(resource: Resource, what: &str, per_round: i64, site: (&str, u32, &str)) -> Finding {
    let mut finding = Finding::leak(resource, what, 3 * per_round);
    finding.per_round = per_round;
    finding.site = Some(Frame::new(site.0, site.1, site.2));
    finding
}

/// Found once, after the trial.
fn remains(resource: Resource, what: &str, site: (&str, u32, &str)) -> Finding {
    let mut finding = leak(resource, what, 1, site);
    finding.growth = 1;
    finding
}

fn with_ledger() -> Style {
    Style { ledger: Some("target/watertight/ab12.jsonl".into()), ..Style::default() }
}

const STORE: (&str, u32, &str) =
    ("suites/src/leaky/stores.rs", 31, "watertight_suites::leaky::stores::forgets_a_store");

/// A connection of SQLite: a descriptor and C heap, made under one stack.
fn forgotten_store() -> Finding {
    let mut finding = leak(Resource::Fd, "/tmp/.tmpK3f/.tracker/tracker.db", 1, STORE);
    finding.via =
        Some(Frame::new("tracker/src/store.rs", 118, "watertight_tracker::store::Store::open"));
    finding.stack = vec![
        Frame::new("", 0, "sqlite3_open_v2"),
        Frame::new("tracker/src/store.rs", 118, "watertight_tracker::store::Store::open"),
        Frame::new(STORE.0, STORE.1, STORE.2),
        Frame::new("suites/tests/stores.rs", 12, "stores::main"),
    ];
    let mut heap = Part::new(Resource::Heap, "128 blocks a round", 231_036);
    heap.per_round = Some(77_012);
    finding.parts = vec![Part::new(Resource::Fd, finding.what.as_str(), finding.growth), heap];
    finding.forecast = Some(Forecast::new("RLIMIT_NOFILE", 256, 85, "test"));
    finding
}

fn survivor() -> Finding {
    let site = ("suites/src/leaky/daemons.rs", 22, "watertight_suites::leaky::daemons::outlives");
    let mut finding = remains(Resource::Process, "tracker daemon run", site);
    let mut process = ProcessFacts::new(1234, ProcessState::Outlived);
    process.cwd = Some("/tmp/.tmpK3f".into());
    process.age_ms = Some(2_140);
    finding.process = Some(process);
    finding
}

fn timed_wait() -> Finding {
    let site = ("suites/src/leaky/ipc.rs", 40, "watertight_suites::leaky::ipc::call");
    let mut finding = leak(Resource::TimeWait, "127.0.0.1:4021 (tcp)", 40, site);
    finding.budget = Some(8);
    finding
}

macro_rules! golden {
    ($name:ident, $trial:expr) => {
        golden!($name, $trial, with_ledger());
    };
    ($name:ident, $trial:expr, $style:expr) => {
        #[test]
        fn $name() {
            // Escapes are shown, so that a golden can be read anywhere.
            let block = failure(&$trial, &$style).replace('\x1b', "\\e");
            let mut settings = insta::Settings::clone_current();
            settings.set_omit_expression(true);
            settings.bind(|| insta::assert_snapshot!(block));
        }
    };
}

golden!(a_store_forgotten, trial("stores", "forgets_a_store", 3, vec![forgotten_store()]));

golden!(
    a_store_forgotten_with_stacks,
    trial("stores", "forgets_a_store", 3, vec![forgotten_store()]),
    Style { stacks: true, ..with_ledger() }
);

golden!(
    a_store_forgotten_in_colour,
    trial("stores", "forgets_a_store", 3, vec![forgotten_store()]),
    Style { colour: true, ..with_ledger() }
);

golden!(without_a_ledger, trial("daemons", "outlives", 1, vec![survivor()]), Style::default());

golden!(a_daemon_that_outlived_its_test, trial("daemons", "outlives", 1, vec![survivor()]));

golden!(several_processes_that_outlived_their_test, {
    let mut three = survivor();
    three.growth = 3;
    three.per_round = 3;
    trial("daemons", "outlives", 1, vec![three])
});

golden!(a_zombie, {
    let mut zombie = survivor();
    zombie.what = "git commit -q -m sync".into();
    zombie.process = Some(ProcessFacts::new(991, ProcessState::Zombie));
    trial("sync", "never_waits", 1, vec![zombie])
});

golden!(port_pairs_over_budget, trial("ipc", "connects_per_call", 3, vec![timed_wait()]));

golden!(a_thread, {
    let site = ("suites/src/leaky/threads.rs", 9, "leaky::threads::starts_one");
    trial(
        "threads",
        "starts_one",
        3,
        vec![leak(Resource::Thread, "sync-ticker (sleeping in futex)", 1, site)],
    )
});

golden!(tasks, {
    let site = ("suites/src/leaky/tasks.rs", 17, "leaky::tasks::serve::{closure#0}");
    trial("tasks", "never_joined", 3, vec![leak(Resource::Task, "client session", 4, site)])
});

golden!(a_gauge, {
    let mut gauge = Finding::leak(Resource::Gauge, "open_stores", 3);
    gauge.per_round = 1;
    trial("stores", "registry_keeps_all", 3, vec![gauge])
});

golden!(heap_alone, {
    let site = ("suites/src/leaky/stores.rs", 57, "leaky::stores::forgets_in_memory");
    let mut trial = trial(
        "stores",
        "forgets_in_memory",
        6,
        vec![leak(Resource::Heap, "128 blocks a round", 77_012, site)],
    );
    trial.notes.push("three rounds warmed up before growth was counted".into());
    trial
});

golden!(memory_over_its_ceiling, {
    let mut memory = Finding::leak(Resource::Memory, "peak RSS", 28_521_267);
    memory.budget = Some(64 << 20);
    memory.note = Some("from rss_max of the suite".into());
    trial("soak", "reads_everything", 1, vec![memory])
});

golden!(a_clean_up_that_never_ran, {
    let site = ("suites/src/leaky/logs.rs", 20, "leaky::logs::installs_a_handle");
    let mut trial = trial(
        "logs",
        "cleans_up_in_the_wrong_place",
        1,
        vec![
            Finding::leak(Resource::Cleanup, "remove the log handle", 1),
            remains(Resource::Fd, "/tmp/.tmpK3f/daemon.log", site),
        ],
    );
    trial.outcome = Outcome::Failed;
    trial.message = Some("no daemon answered".into());
    let never = Cleanup::new("remove the log handle", CleanupStatus::NeverReached, None);
    trial.cleanups.push(never);
    trial
});

golden!(a_clean_up_that_failed, {
    let mut trial = trial(
        "logs",
        "removes_twice",
        1,
        vec![Finding::leak(Resource::Cleanup, "remove the workspace", 1)],
    );
    trial.cleanups.push(Cleanup::new(
        "remove the workspace",
        CleanupStatus::Failed,
        Some("directory not empty".into()),
    ));
    trial
});

golden!(in_a_descendant, {
    let site = ("tracker/src/sync.rs", 64, "watertight_tracker::sync::pass");
    let mut finding = leak(Resource::Fd, "/tmp/.tmpK3f/.tracker/tracker.db-wal", 2, site);
    finding.subject = "tracker daemon run".into();
    finding.forecast = Some(Forecast::new("RLIMIT_NOFILE", 1_024, 2_560, "second"));
    trial("daemon", "leaks_per_tick", 3, vec![finding])
});

golden!(over_a_suite_in_shared_mode, {
    let mut finding = forgotten_store();
    finding.parts.truncate(1);
    let mut trial = trial("engines", "engine_07", 3, vec![finding]);
    trial.mode = Mode::Shared;
    trial
});

golden!(failed_and_leaked, {
    let mut trial = trial("stores", "forgets_a_store", 3, vec![forgotten_store()]);
    trial.outcome = Outcome::Failed;
    trial.message = Some(
        "assertion `left == right` failed: all issues are exported\n  left: 1\n right: 29\n".into(),
    );
    trial
});

golden!(failed_and_clean, {
    let mut trial = trial("stores", "exports_all", 1, vec![]);
    trial.outcome = Outcome::Failed;
    trial.message = Some("No such file or directory (os error 2).".into());
    trial
});

golden!(crashed, {
    let mut trial = trial("traps", "aborts", 1, vec![survivor()]);
    trial.outcome = Outcome::Crashed;
    trial.message = Some("SIGABRT".into());
    trial
});

golden!(killed, {
    let mut trial = trial("traps", "is_killed", 1, vec![]);
    trial.outcome = Outcome::Killed;
    trial.message = Some("SIGKILL".into());
    trial
});

golden!(timed_out, {
    let mut trial = trial("traps", "never_ends", 1, vec![survivor()]);
    trial.outcome = Outcome::TimedOut;
    trial.message = Some("ended by the supervisor after 60.0 s".into());
    trial
});

golden!(unmeasured, {
    let mut trial = trial("store", "opens_and_closes", 1, vec![]);
    trial.verdict = Verdict::Unmeasured;
    trial.unmeasured = vec![
        Unmeasured::new(Resource::Heap, "the agent was not loaded: LD_PRELOAD is ignored here"),
        Unmeasured::new(Resource::TimeWait, "neither a network namespace nor port pairs"),
    ];
    trial
});

golden!(leaked_and_partly_unmeasured, {
    let mut trial = trial("daemons", "outlives", 1, vec![survivor()]);
    trial.unmeasured.push(Unmeasured::new(Resource::Heap, "own allocator"));
    trial
});

golden!(unsettled, {
    let mut trial = trial("daemon", "stops_slowly", 1, vec![]);
    trial.verdict = Verdict::Unsettled;
    trial.readings.insert("fd".into(), Reading::new(4, 4));
    trial.readings.insert("thread".into(), Reading::new(1, 3));
    trial.readings.insert("heap_bytes".into(), Reading::new(51_200, 128_212));
    trial.notes.push("waited 30.0 s, alone, at the end of the run".into());
    trial
});

golden!(several_findings_worst_first, {
    let site = ("suites/src/leaky/threads.rs", 9, "leaky::threads::starts_one");
    let mut unconfirmed =
        leak(Resource::Heap, "2 blocks", 40_000, ("src/cache.rs", 5, "app::cache::fill"));
    unconfirmed.status = Status::Unconfirmed;
    unconfirmed.note = Some("a later round failed".into());
    let mut step = leak(Resource::Fd, "eventfd", 1, site);
    step.status = Status::Step;
    let mut thread = leak(Resource::Thread, "sync-ticker", 1, site);
    thread.growth = 1_200;
    thread.per_round = 400;
    trial(
        "story",
        "does_it_all",
        3,
        vec![step, unconfirmed, timed_wait(), thread, survivor(), forgotten_store()],
    )
});

golden!(two_sites_and_one_unknown, {
    let mut blind = leak(Resource::Socket, "unix, connected", 1, STORE);
    blind.site = None;
    blind.note = Some("the explain run did not reproduce it".into());
    let mut lineless = leak(Resource::Fd, "/dev/null", 1, ("", 0, "app::quiet"));
    lineless.stack = vec![Frame::new("", 0, "app::quiet")];
    trial("ipc", "mixed", 3, vec![blind, lineless, forgotten_store()])
});

golden!(no_site, {
    let mut blind = leak(Resource::Socket, "unix, connected to /run/tracker.sock", 2, STORE);
    blind.site = None;
    blind.note = Some("the explain run did not reproduce it".into());
    trial("ipc", "half_closed", 3, vec![blind])
});

golden!(left_files_and_changed_state, {
    let site = ("src/export.rs", 77, "app::export::write");
    trial(
        "export",
        "leaves_things",
        1,
        vec![
            remains(Resource::File, "/tmp/export-1.tmp", site),
            Finding::leak(Resource::State, "cwd: /srv/app -> /tmp", 1),
        ],
    )
});

golden!(inherited_descriptors_closed, {
    let mut finding = Finding::leak(Resource::Fd, "pipe:[4711]", -2);
    finding.note = Some("the descriptors were inherited".into());
    trial("traps", "closes_what_is_not_its_own", 1, vec![finding])
});

golden!(tolerated, {
    let mut accepted = forgotten_store();
    accepted.status = Status::Accepted;
    let mut trial = trial("stores", "forgets_a_store", 3, vec![accepted]);
    trial.verdict = Verdict::Tolerated;
    trial
});

golden!(accepted_by_entries, {
    let mut accepted = forgotten_store();
    accepted.status = Status::Accepted;
    let expires = jiff::civil::date(2027, 6, 30);
    accepted.accepted = vec![
        AcceptedBy::new(12, Resource::Fd, "issue 123", expires),
        AcceptedBy::new(20, Resource::Heap, "comes with it\x1b[2J", expires),
    ];
    let mut trial = trial("stores", "forgets_a_store", 3, vec![accepted]);
    trial.verdict = Verdict::Tolerated;
    trial
});

golden!(leaked_without_a_finding, {
    let mut trial = trial("stores", "odd", 1, vec![]);
    trial.verdict = Verdict::Leaked;
    trial
});

golden!(hostile_names, {
    let site = ("src/\x1b[31mred.rs", 3, "f\u{202e}oo");
    let path = format!("/tmp/\x1b]0;title\x07/{}/end.db", "long".repeat(100));
    let mut trial =
        trial("a suite", "it's\n\x1b[2J", 1, vec![remains(Resource::Fd, path.as_str(), site)]);
    trial.outcome = Outcome::Failed;
    trial.message = Some(format!("\n\n\x1b[2J{}\r\nsecond\tline", "m".repeat(300)));
    trial
});

#[test]
fn what_is_long_is_cut_and_says_so() {
    let mut finding = forgotten_store();
    finding.stack = (0..5_000).map(|n| Frame::new("src/deep.rs", n + 1, "deep")).collect();
    finding.parts = (0..50).map(|n| Part::new(Resource::Fd, format!("fd {n}"), 3)).collect();
    let mut trial = trial("deep", "recurses", 3, vec![finding; 30]);
    trial.outcome = Outcome::Failed;
    trial.message = Some("line\n".repeat(10_000));
    let block = failure(&trial, &Style { stacks: true, ..Style::default() });
    for said in ["4,936 more frames", "42 more, in", "10 more findings", "9,900 more lines"] {
        assert!(block.contains(said), "{said} is not in\n{block}");
    }
    assert!(block.lines().count() < 2_000);
}

#[test]
fn the_block_does_not_depend_on_the_order_of_findings() {
    let findings = vec![timed_wait(), forgotten_store(), survivor()];
    let reversed = findings.iter().rev().cloned().collect();
    assert_eq!(
        failure(&trial("a", "b", 3, findings), &Style::default()),
        failure(&trial("a", "b", 3, reversed), &Style::default())
    );
}

#[test]
fn extreme_numbers_are_told() {
    for growth in [i64::MIN, -1, 0, 1, i64::MAX] {
        for per_round in [i64::MIN, -1, 0, 1, i64::MAX] {
            for resource in [Resource::Fd, Resource::Heap, Resource::Memory, Resource::TimeWait] {
                let mut finding = forgotten_store();
                finding.resource = resource;
                finding.growth = growth;
                finding.per_round = per_round;
                finding.parts = vec![Part::new(Resource::Fd, "x", growth); 2];
                finding.budget = Some(u64::MAX);
                finding.forecast = Some(Forecast::new("x", u64::MAX, u64::MAX, "second"));
                let block = failure(&trial("a", "b", 3, vec![finding]), &Style::default());
                assert!(block.starts_with("`b` "));
            }
        }
    }
}
