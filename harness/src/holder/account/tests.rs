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
const STACK: u8 = 7;
const SYSTEM: u8 = 9;

impl Heap {
    fn new(blocks: &[(u32, u32)], edges: &[&[u32]]) -> Self {
        let block = |(at, &(stack, round)): (usize, &(u32, u32))| Block {
            start: 0x1000 + 32 * at as u64,
            bytes: 16,
            stack,
            round,
        };
        let blocks = Blocks::new(blocks.iter().enumerate().map(block).collect());
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
            self.roots.push(Root { place: Place::Mapping { stack: 0 }, at: 0, block: *block });
            self.owned.push(self.owners.len() as u32 - 1);
        }
        self
    }

    fn of(&self, stacks: &[u32]) -> Account {
        self.accounts().of(&stacks.iter().copied().collect(), Among::All).unwrap()
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
    assert_eq!(accounts.of(&HashSet::from([5, 6]), Among::Held), None);
}

#[test]
fn nothing_is_told_of_stacks_of_which_nothing_lives() {
    let heap = registry().owner(HolderClass::Static, USER, &[0]);
    let accounts = heap.accounts();
    assert_eq!(accounts.of(&HashSet::from([77]), Among::All), None);
    assert!(accounts.lost(&HashSet::from([1, 2])).is_empty());
}
