//! Programs that are watched, and what their samples say: judged, not made up.

use std::time::Duration;

use watertight_report::metric::{self, Unit};
use watertight_report::model::{
    Finding, Frame, Mode, Reading, Resource, SCHEMA, Status, Trended, Trial, Unmeasured, Verdict,
    WATCH_SUITE,
};
use watertight_report::trend::{Limit, Question, Series, Trend, judge};

/// What a metric says that is `value` at each second.
pub(crate) fn trend(metric: &str, seconds: u64, value: impl Fn(u64) -> u64) -> Trend {
    limited(metric, seconds, None, value)
}

/// The same, and it ends at a limit.
pub(crate) fn limited(
    metric: &str,
    seconds: u64,
    limit: Option<Limit>,
    value: impl Fn(u64) -> u64,
) -> Trend {
    let mut series = Series::default();
    for second in 0..seconds {
        series.push(Duration::from_secs(second), value(second) as f64);
    }
    let question = Question::new(Unit::of(metric));
    judge(&series, &limit.into_iter().fold(question, Question::limit))
}

/// What a metric says that grows by `value` of the ticks so far, one every seven seconds and a bit.
pub(crate) fn per_tick(metric: &str, seconds: u64, value: impl Fn(u64) -> u64) -> Trend {
    let mut series = Series::default();
    let mut ticks = 0;
    for second in 0..seconds {
        // Not at regular times, so that it is no period.
        if second * second % 11 == 3 {
            series.tick();
            ticks += 1;
        }
        series.push(Duration::from_secs(second), value(ticks) as f64);
    }
    judge(&series, &Question::new(Unit::of(metric)))
}

/// A program, watched for so many seconds; its verdict is that of its findings.
pub(crate) fn program(name: &str, seconds: u64, findings: Vec<Finding>) -> Trial {
    let mut trial = Trial::default();
    trial.schema = SCHEMA;
    trial.run = "ab12".into();
    trial.suite = WATCH_SUITE.into();
    trial.case = name.into();
    trial.mode = Mode::Watch;
    trial.duration_ms = seconds * 1_000;
    if findings.iter().any(|finding| finding.status == Status::Leak) {
        trial.verdict = Verdict::Leaked;
    }
    trial.findings = findings;
    trial
}

pub(crate) const PID: u32 = 4_021;

pub(crate) fn says(trial: &mut Trial, metric: &str, now: u64, trend: Trend) {
    trial.trends.push(Trended::new("test", PID, metric, now, trend));
}

pub(crate) fn opened(growth: i64, what: &str, line: u32) -> Finding {
    let mut finding = Finding::leak(Resource::Fd, what, growth);
    finding.per_round = 3;
    finding.site = Some(Frame::new(
        "suites/src/leaky/engine_per_tick.rs",
        line,
        "leaky::engine_per_tick::tick",
    ));
    finding.via = Some(Frame::new("tracker/src/store.rs", 137, "tracker::store::Store::open"));
    finding
}

pub(crate) fn nofile() -> Option<Limit> {
    Some(Limit::new("RLIMIT_NOFILE", 1_024.0))
}

pub(crate) fn three_every_five(second: u64) -> u64 {
    12 + second / 5 * 3
}

/// Opens three descriptors every five seconds, two of them at one line; its memory made a step.
pub(crate) fn leaky() -> Trial {
    let mut first = opened(240, "/tmp/x/tracker.db", 31);
    first.per_round = 2;
    first.trend = Some(trend(metric::FD, 600, |second| second / 5 * 2));
    let mut second = opened(120, "/tmp/x/tracker.db-wal", 33);
    second.per_round = 1;
    second.trend = Some(trend(metric::FD, 600, |second| second / 5));
    let mut trial = program("leaky-daemon", 600, vec![second, first]);
    says(&mut trial, metric::MEMORY_BYTES, 9 << 20, trend(metric::MEMORY_BYTES, 600, rss));
    says(&mut trial, metric::THREAD, 4, trend(metric::THREAD, 600, |_| 4));
    let all = limited(metric::DESCRIPTOR, 600, nofile(), |second| 6 + three_every_five(second));
    says(&mut trial, metric::DESCRIPTOR, 375, all);
    says(&mut trial, metric::FD, 369, trend(metric::FD, 600, three_every_five));
    says(&mut trial, metric::SOCKET, 6, trend(metric::SOCKET, 600, |_| 6));
    trial.readings.insert(metric::FD.into(), Reading::new(12, 369));
    trial
}

/// Five MiB, and nine from the first minute on.
fn rss(second: u64) -> u64 {
    if second < 60 { 5 << 20 } else { 9 << 20 }
}

pub(crate) fn flat() -> Trial {
    let mut trial = program("tracker", 600, Vec::new());
    for (metric, value) in [(metric::DESCRIPTOR, 12), (metric::THREAD, 4)] {
        says(&mut trial, metric, value, trend(metric, 600, |_| value));
    }
    trial
}

/// Watched for twenty seconds, in which its memory moved.
pub(crate) fn too_short() -> Trial {
    let mut trial = program("redis-server", 20, Vec::new());
    says(&mut trial, metric::DESCRIPTOR, 12, trend(metric::DESCRIPTOR, 20, |_| 12));
    let grew = trend(metric::MEMORY_BYTES, 20, |second| (5 << 20) + second * 4_096);
    says(&mut trial, metric::MEMORY_BYTES, 5_320_704, grew);
    trial.verdict = Verdict::Unmeasured;
    trial
}

/// A program whose workers leak, one of three.
pub(crate) fn with_workers() -> Trial {
    let mut socket = Finding::leak(Resource::Socket, "127.0.0.1:6379 (close_wait)", 60);
    socket.subject = "worker --queue mail".into();
    socket.trend = Some(trend(metric::SOCKET, 600, |second| second / 10));
    let mut trial = flat();
    trial.case = "supervisor".into();
    trial.verdict = Verdict::Leaked;
    for (pid, subject) in [(30, "worker --queue mail"), (31, "worker --queue jobs"), (32, "sleep")]
    {
        let grown = if pid == 30 {
            trend(metric::SOCKET, 600, |second| second / 10)
        } else {
            trend(metric::SOCKET, 600, |_| 2)
        };
        let flat = trend(metric::THREAD, 600, |_| 1);
        trial.trends.push(Trended::new(subject, pid, metric::THREAD, 1, flat));
        trial.trends.push(Trended::new(subject, pid, metric::SOCKET, 59, grown));
    }
    trial.findings.push(socket);
    trial
}

/// Seen from outside: nothing of where, and heap not at all.
pub(crate) fn from_outside() -> Trial {
    let mut memory = Finding::leak(Resource::Memory, "resident memory", 6 << 20);
    let grown = |second: u64| (5 << 20) + second * 10_000;
    memory.trend = Some(trend(metric::MEMORY_BYTES, 600, grown));
    let mut thread = Finding::leak(Resource::Thread, "pool-7", 40);
    thread.trend = Some(per_tick(metric::THREAD, 600, |ticks| 4 + ticks));
    let mut trial = program("node", 600, vec![memory, thread]);
    says(&mut trial, metric::MEMORY_BYTES, grown(599), trend(metric::MEMORY_BYTES, 600, grown));
    says(&mut trial, metric::THREAD, 44, per_tick(metric::THREAD, 600, |ticks| 4 + ticks));
    let reason = "it was running before the watch; start it with `cargo watertight run -- CMD`";
    trial.unmeasured.push(Unmeasured::new(Resource::Heap, reason));
    trial.notes.push("The program was suspended for 12.0 s.".into());
    trial
}
