//! Who holds the heap that has grown: asked of the explain run's last moment.

use watertight_report::model::Holder;

use crate::explain::Namer;
use crate::holder::{Among, Holders, is_wanted};
use crate::judge::HeapGroup;
use crate::trial::Part;

/// Sites whose holders are looked for, the largest first.
const SITES_MAX: usize = 24;

/// Adds to each site that may leak who holds what was made there.
pub(super) fn hold(groups: &mut [HeapGroup], part: &Part<'_>, namer: &Namer<'_>) {
    let suspects = groups.iter_mut().filter(|group| group.is_suspect()).take(SITES_MAX);
    match asked(part, namer) {
        Asked::Holders(holders) => {
            suspects.for_each(|group| group.holder = holders.of(&group.stacks, Among::All));
        }
        Asked::Nobody(answer) => suspects.for_each(|group| group.holder.clone_from(&answer)),
    }
}

/// Parts what lives at the end of an unedited program by whether anything points to it, and adds who holds
/// it. What is lost comes first.
pub(super) fn part(groups: Vec<HeapGroup>, part: &Part<'_>, namer: &Namer<'_>) -> Vec<HeapGroup> {
    let asked = asked(part, namer);
    let (mut parted, mut held) = (Vec::new(), Vec::new());
    for mut group in groups {
        match &asked {
            Asked::Holders(holders) => {
                if let Some(lost) = holders.lost(&group.stacks) {
                    let mut part = group.split_off(lost.blocks, lost.bytes);
                    part.holder = Some(lost.holder);
                    parted.push(part);
                }
                if held.len() < SITES_MAX {
                    group.holder = holders.of(&group.stacks, Among::Held);
                }
            }
            Asked::Nobody(answer) => group.holder.clone_from(answer),
        }
        if group.is_there() {
            held.push(group);
        }
    }
    parted.append(&mut held);
    parted
}

/// Who can be asked.
enum Asked<'a> {
    Holders(Box<Holders<'a>>),
    /// The one answer for all.
    Nobody(Option<Holder>),
}

fn asked<'a>(part: &'a Part<'_>, namer: &'a Namer<'_>) -> Asked<'a> {
    match (&part.seen.heap, &part.seen.region) {
        (Some(Ok(heap)), Some(region)) => match Holders::new(heap, region, namer) {
            Some(holders) => Asked::Holders(Box::new(holders)),
            None => Asked::Nobody(None),
        },
        (Some(Err(unavailable)), _) => {
            Asked::Nobody(Some(Holder::unmeasured(unavailable.reason.clone())))
        }
        _ if !is_wanted() => Asked::Nobody(None),
        _ => Asked::Nobody(Some(Holder::unmeasured("the run for it did not come to its end"))),
    }
}
