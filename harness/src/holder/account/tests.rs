use super::*;
use crate::holder::block::Block;
use crate::holder::root::Place;

/// A heap of blocks of 16 bytes, each with its stack and round, who points to whom, and roots by owner.
struct Heap {
    blocks: Blocks,
    edges: Edges,
    roots: Vec<Root>,
    owners: Vec<Owner>,
    owned: Vec<u32>,
}

const USER: u8 = 0;
const STACK: u8 = 8;
const SYSTEM: u8 = 10;

impl Heap {
    fn new(blocks: &[(u32, u32)], edges: &[&[u32]]) -> Self {
        let blocks: Vec<_> = blocks.iter().map(|(stack, round)| (*stack, *round, 16)).collect();
        Self::sized(&blocks, edges)
    }

    /// With the size of each block in bytes, at most 4,000.
    fn sized(blocks: &[(u32, u32, u64)], edges: &[&[u32]]) -> Self {
        let place = |at: usize| 0x1000 * (1 + at as u64);
        let blocks = blocks.iter().enumerate().map(|(at, &(stack, round, bytes))| Block {
            start: place(at),
            bytes,
            stack,
            round,
        });
        let blocks = Blocks::new(blocks.collect());
        Self {
            blocks,
            edges: Edges::of(edges),
            roots: Vec::new(),
            owners: Vec::new(),
            owned: Vec::new(),
        }
    }

    fn owner(mut self, class: HolderClass, rank: u8, blocks: &[u32]) -> Self {
        self.owners.push(Owner { class, rank });
        for block in blocks {
            let place = Place::Mapping { stack: 0 };
            self.roots.push(Root { place, at: 0, block: *block, inside: 0 });
            self.owned.push(self.owners.len() as u32 - 1);
        }
        self
    }

    fn of(&self, stacks: &[u32]) -> Account {
        self.accounts().of(&stacks.iter().copied().collect(), Among::All, u64::from).unwrap()
    }

    fn accounts(&self) -> Accounts<'_> {
        let (owners, owned) = (self.owners.clone(), self.owned.clone());
        Accounts::new(&self.blocks, &self.edges, &self.roots, owners, owned)
    }
}

/// The table of a registry, which grew in round 3, with an entry and its name for each of three rounds.
fn registry() -> Heap {
    let blocks = [(9, 3), (1, 1), (2, 1), (1, 2), (2, 2), (1, 3), (2, 3)];
    Heap::new(&blocks, &[&[1, 3, 5], &[2], &[], &[4], &[], &[6], &[]])
}

#[test]
fn entries_of_a_registry_are_held_by_it_through_its_table() {
    let heap = registry().owner(HolderClass::Static, USER, &[0]);
    // The table was made on the same line.
    let account = heap.of(&[1, 2, 9]);
    assert_eq!(account.by, By::Owner(0));
    assert_eq!(account.path, [0, 3], "the entry of the middle round");
    assert_eq!((account.things, account.things_per_round), (3, 1));
    assert_eq!((account.rounds, account.rounds_seen), (3, 3));
    assert_eq!((account.retained_bytes, account.retained_blocks), (96, 6), "the table stays");
    assert_eq!(account.also, []);
}

#[test]
fn a_better_owner_is_told_and_the_others_are_named_beside_it() {
    let heap = registry()
        .owner(HolderClass::Stack, STACK, &[3])
        .owner(HolderClass::Static, USER, &[0])
        .owner(HolderClass::Static, SYSTEM, &[0, 1, 3, 5]);
    let account = heap.of(&[1]);
    assert_eq!(account.by, By::Owner(1));
    assert_eq!(account.also, [HolderClass::Stack]);
    assert_eq!(account.retained_blocks, 6, "who knows every entry keeps none");
}

#[test]
fn an_old_value_holds_the_block_of_one_round() {
    let blocks = [(1, 1), (1, 2), (1, 3)];
    let heap = Heap::new(&blocks, &[&[], &[], &[]]).owner(HolderClass::Stack, STACK, &[2]);
    let account = heap.of(&[1]);
    assert_eq!(account.by, By::Lost { points_to_itself: false });
    assert_eq!((account.rounds, account.rounds_seen, account.things), (3, 2, 2));
}

#[test]
fn rings_and_what_hangs_below_something_forgotten_are_told_apart() {
    // Two rings of two; a forgotten box (stack 5) with something in it (stack 6).
    let blocks = [(1, 1), (2, 1), (1, 2), (2, 2), (5, 1), (6, 1), (5, 2), (6, 2)];
    let edges: [&[u32]; 8] = [&[1], &[0], &[3], &[2], &[5], &[], &[7], &[]];
    let heap = Heap::new(&blocks, &edges);
    for stack in [1, 2] {
        let ring = heap.of(&[stack]);
        assert_eq!((ring.by, ring.path.as_slice()), (By::Ring, &[2, 3][..]));
        assert_eq!((ring.things, ring.rounds_seen, ring.retained_blocks), (2, 2, 4));
    }
    let below = heap.of(&[6]);
    assert_eq!(below.by, By::Lost { points_to_itself: false });
    assert_eq!(below.path, [6, 7]);
    assert_eq!(below.retained_blocks, 2);
    let accounts = heap.accounts();
    assert_eq!(accounts.lost(&HashSet::from([5, 6])), [4, 5, 6, 7]);
    assert_eq!(accounts.of(&HashSet::from([5, 6]), Among::Held, u64::from), None);
}

#[test]
fn blocks_beside_a_thing_are_not_counted_with_it() {
    let things = |blocks: &[(u32, u32, u64)]| {
        let edges = vec![&[][..]; blocks.len()];
        let held: Vec<u32> = (0..blocks.len() as u32).collect();
        let heap = Heap::sized(blocks, &edges).owner(HolderClass::Static, USER, &held);
        // Stacks 1 and 2 end in the same call.
        let account = heap
            .accounts()
            .of(&HashSet::from([1, 2, 3]), Among::All, |stack| u64::from(stack.max(2)));
        account.map(|account| (account.things, account.things_per_round)).unwrap()
    };
    let beside = [(1, 1, 808), (2, 1, 136), (1, 2, 824), (2, 2, 136), (1, 3, 808), (2, 3, 136)];
    assert_eq!(things(&beside), (3, 1), "the connections");
    let paths = [(1, 1, 56), (2, 1, 56), (1, 2, 56), (2, 2, 56)];
    assert_eq!(things(&paths), (4, 2), "made on two ways");
    let calls = [(1, 1, 56), (3, 1, 500), (1, 2, 56), (3, 2, 500)];
    assert_eq!(things(&calls), (2, 1), "what weighs most");
    let texts = [(1, 1, 100), (1, 2, 300), (1, 3, 2_000), (1, 4, 20)];
    assert_eq!(things(&texts), (4, 1), "each of its own size");
}

#[test]
fn nothing_is_told_of_stacks_of_which_nothing_lives() {
    let heap = registry().owner(HolderClass::Static, USER, &[0]);
    let accounts = heap.accounts();
    assert_eq!(accounts.of(&HashSet::from([77]), Among::All, u64::from), None);
    assert!(accounts.lost(&HashSet::from([1, 2])).is_empty());
}

#[test]
fn a_ring_is_told_in_the_order_of_its_pointers() {
    let heap = Heap::new(&[(1, 1), (1, 1), (1, 1)], &[&[2], &[0], &[1]]);
    assert_eq!(heap.of(&[1]).path, [0, 2, 1]);
    // A list in both directions, whose ends do not meet.
    let heap = Heap::new(&[(1, 1), (1, 1), (1, 1)], &[&[1, 2], &[0], &[0]]);
    let path = heap.of(&[1]).path;
    assert_eq!(path, [0, 1, 2]);
}

#[test]
fn the_word_that_holds_most_is_where_the_way_begins() {
    // A vector of an outer function (0) holds the blocks of all rounds; an inner one is at work on that of round 2.
    let blocks = [(9, 0), (1, 1), (1, 2), (1, 3)];
    let mut heap = Heap::new(&blocks, &[&[1, 2, 3], &[], &[], &[]]);
    heap = heap.owner(HolderClass::Stack, STACK, &[2, 0]);
    for (root, at) in heap.roots.iter_mut().zip([0x100, 0x800]) {
        (root.place, root.at) = (Place::Stack { thread: 0 }, at);
    }
    let account = heap.of(&[1]);
    assert_eq!((account.by, account.root), (By::Owner(0), Some(1)));
    assert_eq!(account.path[0], 0, "through the vector");
    assert_eq!((account.things, account.things_per_round), (3, 1));
    // Both point to it: the outer one is the holder.
    let mut heap = Heap::new(&[(1, 1)], &[&[]]).owner(HolderClass::Stack, STACK, &[0, 0]);
    for (root, at) in heap.roots.iter_mut().zip([0x100, 0x800]) {
        (root.place, root.at) = (Place::Stack { thread: 0 }, at);
    }
    assert_eq!(heap.of(&[1]).root, Some(1));
}
