//! Goldens of the ledger's lines: the names and the shape that other programs read.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

use watertight_report::ledger::{self, Ledger};
use watertight_report::model::{
    AcceptedBy, Canary, Cleanup, CleanupStatus, Finding, Forecast, Frame, Net, Part, ProcessFacts,
    ProcessState, Reading, Record, Resource, Run, SCHEMA, Status, Trial, Unmeasured, Verdict,
};

fn run() -> Run {
    let mut run = Run::default();
    run.schema = SCHEMA;
    run.run = "ab12".into();
    run.started_ms = 1_760_000_000_000;
    run.tool_version = "0.1.0".into();
    run.profile = "ci".into();
    run.host.kernel = "6.18.0".into();
    run.host.os = "Debian GNU/Linux 12".into();
    run.host.arch = "x86_64".into();
    run.host.cpus = 2;
    run.host.memory_bytes = 8 << 30;
    run.host.fd_limit = 256;
    run.host.cgroup_memory_bytes = Some(4 << 30);
    run.canaries =
        vec![Canary::seen(Resource::Fd), Canary::blind(Resource::Heap, "LD_PRELOAD is ignored")];
    run.swept = vec!["tracker daemon run (pid 77)".into()];
    run
}

fn trial() -> Trial {
    let site = Frame::new("suites/src/leaky/stores.rs", 31, "leaky::stores::forgets_a_store");
    let mut fd = Finding::leak(Resource::Fd, "/tmp/tracker.db", 3);
    fd.per_round = 1;
    fd.site = Some(site.clone());
    fd.via = Some(Frame::new("tracker/src/store.rs", 118, "tracker::store::Store::open"));
    fd.stack = vec![Frame::new("", 0, "sqlite3_open_v2"), site];
    let mut heap = Part::new(Resource::Heap, "128 blocks a round", 231_036);
    heap.per_round = Some(77_012);
    fd.parts = vec![Part::new(Resource::Fd, "/tmp/tracker.db", 3), heap];
    fd.forecast = Some(Forecast::new("RLIMIT_NOFILE", 256, 85, "test"));

    let mut process = Finding::leak(Resource::Process, "tracker daemon run", 1);
    let mut facts = ProcessFacts::new(1234, ProcessState::Outlived);
    facts.cwd = Some("/tmp".into());
    facts.age_ms = Some(2_140);
    process.process = Some(facts);
    process.note = Some("the agent was not loaded".into());

    let mut pairs = Finding::leak(Resource::TimeWait, "127.0.0.1:4021", 120);
    pairs.budget = Some(8);
    pairs.status = Status::Unconfirmed;
    pairs.subject = "tracker daemon run".into();

    let mut trial = Trial::default();
    trial.schema = SCHEMA;
    trial.run = "ab12".into();
    trial.suite = "stores".into();
    trial.case = "forgets_a_store".into();
    trial.verdict = Verdict::Leaked;
    trial.rounds = 3;
    trial.duration_ms = 412;
    trial.net = Net::Private;
    trial.message = Some("a message".into());
    let mut socket = Reading::new(0, 2);
    socket.per_round = vec![2, 0, 0];
    socket.by_state.insert("tcp/established".into(), 2);
    let mut rss = Reading::new(5_242_880, 6_291_456);
    rss.peak = Some(9_437_184);
    for (metric, reading) in [("fd", Reading::new(4, 7)), ("socket", socket), ("rss_bytes", rss)] {
        trial.readings.insert(metric.into(), reading);
    }
    trial.unmeasured = vec![Unmeasured::new(Resource::Task, "no runtime")];
    let mut accepted = Finding::leak(Resource::Thread, "watcher", 3);
    accepted.status = Status::Accepted;
    let expires = jiff::civil::date(2027, 6, 30);
    accepted.accepted = vec![AcceptedBy::new(12, Resource::Thread, "issue 123", expires)];
    trial.findings = vec![process, fd, pairs, accepted];
    trial.cleanups = vec![Cleanup::new("remove", CleanupStatus::Failed, Some("busy".into()))];
    trial.notes = vec!["a note".into()];
    trial
}

/// The line as it stands in a ledger, spread out so that a change can be reviewed.
fn line_of(record: Record) -> String {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path().join("run.jsonl")).unwrap();
    ledger.append(&record).unwrap();
    let line = std::fs::read_to_string(ledger.path()).unwrap();
    assert_eq!(line, serde_json::to_string(&record).unwrap() + "\n");
    let read: Vec<Record> = ledger::read(ledger.path()).unwrap().map(Result::unwrap).collect();
    let [read] = read.as_slice() else { panic!("one line, {} records", read.len()) };
    assert_eq!(*read, record);
    serde_json::to_string_pretty(read).unwrap()
}

#[test]
fn a_run() {
    insta::assert_snapshot!(line_of(Record::Run(run())));
}

#[test]
fn a_trial() {
    insta::assert_snapshot!(line_of(Record::Trial(Box::new(trial()))));
}

/// What stands even in the shortest record: a reader may rely on these names.
#[test]
fn a_clean_trial() {
    insta::assert_snapshot!(line_of(Record::Trial(Box::default())));
}

/// A finding without the fields that came later is read all the same.
#[test]
fn the_finding_of_the_contract() {
    let line = r#"{"type":"trial","schema":1,"case":"x","findings":[{"status":"leak",
        "resource":"fd","what":"a","growth":3,"per_round":1,"subject":"test","site":null,
        "stack":[],"parts":[{"resource":"heap","what":"b","growth":4}],"added_later":1}]}"#
        .replace('\n', " ");
    let records: Vec<Record> = ledger::Records::new(line.as_bytes()).map(Result::unwrap).collect();
    let [Record::Trial(trial)] = records.as_slice() else { panic!("not one trial") };
    assert_eq!(trial.findings[0].parts, [Part::new(Resource::Heap, "b", 4)]);
}
