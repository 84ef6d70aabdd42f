//! One trial from the supervisor's side: observe, suspect, explain, judge, record.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

use watertight_report::metric;
use watertight_report::model::{
    CANCELLED, Cleanup, FIXTURES, Finding, Mode, Net as NetRecord, Outcome, Reading, Resource,
    SCHEMA, Status, Trial as TrialRecord, Verdict,
};

use crate::case::{Budget, Case, Net};
use crate::evidence::{evidence, explain, has_own_allocator, is_suspected, own_heap_grows};
use crate::explain::Namer;
use crate::judge::{self, Evidence, Population, deltas};
use crate::observe::{Observation, Purpose, Script, observe};
use crate::run::Run;
use crate::snapshot::Counts;

/// Fewest rounds of an explain run: heap needs one to warm up and three that agree.
const EXPLAIN_ROUNDS_MIN: u32 = 4;

/// A trial's record and what its process has printed.
pub(crate) struct Tried {
    pub(crate) record: TrialRecord,
    pub(crate) output: String,
    /// Whether libtest says that the test should panic.
    pub(crate) should_panic: bool,
}

/// What one case has of an observation: all of it, or in shared mode its own steps.
pub(crate) struct Part<'a> {
    pub(crate) seen: &'a Observation,
    pub(crate) mode: Mode,
    pub(crate) outcome: Outcome,
    pub(crate) message: Option<String>,
    pub(crate) rounds: u32,
    pub(crate) later_failure: Option<String>,
    /// At each boundary of this case.
    pub(crate) counts: Vec<Counts>,
    pub(crate) waiting: Vec<u64>,
    /// The case's round of what was born in a round of the process; none for another case's.
    pub(crate) round_of: &'a dyn Fn(u32) -> Option<u32>,
    /// Takes what no round claims: processes, stairs and clean-ups.
    pub(crate) takes_rest: bool,
}

impl<'a> Part<'a> {
    /// An observation of one case alone.
    pub(crate) fn whole(seen: &'a Observation) -> Self {
        Self {
            seen,
            mode: Mode::Trial,
            outcome: seen.outcome,
            message: seen.message.clone(),
            rounds: seen.rounds,
            later_failure: seen.later_failure.clone(),
            counts: seen.counts.clone(),
            waiting: seen.waiting.clone(),
            // What an unedited program makes before its test begins is its own start.
            round_of: if seen.unedited { &|round| (round > 0).then_some(round) } else { &Some },
            takes_rest: true,
        }
    }

    pub(crate) fn claims(&self, round: Option<u32>) -> bool {
        round.map_or(self.takes_rest, |round| (self.round_of)(round).is_some())
    }
}

/// Runs one case to its verdict.
pub(crate) fn try_case(run: &Run, case: &Case) -> Tried {
    let first = {
        let _shared = run.alone.read().unwrap_or_else(PoisonError::into_inner);
        observe(run, script(run, case), Purpose::Measure)
    };
    let mut seen = match first {
        Ok(seen) => seen,
        Err(_) if run.cancelled.load(Acquire) => return Tried::cancelled(run, case),
        Err(error) => return Tried::not_started(run, case, &error),
    };
    if seen.unsettled {
        // Something was still falling: once more, alone, with a patience that no suite could afford.
        let _alone = run.alone.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(again) = observe(run, script(run, case), Purpose::Alone) {
            seen = again;
        }
    }
    let namer = namer(run, case);
    let part = Part::whole(&seen);
    let mut evidence = evidence(run, case, &part, &namer);
    let mut duration = seen.duration;
    if is_suspected(run, case, &part, &evidence) {
        // Alone, so that stacks for every block disturb nobody and nobody disturbs them. An unedited test
        // has them in any run.
        let unedited = run.subjects.unedited.is_some();
        let lock = &run.alone;
        let _shared = unedited.then(|| lock.read().unwrap_or_else(PoisonError::into_inner));
        let _alone = (!unedited).then(|| lock.write().unwrap_or_else(PoisonError::into_inner));
        // A body that can run once only is run once only, and a descendant's life is one round.
        let enough = match own_heap_grows(case, &evidence) {
            true => EXPLAIN_ROUNDS_MIN.min(case.rounds.unwrap_or(EXPLAIN_ROUNDS_MIN)),
            false => 1,
        };
        let rounds = seen.rounds.max(enough);
        let purpose = Purpose::Explain { rounds, waits: seen.waits, patient: !tasks_stay(&seen) };
        if let Ok(explained) = observe(run, script(run, case), purpose) {
            duration += explained.duration;
            if explain(case, &mut evidence, &Part::whole(&explained), &namer)
                && let (Some(end), Some(known)) = (seen.end, &run.clean_ends)
            {
                known.add(end);
            }
        }
    }
    record(run, case, &part, evidence, duration)
}

/// What helps where a stack has no lines.
const NO_LINES: &str = "Where nothing is known of a line the tests were built without lines and names: set `[profile.test] debug = \"line-tables-only\"` and no `strip` in Cargo.toml.";

/// What a case's main process runs.
fn script<'a>(run: &'a Run, case: &'a Case) -> Script<'a> {
    match &run.subjects.unedited {
        Some((program, slots)) => Script::Unedited { case, program, slots },
        None => Script::Case(case),
    }
}

/// Whether tasks were alive at the end that nothing has ended in the time that they had.
pub(crate) fn tasks_stay(seen: &Observation) -> bool {
    seen.counts.last().is_some_and(|counts| counts.tasks.is_some_and(|tasks| tasks > 0))
}

/// Judges a case and puts down its record.
pub(crate) fn record(
    run: &Run,
    case: &Case,
    part: &Part<'_>,
    evidence: Evidence,
    duration: Duration,
) -> Tried {
    let (mut findings, _) = judge::judge(&evidence, &case.budget);
    run.config.baseline.accept(&run.subjects.suite, &case.name, &mut findings, run.today);
    let verdict = judge::conclude(&mut findings, &evidence);
    let mut record = blank(run, case);
    record.outcome = part.outcome;
    record.message = part.message.clone();
    record.verdict = verdict;
    record.rounds = part.rounds;
    record.duration_ms = duration.as_millis() as u64;
    record.net = part.seen.net;
    record.mode = part.mode;
    record.readings = readings(part, &evidence);
    record.unmeasured = evidence.unmeasured;
    record.findings = findings;
    record.cleanups = evidence.cleanups.into_iter().map(|(cleanup, _)| cleanup).collect();
    if run.cancelled.load(Acquire) && record.outcome == Outcome::Killed {
        // We have killed it, half-way.
        record.message = Some(CANCELLED.to_owned());
        record.verdict = Verdict::Unmeasured;
        record.findings.clear();
        record.unmeasured.clear();
    }
    record.notes = notes(run, case, part);
    let is_nowhere = |it: &Finding| it.status == Status::Leak && it.site.is_none();
    if record.findings.iter().any(|it| is_nowhere(it) && !it.stack.is_empty()) {
        record.notes.push(NO_LINES.to_owned());
    }
    Tried { record, output: part.seen.output.clone(), should_panic: part.seen.should_panic }
}

fn blank(run: &Run, case: &Case) -> TrialRecord {
    let mut record = TrialRecord::default();
    record.schema = SCHEMA;
    record.run = run.id.clone();
    record.suite = run.subjects.suite.clone();
    record.command = run.subjects.command.clone();
    record.case = case.name.clone();
    record.attempt = attempt();
    record
}

/// Which attempt nextest says this is; the first where nobody says anything.
fn attempt() -> u32 {
    std::env::var("NEXTEST_ATTEMPT").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Names stacks for a case: sites are looked for in its package first.
pub(crate) fn namer<'a>(run: &'a Run, case: &Case) -> Namer<'a> {
    Namer::new(run, &package(case))
}

/// Directory of the package under test.
fn package(case: &Case) -> PathBuf {
    case.package
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from))
        .or_else(|| std::env::current_dir().ok())
        .unwrap_or_default()
}

/// The record of a suite's set-ups and tear-downs, in the form of a trial: whether each ran or failed.
pub(crate) fn fixtures(run: &Run, fixtures: &[Cleanup]) -> TrialRecord {
    let cleanups = fixtures.iter().map(|fixture| (fixture.clone(), None)).collect();
    let evidence = Evidence { cleanups, ..Evidence::default() };
    let (findings, verdict) = judge::judge(&evidence, &Budget::default());
    let mut record = TrialRecord::default();
    record.schema = SCHEMA;
    record.run = run.id.clone();
    record.suite = run.subjects.suite.clone();
    record.command = run.subjects.command.clone();
    record.case = FIXTURES.to_owned();
    record.verdict = verdict;
    record.findings = findings;
    record.cleanups = fixtures.to_vec();
    if verdict == Verdict::Leaked {
        record.outcome = Outcome::Failed;
    }
    record
}

impl Tried {
    /// A case that is passed over.
    pub(crate) fn ignored(run: &Run, case: &Case) -> Self {
        let mut record = blank(run, case);
        record.outcome = Outcome::Skipped;
        record.verdict = Verdict::Unmeasured;
        Self { record, output: String::new(), should_panic: false }
    }

    /// A case whose turn came after the run was cancelled.
    pub(crate) fn cancelled(run: &Run, case: &Case) -> Self {
        let mut record = blank(run, case);
        record.outcome = Outcome::Skipped;
        record.message = Some(CANCELLED.to_owned());
        record.verdict = Verdict::Unmeasured;
        Self { record, output: String::new(), should_panic: false }
    }

    /// A case whose process could not be started.
    pub(crate) fn not_started(run: &Run, case: &Case, error: &std::io::Error) -> Self {
        let mut record = blank(run, case);
        record.outcome = Outcome::Crashed;
        record.message = Some(format!("its process could not be started: {error}"));
        record.verdict = Verdict::Unmeasured;
        Self { record, output: String::new(), should_panic: false }
    }
}

/// The record's readings.
fn readings(part: &Part<'_>, evidence: &Evidence) -> std::collections::BTreeMap<String, Reading> {
    let mut readings = std::collections::BTreeMap::new();
    let (Some(first), Some(last)) = (part.counts.first(), part.counts.last()) else {
        return readings;
    };
    let of = |series: &[i64]| {
        let clamp = |value: Option<&i64>| value.copied().unwrap_or(0).max(0) as u64;
        let mut reading = Reading::new(clamp(series.first()), clamp(series.last()));
        reading.per_round = deltas(series);
        reading
    };
    // Most programs map nothing: a reading of nothing would only be in the way.
    let is_idle = |it: &Population| {
        it.resource == Resource::Mapping && it.series.iter().all(|bytes| *bytes == 0)
    };
    for population in evidence.populations.iter().filter(|it| !is_idle(it)) {
        let name = match population.resource {
            Resource::Fd => metric::FD.to_owned(),
            Resource::Thread => metric::THREAD.to_owned(),
            Resource::Task => metric::TASK.to_owned(),
            Resource::TimeWait => metric::TIME_WAIT.to_owned(),
            Resource::Mapping => metric::MAPPING_BYTES.to_owned(),
            _ => metric::gauge(&population.what),
        };
        readings.insert(name, of(&population.series));
    }
    let mut sockets = Reading::new(part.seen.first.socket_count(), part.seen.last.socket_count());
    sockets.by_state = part.seen.last.sockets_by_state();
    readings.insert(metric::SOCKET.to_owned(), sockets);
    let processes = evidence.remains.iter().filter(|it| it.resource == Resource::Process).count();
    readings.insert(metric::PROCESS.to_owned(), Reading::new(0, processes as u64));
    let mut held = |name: &str, count: &dyn Fn(&Counts) -> usize| {
        let series: Vec<i64> = part.counts.iter().map(|counts| count(counts) as i64).collect();
        if series.iter().any(|count| *count > 0) {
            readings.insert(name.to_owned(), of(&series));
        }
    };
    held(metric::LOCK, &|counts| counts.locks.len());
    held(metric::INOTIFY_WATCH, &|counts| counts.watches.len());
    if let Some(heap) = &evidence.heap {
        readings.insert(metric::HEAP_BYTES.to_owned(), of(&heap.bytes));
        readings.insert(metric::HEAP_BLOCKS.to_owned(), of(&heap.blocks));
    }
    if let (Ok(before), Ok(after)) = (&first.memory, &last.memory) {
        let mut memory = Reading::new(before.now, after.now);
        memory.peak = part.seen.peak_bytes;
        readings.insert(metric::RSS_BYTES.to_owned(), memory);
    }
    readings
}

fn notes(run: &Run, case: &Case, part: &Part<'_>) -> Vec<String> {
    let seen = part.seen;
    let mut notes = Vec::new();
    if let Some(failure) = &part.later_failure {
        notes.push(format!(
            "The body could not be repeated, so only its first runs count: {failure}"
        ));
    }
    if has_own_allocator(part) {
        notes.push(
            "The program has an allocator of its own, so its heap and its mappings were not looked at.".to_owned(),
        );
    }
    if part.outcome != Outcome::Passed
        && seen.net == NetRecord::Private
        && seen.refused_connects > 0
    {
        notes.push(
            "It ran in a private network, where it tried to reach a port that nobody had bound; if it needs the machine's network, declare net = \"host\".".to_owned(),
        );
    }
    if seen.net == NetRecord::Host && case.net.unwrap_or_default() == Net::Private {
        let errno = nix::errno::Errno::from_raw(seen.control.net_errno.load(Acquire) as i32);
        let why = run.net_refused().map_or_else(|| errno.to_string(), str::to_owned);
        notes.push(format!(
            "A private network namespace was refused ({why}); TIME_WAIT was measured by port pairs."
        ));
    }
    notes
}
