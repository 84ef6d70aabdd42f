//! Shared mode: all cases in one process, in several passes, and what that shows of each case.
//!
//! A process for each trial hides what a suite gathers, because it exits. Here nothing exits: a
//! registry that nobody disposes of grows with each case, and the record says at which test the
//! process would have met its limit.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use watertight_report::model::{Forecast, Mode, Outcome, Resource, Status};

use crate::case::Case;
use crate::evidence::{evidence, explain, is_suspected};
use crate::judge::Evidence;
use crate::observe::{Observation, Purpose, Script, Step, observe};
use crate::run::{Run, descriptor_limit, memory_limit};
use crate::snapshot::Counts;
use crate::trial::{Part, Tried, namer, record, tasks_stay};

/// In place of a case's number: the child runs the cases it is told, one after the other.
pub(crate) const CASES: u32 = u32::MAX - 1;
/// Passes when nobody says how many: one warms up, three must agree.
pub(crate) const PASSES: u32 = 4;
/// Fewest passes that can tell growth from a first use.
pub(crate) const PASSES_MIN: u32 = 2;

/// The cases that the command line selects, by index.
pub(crate) fn selected(arguments: &Arguments, cases: &[Case]) -> Vec<usize> {
    let is_selected = |case: &Case| {
        let trial = Trial::test(case.name.clone(), || Ok(())).with_ignored_flag(case.ignored);
        !arguments.is_filtered_out(&trial) && !arguments.is_ignored(&trial)
    };
    (0..cases.len()).filter(|index| is_selected(&cases[*index])).collect()
}

/// One process for all selected cases: run by whoever asks first.
pub(crate) struct SharedRun {
    passes: u32,
    selected: Vec<usize>,
    results: Mutex<Option<BTreeMap<usize, Tried>>>,
}

impl SharedRun {
    pub(crate) fn new(passes: u32, selected: Vec<usize>) -> Self {
        Self { passes, selected, results: Mutex::new(None) }
    }

    /// What came of one case.
    pub(crate) fn result(&self, run: &Run, cases: &[Case], index: usize) -> Tried {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let results = results.get_or_insert_with(|| self.run(run, cases));
        results.remove(&index).unwrap_or_else(|| {
            Tried::not_started(
                run,
                &cases[index],
                &std::io::Error::other("it was not among the selected cases"),
            )
        })
    }

    fn run(&self, run: &Run, cases: &[Case]) -> BTreeMap<usize, Tried> {
        let script = Script::Suite { cases, selected: &self.selected, passes: self.passes };
        let seen = match observe(run, script, Purpose::Measure) {
            Ok(seen) => seen,
            Err(error) => {
                return self
                    .selected
                    .iter()
                    .map(|index| (*index, Tried::not_started(run, &cases[*index], &error)))
                    .collect();
            }
        };
        let shares: Vec<Share<'_>> =
            self.selected.iter().map(|index| Share::new(&seen, *index, &self.selected)).collect();
        let mut all: Vec<Evidence> = Vec::new();
        for share in &shares {
            let case = &cases[share.index];
            all.push(share.with_part(|part| evidence(run, case, part, &namer(run, case))));
        }
        let suspected = shares.iter().zip(&all).any(|(share, evidence)| {
            share.with_part(|part| is_suspected(run, &cases[share.index], part, evidence))
        });
        if suspected
            && let Ok(explained) = observe(
                run,
                script,
                Purpose::Explain {
                    rounds: self.passes,
                    waits: seen.waits,
                    patient: !tasks_stay(&seen),
                },
            )
        {
            for (share, evidence) in shares.iter().zip(&mut all) {
                let own = Share::new(&explained, share.index, &self.selected);
                own.with_part(|part| {
                    explain(&cases[share.index], evidence, part, &namer(run, &cases[share.index]));
                });
            }
        }
        let mut tried: BTreeMap<usize, Tried> = BTreeMap::new();
        for (share, evidence) in shares.iter().zip(all) {
            let case = &cases[share.index];
            let done = share.with_part(|part| record(run, case, part, evidence, share.duration));
            tried.insert(share.index, done);
        }
        forecast(&mut tried, &seen, self.selected.len() as u64);
        tried
    }
}

/// One case's share of the process.
struct Share<'a> {
    seen: &'a Observation,
    index: usize,
    /// The case's steps, by their number in the process, from 1.
    steps: Vec<(u32, &'a Step)>,
    is_last: bool,
    duration: Duration,
}

impl<'a> Share<'a> {
    fn new(seen: &'a Observation, index: usize, selected: &[usize]) -> Self {
        let numbered = seen.steps.iter().enumerate().map(|(at, step)| (at as u32 + 1, step));
        let steps: Vec<_> = numbered.filter(|(_, step)| step.case == index).collect();
        let duration = steps.iter().map(|(_, step)| step.duration).sum();
        Self { seen, index, steps, is_last: selected.last() == Some(&index), duration }
    }

    fn with_part<T>(&self, run: impl FnOnce(&Part<'_>) -> T) -> T {
        let round_of = |number: u32| {
            self.steps.iter().find(|(own, _)| *own == number).map(|(_, step)| step.pass)
        };
        // A step that failed in a later pass ends the passes and is not counted.
        let counted: Vec<u32> = self
            .steps
            .iter()
            .filter(|(_, step)| step.passed || step.pass == 1)
            .map(|(number, _)| *number)
            .collect();
        let (mut counts, mut waiting) = (Vec::new(), Vec::new());
        for number in &counted {
            let at = *number as usize;
            let (Some(before), Some(after)) =
                (self.seen.counts.get(at - 1), self.seen.counts.get(at))
            else {
                break;
            };
            let (waited, waits) = (self.seen.waiting[at - 1], self.seen.waiting[at]);
            if counts.is_empty() {
                counts.push(Counts { tasks: Some(0), ..before.plus(before, before) });
                waiting.push(waited);
            }
            if let (Some(last), Some(wait)) = (counts.last(), waiting.last().copied()) {
                counts.push(last.plus(before, after));
                waiting.push((wait + waits).saturating_sub(waited));
            }
        }
        let (outcome, message) = self.outcome();
        let later = self.steps.iter().find(|(_, step)| !step.passed && step.pass > 1);
        run(&Part {
            seen: self.seen,
            mode: Mode::Shared,
            outcome,
            message,
            rounds: counts.len().saturating_sub(1) as u32,
            later_failure: later
                .map(|(_, step)| format!("it failed in pass {}: {}", step.pass, step.message)),
            counts,
            waiting,
            round_of: &round_of,
            takes_rest: self.is_last,
        })
    }

    /// The first pass is the case's result; what the process's end cut off has its fate.
    fn outcome(&self) -> (Outcome, Option<String>) {
        match self.steps.first() {
            Some((_, step)) if step.passed => (Outcome::Passed, None),
            Some((_, step)) => (Outcome::Failed, Some(step.message.clone())),
            None => {
                let why = self
                    .seen
                    .message
                    .clone()
                    .unwrap_or_else(|| "the shared process ended before it".to_owned());
                (self.seen.outcome, Some(why))
            }
        }
    }
}

/// At which test the process meets a limit if the suite goes on as it does: what all leaks together
/// add in one pass, spread over its cases.
fn forecast(tried: &mut BTreeMap<usize, Tried>, seen: &Observation, cases: u64) {
    let start =
        seen.counts.first().and_then(|counts| counts.fds.as_ref().ok().copied()).unwrap_or(0);
    let heap_limit = memory_limit();
    let resident = seen
        .counts
        .first()
        .and_then(|counts| counts.memory.as_ref().ok())
        .map_or(0, |memory| memory.now);
    let limits = [
        (&[Resource::Fd, Resource::Socket][..], "RLIMIT_NOFILE", descriptor_limit(), start),
        (&[Resource::Heap][..], "memory", heap_limit, resident),
    ];
    for (resources, name, limit, start) in limits {
        let leaks = |tried: &Tried| -> i64 {
            let leaking =
                tried.record.findings.iter().filter(|finding| finding.status == Status::Leak);
            leaking.map(|finding| per_round(finding, resources)).sum()
        };
        let per_pass: i64 = tried.values().map(leaks).sum();
        if per_pass <= 0 || limit <= start {
            continue;
        }
        let at = ((limit - start) * cases).div_ceil(per_pass as u64);
        for finding in tried.values_mut().flat_map(|tried| &mut tried.record.findings) {
            let meets = finding.status == Status::Leak && per_round(finding, resources) > 0;
            if meets && finding.forecast.is_none() {
                finding.forecast = Some(Forecast::new(name, limit, at, "test"));
            }
        }
    }
}

/// What a finding adds to some resources in one pass, its parts included.
fn per_round(finding: &watertight_report::model::Finding, resources: &[Resource]) -> i64 {
    if finding.parts.is_empty() {
        return if resources.contains(&finding.resource) { finding.per_round } else { 0 };
    }
    let parts = finding.parts.iter().filter(|part| resources.contains(&part.resource));
    parts.map(|part| part.per_round.unwrap_or(0)).sum()
}
