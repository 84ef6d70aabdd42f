//! Live heap: whether it grows, and which sites grow.

use watertight_report::model::{Confidence, Resource, Status};

use super::finding::{Atom, blocks_text};
use super::series::{Growth, HEAP_ROUNDS, classify, classify_heap, deltas, later, typical_growth};
use super::{Creation, Evidence, HeapEvidence, HeapGroup};
use crate::case::Budget;

/// Most bytes that are excused because the C library keeps them. More is a leak whoever keeps it.
pub(super) const KEEPER_BYTES_MAX: i64 = 1 << 20;

/// Whether heap is suspected and must be explained, and by how it grew.
pub(crate) fn heap_growth(heap: &HeapEvidence, budget: &Budget) -> Growth {
    let allowed = budget.allowed(Resource::Heap) as i64;
    let bytes = classify_heap(&heap.bytes, allowed);
    // Blocks of one size that come while others go leave the bytes as they were.
    let blocks = if allowed > 0 { Growth::None } else { classify_heap(&heap.blocks, 0) };
    match (bytes, blocks) {
        (Growth::Leak, _) | (_, Growth::Leak) => Growth::Leak,
        (Growth::Unconfirmed, _) | (_, Growth::Unconfirmed) => Growth::Unconfirmed,
        (Growth::Allowed, _) => Growth::Allowed,
        (Growth::Step, _) | (_, Growth::Step) => Growth::Step,
        _ => Growth::None,
    }
}

pub(super) fn judge(heap: &HeapEvidence, budget: &Budget, atoms: &mut Vec<Atom>) {
    let growth = heap_growth(heap, budget);
    let status = match growth {
        Growth::None => return,
        Growth::Step => Status::Step,
        Growth::Allowed => Status::Accepted,
        Growth::Leak => Status::Leak,
        Growth::Unconfirmed => {
            let grown = deltas(&heap.bytes).first().copied().unwrap_or(0);
            let allowed = budget.allowed(Resource::Heap) as i64;
            match allowed {
                0 => Status::Unconfirmed,
                _ if grown <= allowed => Status::Accepted,
                _ => Status::Leak,
            }
        }
    };
    let total = heap.bytes.last().unwrap_or(&0) - heap.bytes.first().unwrap_or(&0);
    let per_round = typical_growth(&heap.bytes);
    let blocks = heap.blocks.last().unwrap_or(&0) - heap.blocks.first().unwrap_or(&0);
    let mut told = false;
    let groups = heap.groups.as_deref().unwrap_or_default();
    let any_steady = groups.iter().any(HeapGroup::grows_steadily);
    let any_leaks = groups.iter().any(HeapGroup::leaks);
    // A container that grows with pauses beside what grows in every round is what keeps that.
    let pausing = groups.iter().filter(|group| group.leaks() && !group.grows_steadily());
    let keeper = pausing.filter_map(|group| group.creation.site.as_ref()).next();
    let mut kept_by = keeper.filter(|_| any_steady).map(|keeper| {
        let place = format!("{}:{}", keeper.file, keeper.line);
        format!("a collection grows along with it at {place} and may be what keeps it")
    });
    for group in groups.iter().filter(|_| status == Status::Leak) {
        let accused = match (any_steady, any_leaks) {
            (true, _) => group.grows_steadily(),
            (_, true) => group.leaks(),
            _ => group.has_part(),
        };
        if !accused {
            continue;
        }
        told = true;
        let count = group.blocks.last().unwrap_or(&0) - group.blocks.first().unwrap_or(&0);
        let typical = typical_growth(&group.bytes);
        let mut atom =
            Atom::new(Status::Leak, Resource::Heap, blocks_text(count), group.growth(), typical)
                .made(Some(group.creation.clone()));
        atom.holder.clone_from(&group.holder);
        // Whoever knows who keeps it need not guess.
        let is_known = group.holder.as_ref().is_some_and(|it| it.confidence == Confidence::Sure);
        atom.note = if is_known { None } else { kept_by.take() };
        if let Some(keeper) = group.creation.known_keeper()
            && group.growth() <= KEEPER_BYTES_MAX
        {
            atom.status = Status::Step;
            atom.note = Some(format!(
                "the C library keeps this for good in `{keeper}`, so it is no leak of the test"
            ));
        }
        atoms.push(atom);
    }
    if !told {
        let mut atom = Atom::new(status, Resource::Heap, blocks_text(blocks), total, per_round);
        atom.note = match (status, &heap.groups) {
            (Status::Leak, Some(_)) => Some(
                "the growth did not repeat when the test was run again with stacks, so its line is not known".to_owned(),
            ),
            (Status::Leak, None) => Some("no stacks could be taken, so its line is not known".to_owned()),
            (Status::Unconfirmed, _) => Some(
                "too few rounds to tell a leak from a cache that fills; declare `rounds` or `allow(heap = ...)` to decide".to_owned(),
            ),
            _ => None,
        };
        atoms.push(atom);
    }
}

/// What lives at the end of an unedited program: what nobody can free any more is a leak; what something
/// still points to is only listed, unless a budget is declared for it.
pub(super) fn judge_retained(groups: &[HeapGroup], budget: &Budget, atoms: &mut Vec<Atom>) {
    let total: i64 = groups.iter().map(HeapGroup::growth).sum();
    let status = match budget.allowed(Resource::Heap) as i64 {
        0 => Status::Unconfirmed,
        allowed if total <= allowed => Status::Accepted,
        _ => Status::Leak,
    };
    atoms.extend(groups.iter().map(|group| {
        let count = group.blocks.last().unwrap_or(&0) - group.blocks.first().unwrap_or(&0);
        let is_leak = group.is_lost() && status == Status::Unconfirmed;
        let status = if is_leak { Status::Leak } else { status };
        let growth = group.growth();
        let mut atom = Atom::new(status, Resource::Heap, blocks_text(count), growth, growth)
            .made(Some(group.creation.clone()));
        atom.holder.clone_from(&group.holder);
        atom
    }));
}

/// A task is a heap block of the runtime's: its stack is that of the spawn.
pub(super) fn task_creation(evidence: &Evidence) -> Option<Creation> {
    let groups = evidence.heap.as_ref()?.groups.as_ref()?;
    let of_tasks = groups.iter().filter(|group| group.creation.is_task());
    let leaking = of_tasks.filter(|group| group.leaks());
    leaking.max_by_key(|group| group.growth()).map(|group| group.creation.clone())
}

impl HeapGroup {
    /// Bytes that came since the first boundary.
    fn growth(&self) -> i64 {
        self.bytes.last().unwrap_or(&0) - self.bytes.first().unwrap_or(&0)
    }

    /// Takes a part of what lives at the end into a group of its own.
    pub(crate) fn split_off(&mut self, blocks: i64, bytes: i64) -> Self {
        let mut part = Self {
            blocks: vec![0; self.blocks.len()],
            bytes: vec![0; self.bytes.len()],
            ..self.clone()
        };
        for (whole, part, amount) in [
            (&mut self.blocks, &mut part.blocks, blocks),
            (&mut self.bytes, &mut part.bytes, bytes),
        ] {
            if let (Some(whole), Some(part)) = (whole.last_mut(), part.last_mut()) {
                *whole -= amount;
                *part = amount;
            }
        }
        part
    }

    /// Whether anything of it lives at the end.
    pub(crate) fn is_there(&self) -> bool {
        self.growth() > 0
    }

    /// Whether nothing that the program can reach points to it any more: nobody can ever free it.
    pub(crate) fn is_lost(&self) -> bool {
        self.holder
            .as_ref()
            .is_some_and(|it| it.class.is_lost() && it.confidence == Confidence::Sure)
    }

    /// Whether this site alone may be judged a leak, in whichever way.
    pub(crate) fn is_suspect(&self) -> bool {
        self.leaks() || self.has_part()
    }

    /// Whether this site alone would be judged a leak.
    fn leaks(&self) -> bool {
        let leaks = |series: &[i64]| classify_heap(series, 0) == Growth::Leak;
        leaks(&self.bytes) || leaks(&self.blocks)
    }

    /// Whether it grew in each of the last rounds.
    fn grows_steadily(&self) -> bool {
        let leaks = |series: &[i64]| classify(series, 0, HEAP_ROUNDS) == Growth::Leak;
        leaks(&self.bytes) || leaks(&self.blocks)
    }

    /// Whether this site has grown more than once: several that grow in turn leak together.
    fn has_part(&self) -> bool {
        let later = later(&self.bytes);
        later.iter().filter(|delta| **delta > 0).count() > 1 && later.iter().sum::<i64>() > 0
    }
}
