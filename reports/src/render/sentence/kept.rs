//! Who keeps the heap that a sentence tells of: one clause, and only where it is sure.

use super::{parts, repeats};
use crate::model::{Finding, Mode, Resource, Trial};
use crate::render::holder::clause;

/// Who keeps the heap of `worst`, the worst finding that has any; none where that is not among those which
/// the sentence tells of together.
pub(super) fn kept(trial: &Trial, worst: &Finding, together: &[&Finding]) -> Option<String> {
    if !together.iter().any(|finding| std::ptr::eq(*finding, worst)) {
        return None;
    }
    let a_round = match trial.mode {
        _ if !together.iter().all(|finding| repeats(trial, finding)) => "",
        Mode::Shared => " a pass",
        Mode::Trial | Mode::Off | Mode::Watch => " a round",
    };
    let said = |finding: &Finding| clause(finding.holder.as_deref()?, a_round);
    let kept = said(worst)?;
    // Of what is lost it is said of all blocks in the sentence, so it must be true of all.
    let is_lost = worst.holder.as_ref().is_some_and(|holder| holder.class.is_lost());
    let mut with_heap = together.iter().filter(|finding| has_heap(finding));
    let is_true = !is_lost || with_heap.all(|finding| said(finding).as_ref() == Some(&kept));
    is_true.then_some(kept)
}

/// Whether heap is among what the finding tells of.
pub(super) fn has_heap(finding: &Finding) -> bool {
    parts(finding).iter().any(|part| part.resource == Resource::Heap && part.growth > 0)
}
