//! What is counted at every boundary: descriptors, threads, tasks, mapped bytes, port pairs, gauges.

use std::collections::BTreeMap;

use watertight_report::model::{Resource, Status};

use super::finding::Atom;
use super::heap::task_creation;
use super::series::{Growth, classify, deltas, median, telling};
use super::{Creation, Evidence, Population, Thing};
use crate::case::Budget;

pub(super) fn judge(
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
        let key = thing.creation.as_ref().map_or_else(|| alike(&thing.what), Creation::key);
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
        let unknown = evidence.unedited && first.creation.is_none();
        let foreign = evidence.unedited && first.creation.as_ref().is_some_and(|it| !is_tests(it));
        // Under a leak, what was made in round 1 alone is a step beside it.
        let early = evidence.repeated && births.iter().skip(1).all(|count| *count == 0);
        let status = match status {
            Status::Leak if once || early || foreign => Status::Step,
            Status::Leak if unknown => Status::Unconfirmed,
            status => status,
        };
        if status == Status::Leak {
            told += things.len();
        }
        let per_round = match births.get(1..) {
            Some(later) if !later.is_empty() => median(later),
            _ => median(&births),
        };
        // Of the last round's things the first one names the rest.
        let newest = things.iter().rev().max_by_key(|thing| thing.round).unwrap_or(&first);
        let what = match newest.resource {
            Resource::Thread => commonest_name(&things),
            _ => newest.what.clone(),
        };
        let mut atom = Atom::new(status, newest.resource, what, total, per_round)
            .made(newest.creation.clone());
        if status == Status::Unconfirmed {
            atom.note = Some(UNSEEN.to_owned());
        }
        if population.resource == Resource::TimeWait {
            atom.budget = Some(allowed);
        }
        atoms.push(atom);
    }
    let excused = |thing: &Thing| match &thing.creation {
        _ if evidence.unedited && !thing.creation.as_ref().is_some_and(is_tests) => true,
        Some(creation) => creation.is_once(),
        None => false,
    };
    let all_excused = !evidence.repeated
        && !population.things.is_empty()
        && population.things.iter().all(excused);
    if told == 0 && !all_excused && (population.things.is_empty() || status == Status::Leak) {
        // Counted, but nothing that can be pointed at.
        let per_round = median(&telling(&population.series));
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

/// Whether a thing of an unedited program was made by its test, and not by libtest for it.
fn is_tests(creation: &Creation) -> bool {
    creation.site.is_none() || creation.is_of_test()
}

/// Why a thing of an unedited program is not held against its test.
const UNSEEN: &str = "it was made by a call that no hook sees (a raw system call, or the C library's own), so whether it is made once or by every test cannot be told";

/// A name without its numbers: what has no site and differs only in them is one thing many times, as
/// `pipe:[41]` and `pipe:[42]` are.
pub(super) fn alike(what: &str) -> String {
    what.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// The name that most of them have: a thread that has just been made still has its process's.
fn commonest_name(things: &[&Thing]) -> String {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for thing in things {
        *names.entry(&thing.what).or_default() += 1;
    }
    let commonest = names.into_iter().max_by_key(|(_, count)| *count);
    commonest.map(|(name, _)| name.to_owned()).unwrap_or_default()
}
