//! Evidence: what an observation means for one case, with its things named. What to do about it is the judge's.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use watertight_report::model::{
    Net as NetRecord, Outcome, ProcessFacts, ProcessState, Resource, Unmeasured,
};

use crate::case::Case;
use crate::descendant::is_believed;
use crate::explain::Namer;
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
        evidence.staircases = staircases(seen, namer, false);
        evidence
            .staircases
            .extend(seen.steady.iter().flat_map(|steady| steady_growth(seen, steady, namer)));
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
    let own = evidence
        .heap
        .as_ref()
        .is_some_and(|heap| judge::heap_growth(heap, &case.budget) == Growth::Leak)
        || evidence.populations.iter().any(|population| {
            population.resource == Resource::Task
                && classify(&population.series, 0, 1) == Growth::Leak
        });
    let steady = part.seen.steady.iter().any(Steady::heap_grows);
    let descendants = part.seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    own || part.takes_rest
        && (steady || descendants.iter().any(|descendant| descendant.heap_rises()))
}

/// Adds what an explain run has shown.
pub(crate) fn explain(evidence: &mut Evidence, explained: &Part<'_>, namer: &Namer<'_>) {
    let seen = explained.seen;
    if let (Some(heap), Some(region)) = (&mut evidence.heap, &seen.region) {
        let own = |block: &LiveBlock| {
            Some(LiveBlock { round: (explained.round_of)(block.round)?, ..*block })
        };
        let blocks: Vec<LiveBlock> = seen.blocks.iter().filter_map(own).collect();
        heap.groups = Some(namer.heap_groups(region, &blocks, explained.rounds));
    }
    if explained.takes_rest {
        evidence.staircases.extend(staircases(seen, namer, true));
    }
}

/// One value at each boundary; none where it could not be read at one of them.
fn series(part: &Part<'_>, read: impl Fn(&Counts) -> Option<i64>) -> Option<Vec<i64>> {
    part.counts.iter().map(read).collect::<Option<Vec<_>>>().filter(|series| series.len() > 1)
}

fn grew(series: &[i64]) -> bool {
    series.last() > series.first()
}

fn descriptors(part: &Part<'_>, namer: &Namer<'_>) -> Option<Population> {
    let seen = part.seen;
    let series = series(part, |counts| counts.fds.as_ref().ok().map(|count| *count as i64))?;
    let mut population = Population::counted(Resource::Fd, "descriptors", series);
    // A clean trial needs no names.
    if grew(&population.series) {
        for (fd, round) in &seen.born_fds {
            let Some(round) = (part.round_of)(*round) else { continue };
            let believed = seen.region.as_ref().filter(|region| is_believed(region, fd));
            let stack = believed
                .and_then(|region| Some(region.fds.get(fd.number as usize)?.stack.load(Relaxed)));
            population.things.push(Thing {
                resource: if fd.is_socket() { Resource::Socket } else { Resource::Fd },
                what: seen.last.name(fd),
                round,
                creation: stack.and_then(|stack| namer.own(believed, stack)),
            });
        }
    }
    Some(population)
}

fn threads(part: &Part<'_>, namer: &Namer<'_>) -> Option<Population> {
    let region = part.seen.region.as_ref();
    let series = series(part, |counts| counts.threads.as_ref().ok().map(|count| *count as i64))?;
    let mut population = Population::counted(Resource::Thread, "threads", series);
    if grew(&population.series) {
        for (thread, round) in &part.seen.born_threads {
            let Some(round) = (part.round_of)(*round) else { continue };
            let stack = region.and_then(|region| region.thread_stack(thread.tid));
            population.things.push(Thing {
                resource: Resource::Thread,
                what: thread.name.clone(),
                round,
                creation: stack.and_then(|stack| namer.own(region, stack)),
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
        Population::counted(Resource::Gauge, name, series)
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
            NetRecord::Private => vec![true; pairs.len()],
            NetRecord::Host => time_wait::confirmed(std::process::id(), &ports),
        };
        let mut named: HashMap<u32, Option<Creation>> = HashMap::new();
        for (pair, _) in pairs.iter().zip(confirmed).filter(|(_, confirmed)| *confirmed) {
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
    found
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
fn steady_growth(seen: &Observation, steady: &Steady, namer: &Namer<'_>) -> Vec<Staircase> {
    let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    let descendant = descendants.of(steady.pid);
    let own = seen.control.main.load(Relaxed) == steady.pid;
    let subject = match descendant {
        Some(descendant) => descendant.command.clone(),
        None if own => watertight_report::model::SUBJECT_TEST.to_owned(),
        None => format!("process {}", steady.pid),
    };
    let repetitions = steady.fds.len().saturating_sub(1);
    let made = |stack: Option<u32>| match descendant {
        Some(descendant) => namer.creation(&descendant.region, &descendant.executable, stack?),
        None => namer.own(seen.region.as_ref(), stack?),
    };
    let region =
        descendant.map(|descendant| &descendant.region).or(seen.region.as_ref().filter(|_| own));
    let mut found = Vec::new();
    let kinds: [(Resource, &str, &[i64], usize); 3] = [
        (Resource::Fd, "descriptors", &steady.fds, 1),
        (Resource::Thread, "threads", &steady.threads, 1),
        (Resource::Heap, "heap", &steady.heap_bytes, judge::HEAP_ROUNDS),
    ];
    for (resource, what, series, confirm) in kinds {
        if classify(series, 0, confirm) != Growth::Leak {
            continue;
        }
        let growth = series.last().unwrap_or(&0) - series.first().unwrap_or(&0);
        let stack = region.and_then(|region| match resource {
            Resource::Fd => region.busiest_fd_stack(&steady.samples),
            Resource::Thread => region.newest_thread_stack(),
            _ => None,
        });
        let creation = made(stack);
        found.push(Staircase {
            subject: subject.clone(),
            resource,
            what: what.to_owned(),
            growth,
            per_step: judge::median(&deltas(series)),
            creation,
            note: Some(format!("it grew with each of {repetitions} repetitions of `steady`")),
        });
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

impl RegionMap {
    /// The stack that made most of the descriptors which are open and were made since the first sample.
    fn busiest_fd_stack(&self, samples: &[u32]) -> Option<u32> {
        let from = *samples.first()?;
        let top = (self.fd_top.load(Relaxed) as usize).min(crate::table::FD_SLOTS);
        let mut made: HashMap<u32, u32> = HashMap::new();
        for slot in self.fds[..top].iter().filter(|slot| slot.kind.load(Relaxed) != 0) {
            if slot.sample.load(Relaxed) >= from {
                *made.entry(slot.stack.load(Relaxed)).or_default() += 1;
            }
        }
        made.into_iter()
            .max_by_key(|(stack, count)| (*count, *stack))
            .map(|(stack, _)| stack)
            .filter(|stack| *stack != 0)
    }

    /// The stack that made the newest thread.
    fn newest_thread_stack(&self) -> Option<u32> {
        let alive = self.threads.iter().filter(|slot| slot.state.load(Relaxed) != 0);
        alive
            .max_by_key(|slot| (slot.sample.load(Relaxed), slot.tid.load(Relaxed)))
            .map(|slot| slot.stack.load(Relaxed))
    }
}
