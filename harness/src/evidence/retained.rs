//! What lives on the heap at the end of an unedited program: whether that is worth another run, and whose it is.

use std::time::Duration;

use watertight_report::model::Resource;

use super::held;
use crate::case::Case;
use crate::explain::Namer;
use crate::judge::{Evidence, HeapEvidence, HeapGroup};
use crate::run::Run;
use crate::trial::Part;
use crate::unedited::panic_message;

/// A test that takes no longer than this is run again for any block that it keeps.
const SHORT: Duration = Duration::from_secs(2);

/// Whether what lives at the end of an unedited program may be looked into: what std reads to print a panic is
/// no matter.
pub(super) fn may_be_kept(part: &Part<'_>, evidence: &Evidence) -> bool {
    evidence.unedited && evidence.heap.is_some() && panic_message(&part.seen.output).is_none()
}

/// Whether so much lives at the end of an unedited program that it is listed: over its budget, or more than
/// the program's floor.
pub(super) fn retains_much(case: &Case, part: &Part<'_>, evidence: &Evidence) -> bool {
    let enough = match case.budget.allowed(Resource::Heap) as i64 {
        0 => part.seen.heap_floor_bytes,
        allowed => allowed,
    };
    let grown =
        |heap: &HeapEvidence| heap.bytes.last().unwrap_or(&0) - heap.bytes.first().unwrap_or(&0);
    may_be_kept(part, evidence) && evidence.heap.as_ref().is_some_and(|heap| grown(heap) > enough)
}

/// Whether an unedited program does not end like those whose tests keep nothing: some of what lives there may
/// have been forgotten.
pub(super) fn may_have_lost(run: &Run, part: &Part<'_>, evidence: &Evidence) -> bool {
    let is_clean =
        || part.seen.end.zip(run.clean_ends.as_ref()).is_some_and(|(end, known)| known.has(&end));
    may_be_kept(part, evidence) && part.seen.duration <= SHORT && !is_clean()
}

/// What lives at the end of an unedited program and was allocated by its test, by site.
pub(super) fn retained(part: &Part<'_>, namer: &Namer<'_>) -> Vec<HeapGroup> {
    let seen = part.seen;
    let Some(region) = &seen.region else { return Vec::new() };
    let mut groups = namer.heap_groups(region, &seen.stacks);
    groups.retain(|group| group.creation.is_of_test() && !group.creation.is_of_panic());
    held::part(groups, part, namer)
}
