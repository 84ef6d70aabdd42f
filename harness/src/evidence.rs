//! Evidence: what an observation means for one case, with its things named. What to do about it is the judge's.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use watertight_report::model::{
    Net as NetRecord, Outcome, ProcessFacts, ProcessState, Resource, Unmeasured,
};

use crate::case::Case;
use crate::explain::Namer;
use crate::gauge;
use crate::judge::{
    self, Creation, Evidence, Growth, HeapEvidence, Population, Remain, Staircase, Thing, classify,
    deltas,
};
use crate::observe::{Observation, Steady};
use crate::probe::time_wait;
use crate::region::{LiveBlock, RegionMap};
use crate::run::{Run, is_blinded};
use crate::snapshot::Counts;
use crate::trial::Part;

/// Staircases of one process that are named at most: each costs a symbolised stack.
const STAIRCASES_MAX: usize = 16;

/// Everything a first run has shown, with the sites that are known without an explain run.
pub(crate) fn evidence(run: &Run, case: &Case, part: &Part<'_>, namer: &Namer<'_>) -> Evidence {
    let seen = part.seen;
    let mut evidence = Evidence {
        repeated: part.rounds > 1,
        unsettled: seen.unsettled,
        peak_bytes: seen.peak_bytes,
        unmeasured: unmeasured(run, part),
        ..Evidence::default()
    };
    if part.takes_rest {
        evidence.cleanups = seen.cleanups.clone();
    }
    evidence.populations.extend(descriptors(part, namer));
    evidence.populations.extend(threads(part, namer));
    if let Some(series) = series(part, |counts| counts.tasks) {
        evidence.populations.push(Population::counted(Resource::Task, "tokio tasks", series));
    }
    evidence.populations.extend(gauges(part));
    evidence.populations.push(waiting_pairs(case, part, namer));
    // What a failing body has allocated on its way out (a panic's backtrace, say) is no evidence.
    if part.outcome == Outcome::Passed
        && let Some(bytes) = series(part, |counts| counts.heap.map(|heap| heap.bytes))
        && let Some(blocks) = series(part, |counts| counts.heap.map(|heap| heap.blocks))
    {
        evidence.heap = Some(HeapEvidence { bytes, blocks, groups: None });
    }
    evidence.remains = remains(part, namer);
    if part.takes_rest {
        evidence.staircases = stairs(seen, namer, false);
        let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
        evidence.subjects =
            descendants.iter().map(|descendant| descendant.command.clone()).collect();
    }
    blind(&mut evidence);
    evidence
}

/// Takes away what a switched-off probe would have seen.
fn blind(evidence: &mut Evidence) {
    let blinded = |resource: Resource| is_blinded(resource.name());
    evidence.populations.retain(|population| !blinded(population.resource));
    for population in &mut evidence.populations {
        population.things.retain(|thing| !blinded(thing.resource));
    }
    if blinded(Resource::Heap) {
        evidence.heap = None;
    }
    if blinded(Resource::Process) {
        evidence.remains.clear();
    }
    if blinded(Resource::Memory) {
        evidence.peak_bytes = None;
    }
}

/// Whether heap must be explained: the test's own, or a descendant's.
pub(crate) fn is_suspected(case: &Case, part: &Part<'_>, evidence: &Evidence) -> bool {
    let steady = part.seen.steady.iter().any(Steady::heap_grows);
    let descendants = part.seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    let others = steady || descendants.iter().any(|descendant| descendant.heap_rises());
    own_heap_grows(case, evidence) || part.takes_rest && others
}

/// Whether the test's own process has heap to explain.
fn own_heap_grows(case: &Case, evidence: &Evidence) -> bool {
    evidence
        .heap
        .as_ref()
        .is_some_and(|heap| judge::heap_growth(heap, &case.budget) == Growth::Leak)
        || evidence.populations.iter().any(|population| {
            population.resource == Resource::Task
                && classify(&population.series, 0, 1) == Growth::Leak
        })
}

/// Adds what an explain run has shown.
pub(crate) fn explain(
    case: &Case,
    evidence: &mut Evidence,
    explained: &Part<'_>,
    namer: &Namer<'_>,
) {
    let seen = explained.seen;
    if own_heap_grows(case, evidence)
        && let (Some(heap), Some(region)) = (&mut evidence.heap, &seen.region)
    {
        let own = |block: &LiveBlock| {
            Some(LiveBlock { round: (explained.round_of)(block.round)?, ..*block })
        };
        let blocks: Vec<LiveBlock> = seen.blocks.iter().filter_map(own).collect();
        heap.groups = Some(namer.heap_groups(region, &blocks, explained.rounds));
    }
    if explained.takes_rest {
        let mut explained = stairs(seen, namer, true);
        for new in &mut explained {
            // The same program in another run: the record speaks of the first one.
            let told = evidence.staircases.iter().map(|known| &known.subject);
            let mut known = told.chain(&evidence.subjects);
            if let Some(first) = known.find(|known| is_same_program(known, &new.subject)) {
                new.subject = first.clone();
            }
        }
        evidence.staircases.retain(|known| {
            known.resource != Resource::Heap
                || !explained.iter().any(|new| new.subject == known.subject)
        });
        evidence.staircases.extend(explained);
    }
}

/// One value at each boundary; none where it could not be read at one of them.
fn series(part: &Part<'_>, read: impl Fn(&Counts) -> Option<i64>) -> Option<Vec<i64>> {
    part.counts.iter().map(read).collect::<Option<Vec<_>>>().filter(|series| series.len() > 1)
}

/// Whether the things of a series are worth their names: not those of a clean trial, and not those of
/// a step, which would cost the supervisor the debug information of the whole test binary.
fn needs_names(part: &Part<'_>, series: &[i64]) -> bool {
    match classify(series, 0, 1) {
        Growth::None => false,
        Growth::Step => part.rounds < 2,
        Growth::Allowed | Growth::Leak | Growth::Unconfirmed => true,
    }
}

fn descriptors(part: &Part<'_>, namer: &Namer<'_>) -> Option<Population> {
    let seen = part.seen;
    let series = series(part, |counts| counts.fds.as_ref().ok().map(|count| *count as i64))?;
    let mut population = Population::counted(Resource::Fd, "descriptors", series);
    if part.rounds > 0 {
        let named = needs_names(part, &population.series);
        for (fd, birth) in &seen.born_fds {
            let Some(round) = (part.round_of)(birth.round) else { continue };
            population.things.push(Thing {
                resource: if fd.is_socket() { Resource::Socket } else { Resource::Fd },
                what: seen.last.name(fd),
                round,
                creation: birth
                    .stack
                    .filter(|_| named)
                    .and_then(|stack| namer.own(seen.region.as_ref(), stack)),
            });
        }
    }
    Some(population)
}

fn threads(part: &Part<'_>, namer: &Namer<'_>) -> Option<Population> {
    let region = part.seen.region.as_ref();
    let series = series(part, |counts| counts.threads.as_ref().ok().map(|count| *count as i64))?;
    let mut population = Population::counted(Resource::Thread, "threads", series);
    if part.rounds > 0 {
        let named = needs_names(part, &population.series);
        for (thread, birth) in &part.seen.born_threads {
            let Some(round) = (part.round_of)(birth.round) else { continue };
            population.things.push(Thing {
                resource: Resource::Thread,
                what: thread.name.clone(),
                round,
                creation: birth.stack.filter(|_| named).and_then(|stack| namer.own(region, stack)),
            });
        }
    }
    Some(population)
}

fn gauges(part: &Part<'_>) -> Vec<Population> {
    let of = |counts: &Counts, name: &str| {
        counts.gauges.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    };
    let Some(last) = part.counts.last().filter(|_| part.counts.len() > 1) else {
        return Vec::new();
    };
    let population = |(name, _): &(String, i64)| {
        // A gauge that the body declares starts at its first value.
        let first = part.counts.iter().find_map(|counts| of(counts, name)).unwrap_or(0);
        let series = part.counts.iter().map(|counts| of(counts, name).unwrap_or(first)).collect();
        let mut population = Population::counted(Resource::Gauge, name, series);
        population.declared = gauge::place(&part.seen.control, name).map(Creation::at);
        population
    };
    last.gauges.iter().map(population).collect()
}

fn waiting_pairs(case: &Case, part: &Part<'_>, namer: &Namer<'_>) -> Population {
    let seen = part.seen;
    let counted = part.counts.iter().zip(&part.waiting);
    let series: Vec<i64> =
        counted.map(|(counts, confirmed)| counts.time_wait.unwrap_or(*confirmed) as i64).collect();
    let over =
        deltas(&series).iter().any(|delta| *delta > case.budget.allowed(Resource::TimeWait) as i64);
    let mut population = Population::counted(Resource::TimeWait, "tcp port pairs", series);
    if !over {
        return population;
    }
    let mut add = |region: &RegionMap, name: &dyn Fn(u32) -> Option<Creation>| {
        let pairs = region.pairs();
        let ports: Vec<_> = pairs.iter().map(|pair| (pair.local, pair.remote)).collect();
        // A namespace of its own has gone with the trial; its count was exact already.
        let confirmed = match seen.net {
            NetRecord::Private => ports.into_iter().collect(),
            NetRecord::Host => time_wait::confirmed(std::process::id(), &ports),
        };
        let mut named: HashMap<u32, Option<Creation>> = HashMap::new();
        for pair in pairs.iter().filter(|pair| confirmed.contains(&(pair.local, pair.remote))) {
            let Some(round) = (part.round_of)(pair.round) else { continue };
            population.things.push(Thing {
                resource: Resource::TimeWait,
                what: format!("tcp port {} -> {}", pair.local, pair.remote),
                round,
                creation: named.entry(pair.stack).or_insert_with(|| name(pair.stack)).clone(),
            });
        }
    };
    if let Some(region) = &seen.region {
        add(region, &|stack| namer.own(Some(region), stack));
    }
    let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    for descendant in descendants.iter() {
        add(&descendant.region, &|stack| {
            namer.creation(&descendant.region, &descendant.executable, stack)
        });
    }
    population
}

/// Zombies and survivors.
fn remains(part: &Part<'_>, namer: &Namer<'_>) -> Vec<Remain> {
    let seen = part.seen;
    let mut remains = Vec::new();
    for zombie in &seen.zombies {
        let (creation, round) = spawn_site(seen, namer, zombie.pid);
        if part.claims(round) {
            let facts = ProcessFacts::new(zombie.pid, ProcessState::Zombie);
            remains.push(Remain { what: zombie.name.clone(), facts, creation });
        }
    }
    for survivor in &seen.survivors {
        let (creation, round) = spawn_site(seen, namer, survivor.pid);
        if part.claims(round) {
            let mut facts = ProcessFacts::new(survivor.pid, ProcessState::Outlived);
            facts.cwd = survivor.cwd.clone();
            facts.age_ms = survivor.age_ms;
            remains.push(Remain { what: survivor.command.clone(), facts, creation });
        }
    }
    remains
}

/// The line that started a process, and in which round: followed up to the test's own process, because
/// that is where the reader can do something. The call that made the process itself is `via` then.
fn spawn_site(seen: &Observation, namer: &Namer<'_>, pid: u32) -> (Option<Creation>, Option<u32>) {
    const GENERATIONS: usize = 16;
    let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    let mut nearest: Option<Creation> = None;
    let mut child = pid;
    for _ in 0..GENERATIONS {
        if let Some((stack, round)) = seen.region.as_ref().and_then(|region| region.spawn(child)) {
            let mut creation = namer.own(seen.region.as_ref(), stack);
            if let Some(creation) = creation.as_mut().filter(|creation| creation.via.is_none()) {
                creation.via = nearest.and_then(|nearest| nearest.site);
            }
            return (creation, Some(round));
        }
        let parent = descendants.iter().find_map(|descendant| {
            let (stack, _) = descendant.region.spawn(child)?;
            Some((
                descendant.pid,
                namer.creation(&descendant.region, &descendant.executable, stack),
            ))
        });
        let Some((parent, creation)) = parent.filter(|(parent, _)| *parent != child) else { break };
        nearest = nearest.or(creation);
        child = parent;
    }
    (nearest, None)
}

/// What processes kept making: by repetition where the body has repeated something for them, else by
/// time. Descriptors and threads in every run; heap in an explain run, which knows its stacks.
fn stairs(seen: &Observation, namer: &Namer<'_>, explained: bool) -> Vec<Staircase> {
    let mut found: Vec<Staircase> = seen
        .steady
        .iter()
        .flat_map(|steady| steady_growth(seen, steady, namer, explained))
        .collect();
    let repeated: Vec<u32> = seen.steady.iter().map(|steady| steady.pid).collect();
    let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    for descendant in descendants.iter().filter(|descendant| !repeated.contains(&descendant.pid)) {
        let raw = descendant.staircases().into_iter().filter(|raw| raw.is_heap == explained);
        for raw in raw.take(STAIRCASES_MAX) {
            let creation = namer.creation(&descendant.region, &descendant.executable, raw.stack);
            if creation.as_ref().is_some_and(is_bounded_cache) {
                continue;
            }
            let (resource, what, growth) = match (raw.is_heap, raw.is_socket) {
                (true, _) => {
                    (Resource::Heap, judge::blocks_text(raw.things.into()), raw.bytes as i64)
                }
                (false, true) => (Resource::Socket, raw.what, raw.things.into()),
                (false, false) => (Resource::Fd, raw.what, raw.things.into()),
            };
            found.push(Staircase {
                subject: descendant.command.clone(),
                resource,
                what,
                growth,
                per_step: growth / raw.samples.max(1) as i64,
                creation,
                note: Some(format!(
                    "made at {} different times while the process ran, none of it released",
                    raw.samples
                )),
            });
        }
    }
    one_for_each_program(found)
}

/// A test that is repeated starts its daemon again in each round: what each of them leaked is told once.
fn one_for_each_program(stairs: Vec<Staircase>) -> Vec<Staircase> {
    let mut kept: Vec<Staircase> = Vec::new();
    for stair in stairs {
        let same = |known: &&mut Staircase| {
            known.resource == stair.resource
                && is_same_program(&known.subject, &stair.subject)
                && known.creation == stair.creation
        };
        match kept.iter_mut().find(same) {
            Some(known) if known.growth >= stair.growth => {}
            Some(known) => {
                let subject = std::mem::take(&mut known.subject);
                *known = Staircase { subject, ..stair };
            }
            None => {
                // One program has one name, whichever of its processes leaked more.
                let first =
                    kept.iter().find(|known| is_same_program(&known.subject, &stair.subject));
                let subject =
                    first.map_or_else(|| stair.subject.clone(), |first| first.subject.clone());
                kept.push(Staircase { subject, ..stair });
            }
        }
    }
    kept
}

/// Whether two command lines are the same but for what differs from one start to the next: paths and
/// numbers.
fn is_same_program(a: &str, b: &str) -> bool {
    let kind = |word: &str| match word {
        word if word.contains('/') => "/".to_owned(),
        word => word.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect(),
    };
    a.split(' ').map(kind).eq(b.split(' ').map(kind))
}

/// Caches that fill up to a fixed size and then stop, by the function that allocates for them. A
/// program that runs for seconds never fills them, so growth cannot tell them from a leak.
fn is_bounded_cache(creation: &Creation) -> bool {
    const INNERMOST: usize = 6;
    // SQLite's page cache, bounded by PRAGMA cache_size.
    const CACHES: [&str; 2] = ["pcache1Alloc", "pcache1AllocPage"];
    creation.stack.iter().take(INNERMOST).any(|frame| CACHES.contains(&frame.function.as_str()))
}

/// What grew with each repetition of `cx.steady` in one subject.
fn steady_growth(
    seen: &Observation,
    steady: &Steady,
    namer: &Namer<'_>,
    explained: bool,
) -> Vec<Staircase> {
    let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    let descendant = descendants.of(steady.pid);
    let own = seen.control.main.load(Relaxed) == steady.pid;
    let subject = match descendant {
        Some(descendant) => descendant.command.clone(),
        None if own => watertight_report::model::SUBJECT_TEST.to_owned(),
        None => format!("process {}", steady.pid),
    };
    let repetitions = steady.fds.len().saturating_sub(1);
    let stair = |resource, what: String, growth, per_step, creation| Staircase {
        subject: subject.clone(),
        resource,
        what,
        growth,
        per_step,
        creation,
        note: Some(format!("it grew with each of {repetitions} repetitions")),
    };
    let kinds: [(Resource, &str, &[i64]); 3] = [
        (Resource::Fd, "descriptors", &steady.fds),
        (Resource::Thread, "threads", &steady.threads),
        (Resource::Heap, "heap", &steady.heap_bytes),
    ];
    let mut found = Vec::new();
    for (resource, what, series) in kinds {
        let is_heap = resource == Resource::Heap;
        let grows = match is_heap {
            true => judge::grows_each_time(series, judge::HEAP_ROUNDS),
            false => judge::counts_up_each_time(series),
        };
        if !grows || explained && !is_heap {
            continue;
        }
        // What each stack has kept since the first repetition: as many as there were repetitions.
        let mut told = false;
        for (stack, live) in &steady.last {
            let warm = steady.warm.get(stack).copied().unwrap_or_default();
            let (things, growth) = match resource {
                Resource::Fd => (live.fds - warm.fds, live.fds - warm.fds),
                Resource::Heap => (live.blocks - warm.blocks, live.bytes - warm.bytes),
                _ => (0, 0),
            };
            if things + 1 < repetitions as i64 || things == 0 {
                continue;
            }
            let creation = match descendant {
                Some(descendant) => {
                    namer.creation(&descendant.region, &descendant.executable, *stack)
                }
                None => namer.own(seen.region.as_ref(), *stack),
            };
            let (resource, what) = match steady.names.get(stack) {
                _ if is_heap => (resource, judge::blocks_text(things)),
                Some((true, name)) => (Resource::Socket, name.clone()),
                Some((false, name)) => (resource, name.clone()),
                None => (resource, what.to_owned()),
            };
            found.push(stair(
                resource,
                what,
                growth,
                growth / (repetitions as i64 - 1).max(1),
                creation,
            ));
            told = true;
        }
        if !told {
            let growth = series.last().unwrap_or(&0) - series.first().unwrap_or(&0);
            found.push(stair(
                resource,
                what.to_owned(),
                growth,
                judge::median(&deltas(series)),
                None,
            ));
        }
    }
    found
}

/// What could not be looked at in this trial.
fn unmeasured(run: &Run, part: &Part<'_>) -> Vec<Unmeasured> {
    let seen = part.seen;
    let mut unmeasured = run.blind_probes();
    let mut add = |probe: Resource, reason: &str| {
        if !unmeasured.iter().any(|known| known.probe == probe) {
            unmeasured.push(Unmeasured::new(probe, reason));
        }
    };
    if matches!(part.outcome, Outcome::Crashed | Outcome::Killed | Outcome::TimedOut) {
        let gone = "the process ended before it could be read; only what outlived it was judged";
        add(Resource::Fd, gone);
        add(Resource::Heap, gone);
    }
    let Some(last) = part.counts.last() else { return unmeasured };
    if let Err(unavailable) = &last.fds {
        add(Resource::Fd, &unavailable.reason);
        add(Resource::Socket, &unavailable.reason);
    }
    if let Err(unavailable) = &last.threads {
        add(Resource::Thread, &unavailable.reason);
        add(Resource::Process, &unavailable.reason);
    }
    if let Err(unavailable) = &last.memory {
        add(Resource::Memory, &unavailable.reason);
    }
    if seen.region.is_none() {
        add(
            Resource::Heap,
            "the agent was not loaded into the test's process: LD_PRELOAD is refused or ignored there",
        );
        if seen.net == NetRecord::Host {
            add(
                Resource::TimeWait,
                "neither a private network namespace nor the agent's port pairs are available",
            );
        }
    }
    unmeasured
}
