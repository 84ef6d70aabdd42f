//! A ledger with one of everything that a report tells of.

use watertight_report::model::{
    AcceptedBy, Canary, Finding, Frame, Outcome, Part, ProcessFacts, ProcessState, Reading, Record,
    Resource, Run, SCHEMA, Shard, Status, Trial, Unmeasured, Verdict,
};

pub(crate) fn run() -> Run {
    let mut run = Run::default();
    run.schema = SCHEMA;
    run.run = "ab12".into();
    run.started_ms = 1_760_000_000_000;
    run.profile = "ci".into();
    run.host.kernel = "6.18.0".into();
    run.host.os = "Debian GNU/Linux 12".into();
    run.shard = Shard::new(1, 2);
    run.canaries =
        vec![Canary::seen(Resource::Fd), Canary::blind(Resource::Heap, "LD_PRELOAD is ignored")];
    run
}

pub(crate) fn trial(case: &str, findings: Vec<Finding>) -> Trial {
    let mut trial = Trial::default();
    trial.schema = SCHEMA;
    trial.run = "ab12".into();
    trial.suite = "stores".into();
    trial.case = case.into();
    trial.rounds = 3;
    trial.duration_ms = 412;
    if findings.iter().any(|finding| finding.status == Status::Leak) {
        trial.verdict = Verdict::Leaked;
    }
    trial.findings = findings;
    let mut rss = Reading::new(5 << 20, 6 << 20);
    rss.peak = Some(9 << 20);
    let mut fd = Reading::new(4, 7);
    fd.per_round = vec![1, 1, 1];
    trial.readings.insert("fd".into(), fd);
    trial.readings.insert("rss_bytes".into(), rss);
    trial
}

/// A connection of SQLite, opened by `store.rs:31` in every round.
pub(crate) fn store(path: &str) -> Finding {
    let site = Frame::new("src/store.rs", 31, "app::store::open");
    let mut finding = Finding::leak(Resource::Fd, path, 3);
    finding.per_round = 1;
    finding.via = Some(Frame::new("db/src/lib.rs", 118, "db::Connection::open"));
    finding.stack = vec![
        Frame::new("", 0, "sqlite3_open_v2"),
        Frame::new("db/src/lib.rs", 118, "db::Connection::open"),
        site.clone(),
        Frame::new("tests/stores.rs", 12, "stores::main"),
    ];
    finding.site = Some(site);
    finding.parts = vec![
        Part::new(Resource::Fd, path, 3),
        Part::new(Resource::Heap, "128 blocks a round", 231_036),
    ];
    finding
}

pub(crate) fn heap(bytes: i64) -> Finding {
    let mut finding = Finding::leak(Resource::Heap, "3 blocks", bytes);
    finding.status = Status::Unconfirmed;
    finding.site = Some(Frame::new("src/cache.rs", 9, "app::cache::fill"));
    finding.stack = vec![Frame::new("src/cache.rs", 9, "app::cache::fill")];
    finding
}

fn survivor() -> Finding {
    let mut finding = Finding::leak(Resource::Process, "tracker daemon run", 1);
    finding.site = Some(Frame::new("tests/daemon.rs", 22, "daemon::outlives"));
    let mut process = ProcessFacts::new(1234, ProcessState::Outlived);
    process.age_ms = Some(2_140);
    finding.process = Some(process);
    finding
}

fn accepted() -> Finding {
    let mut finding = Finding::leak(Resource::Thread, "watcher", 3);
    finding.status = Status::Accepted;
    finding.site = Some(Frame::new("src/watch.rs", 5, "app::watch::start"));
    let expires = jiff::civil::date(2027, 6, 30);
    finding.accepted = vec![AcceptedBy::new(12, Resource::Thread, "issue 123", expires)];
    finding
}

pub(crate) fn ended(case: &str, outcome: Outcome, message: &str) -> Trial {
    let mut trial = trial(case, Vec::new());
    trial.outcome = outcome;
    trial.message = Some(message.into());
    trial
}

pub(crate) fn records(trials: Vec<Trial>) -> Vec<Record> {
    let trials = trials.into_iter().map(|trial| Record::Trial(Box::new(trial)));
    std::iter::once(Record::Run(run())).chain(trials).collect()
}

/// One of everything: a leak in forty cases, a retry, what is accepted, and every way not to end well.
pub(crate) fn everything() -> Vec<Record> {
    let mut trials: Vec<Trial> = (0..40)
        .map(|n| trial(&format!("opens_{n:02}"), vec![store(&format!("/tmp/.tmpK{n}/a.db"))]))
        .collect();
    trials.push(trial("daemon::outlives", vec![survivor()]));
    let mut tolerated = trial("watches", vec![accepted()]);
    tolerated.verdict = Verdict::Tolerated;
    trials.push(tolerated);
    // An unedited test: a command of its own, and one round.
    let mut unedited = trial("fills", vec![heap(70_000)]);
    unedited.command = Some("cargo watertight test -p app --lib".into());
    unedited.suite = "app".into();
    unedited.rounds = 1;
    trials.push(unedited);
    trials.push(ended("wrong", Outcome::Failed, "assertion failed: 1 | 2 == <b>4</b>\nleft: 1"));
    trials.push(ended("aborts", Outcome::Crashed, "signal 6 (SIGABRT)"));
    trials.push(ended("not_today", Outcome::Skipped, "no network"));
    // Leaked and failed, tried again, and then neither.
    let mut first = trial("flaky", vec![store("/tmp/.tmpA/b.db")]);
    first.outcome = Outcome::Failed;
    first.message = Some("connection refused".into());
    trials.push(first);
    let mut second = trial("flaky", Vec::new());
    second.attempt = 2;
    trials.push(second);
    // Failed, tried again, and passed.
    trials.push(ended("slow", Outcome::TimedOut, "30 s"));
    let mut second = trial("slow", Vec::new());
    second.attempt = 2;
    trials.push(second);
    let mut unsettled = trial("still_falling", Vec::new());
    unsettled.verdict = Verdict::Unsettled;
    trials.push(unsettled);
    for case in ["static_one", "static_two"] {
        let mut blind = trial(case, Vec::new());
        blind.verdict = Verdict::Unmeasured;
        blind.unmeasured = vec![Unmeasured::new(Resource::Heap, "own allocator, 100% of it")];
        trials.push(blind);
    }
    trials.extend((0..5).map(|n| trial(&format!("clean_{n}"), Vec::new())));
    records(trials)
}
