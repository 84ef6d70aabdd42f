//! Which block points to which, and from which root each is reached first.
//!
//! Roots are followed in the order of their rank, so a block belongs to the best known root that reaches it.
//! What none reaches is lost; of that, blocks that point to each other in a ring, and those that nothing
//! points to, are the roots of the rest (strongly connected components by Tarjan, SIAM J. Comput. 1(2), 1972).

use super::block::Blocks;
use super::memory::{Memory, WORD};
use crate::probe::Unavailable;

/// Blocks whose distance is less are read together with what is between them.
const GAP: u64 = 4096;
/// How much is read at once.
const AT_ONCE: u64 = 1 << 20;

/// Who points to whom among the blocks.
pub(super) struct Edges {
    /// Where the targets of each block begin, and where those of the last end.
    starts: Vec<u32>,
    targets: Vec<u32>,
    /// One for each target.
    pointers: Vec<Pointer>,
}

/// The first word of a block that points into another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pointer {
    /// Words before it in its block.
    word: u32,
    /// Where in the other block it points, in bytes.
    inside: u32,
}

impl Pointer {
    /// How far behind what `before` points to it lies, in bytes.
    pub(super) fn distance(self, before: u64) -> i64 {
        i64::from(self.word) * WORD as i64 - before as i64
    }

    /// Where in the other block it points, in bytes.
    pub(super) fn inside(self) -> u64 {
        self.inside.into()
    }
}

impl Edges {
    /// Reads every aligned word of every block. The process stands still.
    pub(super) fn read(memory: &Memory, blocks: &Blocks) -> Result<Self, Unavailable> {
        let mut starts = Vec::with_capacity(blocks.len() + 1);
        let mut targets: Vec<u32> = Vec::new();
        let mut pointers: Vec<Pointer> = Vec::new();
        let mut found: Vec<(u32, Pointer)> = Vec::new();
        let mut buffer: Vec<u8> = Vec::new();
        let mut span = (0, 0);
        for (at, block) in blocks.iter() {
            starts.push(targets.len() as u32);
            let mut from = block.start;
            while from + WORD <= block.end() {
                if !(span.0 <= from && from + WORD <= span.1) {
                    span = (from, together(blocks, at, from));
                    buffer.resize((span.1 - span.0) as usize, 0);
                    memory.read(span.0, &mut buffer)?;
                }
                let to = block.end().min(span.1);
                let part = &buffer[(from - span.0) as usize..(to - span.0) as usize];
                let words = ((from - block.start) / WORD..).zip(super::memory::words_of(part));
                found.extend(words.filter_map(|(word, value)| {
                    let target = blocks.find(value)?;
                    let inside = (value - blocks.get(target).start) as u32;
                    Some((target, Pointer { word: word as u32, inside }))
                }));
                from += (to - from) & !(WORD - 1);
            }
            found.sort_unstable_by_key(|(target, pointer)| (*target, pointer.word));
            found.dedup_by_key(|(target, _)| *target);
            targets.extend(found.iter().map(|(target, _)| *target));
            pointers.extend(found.drain(..).map(|(_, pointer)| pointer));
        }
        starts.push(targets.len() as u32);
        Ok(Self { starts, targets, pointers })
    }

    #[cfg(test)]
    pub(super) fn of(pointers: &[&[u32]]) -> Self {
        let mut edges = Self { starts: vec![0], targets: Vec::new(), pointers: Vec::new() };
        for targets in pointers {
            edges.targets.extend_from_slice(targets);
            edges.pointers.resize(edges.targets.len(), Pointer { word: 0, inside: 0 });
            edges.starts.push(edges.targets.len() as u32);
        }
        edges
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn of_block(&self, block: u32) -> &[u32] {
        let at = block as usize;
        &self.targets[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    /// The pointer from one block to another.
    pub(super) fn pointer(&self, from: u32, to: u32) -> Option<Pointer> {
        let at = self.of_block(from).binary_search(&to).ok()?;
        self.pointers.get(self.starts[from as usize] as usize + at).copied()
    }
}

/// To where can be read together with what is at `from` in the block `at`.
fn together(blocks: &Blocks, at: u32, from: u64) -> u64 {
    let limit = from + AT_ONCE;
    let mut end = blocks.get(at).end().min(limit);
    let mut next = at + 1;
    while (next as usize) < blocks.len() && end < limit {
        let block = blocks.get(next);
        if block.start > end + GAP || block.end() > limit {
            break;
        }
        end = end.max(block.end());
        next += 1;
    }
    end
}

/// From where a block was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Nobody has reached it yet.
    Nobody,
    /// The root of this number.
    Root(u32),
    Block(u32),
}

/// A tree over all blocks that were reached.
pub(super) struct Reached {
    pub(super) from: Vec<From>,
    /// In the order in which they were reached: from before to.
    pub(super) order: Vec<u32>,
}

impl Reached {
    pub(super) fn nothing(blocks: usize) -> Self {
        Self { from: vec![From::Nobody; blocks], order: Vec::new() }
    }

    /// Follows `roots` (a number and the block that it points to) to all that was not reached before, but
    /// not into blocks that are `cut`.
    pub(super) fn follow(
        &mut self,
        edges: &Edges,
        roots: impl Iterator<Item = (u32, u32)>,
        is_cut: impl Fn(u32) -> bool,
    ) {
        let mut next = self.order.len();
        for (number, block) in roots {
            if self.from[block as usize] == From::Nobody && !is_cut(block) {
                self.from[block as usize] = From::Root(number);
                self.order.push(block);
            }
        }
        while let Some(&block) = self.order.get(next) {
            next += 1;
            for &target in edges.of_block(block) {
                if self.from[target as usize] == From::Nobody && !is_cut(target) {
                    self.from[target as usize] = From::Block(block);
                    self.order.push(target);
                }
            }
        }
    }

    pub(super) fn has(&self, block: u32) -> bool {
        self.from[block as usize] != From::Nobody
    }
}

/// Blocks that nobody outside of them points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// More than one where they point to each other.
    pub(super) blocks: Vec<u32>,
    /// Whether a single one points to itself.
    pub(super) is_ring: bool,
}

/// The sources of all that was not reached.
pub(super) fn sources(edges: &Edges, reached: &Reached) -> Vec<Source> {
    let components = Components::of(edges, reached);
    let mut is_source = vec![true; components.count as usize];
    for block in 0..edges.len() as u32 {
        let own = components.of[block as usize];
        if own == Components::NONE {
            continue;
        }
        for &target in edges.of_block(block) {
            let other = components.of[target as usize];
            if other != Components::NONE && other != own {
                is_source[other as usize] = false;
            }
        }
    }
    let mut sources: Vec<Source> = Vec::new();
    let mut place = vec![usize::MAX; components.count as usize];
    for block in 0..edges.len() as u32 {
        let own = components.of[block as usize];
        if own == Components::NONE || !is_source[own as usize] {
            continue;
        }
        let at = &mut place[own as usize];
        if *at == usize::MAX {
            *at = sources.len();
            sources.push(Source { blocks: Vec::new(), is_ring: false });
        }
        sources[*at].blocks.push(block);
        sources[*at].is_ring |= edges.of_block(block).contains(&block);
    }
    for source in &mut sources {
        source.is_ring |= source.blocks.len() > 1;
    }
    sources
}

/// The strongly connected components of what was not reached.
struct Components {
    /// By block.
    of: Vec<u32>,
    count: u32,
}

impl Components {
    const NONE: u32 = u32::MAX;

    /// Tarjan's algorithm with a stack of its own: a list of a million blocks is as deep.
    fn of(edges: &Edges, reached: &Reached) -> Self {
        let count = edges.len();
        let mut components = Self { of: vec![Self::NONE; count], count: 0 };
        let mut number = vec![0u32; count];
        let mut low = vec![0u32; count];
        let mut open: Vec<u32> = Vec::new();
        let mut path: Vec<(u32, u32)> = Vec::new();
        let mut numbered = 0;
        for start in 0..count as u32 {
            if reached.has(start) || number[start as usize] != 0 {
                continue;
            }
            path.push((start, 0));
            while let Some((block, next)) = path.pop() {
                let at = block as usize;
                if next == 0 {
                    numbered += 1;
                    (number[at], low[at]) = (numbered, numbered);
                    open.push(block);
                }
                let targets = edges.of_block(block);
                if let Some(&target) = targets.get(next as usize) {
                    path.push((block, next + 1));
                    let to = target as usize;
                    if reached.has(target) {
                        continue;
                    }
                    if number[to] == 0 {
                        path.push((target, 0));
                    } else if components.of[to] == Self::NONE {
                        low[at] = low[at].min(number[to]);
                    }
                    continue;
                }
                if low[at] == number[at] {
                    while let Some(member) = open.pop() {
                        components.of[member as usize] = components.count;
                        if member == block {
                            break;
                        }
                    }
                    components.count += 1;
                }
                if let Some(&(parent, _)) = path.last() {
                    low[parent as usize] = low[parent as usize].min(low[at]);
                }
            }
        }
        components
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reached(edges: &Edges, roots: &[u32]) -> Reached {
        let mut reached = Reached::nothing(edges.len());
        reached.follow(edges, (0..).zip(roots.iter().copied()), |_| false);
        reached
    }

    #[test]
    fn a_block_belongs_to_the_first_root_that_reaches_it() {
        let edges = Edges::of(&[&[1], &[2], &[], &[2]]);
        let mut tree = reached(&edges, &[3]);
        tree.follow(&edges, std::iter::once((9, 0)), |_| false);
        assert_eq!(tree.from, [From::Root(9), From::Block(0), From::Block(3), From::Root(0)]);
        assert_eq!(tree.order, [3, 2, 0, 1]);
    }

    #[test]
    fn what_is_cut_is_not_passed() {
        let edges = Edges::of(&[&[1], &[2], &[]]);
        let mut tree = Reached::nothing(3);
        tree.follow(&edges, std::iter::once((0, 0)), |block| block == 1);
        assert_eq!(tree.from, [From::Root(0), From::Nobody, From::Nobody]);
    }

    #[test]
    fn lost_blocks_are_told_by_their_sources() {
        // 0 is held and holds 1; 2 and 3 point to each other and to 4; 5 is alone; 6 points to itself.
        let edges = Edges::of(&[&[1], &[], &[3], &[2, 4], &[], &[4], &[6]]);
        let found = sources(&edges, &reached(&edges, &[0]));
        let told: Vec<(&[u32], bool)> =
            found.iter().map(|source| (source.blocks.as_slice(), source.is_ring)).collect();
        assert_eq!(told, [(&[2, 3][..], true), (&[5][..], false), (&[6][..], true)]);
    }

    #[test]
    fn a_list_of_a_million_is_no_deeper_than_one_of_two() {
        const LONG: u32 = 1_000_000;
        let mut edges = Edges {
            starts: (0..=LONG).collect(),
            targets: (1..=LONG).collect(),
            pointers: Vec::new(),
        };
        edges.targets[LONG as usize - 1] = LONG - 1;
        let found = sources(&edges, &Reached::nothing(LONG as usize));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].blocks, [0]);
    }

    proptest! {
        /// Nothing is lost twice or forgotten: from the sources all that is not reached can be reached, and from no fewer.
        #[test]
        fn the_sources_reach_all_that_is_lost_and_none_of_them_reaches_another(
            pointers in proptest::collection::vec(proptest::collection::vec(0u32..40, 0..4), 40),
            held in proptest::collection::vec(0u32..40, 0..5),
        ) {
            let pointers: Vec<&[u32]> = pointers.iter().map(Vec::as_slice).collect();
            let edges = Edges::of(&pointers);
            let tree = reached(&edges, &held);
            let found = sources(&edges, &tree);
            for (at, source) in found.iter().enumerate() {
                let mut own = reached(&edges, &held);
                own.follow(&edges, std::iter::once((0, source.blocks[0])), |_| false);
                for (other, source) in found.iter().enumerate() {
                    prop_assert_eq!(own.has(source.blocks[0]), at == other);
                }
            }
            let mut all = reached(&edges, &held);
            all.follow(&edges, found.iter().map(|source| (0, source.blocks[0])), |_| false);
            prop_assert_eq!(all.order.len(), 40);
        }
    }
}
