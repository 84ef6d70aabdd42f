//! Which owner holds the blocks of a finding: pure, from who points to whom.
//!
//! A finding's blocks are those of its creation stacks. The topmost ones of them on the way from a root
//! are the leaked things; what lies between is hops, what hangs below goes with them. The owner that
//! accounts for most of their bytes is told, with the rounds whose blocks it holds: a real holder has
//! those of every round, an old value on a stack has one at most.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use watertight_report::model::HolderClass;

use super::block::Blocks;
use super::graph::{Edges, From, Reached, Source, sources};
use super::root::Root;

/// What several roots are part of: a variable, a thread's stack.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) class: HolderClass,
    /// Roots of a lower rank are followed first.
    pub(super) rank: u8,
}

/// All blocks, each with the root that reaches it first.
pub(super) struct Accounts<'a> {
    blocks: &'a Blocks,
    edges: &'a Edges,
    roots: &'a [Root],
    owners: Vec<Owner>,
    /// The owner of each root.
    owned: Vec<u32>,
    /// Roots in the order in which they are followed.
    ranked: Vec<u32>,
    tree: Reached,
    sources: Vec<Source>,
    /// Who points to each block.
    backwards: OnceCell<Backwards>,
}

/// Which of a finding's blocks are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Among {
    All,
    /// Those that can be reached.
    Held,
    /// Those that nothing reaches from outside.
    Lost,
}

/// Who holds the blocks of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) by: By,
    /// The root word that the path begins at; none of what is lost.
    pub(super) root: Option<u32>,
    /// Blocks from the root to one of the things, which is last; of a ring some of its blocks first.
    pub(super) path: Vec<u32>,
    /// How many blocks point to each other there.
    pub(super) ring_blocks: u64,
    /// Blocks like the last of the path.
    pub(super) things: u64,
    pub(super) things_per_round: u64,
    pub(super) retained_bytes: u64,
    pub(super) retained_blocks: u64,
    pub(super) rounds: u32,
    pub(super) rounds_seen: u32,
    /// From where else one of its things can be reached.
    pub(super) also: Vec<HolderClass>,
}

/// glibc gives a block so many bytes more than asked for where the rest would be too small for another.
const SLACK: u64 = 16;
/// Blocks of a ring that are told.
const RING_TOLD_MAX: usize = 8;

/// A holder, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum By {
    Owner(u32),
    /// Blocks that point to each other.
    Ring,
    /// A block that nothing points to but perhaps itself.
    Lost {
        points_to_itself: bool,
    },
}

/// What one holder accounts for.
#[derive(Default)]
struct Share {
    bytes: u64,
    rounds: BTreeSet<u32>,
    tops: Vec<u32>,
}

impl<'a> Accounts<'a> {
    pub(super) fn new(
        blocks: &'a Blocks,
        edges: &'a Edges,
        roots: &'a [Root],
        owners: Vec<Owner>,
        owned: Vec<u32>,
    ) -> Self {
        let mut ranked: Vec<u32> = (0..roots.len() as u32).collect();
        let rank = |root: u32| owners[owned[root as usize] as usize].rank;
        // What an outer function keeps stays; an inner one may only be at work on it.
        ranked.sort_by_key(|root| (rank(*root), Reverse(roots[*root as usize].height())));
        let mut tree = Reached::nothing(blocks.len());
        for group in ranked.chunk_by(|a, b| rank(*a) == rank(*b)) {
            let group = group.iter().map(|root| (*root, roots[*root as usize].block));
            tree.follow(edges, group, |_| false);
        }
        let sources = sources(edges, &tree);
        let lost = (roots.len() as u32..).zip(sources.iter().map(|source| source.blocks[0]));
        tree.follow(edges, lost, |_| false);
        let backwards = OnceCell::new();
        Self { blocks, edges, roots, owners, owned, ranked, tree, sources, backwards }
    }

    /// Who holds the blocks that were made on `stacks`; none where none of them lives. `made_by` tells stacks
    /// apart by the call that makes blocks there.
    pub(super) fn of<C: Ord>(
        &self,
        stacks: &HashSet<u32>,
        among: Among,
        made_by: impl Fn(u32) -> C,
    ) -> Option<Account> {
        let mut leaked = self.leaked(stacks);
        if among != Among::All {
            let lost: HashSet<u32> = self.lost(stacks).into_iter().collect();
            leaked.retain(|block| lost.contains(block) == (among == Among::Lost));
        }
        let rounds: BTreeSet<u32> =
            leaked.iter().map(|block| self.blocks.get(*block).round).collect();
        let mut is_leaked = vec![false; self.blocks.len()];
        for block in &leaked {
            is_leaked[*block as usize] = true;
        }
        let (tops, origins) = self.tops(&is_leaked);
        // By topmost block: all that leaks there.
        let mut weights = vec![0; self.blocks.len()];
        let mut shares: BTreeMap<By, Share> = BTreeMap::new();
        for &block in &leaked {
            let (top, origin) = (tops[block as usize], origins[block as usize]);
            let share = shares.entry(self.by(origin)).or_default();
            share.bytes += self.blocks.get(block).bytes;
            share.rounds.insert(self.blocks.get(block).round);
            weights[top as usize] += self.blocks.get(block).bytes;
            if top == block {
                share.tops.push(block);
            }
        }
        let (by, share) = shares.into_iter().max_by_key(|(_, share)| share.bytes)?;
        let things = self.alike(&share.tops, &weights, made_by);
        let of_one = self.of_one_root(&things, &weights, &origins);
        let top = typical(&of_one, |block| self.blocks.get(block).round)?;
        let mut per_round: BTreeMap<u32, u64> = rounds.iter().map(|round| (*round, 0)).collect();
        for thing in &things {
            *per_round.entry(self.blocks.get(*thing).round).or_default() += 1;
        }
        let mut counts: Vec<u64> = per_round.into_values().collect();
        counts.sort_unstable();
        let roots: BTreeSet<u32> = share.tops.iter().map(|top| origins[*top as usize]).collect();
        let (retained_bytes, retained_blocks) = self.retained(by, &share.tops, &roots);
        let root = origins[top as usize];
        let (path, ring_blocks) = self.path(by, top, root);
        Some(Account {
            by,
            root: self.real(root),
            path,
            ring_blocks,
            things: things.len() as u64,
            things_per_round: counts.get(counts.len() / 2).copied().unwrap_or(0),
            retained_bytes,
            retained_blocks,
            rounds: rounds.len() as u32,
            rounds_seen: share.rounds.len() as u32,
            also: self.also(by, top),
        })
    }

    /// The blocks of `stacks` that nothing reaches from outside.
    pub(super) fn lost(&self, stacks: &HashSet<u32>) -> Vec<u32> {
        let origins = self.tops(&[]).1;
        let of_stacks = self.blocks.iter().filter(|(_, block)| stacks.contains(&block.stack));
        let lost = of_stacks.filter(|(at, _)| self.real(origins[*at as usize]).is_none());
        lost.map(|(at, _)| at).collect()
    }

    /// The blocks of `stacks` that are leaked things and not the container that they are put in: that is
    /// made anew now and then, and what leaks is made in nearly every round.
    fn leaked(&self, stacks: &HashSet<u32>) -> Vec<u32> {
        let mut rounds: HashMap<u32, BTreeSet<u32>> = HashMap::new();
        let own = || self.blocks.iter().filter(|(_, block)| stacks.contains(&block.stack));
        for (_, block) in own() {
            rounds.entry(block.stack).or_default().insert(block.round);
        }
        let most = rounds.values().map(BTreeSet::len).max().unwrap_or(0);
        let is_steady = |stack: u32| rounds.get(&stack).is_some_and(|it| it.len() + 1 >= most);
        own().filter(|(_, block)| is_steady(block.stack)).map(|(at, _)| at).collect()
    }

    /// Of topmost blocks those of the kind which leaks most. One call may make several that are not alike: a
    /// connection has blocks beside its own, in every round of the same size.
    fn alike<C: Ord>(&self, tops: &[u32], weights: &[u64], made_by: impl Fn(u32) -> C) -> Vec<u32> {
        let block = |top: u32| self.blocks.get(top);
        let weight = |top: u32| weights[top as usize];
        let mut stacks: BTreeMap<u32, u64> = BTreeMap::new();
        for top in tops {
            *stacks.entry(block(*top).stack).or_default() += weight(*top);
        }
        let calls: BTreeMap<u32, C> =
            stacks.keys().map(|stack| (*stack, made_by(*stack))).collect();
        let call = heaviest(stacks.iter().map(|(stack, weight)| (&calls[stack], *weight)));
        let of_call = tops.iter().filter(|top| calls.get(&block(**top).stack) == call);
        let of_call: Vec<u32> = of_call.copied().collect();
        let size = heaviest(of_call.iter().map(|top| (block(*top).bytes, weight(*top))));
        let is_of_size = |top: &&u32| block(**top).bytes.abs_diff(size.unwrap_or(0)) <= SLACK;
        let of_size: Vec<u32> = of_call.iter().filter(is_of_size).copied().collect();
        let rounds = |tops: &[u32]| {
            tops.iter().map(|top| block(*top).round).collect::<BTreeSet<u32>>().len()
        };
        if rounds(&of_size) + 1 >= rounds(&of_call) { of_size } else { of_call }
    }

    /// Of `things` those that the same word holds, the one which holds most of them; all of what is lost.
    fn of_one_root(&self, things: &[u32], weights: &[u64], origins: &[u32]) -> Vec<u32> {
        let root = |thing: u32| self.real(origins[thing as usize]);
        let most = heaviest(things.iter().map(|it| (root(*it), weights[*it as usize])));
        things.iter().filter(|thing| Some(root(**thing)) == most).copied().collect()
    }

    /// For each block the topmost leaked one on the way to it, and the root that it is reached from.
    fn tops(&self, is_leaked: &[bool]) -> (Vec<u32>, Vec<u32>) {
        let mut tops = vec![u32::MAX; self.blocks.len()];
        let mut origins = vec![u32::MAX; self.blocks.len()];
        for &block in &self.tree.order {
            let at = block as usize;
            match self.tree.from[at] {
                From::Root(root) => origins[at] = root,
                From::Block(before) => {
                    tops[at] = tops[before as usize];
                    origins[at] = origins[before as usize];
                }
                From::Nobody => {}
            }
            if tops[at] == u32::MAX && is_leaked.get(at) == Some(&true) {
                tops[at] = block;
            }
        }
        (tops, origins)
    }

    /// Who a root belongs to.
    fn by(&self, root: u32) -> By {
        match self.owned.get(root as usize) {
            Some(owner) => By::Owner(*owner),
            None => match self.source(root) {
                source if source.blocks.len() > 1 => By::Ring,
                source => By::Lost { points_to_itself: source.is_ring },
            },
        }
    }

    /// From the root to a thing; of a ring its blocks, and what leads on to a thing below them.
    fn path(&self, by: By, top: u32, root: u32) -> (Vec<u32>, u64) {
        let ring: &[u32] = if by == By::Ring { &self.source(root).blocks } else { &[] };
        let mut path = vec![top];
        while let From::Block(before) = self.tree.from[path[path.len() - 1] as usize] {
            path.push(before);
        }
        path.retain(|block| ring.binary_search(block).is_err());
        path.reverse();
        if ring.len() > RING_TOLD_MAX {
            path.clear();
        }
        let told = self.in_turn(ring, RING_TOLD_MAX);
        (told.into_iter().chain(path).collect(), ring.len() as u64)
    }

    /// Up to `most` blocks of a ring, each after one that points to it as far as there is one.
    fn in_turn(&self, ring: &[u32], most: usize) -> Vec<u32> {
        let mut told: Vec<u32> = Vec::new();
        while told.len() < ring.len().min(most) {
            let is_new = |block: &&u32| !told.contains(block);
            let in_ring = |block: &&u32| ring.binary_search(block).is_ok();
            let targets = told.last().map_or(&[][..], |last| self.edges.of_block(*last));
            let next = targets.iter().filter(in_ring).find(is_new);
            let Some(next) = next.or_else(|| ring.iter().find(is_new)) else { break };
            told.push(*next);
        }
        told
    }

    /// Bytes and blocks that the things keep alive: what hangs below them and no root reaches without them.
    fn retained(&self, by: By, tops: &[u32], roots: &BTreeSet<u32>) -> (u64, u64) {
        let rings =
            roots.iter().filter(|_| by == By::Ring).flat_map(|root| &self.source(*root).blocks);
        let things: Vec<u32> = tops.iter().chain(rings).copied().collect();
        let mut is_cut = vec![false; self.blocks.len()];
        for thing in &things {
            is_cut[*thing as usize] = true;
        }
        let mut without = Reached::nothing(self.blocks.len());
        let real = self.ranked.iter().map(|root| (*root, self.roots[*root as usize].block));
        without.follow(self.edges, real, |block| is_cut[block as usize]);
        let mut below = Reached::nothing(self.blocks.len());
        let things = things.into_iter().map(|thing| (u32::MAX, thing));
        below.follow(self.edges, things, |block| without.has(block));
        let kept = below.order.iter().map(|block| self.blocks.get(*block).bytes);
        (kept.sum(), below.order.len() as u64)
    }

    /// A root that is a word outside the heap; none for what was lost, which has the numbers after those.
    fn real(&self, root: u32) -> Option<u32> {
        ((root as usize) < self.roots.len()).then_some(root)
    }

    /// What was lost, by the number that it has as a root.
    fn source(&self, root: u32) -> &Source {
        &self.sources[root as usize - self.roots.len()]
    }

    pub(super) fn owner(&self, owner: u32) -> &Owner {
        &self.owners[owner as usize]
    }

    /// The classes of the other owners from which a block can be reached.
    fn also(&self, by: By, top: u32) -> Vec<HolderClass> {
        let By::Owner(own) = by else { return Vec::new() };
        let backwards = self.backwards.get_or_init(|| Backwards::of(self.edges, self.blocks.len()));
        let mut seen = HashSet::from([top]);
        let mut next = vec![top];
        while let Some(block) = next.pop() {
            next.extend(backwards.of_block(block).iter().filter(|before| seen.insert(**before)));
        }
        let reaching =
            self.roots.iter().zip(&self.owned).filter(|(root, _)| seen.contains(&root.block));
        let others = reaching.filter(|(_, owner)| **owner != own);
        let classes: BTreeSet<HolderClass> = others
            .map(|(_, owner)| &self.owners[*owner as usize])
            .filter(|it| it.is_telling())
            .map(|it| it.class)
            .collect();
        classes.into_iter().collect()
    }
}

impl Owner {
    /// Ranks of owners that a person can do something about: the rest know every object, or hold old values.
    pub(super) const TELLING_MAX: u8 = 9;

    fn is_telling(&self) -> bool {
        self.rank <= Self::TELLING_MAX
    }
}

/// The edges the other way round.
struct Backwards {
    starts: Vec<u32>,
    origins: Vec<u32>,
}

impl Backwards {
    fn of(edges: &Edges, blocks: usize) -> Self {
        let all = || {
            (0..blocks as u32)
                .flat_map(|block| edges.of_block(block).iter().map(move |to| (block, *to as usize)))
        };
        let mut starts = vec![0u32; blocks + 1];
        for (_, to) in all() {
            starts[to + 1] += 1;
        }
        for at in 0..blocks {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let mut origins = vec![0; starts[blocks] as usize];
        for (from, to) in all() {
            origins[next[to] as usize] = from;
            next[to] += 1;
        }
        Self { starts, origins }
    }

    fn of_block(&self, block: u32) -> &[u32] {
        let at = block as usize;
        &self.origins[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// Of kinds with what each of them weighs, the one that weighs most in all.
fn heaviest<K: Ord>(weighed: impl Iterator<Item = (K, u64)>) -> Option<K> {
    let mut kinds: BTreeMap<K, u64> = BTreeMap::new();
    for (kind, weight) in weighed {
        *kinds.entry(kind).or_default() += weight;
    }
    kinds.into_iter().max_by_key(|(_, weight)| *weight).map(|(kind, _)| kind)
}

/// One of the middle round: the first may have made what stays, the last may not be done.
fn typical(blocks: &[u32], round: impl Fn(u32) -> u32) -> Option<u32> {
    let mut sorted = blocks.to_vec();
    sorted.sort_by_key(|block| (round(*block), *block));
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests;
