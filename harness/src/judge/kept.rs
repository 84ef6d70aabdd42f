//! What is still held or changed at the end: locks, inotify watches, the process's own state.

use std::collections::BTreeMap;

use watertight_report::model::{Resource, Status};

use super::finding::Atom;
use super::population::alike;
use super::{Creation, Evidence, Kept};
use crate::case::Budget;

/// Whether locks are held against the test whose lines only an explain run can tell.
pub(crate) fn holds_unnamed_lock(evidence: &Evidence) -> bool {
    let locks: Vec<&Kept> =
        evidence.kept.iter().filter(|kept| kept.resource == Resource::Lock).collect();
    let is_unnamed = locks.iter().any(|lock| lock.creation.is_none());
    is_unnamed && (evidence.unedited || leaks(&locks, evidence))
}

/// Whether what one line made and what is kept of it is a leak: what is made in the first of several
/// rounds and never again is made once in a process, and so is what a once-initialiser makes in any.
fn leaks(made: &[&Kept], evidence: &Evidence) -> bool {
    made.iter().any(|kept| {
        let once = kept.creation.as_ref().is_some_and(Creation::is_once);
        let unseen = kept.creation.is_none() && kept.resource != Resource::State;
        let excused = once || evidence.unedited && unseen;
        !excused && (!evidence.repeated || kept.last_made.is_none_or(|round| round > 1))
    })
}

pub(super) fn judge(evidence: &Evidence, budget: &Budget, atoms: &mut Vec<Atom>) {
    let mut lines: BTreeMap<(Resource, String), Vec<&Kept>> = BTreeMap::new();
    for kept in &evidence.kept {
        let key = match &kept.creation {
            // Each piece of state is a thing of its own.
            _ if kept.resource == Resource::State => kept.what.clone(),
            Some(creation) => creation.key(),
            None => alike(&kept.what),
        };
        lines.entry((kept.resource, key)).or_default().push(kept);
    }
    for ((resource, _), made) in &lines {
        let of_kind = lines.iter().filter(|((other, _), _)| other == resource);
        let against = of_kind.filter(|(_, made)| leaks(made, evidence));
        let against: usize = against.map(|(_, made)| made.len()).sum();
        let status = match leaks(made, evidence) {
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
