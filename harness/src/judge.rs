//! What counts as a leak: pure functions from evidence to findings and a verdict. No clock, no I/O.
//!
//! - *Populations* (descriptors, sockets, threads, tasks, gauges) are exact. Growth in round 1 alone
//!   is a step; growth in every later round that was looked at is a leak.
//! - *Heap* needs growth in each of the last [`HEAP_ROUNDS`] rounds: caches fill over several rounds
//!   and then stop. Growth that comes back after pauses is a container that doubles, or a channel that
//!   takes its memory by the block: see [`keeps_coming`].
//! - *Kept* (locks, inotify watches, changed state): a leak unless it was made in round 1 alone.
//! - *Remains* (processes that outlive their test, zombies, files, shared memory, clean-ups that did not
//!   run): once decides.
//! - Where there is no second round, what a once-initialiser made is a step and all other population
//!   growth a leak; heap is unconfirmed.

mod finding;

use std::collections::BTreeMap;

use watertight_report::model::{
    Cleanup, CleanupStatus, Finding, Forecast, Frame, ProcessFacts, Resource, Status, Unmeasured,
    Verdict,
};

use crate::case::Budget;
pub(crate) use finding::blocks_text;
use finding::{Atom, group};

/// How many last rounds must agree.
pub(crate) const LAST_ROUNDS: usize = 3;
/// Most bytes that are excused because the C library keeps them. More is a leak whoever keeps it.
const KEEPER_BYTES_MAX: i64 = 1 << 20;
/// Heap growth is believed after this many growing rounds at the end.
pub(crate) const HEAP_ROUNDS: usize = 3;

/// Where a thing was made, as the symboliser tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Creation {
    pub(crate) site: Option<Frame>,
    pub(crate) via: Option<Frame>,
    pub(crate) stack: Vec<Frame>,
}

impl Creation {
    /// A line that is known without a stack.
    pub(crate) fn at(site: Frame) -> Self {
        Self { site: Some(site), ..Self::default() }
    }

    /// Things made under one key are one finding.
    fn key(&self) -> String {
        match &self.site {
            Some(site) => format!("{}:{}", site.file, site.line),
            None => {
                self.stack.iter().map(|frame| frame.function.as_str()).collect::<Vec<_>>().join("<")
            }
        }
    }

    /// Whether the stack passes through a once-initialiser: such a thing is made once in a process.
    pub(crate) fn is_once(&self) -> bool {
        const ONCE: [&str; 9] = [
            "sync::once::Once::call",
            "sync::poison::once::Once::call",
            "sync::once_lock::OnceLock",
            "sync::lazy_lock::LazyLock",
            "once_cell::",
            "lazy_static::",
            "pthread_once",
            "sys::sync::once::",
            "tokio::signal::",
        ];
        self.stack.iter().any(|frame| ONCE.iter().any(|once| frame.function.contains(once)))
    }

    /// The function of the C library that keeps what is allocated on this stack for good and by design:
    /// setenv(3) cannot know who still holds the old value.
    pub(crate) fn known_keeper(&self) -> Option<&str> {
        const KEEPERS: [&str; 3] = ["setenv", "putenv", "__add_to_environ"];
        let inner = self.stack.iter().take_while(|frame| Some(*frame) != self.site.as_ref());
        let mut names = inner.into_iter().map(|frame| frame.function.as_str());
        names.find(|name| KEEPERS.contains(name))
    }

    /// Whether the stack is that of a tokio task being made: its cell is allocated below the spawn. A
    /// stack of code that *runs* in a task passes through the runtime further out.
    fn is_task(&self) -> bool {
        const MADE: [&str; 4] =
            ["task::new_task", "RawTask::new", "task::core::Cell", "task::raw::RawTask"];
        let inner = self.stack.iter().take_while(|frame| Some(*frame) != self.site.as_ref());
        inner.into_iter().any(|frame| MADE.iter().any(|made| frame.function.contains(made)))
    }
}

/// One thing that was there at the end and not at the beginning.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub(crate) resource: Resource,
    pub(crate) what: String,
    /// What it counts for: 1, or bytes for a mapping.
    pub(crate) amount: i64,
    /// Round of its birth, from 1.
    pub(crate) round: u32,
    pub(crate) creation: Option<Creation>,
}

/// A resource that is counted at every boundary.
#[derive(Debug, Clone)]
pub(crate) struct Population {
    pub(crate) resource: Resource,
    /// Name of what is counted, where things have no names of their own.
    pub(crate) what: String,
    /// The count at each boundary, the first before round 1.
    pub(crate) series: Vec<i64>,
    pub(crate) things: Vec<Thing>,
    /// Where it was declared, for what has no things.
    pub(crate) declared: Option<Creation>,
}

impl Population {
    /// A population whose things are not known, or not yet.
    pub(crate) fn counted(resource: Resource, what: &str, series: Vec<i64>) -> Self {
        Self { resource, what: what.to_owned(), series, things: Vec::new(), declared: None }
    }
}

/// Live heap at each boundary, and where it comes from once that was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeapEvidence {
    pub(crate) blocks: Vec<i64>,
    pub(crate) bytes: Vec<i64>,
    /// What grew in the explain run, by creation.
    pub(crate) groups: Option<Vec<HeapGroup>>,
}

/// What lived of one creation site at each boundary.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeapGroup {
    pub(crate) creation: Creation,
    pub(crate) blocks: Vec<i64>,
    pub(crate) bytes: Vec<i64>,
}

/// Something that a process kept making and never released.
#[derive(Debug, Clone)]
pub(crate) struct Staircase {
    pub(crate) subject: String,
    pub(crate) resource: Resource,
    pub(crate) what: String,
    /// Things, or bytes for heap.
    pub(crate) growth: i64,
    /// How many of them were made between one sample, repetition or round and the next.
    pub(crate) per_step: i64,
    pub(crate) creation: Option<Creation>,
    pub(crate) note: Option<String>,
    /// When it meets a limit if it goes on like this.
    pub(crate) forecast: Option<Forecast>,
}

/// Something that is there when the trial is over: a process, a file, a segment of shared memory.
#[derive(Debug, Clone)]
pub(crate) struct Remain {
    pub(crate) resource: Resource,
    pub(crate) what: String,
    /// Round in which it was made, where that is known.
    pub(crate) round: Option<u32>,
    /// Where it lies it may be meant: it is recorded and not held against the test.
    pub(crate) listed: bool,
    /// The process that made it, where that is not the test's own.
    pub(crate) subject: Option<String>,
    /// What is known of a process.
    pub(crate) facts: Option<ProcessFacts>,
    pub(crate) creation: Option<Creation>,
}

impl Remain {
    /// A process.
    pub(crate) fn process(what: String, facts: ProcessFacts, creation: Option<Creation>) -> Self {
        let (round, subject) = (None, None);
        let facts = Some(facts);
        Self { resource: Resource::Process, what, round, listed: false, subject, facts, creation }
    }
}

/// Something that is still held or changed at the end: a lock, a watch, the process's own state.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) resource: Resource,
    pub(crate) what: String,
    /// The last round in which it was made so, where that is known.
    pub(crate) last_made: Option<u32>,
    pub(crate) creation: Option<Creation>,
}

/// Everything a trial has shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// Whether the body could be repeated: more than one round was allowed, and the second one passed.
    pub(crate) repeated: bool,
    pub(crate) populations: Vec<Population>,
    pub(crate) heap: Option<HeapEvidence>,
    pub(crate) peak_bytes: Option<u64>,
    pub(crate) remains: Vec<Remain>,
    pub(crate) kept: Vec<Kept>,
    pub(crate) staircases: Vec<Staircase>,
    /// Command lines of the descendants.
    pub(crate) subjects: Vec<String>,
    /// Declared clean-ups, with the line that declared each.
    pub(crate) cleanups: Vec<(Cleanup, Option<Creation>)>,
    /// What was still falling at the deadline.
    pub(crate) unsettled: bool,
    pub(crate) unmeasured: Vec<Unmeasured>,
}

/// What a series of counts says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    /// Nothing is left.
    None,
    /// Growth that has stopped.
    Step,
    /// Growth in every round that counts, within what is allowed.
    Allowed,
    /// Growth in every round that counts.
    Leak,
    /// Growth, in too few rounds to tell.
    Unconfirmed,
}

/// Growth in each round.
pub(crate) fn deltas(series: &[i64]) -> Vec<i64> {
    series.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Judges one series. `confirm` is the number of rounds after the first that must agree.
pub(crate) fn classify(series: &[i64], allowed: i64, confirm: usize) -> Growth {
    let deltas = deltas(series);
    let (Some(first), Some(last)) = (series.first(), series.last()) else { return Growth::None };
    if last <= first {
        return Growth::None;
    }
    // Round 1 warms up; it never is evidence of a leak by itself.
    let later = deltas.get(1..).unwrap_or_default();
    let tail = &later[later.len().saturating_sub(LAST_ROUNDS)..];
    if tail.is_empty() {
        return Growth::Unconfirmed;
    }
    if !tail.iter().all(|delta| *delta > 0) {
        return Growth::Step;
    }
    if tail.iter().all(|delta| *delta <= allowed) {
        return Growth::Allowed;
    }
    if tail.len() < confirm { Growth::Unconfirmed } else { Growth::Leak }
}

/// Judges a series of live heap. A budget is a round's, so with one what comes after pauses is not judged.
fn classify_heap(series: &[i64], allowed: i64) -> Growth {
    match classify(series, allowed, HEAP_ROUNDS) {
        Growth::Step if allowed == 0 && keeps_coming(&later(series)) => Growth::Leak,
        growth => growth,
    }
}

/// Growth in the rounds after the first, which warms up.
fn later(series: &[i64]) -> Vec<i64> {
    deltas(series).get(1..).unwrap_or_default().to_vec()
}

/// Rounds after the first that must have been seen before growth with pauses is believed: a cache that
/// fills now and then is full by then.
const PAUSING_ROUNDS: usize = 32;
/// How often growth must have come back after a pause.
const COMEBACKS: usize = 3;

/// Whether growth comes back after pauses and has not stopped: often enough, never a fall, and the last
/// pause is not longer than growth that goes on would make it.
pub(crate) fn keeps_coming(later: &[i64]) -> bool {
    let comebacks = later.windows(2).filter(|pair| pair[0] == 0 && pair[1] > 0).count();
    later.len() >= PAUSING_ROUNDS && comebacks >= COMEBACKS && may_come_back(later)
}

/// Whether growth may be expected again: it never fell, and what a doubling container pauses is twice
/// its pause before.
pub(crate) fn may_come_back(later: &[i64]) -> bool {
    if later.iter().any(|delta| *delta < 0) {
        return false;
    }
    let grew = later.iter().enumerate().filter(|(_, delta)| **delta > 0).map(|(at, _)| at + 1);
    let rounds: Vec<usize> = std::iter::once(0).chain(grew).collect();
    let longest = rounds.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    let quiet = later.len() - rounds.last().unwrap_or(&0);
    rounds.len() > 1 && quiet <= 2 * longest + 1
}

/// Whether a series grew in every repetition after the first, which warms up, and in at least `confirm`
/// of them: repetitions are many and cheap, so one that is quiet acquits.
pub(crate) fn grows_each_time(series: &[i64], confirm: usize) -> bool {
    let later = deltas(series).split_off(1.min(series.len().saturating_sub(1)));
    later.len() >= confirm && later.iter().all(|delta| *delta > 0)
}

/// Whether a count of things grew by at least one a repetition after the first. A count is exact, but
/// one thing more may just be open when it is taken; it is then missing from the next growth.
pub(crate) fn counts_up_each_time(series: &[i64]) -> bool {
    let later = deltas(series).split_off(1.min(series.len().saturating_sub(1)));
    let grew = later.iter().filter(|delta| **delta > 0).count();
    grew > 0 && grew + 1 >= later.len() && later.iter().sum::<i64>() >= later.len() as i64
}

/// The typical value: the upper median.
pub(crate) fn median(values: &[i64]) -> i64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// The typical growth of a round; where growth pauses, its mean.
fn typical_growth(deltas: &[i64]) -> i64 {
    match median(deltas) {
        0 if !deltas.is_empty() => deltas.iter().sum::<i64>() / deltas.len() as i64,
        median => median,
    }
}

/// Whether heap is suspected and must be explained, and by how it grew.
pub(crate) fn heap_growth(heap: &HeapEvidence, budget: &Budget) -> Growth {
    let allowed = budget.allowed(Resource::Heap) as i64;
    let bytes = classify_heap(&heap.bytes, allowed);
    // Blocks of one size that come while others go leave the bytes as they were.
    let blocks = if allowed > 0 { Growth::None } else { classify_heap(&heap.blocks, 0) };
    match (bytes, blocks) {
        (Growth::Leak, _) | (_, Growth::Leak) => Growth::Leak,
        (Growth::Unconfirmed, _) | (_, Growth::Unconfirmed) => Growth::Unconfirmed,
        (Growth::Allowed, _) => Growth::Allowed,
        (Growth::Step, _) | (_, Growth::Step) => Growth::Step,
        _ => Growth::None,
    }
}

/// Judges a trial: its findings, largest sin first, and its verdict.
pub(crate) fn judge(evidence: &Evidence, budget: &Budget) -> (Vec<Finding>, Verdict) {
    let mut atoms = Vec::new();
    for population in &evidence.populations {
        judge_population(population, evidence, budget, &mut atoms);
    }
    if let Some(heap) = &evidence.heap {
        judge_heap(heap, budget, &mut atoms);
    }
    judge_kept(evidence, budget, &mut atoms);
    judge_remains(evidence, budget, &mut atoms);
    judge_ending(evidence, budget, &mut atoms);
    for staircase in &evidence.staircases {
        let mut atom = Atom::new(
            Status::Leak,
            staircase.resource,
            staircase.what.clone(),
            staircase.growth,
            staircase.per_step,
        )
        .made(staircase.creation.clone());
        atom.subject = Some(staircase.subject.clone());
        atom.note = staircase.note.clone();
        atom.forecast = staircase.forecast.clone();
        atoms.push(atom);
    }
    let mut findings = group(atoms);
    let verdict = conclude(&mut findings, evidence);
    (findings, verdict)
}

/// Puts findings in order, largest sin first, and gives their verdict.
pub(crate) fn conclude(findings: &mut [Finding], evidence: &Evidence) -> Verdict {
    findings.sort_by(|a, b| a.status.cmp(&b.status).then_with(|| a.severity(b)));
    verdict(findings, evidence)
}

fn verdict(findings: &[Finding], evidence: &Evidence) -> Verdict {
    let has = |status| findings.iter().any(|finding| finding.status == status);
    if has(Status::Leak) {
        Verdict::Leaked
    } else if evidence.unsettled {
        Verdict::Unsettled
    } else if !evidence.unmeasured.is_empty() {
        Verdict::Unmeasured
    } else if has(Status::Accepted) {
        Verdict::Tolerated
    } else {
        Verdict::Clean
    }
}

fn judge_population(
    population: &Population,
    evidence: &Evidence,
    budget: &Budget,
    atoms: &mut Vec<Atom>,
) {
    let mut allowed = budget.allowed(population.resource);
    if population.resource == Resource::Fd {
        // Sockets are descriptors too; the kernel counts them together.
        allowed += budget.allowed(Resource::Socket);
    }
    let growth = classify(&population.series, allowed as i64, 1);
    let status = match growth {
        Growth::None => return,
        Growth::Step => Status::Step,
        Growth::Allowed => Status::Accepted,
        Growth::Leak => Status::Leak,
        Growth::Unconfirmed => {
            let grown = deltas(&population.series).first().copied().unwrap_or(0);
            if grown <= allowed as i64 { Status::Accepted } else { Status::Leak }
        }
    };
    // Within its own default budget TIME_WAIT is not worth a word.
    if population.resource == Resource::TimeWait && status == Status::Accepted {
        return;
    }
    let rounds = population.series.len() - 1;
    let mut groups: BTreeMap<String, Vec<&Thing>> = BTreeMap::new();
    for thing in &population.things {
        let key = thing.creation.as_ref().map_or_else(|| thing.what.clone(), Creation::key);
        groups.entry(format!("{:?} {key}", thing.resource)).or_default().push(thing);
    }
    let mut told = 0;
    for things in groups.into_values() {
        let first = things[0];
        let mut births = vec![0i64; rounds];
        for thing in &things {
            if let Some(count) = births.get_mut((thing.round as usize).saturating_sub(1)) {
                *count += thing.amount;
            }
        }
        let total = things.iter().map(|thing| thing.amount).sum();
        let once = !evidence.repeated && first.creation.as_ref().is_some_and(Creation::is_once);
        // Under a leak, what was made in round 1 alone is a step beside it.
        let early = evidence.repeated && births.iter().skip(1).all(|count| *count == 0);
        let status = if status == Status::Leak && (once || early) { Status::Step } else { status };
        if status == Status::Leak {
            told += things.len();
        }
        let per_round = match births.get(1..) {
            Some(later) if !later.is_empty() => median(later),
            _ => median(&births),
        };
        // Of the last round's things the first one names the rest.
        let newest = things.iter().rev().max_by_key(|thing| thing.round).unwrap_or(&first);
        let mut atom = Atom::new(status, newest.resource, newest.what.clone(), total, per_round)
            .made(newest.creation.clone());
        if population.resource == Resource::TimeWait {
            atom.budget = Some(allowed);
        }
        atoms.push(atom);
    }
    let all_once = !evidence.repeated
        && !population.things.is_empty()
        && population
            .things
            .iter()
            .all(|thing| thing.creation.as_ref().is_some_and(Creation::is_once));
    if told == 0 && !all_once && (population.things.is_empty() || status == Status::Leak) {
        // Counted, but nothing that can be pointed at.
        let deltas = deltas(&population.series);
        let per_round =
            median(deltas.get(1..).filter(|later| !later.is_empty()).unwrap_or(&deltas));
        let grown = population.series[rounds] - population.series[0];
        let mut atom =
            Atom::new(status, population.resource, population.what.clone(), grown, per_round);
        if population.resource == Resource::TimeWait {
            atom.budget = Some(allowed);
        }
        atom.creation = match population.resource {
            Resource::Task => task_creation(evidence),
            _ => population.declared.clone(),
        };
        atoms.push(atom);
    }
}

/// A task is a heap block of the runtime's: its stack is that of the spawn.
fn task_creation(evidence: &Evidence) -> Option<Creation> {
    let groups = evidence.heap.as_ref()?.groups.as_ref()?;
    let of_tasks = groups.iter().filter(|group| group.creation.is_task());
    let leaking = of_tasks.filter(|group| group.leaks());
    leaking.max_by_key(|group| group.growth()).map(|group| group.creation.clone())
}

impl HeapGroup {
    /// Bytes that came since the first boundary.
    fn growth(&self) -> i64 {
        self.bytes.last().unwrap_or(&0) - self.bytes.first().unwrap_or(&0)
    }

    /// Whether this site alone would be judged a leak.
    fn leaks(&self) -> bool {
        let leaks = |series: &[i64]| classify_heap(series, 0) == Growth::Leak;
        leaks(&self.bytes) || leaks(&self.blocks)
    }

    /// Whether it grew in each of the last rounds.
    fn grows_steadily(&self) -> bool {
        let leaks = |series: &[i64]| classify(series, 0, HEAP_ROUNDS) == Growth::Leak;
        leaks(&self.bytes) || leaks(&self.blocks)
    }

    /// Whether this site has grown more than once: several that grow in turn leak together.
    fn has_part(&self) -> bool {
        let later = later(&self.bytes);
        later.iter().filter(|delta| **delta > 0).count() > 1 && later.iter().sum::<i64>() > 0
    }
}

fn judge_heap(heap: &HeapEvidence, budget: &Budget, atoms: &mut Vec<Atom>) {
    let growth = heap_growth(heap, budget);
    let status = match growth {
        Growth::None => return,
        Growth::Step => Status::Step,
        Growth::Allowed => Status::Accepted,
        Growth::Leak => Status::Leak,
        Growth::Unconfirmed => {
            let grown = deltas(&heap.bytes).first().copied().unwrap_or(0);
            let allowed = budget.allowed(Resource::Heap) as i64;
            match allowed {
                0 => Status::Unconfirmed,
                _ if grown <= allowed => Status::Accepted,
                _ => Status::Leak,
            }
        }
    };
    let total = heap.bytes.last().unwrap_or(&0) - heap.bytes.first().unwrap_or(&0);
    let all = deltas(&heap.bytes);
    let per_round = typical_growth(all.get(1..).filter(|later| !later.is_empty()).unwrap_or(&all));
    let blocks = heap.blocks.last().unwrap_or(&0) - heap.blocks.first().unwrap_or(&0);
    let mut told = false;
    let mut kept_by = None;
    let groups = heap.groups.as_deref().unwrap_or_default();
    let any_steady = groups.iter().any(HeapGroup::grows_steadily);
    let any_leaks = groups.iter().any(HeapGroup::leaks);
    // A container that grows with pauses beside what grows in every round is what keeps that.
    let keepers = || {
        let pausing = groups.iter().filter(|group| group.leaks() && !group.grows_steadily());
        pausing.filter_map(|group| group.creation.site.as_ref())
    };
    for group in groups.iter().filter(|_| status == Status::Leak) {
        let accused = match (any_steady, any_leaks) {
            (true, _) => group.grows_steadily(),
            (_, true) => group.leaks(),
            _ => group.has_part(),
        };
        if !accused {
            continue;
        }
        if !told
            && any_steady
            && let Some(keeper) = keepers().next()
        {
            kept_by = Some(format!(
                "a collection grows along with it at {}:{} and may be what keeps it",
                keeper.file, keeper.line
            ));
        }
        told = true;
        let count = group.blocks.last().unwrap_or(&0) - group.blocks.first().unwrap_or(&0);
        let typical = later(&group.bytes);
        let typical = if typical.is_empty() { deltas(&group.bytes) } else { typical };
        let mut atom = Atom::new(
            Status::Leak,
            Resource::Heap,
            blocks_text(count),
            group.growth(),
            typical_growth(&typical),
        )
        .made(Some(group.creation.clone()));
        atom.note = kept_by.take();
        if let Some(keeper) = group.creation.known_keeper()
            && group.growth() <= KEEPER_BYTES_MAX
        {
            atom.status = Status::Step;
            atom.note = Some(format!(
                "the C library keeps this for good in `{keeper}`, so it is no leak of the test"
            ));
        }
        atoms.push(atom);
    }
    if !told {
        let mut atom = Atom::new(status, Resource::Heap, blocks_text(blocks), total, per_round);
        atom.note = match (status, &heap.groups) {
            (Status::Leak, Some(_)) => Some(
                "the growth did not repeat when the test was run again with stacks, so its line is not known".to_owned(),
            ),
            (Status::Leak, None) => Some("no stacks could be taken, so its line is not known".to_owned()),
            (Status::Unconfirmed, _) => Some(
                "too few rounds to tell a leak from a cache that fills; declare `rounds` or `allow(heap = ...)` to decide".to_owned(),
            ),
            _ => None,
        };
        atoms.push(atom);
    }
}

/// Whether locks are held against the test whose lines only an explain run can tell.
pub(crate) fn holds_unnamed_lock(evidence: &Evidence) -> bool {
    let locks: Vec<&Kept> =
        evidence.kept.iter().filter(|kept| kept.resource == Resource::Lock).collect();
    locks.iter().any(|lock| lock.creation.is_none()) && leaks(&locks, evidence.repeated)
}

/// Whether what one line made and what is kept of it is a leak: what is made in the first of several
/// rounds and never again is made once in a process.
fn leaks(made: &[&Kept], repeated: bool) -> bool {
    if repeated {
        return made.iter().any(|kept| kept.last_made.is_none_or(|round| round > 1));
    }
    !made.iter().all(|kept| kept.creation.as_ref().is_some_and(Creation::is_once))
}

fn judge_kept(evidence: &Evidence, budget: &Budget, atoms: &mut Vec<Atom>) {
    let mut lines: BTreeMap<(Resource, String), Vec<&Kept>> = BTreeMap::new();
    for kept in &evidence.kept {
        // Each piece of state is a thing of its own.
        let key = match &kept.creation {
            Some(creation) if kept.resource != Resource::State => creation.key(),
            _ => kept.what.clone(),
        };
        lines.entry((kept.resource, key)).or_default().push(kept);
    }
    for ((resource, _), made) in &lines {
        let of_kind = lines.iter().filter(|((other, _), _)| other == resource);
        let against = of_kind.filter(|(_, made)| leaks(made, evidence.repeated));
        let against: usize = against.map(|(_, made)| made.len()).sum();
        let status = match leaks(made, evidence.repeated) {
            false => Status::Step,
            true if against as u64 <= budget.allowed(*resource) => Status::Accepted,
            true => Status::Leak,
        };
        let Some(newest) = made.iter().max_by_key(|kept| kept.last_made) else { continue };
        let growth = made.len() as i64;
        let rounds = made.iter().filter_map(|kept| kept.last_made).max().unwrap_or(1).max(1);
        let per_round = (growth / i64::from(rounds)).max(1);
        let atom = Atom::new(status, *resource, newest.what.clone(), growth, per_round);
        atoms.push(atom.made(newest.creation.clone()));
    }
}

fn judge_remains(evidence: &Evidence, budget: &Budget, atoms: &mut Vec<Atom>) {
    for (resource, remains) in by_resource(&evidence.remains) {
        let against = remains.iter().filter(|remain| !remain.listed).count() as u64;
        let tolerated = against <= budget.allowed(resource);
        let rounds = remains.iter().filter_map(|remain| remain.round).max().unwrap_or(1);
        let mut told: Vec<(String, usize)> = Vec::new();
        for remain in remains {
            let status = match (remain.listed, tolerated) {
                (true, _) => Status::Step,
                (_, true) => Status::Accepted,
                _ => Status::Leak,
            };
            let mut atom = Atom::new(status, resource, remain.what.clone(), 1, 1)
                .made(remain.creation.clone());
            atom.process = remain.facts.clone();
            atom.subject = remain.subject.clone();
            atom.note = remain.listed.then(|| {
                "it is not in a temporary directory, so it is listed and not held against the test"
                    .to_owned()
            });
            // What one line leaves in several rounds is one finding, told by its newest.
            let key = atom.key();
            match told.iter().find(|(known, _)| Some(known) == key.as_ref()) {
                Some((_, at)) => atoms[*at].add(remain.what.clone(), i64::from(rounds)),
                None => {
                    told.extend(key.map(|key| (key, atoms.len())));
                    atoms.push(atom);
                }
            }
        }
    }
}

/// Remains of one kind together.
fn by_resource(remains: &[Remain]) -> BTreeMap<Resource, Vec<&Remain>> {
    let mut kinds: BTreeMap<Resource, Vec<&Remain>> = BTreeMap::new();
    for remain in remains {
        kinds.entry(remain.resource).or_default().push(remain);
    }
    kinds
}

/// Clean-ups that did not run, and the ceiling on memory.
fn judge_ending(evidence: &Evidence, budget: &Budget, atoms: &mut Vec<Atom>) {
    for (cleanup, declared) in &evidence.cleanups {
        if cleanup.status != CleanupStatus::Ran {
            let mut atom = Atom::new(Status::Leak, Resource::Cleanup, cleanup.name.clone(), 1, 1);
            atom.note = cleanup.error.clone();
            atom.creation = declared.clone();
            atoms.push(atom);
        }
    }
    if let (Some(peak), Some(ceiling)) = (evidence.peak_bytes, budget.rss_max)
        && peak > ceiling
    {
        let excess = (peak - ceiling) as i64;
        let mut atom =
            Atom::new(Status::Leak, Resource::Memory, "peak resident memory", excess, excess);
        atom.budget = Some(ceiling);
        atoms.push(atom);
    }
}

#[cfg(test)]
mod tests;
