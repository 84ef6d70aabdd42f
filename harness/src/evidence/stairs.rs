//! What processes kept making and never released: over their life, or with each repetition of `cx.steady`.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use watertight_report::model::{Forecast, Resource};

use super::held::Asked;
use crate::descendant::Descendant;
use crate::explain::Namer;
use crate::holder::Looked;
use crate::judge::{self, Creation, Staircase, deltas};
use crate::observe::{Observation, Steady};
use crate::region::RegionMap;
use crate::run::memory_limit;

/// Staircases of one process that are named at most: each costs a symbolised stack.
const STAIRCASES_MAX: usize = 16;

/// What processes kept making: by repetition where the body has repeated something for them, else by
/// time. Descriptors and threads in every run; heap in an explain run, which knows its stacks.
pub(super) fn stairs(seen: &Observation, namer: &Namer<'_>, explained: bool) -> Vec<Staircase> {
    let mut found: Vec<Staircase> = seen
        .steady
        .iter()
        .flat_map(|steady| steady_growth(seen, steady, namer, explained))
        .collect();
    let repeated: Vec<u32> = seen.steady.iter().map(|steady| steady.pid).collect();
    let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    for descendant in descendants.iter().filter(|descendant| !repeated.contains(&descendant.pid)) {
        let raw = descendant.staircases().into_iter().filter(|raw| raw.is_heap == explained);
        let (mut own, mut stacks) = (Vec::new(), Vec::new());
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
            own.push(Staircase {
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
                forecast: None,
                holder: None,
            });
            stacks.push(raw.stack);
        }
        foresee(&mut own, descendant);
        hold(&mut own, &stacks, descendant.looked.as_ref(), Some(&descendant.region), namer);
        found.extend(own);
    }
    one_for_each_program(found)
}

/// Adds to heap who holds it: of all stacks under one line the first has the answer for all.
fn hold(
    stairs: &mut [Staircase],
    stacks: &[u32],
    looked: Option<&Looked>,
    region: Option<&RegionMap>,
    namer: &Namer<'_>,
) {
    if !stairs.iter().any(|stair| stair.resource == Resource::Heap) {
        return;
    }
    let asked = Asked::of(looked, region, namer);
    for at in 0..stairs.len() {
        let site =
            |stair: &Staircase| stair.creation.as_ref().map(|creation| creation.site.clone());
        let own = site(&stairs[at]);
        let is_same = |(other, _): &(&Staircase, &u32)| site(other) == own;
        let together = stairs.iter().zip(stacks).filter(is_same);
        let together: Vec<u32> = together.map(|(_, stack)| *stack).collect();
        if stairs[at].resource == Resource::Heap && together.first() == stacks.get(at) {
            stairs[at].holder = asked.holder(&together);
        }
    }
}

/// When a process that goes on like this meets its limit on descriptors, or the machine's memory: all
/// its staircases together.
fn foresee(stairs: &mut [Staircase], descendant: &Descendant) {
    let watched_ms = descendant.watched().as_millis() as u64;
    let is_fd = |resource: Resource| matches!(resource, Resource::Fd | Resource::Socket);
    let rate = |is_it: &dyn Fn(Resource) -> bool| -> u64 {
        let of_kind = stairs.iter().filter(|stair| is_it(stair.resource));
        of_kind.map(|stair| stair.growth.max(0) as u64).sum()
    };
    let seconds = |limit: u64, now: u64, growth: u64| {
        let left = u128::from(limit.saturating_sub(now)) * u128::from(watched_ms);
        left.checked_div(u128::from(growth) * 1000).and_then(|it| u64::try_from(it).ok())
    };
    let fds = descendant.fd_limit.and_then(|limit| {
        let at = seconds(limit, descendant.fd_count, rate(&is_fd))?;
        Some(Forecast::new("RLIMIT_NOFILE", limit, at, "second"))
    });
    let heap = rate(&|resource| resource == Resource::Heap);
    let limit = if heap > 0 { memory_limit() } else { 0 };
    let memory = seconds(limit, 0, heap).map(|at| Forecast::new("memory", limit, at, "second"));
    for stair in stairs {
        stair.forecast = if is_fd(stair.resource) { fds.clone() } else { memory.clone() };
    }
}

/// At which repetition a count that goes on growing like this meets its limit.
fn at_repetition(
    resource: Resource,
    fd_limit: Option<u64>,
    series: &[i64],
    per_step: i64,
) -> Option<Forecast> {
    let (name, limit, now) = match resource {
        Resource::Fd | Resource::Socket => ("RLIMIT_NOFILE", fd_limit?, *series.last()?),
        Resource::Heap => ("memory", memory_limit(), 0),
        _ => return None,
    };
    let per_step = u64::try_from(per_step).ok().filter(|per_step| *per_step > 0)?;
    let at = limit.saturating_sub(now.max(0) as u64) / per_step + series.len() as u64 - 1;
    Some(Forecast::new(name, limit, at, "repetition"))
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
pub(super) fn is_same_program(a: &str, b: &str) -> bool {
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

/// A stack that made so many parts of what grew made it: one that was cut once stands by itself.
const MOST: (i64, i64) = (3, 4);

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
        forecast: None,
        holder: None,
    };
    let kinds: [(Resource, &str, &[i64]); 3] = [
        (Resource::Fd, "descriptors", &steady.fds),
        (Resource::Thread, "threads", &steady.threads),
        (Resource::Heap, "heap", &steady.heap_bytes),
    ];
    let mut found = Vec::new();
    let mut stacks = Vec::new();
    for (resource, what, series) in kinds {
        let is_heap = resource == Resource::Heap;
        let grows = match is_heap {
            true => judge::grows_each_time(series, judge::HEAP_ROUNDS),
            false => judge::counts_up_each_time(series),
        };
        if !grows || explained && !is_heap {
            continue;
        }
        // What each stack has kept since the first repetition: about as many as there were repetitions.
        let mut told = false;
        for (stack, live) in &steady.last {
            let warm = steady.warm.get(stack).copied().unwrap_or_default();
            let (things, growth) = match resource {
                Resource::Fd => (live.fds - warm.fds, live.fds - warm.fds),
                Resource::Heap => (live.blocks - warm.blocks, live.bytes - warm.bytes),
                _ => (0, 0),
            };
            if things * MOST.1 < (repetitions as i64 - 1) * MOST.0 || things == 0 {
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
            let per_step = growth / (repetitions as i64 - 1).max(1);
            let mut stair = stair(resource, what, growth, per_step, creation);
            let limit = descendant.and_then(|descendant| descendant.fd_limit);
            stair.forecast = at_repetition(resource, limit, series, per_step);
            found.push(stair);
            stacks.push(*stack);
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
            stacks.push(0);
        }
    }
    let region = descendant.map(|descendant| &descendant.region).or(seen.region.as_ref());
    hold(&mut found, &stacks, steady.heap.as_ref(), region, namer);
    found
}
