//! What holds for every record: it is read back as it was written, and a broken line costs no other.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

use std::fs::{self, File};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use watertight_report::ledger::{self, Ledger};
use watertight_report::model::{
    Cleanup, CleanupStatus, Finding, Forecast, Frame, Mode, Net, Outcome, Part, ProcessFacts,
    ProcessState, Reading, Record, Resource, Run, Status, Trial, Unmeasured, Verdict,
};
use watertight_report::render::Summary;
use watertight_report::render::terminal::{Style, failure};

/// Any text at all: names come from the system and may hold control characters.
fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..12).prop_map(|chars| chars.into_iter().collect())
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

prop_compose! {
    fn finding()(
        (resource, what, growth, per_round, subject) in
            (resource(), text(), any::<i64>(), any::<i64>(), text()),
        status in select(vec![Status::Leak, Status::Unconfirmed, Status::Accepted, Status::Step]),
        (site, via, stack) in (option::of(frame()), option::of(frame()), vec(frame(), 0..4)),
        parts in vec(part(), 0..4),
        (forecast, budget) in (option::of(forecast()), option::of(any::<u64>())),
        (process, note) in (option::of(process()), option::of(text())),
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
    fn trial()(
        (schema, run, suite, case) in (0..=1_u32, text(), text(), text()),
        outcome in select(vec![
            Outcome::Passed, Outcome::Failed, Outcome::Crashed, Outcome::Killed,
            Outcome::TimedOut, Outcome::Skipped,
        ]),
        verdict in select(vec![
            Verdict::Clean, Verdict::Tolerated, Verdict::Leaked, Verdict::Unsettled,
            Verdict::Unmeasured,
        ]),
        (net, mode) in (
            select(vec![Net::Private, Net::Host]),
            select(vec![Mode::Trial, Mode::Shared, Mode::Off]),
        ),
        (rounds, duration_ms, message) in (any::<u32>(), any::<u64>(), option::of(text())),
        readings in btree_map(text(), reading(), 0..4),
        unmeasured in vec((resource(), text()), 0..3),
        (findings, cleanups, notes) in
            (vec(finding(), 0..4), vec(cleanup(), 0..3), vec(text(), 0..3)),
    ) -> Trial {
        let mut trial = Trial::default();
        trial.schema = schema;
        trial.run = run;
        trial.suite = suite;
        trial.case = case;
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
        trial.findings = findings;
        trial.cleanups = cleanups;
        trial.notes = notes;
        trial
    }
}

fn record() -> impl Strategy<Value = Record> {
    let run = (text(), any::<u64>(), vec(text(), 0..3)).prop_map(|(id, started_ms, swept)| {
        let mut run = Run::default();
        run.run = id;
        run.started_ms = started_ms;
        run.swept = swept;
        Record::Run(run)
    });
    prop_oneof![1 => run, 4 => trial().prop_map(|trial| Record::Trial(Box::new(trial)))]
}

fn good(path: &std::path::Path) -> Vec<Record> {
    ledger::read(path).unwrap().filter_map(Result::ok).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(records in vec(record(), 0..5)) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path().join("run.jsonl")).unwrap();
        for record in &records {
            ledger.append(record).unwrap();
        }
        let read: Result<Vec<Record>, _> = ledger::read(ledger.path()).unwrap().collect();
        prop_assert_eq!(read.unwrap(), records);
    }

    #[test]
    fn a_cut_costs_the_last_line_at_most(
        records in vec(record(), 1..5),
        late in record(),
        cut in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path().join("run.jsonl")).unwrap();
        let mut ends = Vec::new();
        for record in &records {
            ledger.append(record).unwrap();
            ends.push(fs::metadata(ledger.path()).unwrap().len());
        }
        let length = ends.last().copied().unwrap();
        let cut = cut.index(length as usize + 1) as u64;
        File::options().write(true).open(ledger.path()).unwrap().set_len(cut).unwrap();

        // A line is whole without its newline too.
        let whole = ends.iter().filter(|end| **end - 1 <= cut).count();
        let mut wanted = records[..whole].to_vec();
        prop_assert_eq!(&good(ledger.path()), &wanted);
        let bad = ledger::read(ledger.path()).unwrap().filter(Result::is_err).count();
        prop_assert!(bad <= 1);

        // The next writer loses nothing more, and nothing of its own.
        ledger.append(&late).unwrap();
        wanted.push(late);
        prop_assert_eq!(&good(ledger.path()), &wanted);
    }

    /// No name can forge a line of the block, move the cursor or reach the terminal's settings.
    #[test]
    fn no_record_upsets_a_terminal(trial in trial(), stacks in any::<bool>()) {
        let block = failure(&trial, &Style { stacks, ..Style::default() });
        prop_assert!(!block.chars().any(|c| c.is_control() && c != '\n'));
        prop_assert!(block.starts_with('`'));
        let mut summary = Summary::default();
        summary.add(&trial);
        prop_assert!(!summary.to_string().chars().any(char::is_control));
    }
}
