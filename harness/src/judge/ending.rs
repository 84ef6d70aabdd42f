//! How the trial itself ended: clean-ups that did not run, and the ceiling on its memory.

use watertight_report::model::{CleanupStatus, Resource, Status};

use super::Evidence;
use super::finding::Atom;
use crate::case::Budget;

pub(super) fn judge(evidence: &Evidence, budget: &Budget, atoms: &mut Vec<Atom>) {
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
