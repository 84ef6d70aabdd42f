//! What counts as a leak: pure functions from evidence to findings and a verdict. No clock, no I/O.
//!
//! - *Populations* (descriptors, sockets, threads, tasks, gauges) are exact. Growth in round 1 alone
//!   is a step; growth in every later round that was looked at is a leak.
//! - *Heap* needs growth in each of the last [`HEAP_ROUNDS`] rounds: caches fill over several rounds
//!   and then stop. Growth that comes back after pauses is a container that doubles, or a channel that
//!   takes its memory by the block: see `series::keeps_coming`.
//! - *Kept* (locks, inotify watches, changed state): a leak unless it was made in round 1 alone.
//! - *Remains* (processes that outlive their test, zombies, files, shared memory, clean-ups that did not
//!   run): once decides.
//! - Where there is no second round, what a once-initialiser made is a step and all other population
//!   growth a leak; heap is unconfirmed.
//! - In an unedited program what no hook saw being made (raw system calls, libc's own threads) may be made
//!   once as well: it is unconfirmed. Heap that lives at the end is listed, and a leak over a budget or where no
//!   pointer leads to it any more.

mod creation;
mod evidence;
mod series;
mod population;
mod heap;
mod kept;
mod remains;
mod ending;
mod finding;
mod watched;

use watertight_report::model::{Finding, Status, Verdict};

use crate::case::Budget;
pub(crate) use creation::{Creation, is_once_initialiser};
pub(crate) use evidence::{
    Evidence, HeapEvidence, HeapGroup, Kept, Population, Remain, Staircase, Thing,
};
pub(crate) use finding::blocks_text;
use finding::{Atom, group};
pub(crate) use heap::heap_growth;
pub(crate) use kept::holds_unnamed_lock;
pub(crate) use series::{
    Growth, HEAP_ROUNDS, before_last_growth, classify, counts_up_each_time, deltas,
    grows_each_time, may_come_back, median,
};
pub(crate) use watched::{Made, Watched, watched};

/// Judges a trial: its findings, largest sin first, and its verdict.
pub(crate) fn judge(evidence: &Evidence, budget: &Budget) -> (Vec<Finding>, Verdict) {
    let mut atoms = Vec::new();
    for population in &evidence.populations {
        population::judge(population, evidence, budget, &mut atoms);
    }
    match &evidence.heap {
        _ if evidence.unedited => heap::judge_retained(&evidence.retained, budget, &mut atoms),
        Some(heap) => heap::judge(heap, budget, &mut atoms),
        None => {}
    }
    kept::judge(evidence, budget, &mut atoms);
    remains::judge(evidence, budget, &mut atoms);
    ending::judge(evidence, budget, &mut atoms);
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
        atom.holder.clone_from(&staircase.holder);
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

#[cfg(test)]
mod tests;
