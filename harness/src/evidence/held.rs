//! Who holds the heap that has grown: asked of the explain run's last moment.

use watertight_report::model::Holder;

use crate::explain::Namer;
use crate::holder::{Among, Holders, Looked, is_wanted};
use crate::judge::HeapGroup;
use crate::region::RegionMap;
use crate::trial::Part;

/// Sites whose holders are looked for, the largest first.
const SITES_MAX: usize = 24;

/// Adds to each site that may leak who holds what was made there.
pub(super) fn hold(groups: &mut [HeapGroup], part: &Part<'_>, namer: &Namer<'_>) {
    let suspects = groups.iter_mut().filter(|group| group.is_suspect()).take(SITES_MAX);
    let asked = asked(part, namer);
    suspects.for_each(|group| group.holder = asked.holder(&group.stacks));
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
            Asked::Nobody(answer) => group.holder = answer.as_deref().cloned(),
        }
        if group.is_there() {
            held.push(group);
        }
    }
    parted.append(&mut held);
    parted
}

/// Who can be asked.
pub(super) enum Asked<'a> {
    Holders(Box<Holders<'a>>),
    /// The one answer for all.
    Nobody(Option<Box<Holder>>),
}

impl<'a> Asked<'a> {
    /// Whoever knows the heap of a process.
    pub(super) fn of(
        looked: Option<&'a Looked>,
        region: Option<&'a RegionMap>,
        namer: &'a Namer<'a>,
    ) -> Self {
        match (looked, region, namer.holders_blind()) {
            (Some(Ok(_)), _, Some(reason)) => Self::unmeasured(reason),
            (Some(Ok(heap)), Some(region), None) => match Holders::new(heap, region, namer) {
                Some(holders) => Self::Holders(Box::new(holders)),
                None => Self::Nobody(None),
            },
            (Some(Err(unavailable)), _, _) => Self::unmeasured(&unavailable.reason),
            _ if !is_wanted() => Self::Nobody(None),
            _ => Self::unmeasured("it was not there to be looked at"),
        }
    }

    fn unmeasured(reason: &str) -> Self {
        Self::Nobody(Some(Box::new(Holder::unmeasured(reason))))
    }

    /// Who holds what some stacks have made.
    pub(super) fn holder(&self, stacks: &[u32]) -> Option<Holder> {
        match self {
            Self::Holders(holders) => holders.of(stacks, Among::All),
            Self::Nobody(answer) => answer.as_deref().cloned(),
        }
    }
}

fn asked<'a>(part: &'a Part<'_>, namer: &'a Namer<'a>) -> Asked<'a> {
    Asked::of(part.seen.heap.as_ref(), part.seen.region.as_ref(), namer)
}
