//! What is there when the trial is over: processes, files, shared memory.

use std::collections::BTreeMap;

use watertight_report::model::{Resource, Status};

use super::finding::Atom;
use super::{Evidence, Remain};
use crate::case::Budget;

pub(super) fn judge(evidence: &Evidence, budget: &Budget, atoms: &mut Vec<Atom>) {
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
