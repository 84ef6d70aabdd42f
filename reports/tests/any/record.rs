//! Any record: what names, paths and functions may hold comes from the system, and is anything.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use watertight_report::model::{
    Cleanup, CleanupStatus, Confidence, Finding, Forecast, Frame, Holder, HolderClass, Hop, Mode,
    Net, Outcome, Part, ProcessFacts, ProcessState, Reading, Record, Resource, Run, Status,
    Trended, Trial, Unmeasured, Verdict,
};
use watertight_report::trend::Trend;

/// What some medium takes for more than text.
const SPECIAL: &str =
    "|`*_~<>&;:,%#[](){}\\\"'!@$=-+. /w1\n\r\t\0\u{1b}\u{9b}\u{202e}\u{2028}\u{a0}\u{fffe}";

/// Any text at all: names come from the system and may hold control characters.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let special = select(SPECIAL.chars().collect::<Vec<_>>());
    vec(prop_oneof![any::<char>(), special], 0..16).prop_map(|chars| chars.into_iter().collect())
}

fn resource() -> impl Strategy<Value = Resource> {
    select(vec![
        Resource::Process,
        Resource::Fd,
        Resource::Socket,
        Resource::Thread,
        Resource::Task,
        Resource::Heap,
        Resource::TimeWait,
        Resource::Memory,
        Resource::Mapping,
        Resource::File,
        Resource::Shm,
        Resource::InotifyWatch,
        Resource::Lock,
        Resource::State,
        Resource::Gauge,
        Resource::Cleanup,
    ])
}

fn frame() -> impl Strategy<Value = Frame> {
    (text(), any::<u32>(), text())
        .prop_map(|(file, line, function)| Frame::new(file, line, function))
}

fn part() -> impl Strategy<Value = Part> {
    (resource(), text(), any::<i64>(), option::of(any::<i64>())).prop_map(
        |(resource, what, growth, per_round)| {
            let mut part = Part::new(resource, what, growth);
            part.per_round = per_round;
            part
        },
    )
}

fn process() -> impl Strategy<Value = ProcessFacts> {
    let state = select(vec![ProcessState::Outlived, ProcessState::Zombie]);
    (any::<u32>(), state, option::of(text()), option::of(any::<u64>())).prop_map(
        |(pid, state, cwd, age_ms)| {
            let mut process = ProcessFacts::new(pid, state);
            process.cwd = cwd;
            process.age_ms = age_ms;
            process
        },
    )
}

fn forecast() -> impl Strategy<Value = Forecast> {
    (text(), any::<u64>(), any::<u64>(), text())
        .prop_map(|(limit, value, at, unit)| Forecast::new(limit, value, at, unit))
}

/// A trend as a ledger may hold it, whoever wrote it: a record has no number that JSON has not.
fn trend() -> impl Strategy<Value = Trend> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    // As JSON, since these types are only made by judging.
    let number = || (POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO).prop_map(|n| json!(n));
    let slope = move || {
        (number(), number(), number())
            .prop_map(|(value, low, high)| json!({ "value": value, "low": low, "high": high }))
    };
    let period = (number(), number(), any::<u16>()).prop_map(
        |(seconds, added, rises)| json!({ "seconds": seconds, "added": added, "rises": rises }),
    );
    let limit = (text(), number(), number(), number()).prop_map(|(name, value, at_s, in_s)| {
        let limit = json!({ "name": name, "value": value });
        json!({ "limit": limit, "at_s": at_s, "in_s": in_s, "in_s_min": in_s, "in_s_max": in_s })
    });
    let growth = (number(), slope(), option::of(slope()), option::of(period), option::of(limit));
    prop_oneof![
        number().prop_map(|level| json!({ "trend": "flat", "level": level })),
        (number(), number(), number()).prop_map(|(size, began_s, settled_s)| json!({
            "trend": "step", "size": size, "began_s": began_s, "settled_s": settled_s
        })),
        growth.prop_map(|(since_s, per_second, per_tick, period, limit)| json!({
            "trend": "growing", "since_s": since_s, "per_second": per_second,
            "per_tick": per_tick, "period": period, "limit": limit
        })),
        (number(), option::of(slope())).prop_map(|(more_s, so_far)| json!({
            "trend": "too_short", "more_s": more_s, "so_far": so_far
        })),
    ]
    .prop_map(|trend| serde_json::from_value(trend).expect("it is a trend"))
}

fn trended() -> impl Strategy<Value = Trended> {
    (text(), any::<u32>(), text(), any::<u64>(), trend()).prop_map(
        |(subject, pid, metric, now, trend)| Trended::new(subject, pid, metric, now, trend),
    )
}

/// Type names as they are, besides any text: a name is looked for in them.
fn type_name() -> impl Strategy<Value = String> {
    prop_oneof![text(), "[A-Z]{0,2}(Arc|Rc|Box|é)?[<>:, {]{0,4}[A-Za-z]{0,3}[>:]{0,3}(new)?"]
}

fn hop() -> impl Strategy<Value = Hop> {
    let site = option::of(frame());
    (type_name(), option::of(type_name()), option::of(text()), any::<u64>(), site).prop_map(
        |(made_by, type_name, field, bytes, site)| {
            let mut hop = Hop::new(made_by, bytes);
            hop.type_name = type_name;
            hop.field = field;
            hop.site = site;
            hop
        },
    )
}

fn class() -> impl Strategy<Value = HolderClass> {
    select(vec![
        HolderClass::Static,
        HolderClass::ThreadLocal,
        HolderClass::PthreadKey,
        HolderClass::Local,
        HolderClass::Stack,
        HolderClass::Thread,
        HolderClass::TestRuntime,
        HolderClass::Mapping,
        HolderClass::Cycle,
        HolderClass::Lost,
        HolderClass::Unmeasured,
    ])
}

prop_compose! {
    fn holder()(
        class in class(),
        confidence in select(vec![Confidence::Sure, Confidence::Possible]),
        (name, type_name, thread, reason) in
            (option::of(text()), option::of(type_name()), option::of(text()), option::of(text())),
        (site, hops) in (option::of(frame()), vec(hop(), 0..8)),
        ring_blocks in prop_oneof![0..4_u64, any::<u64>()],
        (things, things_per_round) in (prop_oneof![0..3_u64, any::<u64>()], any::<u64>()),
        (retained_bytes, retained_blocks) in (any::<u64>(), any::<u64>()),
        (rounds, rounds_seen) in (0..4_u32, any::<u32>()),
        also in vec(class(), 0..3),
    ) -> Holder {
        let mut holder = Holder::new(class, confidence);
        holder.name = name;
        holder.type_name = type_name;
        holder.site = site;
        holder.thread = thread;
        holder.hops = hops;
        holder.ring_blocks = ring_blocks;
        holder.things = things;
        holder.things_per_round = things_per_round;
        holder.retained_bytes = retained_bytes;
        holder.retained_blocks = retained_blocks;
        holder.rounds = rounds;
        holder.rounds_seen = rounds_seen;
        holder.also = also;
        holder.reason = reason;
        holder
    }
}

prop_compose! {
    fn finding()(
        (resource, what, growth, per_round, subject) in
            (resource(), text(), any::<i64>(), any::<i64>(), text()),
        status in select(vec![Status::Leak, Status::Unconfirmed, Status::Accepted, Status::Step]),
        (site, via, stack) in (option::of(frame()), option::of(frame()), vec(frame(), 0..4)),
        parts in vec(part(), 0..4),
        (forecast, budget) in (option::of(forecast()), option::of(any::<u64>())),
        (process, note) in (option::of(process()), option::of(text())),
        (trend, holder) in (option::of(trend()), option::of(holder())),
    ) -> Finding {
        let mut finding = Finding::leak(resource, what, growth);
        finding.status = status;
        finding.per_round = per_round;
        finding.subject = subject;
        finding.site = site;
        finding.via = via;
        finding.stack = stack;
        finding.parts = parts;
        finding.forecast = forecast;
        finding.budget = budget;
        finding.process = process;
        finding.note = note;
        finding.trend = trend;
        finding.holder = holder.map(Box::new);
        finding
    }
}

prop_compose! {
    fn reading()(
        (before, after, peak) in (any::<u64>(), any::<u64>(), option::of(any::<u64>())),
        per_round in vec(any::<i64>(), 0..4),
        by_state in btree_map(text(), any::<u64>(), 0..3),
    ) -> Reading {
        let mut reading = Reading::new(before, after);
        reading.peak = peak;
        reading.per_round = per_round;
        reading.by_state = by_state;
        reading
    }
}

fn cleanup() -> impl Strategy<Value = Cleanup> {
    let status =
        select(vec![CleanupStatus::Ran, CleanupStatus::Failed, CleanupStatus::NeverReached]);
    (text(), status, option::of(text()))
        .prop_map(|(name, status, error)| Cleanup::new(name, status, error))
}

prop_compose! {
    pub(crate) fn trial()(
        (schema, run, suite, case) in (0..=1_u32, text(), text(), text()),
        outcome in select(vec![
            Outcome::Passed, Outcome::Failed, Outcome::Crashed, Outcome::Killed,
            Outcome::TimedOut, Outcome::Skipped,
        ]),
        verdict in select(vec![
            Verdict::Clean, Verdict::Tolerated, Verdict::Leaked, Verdict::Unsettled,
            Verdict::Unmeasured,
        ]),
        (attempt, command) in (select(vec![0, 2, 3]), option::of(text())),
        (net, mode) in (
            select(vec![Net::Private, Net::Host]),
            select(vec![Mode::Trial, Mode::Shared, Mode::Off, Mode::Watch]),
        ),
        (rounds, duration_ms, message) in (any::<u32>(), any::<u64>(), option::of(text())),
        readings in btree_map(text(), reading(), 0..4),
        unmeasured in vec((resource(), text()), 0..3),
        trends in vec(trended(), 0..4),
        (findings, cleanups, notes) in
            (vec(finding(), 0..4), vec(cleanup(), 0..3), vec(text(), 0..3)),
    ) -> Trial {
        let mut trial = Trial::default();
        trial.schema = schema;
        trial.run = run;
        trial.suite = suite;
        trial.case = case;
        trial.attempt = attempt;
        trial.command = command;
        trial.outcome = outcome;
        trial.verdict = verdict;
        trial.net = net;
        trial.mode = mode;
        trial.rounds = rounds;
        trial.duration_ms = duration_ms;
        trial.message = message;
        trial.readings = readings;
        trial.unmeasured = unmeasured
            .into_iter()
            .map(|(probe, reason)| Unmeasured::new(probe, reason))
            .collect();
        trial.trends = trends;
        trial.findings = findings;
        trial.cleanups = cleanups;
        trial.notes = notes;
        trial
    }
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    let run = (text(), any::<u64>(), vec(text(), 0..3)).prop_map(|(id, started_ms, swept)| {
        let mut run = Run::default();
        run.run = id;
        run.started_ms = started_ms;
        run.swept = swept;
        Record::Run(run)
    });
    prop_oneof![1 => run, 4 => trial().prop_map(|trial| Record::Trial(Box::new(trial)))]
}
