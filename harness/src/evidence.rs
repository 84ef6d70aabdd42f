//! Evidence: what an observation means for one case, with its things named. What to do about it is the judge's.

mod held;
mod kept;
mod remains;
mod retained;
mod stairs;

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use watertight_report::model::{Net as NetRecord, Outcome, Resource, Unmeasured};

use crate::case::Case;
use crate::explain::Namer;
use crate::gauge;
use crate::judge::{
    self, Creation, Evidence, Growth, HeapEvidence, HeapGroup, Population, Thing, classify, deltas,
};
use crate::observe::Steady;
use crate::probe::time_wait;
use crate::region::{LiveStack, RegionMap};
use crate::run::{Run, is_blinded};
use crate::snapshot::Counts;
use crate::table::{
    ENTRY_ENV, ENTRY_FLOCK, ENTRY_HANDLER, ENTRY_MAPPING, ENTRY_OFD_LOCK, ENTRY_PATH,
    ENTRY_POSIX_LOCK, ENTRY_SYSV_SHM, ENTRY_WATCH,
};
use crate::trial::Part;
use kept::kept;
use remains::remains;
use retained::{may_be_kept, may_have_lost, retained, retains_much};
use stairs::{is_same_program, stairs};

/// Everything a first run has shown, with the sites that are known without an explain run.
pub(crate) fn evidence(run: &Run, case: &Case, part: &Part<'_>, namer: &Namer<'_>) -> Evidence {
    let seen = part.seen;
    let mut evidence = Evidence {
        repeated: part.rounds > 1,
        unedited: seen.unedited,
        unsettled: seen.unsettled,
        peak_bytes: seen.peak_bytes,
        unmeasured: unmeasured(run, case, part),
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
    evidence.kept = kept(part, namer);
    // What a failing body has allocated or mapped on its way out (a panic's backtrace with the debug
    // information of a whole program, say) is no evidence.
    if part.outcome == Outcome::Passed {
        evidence.populations.extend(mappings(part, namer));
        let bytes = series(part, |counts| counts.heap.map(|heap| heap.bytes));
        let blocks = series(part, |counts| counts.heap.map(|heap| heap.blocks));
        evidence.heap =
            bytes.zip(blocks).map(|(bytes, blocks)| HeapEvidence { bytes, blocks, groups: None });
    }
    evidence.remains = remains(part, namer);
    if part.takes_rest {
        evidence.staircases = stairs(seen, namer, false);
        let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
        evidence.subjects =
            descendants.iter().map(|descendant| descendant.command.clone()).collect();
    }
    if has_own_allocator(part) {
        // What its allocator maps is the allocator's affair, and what it keeps nobody sees.
        evidence.heap = None;
        evidence.populations.retain(|population| population.resource != Resource::Mapping);
    }
    blind(&mut evidence);
    if evidence.unmeasured.iter().any(|unmeasured| unmeasured.probe == Resource::Mapping) {
        evidence.populations.retain(|population| population.resource != Resource::Mapping);
    }
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
    evidence.remains.retain(|remain| !blinded(remain.resource));
    evidence.kept.retain(|kept| !blinded(kept.resource));
    if blinded(Resource::Memory) {
        evidence.peak_bytes = None;
    }
}

/// Whether heap must be explained: the test's own, or a descendant's.
pub(crate) fn is_suspected(run: &Run, case: &Case, part: &Part<'_>, evidence: &Evidence) -> bool {
    let steady = part.seen.steady.iter().any(Steady::heap_grows);
    let descendants = part.seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    let others = steady || descendants.iter().any(|descendant| descendant.heap_rises());
    own_heap_grows(case, evidence)
        || retains_much(case, part, evidence)
        || may_have_lost(run, part, evidence)
        || part.takes_rest && others
        || judge::holds_unnamed_lock(evidence)
        || has_unseen_descriptors(evidence)
}

/// Whether there are descriptors that no hook saw being made, in an unedited program: an explain run sees
/// them.
fn has_unseen_descriptors(evidence: &Evidence) -> bool {
    let fds = evidence.populations.iter().filter(|population| population.resource == Resource::Fd);
    let mut things = fds.flat_map(|population| &population.things);
    evidence.unedited && things.any(|thing| thing.creation.is_none())
}

/// Whether the test's own process has heap to explain.
pub(crate) fn own_heap_grows(case: &Case, evidence: &Evidence) -> bool {
    evidence
        .heap
        .as_ref()
        .is_some_and(|heap| judge::heap_growth(heap, &case.budget) == Growth::Leak)
        || evidence.populations.iter().any(|population| {
            population.resource == Resource::Task
                && classify(&population.series, 0, 1) == Growth::Leak
        })
}

/// Adds what an explain run has shown; whether it has shown that an unedited test keeps nothing on the heap.
pub(crate) fn explain(
    case: &Case,
    evidence: &mut Evidence,
    explained: &Part<'_>,
    namer: &Namer<'_>,
) -> bool {
    let seen = explained.seen;
    let mut keeps_nothing = false;
    if may_be_kept(explained, evidence) {
        evidence.retained = retained(explained, namer);
        keeps_nothing = evidence.retained.is_empty() && explained.rounds > 0;
        if !retains_much(case, explained, evidence) {
            evidence.retained.retain(HeapGroup::is_lost);
        }
    }
    if own_heap_grows(case, evidence)
        && let (Some(heap), Some(region)) = (&mut evidence.heap, &seen.region)
    {
        let mut groups = namer.heap_groups(region, &own_stacks(explained));
        held::hold(&mut groups, explained, namer);
        heap.groups = Some(groups);
    }
    if has_unseen_descriptors(evidence) && explained.rounds > 0 {
        // The same descriptors in another run, with the lines that made them.
        let is_fd = |population: &Population| population.resource == Resource::Fd;
        if let Some(again) = descriptors(explained, namer) {
            evidence.populations.retain(|population| !is_fd(population));
            evidence.populations.push(again);
        }
    }
    if judge::holds_unnamed_lock(evidence) {
        // The same locks on the files of another run, with the lines that took them.
        let is_lock = |resource: Resource| resource == Resource::Lock;
        let mut again = kept(explained, namer);
        again.retain(|kept| is_lock(kept.resource) && kept.creation.is_some());
        if !again.is_empty() {
            evidence.kept.retain(|kept| !is_lock(kept.resource));
            evidence.kept.extend(again);
        }
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
    keeps_nothing
}

/// What lived of each stack at this case's boundaries: what its own rounds have added.
fn own_stacks(part: &Part<'_>) -> Vec<HashMap<u32, LiveStack>> {
    let mut own = vec![HashMap::new()];
    let mut sum: HashMap<u32, LiveStack> = HashMap::new();
    for (at, pair) in part.seen.stacks.windows(2).enumerate() {
        if (part.round_of)(at as u32 + 1).is_none() {
            continue;
        }
        for (id, now) in &pair[1] {
            let before = pair[0].get(id).copied().unwrap_or_default();
            let live = sum.entry(*id).or_default();
            live.blocks += now.blocks - before.blocks;
            live.bytes += now.bytes - before.bytes;
        }
        own.push(sum.clone());
    }
    own
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
    if seen.unedited {
        population.series = by_identity(&population.series, seen.born_fds.len());
    }
    if part.rounds > 0 {
        let named = needs_names(part, &population.series);
        for (fd, birth) in &seen.born_fds {
            let Some(round) = (part.round_of)(birth.round) else { continue };
            population.things.push(Thing {
                resource: if fd.is_socket() { Resource::Socket } else { Resource::Fd },
                what: seen.last.name(fd),
                amount: 1,
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
    if part.seen.unedited {
        population.series = by_identity(&population.series, part.seen.born_threads.len());
    }
    if part.rounds > 0 {
        let named = needs_names(part, &population.series);
        for (thread, birth) in &part.seen.born_threads {
            let Some(round) = (part.round_of)(birth.round) else { continue };
            population.things.push(Thing {
                resource: Resource::Thread,
                what: thread.name.clone(),
                amount: 1,
                round,
                creation: birth.stack.filter(|_| named).and_then(|stack| namer.own(region, stack)),
            });
        }
    }
    Some(population)
}

/// The series of an unedited program: what is there at its end and was made by its test. Its count before
/// `main` lacks what its own start makes.
fn by_identity(series: &[i64], born: usize) -> Vec<i64> {
    let first = series.first().copied().unwrap_or(0);
    vec![first, first + born as i64]
}

/// Mapped bytes. Where the program's own allocator bypasses us, mappings are its affair.
fn mappings(part: &Part<'_>, namer: &Namer<'_>) -> Option<Population> {
    let region = part.seen.region.as_ref()?;
    let bytes = |counts: &Counts| {
        let mine =
            counts.mappings.iter().filter(|mapping| (part.round_of)(mapping.round).is_some());
        Some(mine.map(|mapping| mapping.bytes as i64).sum())
    };
    let mut population =
        Population::counted(Resource::Mapping, "mapped memory", series(part, bytes)?);
    let named = needs_names(part, &population.series);
    for mapping in &part.counts.last()?.mappings {
        let Some(round) = (part.round_of)(mapping.round) else { continue };
        population.things.push(Thing {
            resource: Resource::Mapping,
            what: mapping.file.clone().unwrap_or_else(|| "anonymous memory".to_owned()),
            amount: mapping.bytes as i64,
            round,
            creation: Some(mapping.stack)
                .filter(|_| named)
                .and_then(|stack| namer.own(Some(region), stack)),
        });
    }
    if part.seen.unedited {
        // std's stack for signals is a part of each thread, which is counted as such.
        let is_std = |creation: &Creation| {
            creation.stack.iter().any(|frame| frame.function.contains("::stack_overflow::"))
        };
        population.things.retain(|thing| !thing.creation.as_ref().is_some_and(is_std));
        let left: i64 = population.things.iter().map(|thing| thing.amount).sum();
        population.series = vec![0, left];
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
                amount: 1,
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

/// Why a probe that needs the agent could not look.
const NO_AGENT: &str = "it needs the agent, which was not loaded into the test's process: it is static, of another word size, or privileged";

/// What nobody but the agent can see.
const AGENT_ONLY: [Resource; 5] =
    [Resource::Mapping, Resource::File, Resource::Shm, Resource::InotifyWatch, Resource::State];

/// What has entries in the table, which may be full.
const ROOMS: [(u32, Resource); 9] = [
    (ENTRY_MAPPING, Resource::Mapping),
    (ENTRY_PATH, Resource::File),
    (ENTRY_WATCH, Resource::InotifyWatch),
    (ENTRY_FLOCK, Resource::Lock),
    (ENTRY_POSIX_LOCK, Resource::Lock),
    (ENTRY_OFD_LOCK, Resource::Lock),
    (ENTRY_SYSV_SHM, Resource::Shm),
    (ENTRY_ENV, Resource::State),
    (ENTRY_HANDLER, Resource::State),
];

/// Why the heap of a process that has the agent cannot be counted: its own allocator.
fn unmeasured_heap(unmeasured: &[Unmeasured]) -> Option<String> {
    let heap = unmeasured.iter().find(|unmeasured| unmeasured.probe == Resource::Heap);
    heap.filter(|heap| heap.reason.starts_with(OWN_ALLOCATOR)).map(|heap| heap.reason.clone())
}

/// How the reason begins where a program's own allocator bypasses the agent: its mappings are the
/// allocator's affair then, too.
pub(crate) const OWN_ALLOCATOR: &str = "own allocator";

/// Whether an unedited program brings its own allocator: libtest's own thread takes more than this from
/// malloc, and libc itself little.
pub(crate) fn has_own_allocator(part: &Part<'_>) -> bool {
    const CALLS_MIN: u64 = 64;
    let thread = part.seen.control.body_tp.load(Relaxed);
    let calls = part.seen.region.as_ref().map(|region| region.calls_of(thread));
    part.seen.unedited && part.rounds > 0 && calls.is_some_and(|calls| calls < CALLS_MIN)
}

/// What could not be looked at in this trial.
fn unmeasured(run: &Run, case: &Case, part: &Part<'_>) -> Vec<Unmeasured> {
    let seen = part.seen;
    let mut unmeasured = run.blind_probes();
    let own_allocator = unmeasured_heap(&unmeasured);
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
    if let Some(region) = &seen.region {
        for (kind, probe) in ROOMS {
            let dropped = region.dropped_entries(kind);
            if dropped > 0 {
                add(
                    probe,
                    &format!("{dropped} of them found no room in the table, so not all are known"),
                );
            }
        }
    }
    // The heap of an unedited test is only listed, so nothing is missed unless it has a budget.
    if has_own_allocator(part) && case.budget.allowed(Resource::Heap) > 0 {
        add(Resource::Heap, &format!("{OWN_ALLOCATOR}: its blocks cannot be counted"));
    }
    if let Some(last) = part.counts.last() {
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
        if let Some(reason) = own_allocator {
            add(Resource::Mapping, &reason);
        }
    }
    if seen.unedited && part.rounds == 0 && part.outcome == Outcome::Passed && seen.region.is_some()
    {
        let gone = "the process ended without exit(3) (by _exit, or by becoming another program), so what it held could not be read; only what outlived it was judged";
        add(Resource::Fd, gone);
        add(Resource::Thread, gone);
    }
    if seen.region.is_none() {
        if seen.unedited {
            // Nobody has held it to be read.
            for probe in [Resource::Fd, Resource::Socket, Resource::Thread] {
                add(probe, NO_AGENT);
            }
        }
        for probe in AGENT_ONLY {
            add(probe, NO_AGENT);
        }
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
