//! One trial from the supervisor's side: observe, suspect, explain, judge, record.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use watertight_report::metric;
use watertight_report::model::{
    Net as NetRecord, Outcome, ProcessFacts, ProcessState, Reading, Resource, SCHEMA,
    Trial as TrialRecord, Unmeasured, Verdict,
};

use crate::case::{Case, Net};
use crate::descendant::is_believed;
use crate::explain::Namer;
use crate::judge::{
    self, Creation, Evidence, Growth, HeapEvidence, Population, Remain, Staircase, Thing, classify,
    deltas,
};
use crate::observe::{Observation, Purpose, observe};
use crate::probe::time_wait;
use crate::region::RegionMap;
use crate::run::Run;

/// Fewest rounds of an explain run: heap needs one to warm up and three that agree.
const EXPLAIN_ROUNDS_MIN: u32 = 4;
/// Descendant staircases that are named at most: each costs a symbolised stack.
const STAIRCASES_MAX: usize = 16;

/// A trial's record and what its process has printed.
pub(crate) struct Tried {
    pub(crate) record: TrialRecord,
    pub(crate) output: String,
}

/// Runs one case to its verdict.
pub(crate) fn try_case(run: &Run, case: &Case, index: usize) -> Tried {
    let first = {
        let _shared = run.alone.read().unwrap_or_else(PoisonError::into_inner);
        observe(run, case, index, Purpose::Measure)
    };
    let mut seen = match first {
        Ok(seen) => seen,
        Err(error) => return not_started(run, case, &error),
    };
    if seen.unsettled {
        // Something was still falling: once more, alone, with a patience that no suite could afford.
        let _alone = run.alone.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(again) = observe(run, case, index, Purpose::Alone) {
            seen = again;
        }
    }
    let package = package(case);
    let namer = Namer::new(&run.symbols, &package);
    let program = std::env::current_exe().unwrap_or_default();
    let mut evidence = evidence(run, case, &seen, &namer, &program);
    let mut duration = seen.duration;
    if is_suspected(case, &seen, &evidence) {
        // Alone, so that stacks for every block disturb nobody and nobody disturbs them.
        let _alone = run.alone.write().unwrap_or_else(PoisonError::into_inner);
        let rounds = seen.rounds.max(EXPLAIN_ROUNDS_MIN);
        if let Ok(explained) = observe(run, case, index, Purpose::Explain { rounds }) {
            duration += explained.duration;
            explain(&mut evidence, &explained, &namer, &program);
        }
    }
    let (findings, verdict) = judge::judge(&evidence, &case.budget);
    let mut record = TrialRecord::default();
    record.schema = SCHEMA;
    record.run = run.id.clone();
    record.suite = run.suite.clone();
    record.case = case.name.clone();
    record.outcome = seen.outcome;
    record.message = seen.message.clone();
    record.verdict = verdict;
    record.rounds = seen.rounds;
    record.duration_ms = duration.as_millis() as u64;
    record.net = seen.net;
    record.readings = readings(&seen, &evidence);
    record.unmeasured = evidence.unmeasured;
    record.findings = findings;
    record.cleanups = evidence.cleanups;
    record.notes = notes(case, &seen);
    Tried { record, output: seen.output.clone() }
}

/// Directory of the package under test.
fn package(case: &Case) -> PathBuf {
    case.package
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from))
        .or_else(|| std::env::current_dir().ok())
        .unwrap_or_default()
}

fn not_started(run: &Run, case: &Case, error: &std::io::Error) -> Tried {
    let mut record = TrialRecord::default();
    record.schema = SCHEMA;
    record.run = run.id.clone();
    record.suite = run.suite.clone();
    record.case = case.name.clone();
    record.outcome = Outcome::Crashed;
    record.message = Some(format!("its process could not be started: {error}"));
    record.verdict = Verdict::Unmeasured;
    Tried { record, output: String::new() }
}

/// Whether heap must be explained: the test's own, or a descendant's.
fn is_suspected(case: &Case, seen: &Observation, evidence: &Evidence) -> bool {
    let own = evidence
        .heap
        .as_ref()
        .is_some_and(|heap| judge::heap_growth(heap, &case.budget) == Growth::Leak)
        || evidence.populations.iter().any(|population| {
            population.resource == Resource::Task
                && classify(&population.series, 0, 1) == Growth::Leak
        });
    let steady = seen.steady.iter().any(|steady| {
        classify(&steady.heap_bytes, 0, judge::HEAP_ROUNDS) == Growth::Leak
            || classify(&steady.heap_blocks, 0, judge::HEAP_ROUNDS) == Growth::Leak
    });
    let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    own || steady || descendants.iter().any(|descendant| descendant.heap_rises())
}

/// Everything the first run has shown, with the sites that are known without an explain run.
fn evidence(
    run: &Run,
    case: &Case,
    seen: &Observation,
    namer: &Namer<'_>,
    program: &Path,
) -> Evidence {
    let region = seen.region.as_ref();
    let creation = |id: u32| region.and_then(|region| namer.creation(region, program, id));
    let mut evidence = Evidence {
        repeated: seen.rounds > 1,
        unsettled: seen.unsettled,
        peak_bytes: seen.peak_bytes,
        cleanups: seen.cleanups.clone(),
        unmeasured: unmeasured(run, seen),
        ..Evidence::default()
    };
    let series = |read: &dyn Fn(&crate::snapshot::Counts) -> Option<i64>| -> Option<Vec<i64>> {
        seen.counts.iter().map(read).collect::<Option<Vec<_>>>().filter(|series| series.len() > 1)
    };
    if let Some(series) = series(&|counts| counts.fds.as_ref().ok().map(|count| *count as i64)) {
        let things = seen.born_fds.iter().map(|(fd, round)| Thing {
            resource: if fd.is_socket() { Resource::Socket } else { Resource::Fd },
            what: seen.last.name(fd),
            round: *round,
            creation: region.filter(|region| is_believed(region, fd)).and_then(|region| {
                creation(
                    region
                        .fds
                        .get(fd.number as usize)?
                        .stack
                        .load(std::sync::atomic::Ordering::Relaxed),
                )
            }),
        });
        // A clean trial needs no names.
        let things = if grew(&series) { things.collect() } else { Vec::new() };
        evidence.populations.push(Population {
            resource: Resource::Fd,
            what: "descriptors".to_owned(),
            series,
            things,
        });
    }
    if let Some(series) = series(&|counts| counts.threads.as_ref().ok().map(|count| *count as i64))
    {
        let things = seen.born_threads.iter().map(|(thread, round)| Thing {
            resource: Resource::Thread,
            what: thread.name.clone(),
            round: *round,
            creation: region.and_then(|region| creation(region.thread_stack(thread.tid)?)),
        });
        let things = if grew(&series) { things.collect() } else { Vec::new() };
        evidence.populations.push(Population {
            resource: Resource::Thread,
            what: "threads".to_owned(),
            series,
            things,
        });
    }
    if let Some(series) = series(&|counts| counts.tasks) {
        evidence.populations.push(Population {
            resource: Resource::Task,
            what: "tokio tasks".to_owned(),
            series,
            things: Vec::new(),
        });
    }
    for series in gauge_series(seen) {
        evidence.populations.push(series);
    }
    evidence.populations.push(time_wait_population(case, seen, namer, program));
    if let Some(bytes) = series(&|counts| counts.heap.map(|heap| heap.bytes)) {
        let blocks = series(&|counts| counts.heap.map(|heap| heap.blocks)).unwrap_or_default();
        evidence.heap = Some(HeapEvidence { bytes, blocks, groups: None });
    }
    evidence.remains = remains(seen, namer, program);
    evidence.staircases = staircases(seen, namer, false);
    evidence
}

fn grew(series: &[i64]) -> bool {
    series.last() > series.first()
}

/// What could not be looked at in this trial.
fn unmeasured(run: &Run, seen: &Observation) -> Vec<Unmeasured> {
    let mut unmeasured = run.blind_probes();
    let mut add = |probe: Resource, reason: String| {
        if !unmeasured.iter().any(|known| known.probe == probe) {
            unmeasured.push(Unmeasured::new(probe, reason));
        }
    };
    if let Some(last) = seen.counts.last() {
        if let Err(unavailable) = &last.fds {
            add(Resource::Fd, unavailable.reason.clone());
            add(Resource::Socket, unavailable.reason.clone());
        }
        if let Err(unavailable) = &last.threads {
            add(Resource::Thread, unavailable.reason.clone());
            add(Resource::Process, unavailable.reason.clone());
        }
        if let Err(unavailable) = &last.memory {
            add(Resource::Memory, unavailable.reason.clone());
        }
    }
    if seen.region.is_none() && !seen.counts.is_empty() {
        let reason = "the agent was not loaded into the test's process: LD_PRELOAD is refused or ignored there";
        add(Resource::Heap, reason.to_owned());
        if seen.net == NetRecord::Host {
            add(
                Resource::TimeWait,
                "neither a private network namespace nor the agent's port pairs are available"
                    .to_owned(),
            );
        }
    }
    unmeasured
}

fn gauge_series(seen: &Observation) -> Vec<Population> {
    let Some(last) = seen.counts.last() else { return Vec::new() };
    let of = |counts: &crate::snapshot::Counts, name: &str| {
        counts.gauges.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    };
    last.gauges
        .iter()
        .map(|(name, _)| {
            // A gauge that the body declares starts at its first value.
            let first = seen.counts.iter().find_map(|counts| of(counts, name)).unwrap_or(0);
            let series =
                seen.counts.iter().map(|counts| of(counts, name).unwrap_or(first)).collect();
            Population { resource: Resource::Gauge, what: name.clone(), series, things: Vec::new() }
        })
        .filter(|population: &Population| population.series.len() > 1)
        .collect()
}

fn time_wait_population(
    case: &Case,
    seen: &Observation,
    namer: &Namer<'_>,
    program: &Path,
) -> Population {
    let series: Vec<i64> = seen
        .counts
        .iter()
        .zip(&seen.waiting)
        .map(|(counts, confirmed)| counts.time_wait.unwrap_or(*confirmed) as i64)
        .collect();
    let allowed = case.budget.allowed(Resource::TimeWait) as i64;
    let over = deltas(&series).iter().any(|delta| *delta > allowed);
    let mut things = Vec::new();
    if over {
        let mut add = |region: &RegionMap, program: &Path| {
            let pairs = region.pairs();
            let ports: Vec<_> = pairs.iter().map(|pair| (pair.local, pair.remote)).collect();
            // In a namespace that has gone with its trial the count was exact already.
            let confirmed = match seen.net {
                NetRecord::Private => vec![true; pairs.len()],
                NetRecord::Host => time_wait::confirmed(std::process::id(), &ports),
            };
            let mut named = std::collections::HashMap::new();
            for (pair, _) in pairs.iter().zip(confirmed).filter(|(_, confirmed)| *confirmed) {
                let creation = named
                    .entry(pair.stack)
                    .or_insert_with(|| namer.creation(region, program, pair.stack))
                    .clone();
                things.push(Thing {
                    resource: Resource::TimeWait,
                    what: format!("tcp ports {} -> {}", pair.local, pair.remote),
                    round: pair.round,
                    creation,
                });
            }
        };
        if let Some(region) = &seen.region {
            add(region, program);
        }
        let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
        for descendant in descendants.iter() {
            add(&descendant.region, &descendant.executable);
        }
    }
    Population { resource: Resource::TimeWait, what: "tcp port pairs".to_owned(), series, things }
}

/// Zombies and survivors.
fn remains(seen: &Observation, namer: &Namer<'_>, program: &Path) -> Vec<Remain> {
    let mut remains = Vec::new();
    for zombie in &seen.zombies {
        remains.push(Remain {
            what: zombie.name.clone(),
            facts: ProcessFacts::new(zombie.pid, ProcessState::Zombie),
            creation: spawn_site(seen, namer, program, zombie.pid),
        });
    }
    for survivor in &seen.survivors {
        let mut facts = ProcessFacts::new(survivor.pid, ProcessState::Outlived);
        facts.cwd = survivor.cwd.clone();
        facts.age_ms = survivor.age_ms;
        remains.push(Remain {
            what: survivor.command.clone(),
            facts,
            creation: spawn_site(seen, namer, program, survivor.pid),
        });
    }
    remains
}

/// The line that started a process: followed up to the test's own process, because that is where the
/// reader can do something; the call that made the process itself lies in `via` then.
fn spawn_site(seen: &Observation, namer: &Namer<'_>, program: &Path, pid: u32) -> Option<Creation> {
    const GENERATIONS: usize = 16;
    let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    let mut nearest = None;
    let mut child = pid;
    for _ in 0..GENERATIONS {
        if let Some(region) = &seen.region
            && let Some(stack) = region.spawn_stack(child)
        {
            let mut creation = namer.creation(region, program, stack)?;
            if creation.via.is_none() {
                creation.via = nearest.and_then(|nearest: Creation| nearest.site);
            }
            return Some(creation);
        }
        let parent = descendants.iter().find_map(|descendant| {
            let stack = descendant.region.spawn_stack(child)?;
            Some((
                descendant.pid,
                namer.creation(&descendant.region, &descendant.executable, stack),
            ))
        });
        let Some((parent, creation)) = parent else { return nearest };
        nearest = nearest.or(creation);
        child = parent;
    }
    nearest
}

/// What descendants kept making: descriptors in every run, heap in an explain run.
fn staircases(seen: &Observation, namer: &Namer<'_>, heap: bool) -> Vec<Staircase> {
    let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = Vec::new();
    for descendant in descendants.iter() {
        for raw in descendant
            .staircases()
            .into_iter()
            .filter(|raw| raw.is_heap == heap)
            .take(STAIRCASES_MAX)
        {
            let creation = namer.creation(&descendant.region, &descendant.executable, raw.stack);
            if creation.as_ref().is_some_and(is_bounded_cache) {
                continue;
            }
            let (resource, what, growth) = if raw.is_heap {
                (Resource::Heap, format!("{} blocks", raw.things), raw.bytes as i64)
            } else if raw.is_socket {
                (Resource::Socket, raw.what, i64::from(raw.things))
            } else {
                (Resource::Fd, raw.what, i64::from(raw.things))
            };
            found.push(Staircase {
                subject: descendant.command.clone(),
                resource,
                what,
                growth,
                per_step: growth / raw.samples.max(1) as i64,
                creation,
                note: Some(format!(
                    "made in {} different samples while the process ran, none of it released",
                    raw.samples
                )),
            });
        }
    }
    found
}

/// Caches that fill up to a fixed size and then stop, by the function that allocates for them. A
/// program that runs for seconds never fills them, so they cannot be told from a leak by growth.
fn is_bounded_cache(creation: &Creation) -> bool {
    // SQLite's page cache, bounded by PRAGMA cache_size.
    const CACHES: [&str; 2] = ["pcache1Alloc", "pcache1AllocPage"];
    creation.stack.iter().take(6).any(|frame| CACHES.contains(&frame.function.as_str()))
}

/// Adds what an explain run has shown.
fn explain(evidence: &mut Evidence, explained: &Observation, namer: &Namer<'_>, program: &Path) {
    if let (Some(heap), Some(region)) = (&mut evidence.heap, &explained.region) {
        heap.groups = Some(namer.heap_groups(region, program, &explained.blocks, explained.rounds));
    }
    evidence.staircases.extend(staircases(explained, namer, true));
}

/// The record's readings.
fn readings(
    seen: &Observation,
    evidence: &Evidence,
) -> std::collections::BTreeMap<String, Reading> {
    let mut readings = std::collections::BTreeMap::new();
    let (Some(first), Some(last)) = (seen.counts.first(), seen.counts.last()) else {
        return readings;
    };
    let of = |series: &[i64]| {
        let clamp = |value: Option<&i64>| value.copied().unwrap_or(0).max(0) as u64;
        let mut reading = Reading::new(clamp(series.first()), clamp(series.last()));
        reading.per_round = deltas(series);
        reading
    };
    for population in &evidence.populations {
        let name = match population.resource {
            Resource::Fd => metric::FD.to_owned(),
            Resource::Thread => metric::THREAD.to_owned(),
            Resource::Task => metric::TASK.to_owned(),
            Resource::TimeWait => metric::TIME_WAIT.to_owned(),
            _ => metric::gauge(&population.what),
        };
        readings.insert(name, of(&population.series));
    }
    let mut sockets = Reading::new(seen.first.socket_count(), seen.last.socket_count());
    sockets.by_state = seen.last.sockets_by_state();
    readings.insert(metric::SOCKET.to_owned(), sockets);
    readings.insert(metric::PROCESS.to_owned(), Reading::new(0, evidence.remains.len() as u64));
    if let Some(heap) = &evidence.heap {
        readings.insert(metric::HEAP_BYTES.to_owned(), of(&heap.bytes));
        readings.insert(metric::HEAP_BLOCKS.to_owned(), of(&heap.blocks));
    }
    if let (Ok(before), Ok(after)) = (&first.memory, &last.memory) {
        let mut memory = Reading::new(before.now, after.now);
        memory.peak = seen.peak_bytes;
        readings.insert(metric::RSS_BYTES.to_owned(), memory);
    }
    readings
}

fn notes(case: &Case, seen: &Observation) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(failure) = &seen.later_failure {
        notes.push(format!(
            "The body could not be repeated, so only its first runs count: {failure}"
        ));
    }
    if seen.outcome != Outcome::Passed
        && seen.net == NetRecord::Private
        && seen.refused_connects > 0
    {
        notes.push(
            "It ran in a private network, where it tried to reach a port that nobody had bound; if it needs the machine's network, declare net = \"host\".".to_owned(),
        );
    }
    if seen.net == NetRecord::Host && case.net.unwrap_or_default() == Net::Private {
        let errno = seen.control.net_errno.load(std::sync::atomic::Ordering::Acquire) as i32;
        notes.push(format!(
            "A private network namespace was refused ({}); TIME_WAIT was measured by port pairs.",
            nix::errno::Errno::from_raw(errno)
        ));
    }
    notes
}
