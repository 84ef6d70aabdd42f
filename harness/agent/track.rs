//! Tracked blocks: those that were given a stack, and in an explain run those that were there before as well,
//! found by their address until they are freed.
//!
//! Each bucket of addresses counts the tracked blocks in it: where blocks are sampled most have none, and so a
//! block that is not tracked is known by one look. The blocks themselves stand where their bucket says, or in
//! one of the next few places: in an explain run in the bucket itself, so that neighbours in memory are
//! neighbours in the table; where blocks are sampled, which are few and anywhere, close together, so that the
//! memory of the process does not grow by what we write while it runs.

use core::sync::atomic::Ordering::*;

use crate::note;
use crate::sample::Weight;
use crate::table::{BLOCK_MOVING, BUCKETS, Block, Control, Region, Stack, bucket};

const FREE: usize = 0;
const BUSY: usize = 1;
/// How many neighbouring places a block may spill into. With their blocks the most that a bucket's count
/// can come to, since its blocks all have the same place.
const SPILL: usize = 4;
/// Places of sampled blocks, a power of two: 4 MiB for 131,072 blocks, with 32 KiB between samples about
/// those of a heap of 4 GiB.
const SAMPLED_PLACES: usize = 1 << 13;
const _: () = assert!(SPILL * crate::table::BUCKET_BLOCKS <= u8::MAX as usize);

/// What is known of a tracked block besides its address.
struct Kept {
    stack: u32,
    round: u32,
    weight: Weight,
}

/// Tracks a new block under the caller's stack. One that is born in a round that only warms up has none: it is
/// tracked where it may be asked who holds the others.
#[cold]
#[inline(never)]
pub(crate) fn enter(region: &Region, control: &Control, address: usize, weight: Weight) {
    let round = control.round.load(Relaxed);
    let is_warm = round >= control.warm_round.load(Relaxed);
    if !is_warm && region.wipes.load(Relaxed) == 0 {
        return;
    }
    let stack = if is_warm { note::stack_id(region, control) } else { 0 };
    let kept = Kept { stack, round, weight };
    // What finds no room could never be taken off again.
    if put(region, address, &kept)
        && let Some(stack) = stack_of(region, &kept)
    {
        stack.blocks_made.fetch_add(weight.blocks.into(), Relaxed);
        stack.bytes_live.fetch_add(weight.bytes, Relaxed);
    }
}

/// Forgets a block that is about to be freed. It must happen before: afterwards another thread may own
/// the same address.
#[inline]
pub(crate) fn forget(region: &Region, address: usize) {
    if let Some(kept) = take(region, address) {
        gone(region, &kept);
    }
}

/// Takes a block out.
#[inline]
fn take(region: &Region, address: usize) -> Option<Kept> {
    let slot = slot(region, address)?;
    let kept = read(slot);
    empty(region, address, slot);
    Some(kept)
}

/// Marks a block that may go or come back at the same address; until then it counts as live, and can be found
/// by whoever looks at all blocks, but not by its address.
#[inline]
pub(crate) fn mark(region: &Region, address: usize) -> Option<&Block> {
    let slot = slot(region, address)?;
    slot.address.store(address | BLOCK_MOVING, Release);
    Some(slot)
}

/// A marked block has stayed.
#[cold]
pub(crate) fn unmark(marked: &Block, address: usize) {
    marked.address.store(address, Release);
}

/// A marked block has gone.
#[cold]
pub(crate) fn forget_marked(region: &Region, marked: &Block, address: usize) {
    let kept = read(marked);
    empty(region, address, marked);
    gone(region, &kept);
}

/// A block that was taken out is freed.
#[cold]
fn gone(region: &Region, kept: &Kept) {
    if let Some(stack) = stack_of(region, kept) {
        stack.blocks_freed.fetch_add(kept.weight.blocks.into(), Relaxed);
        stack.bytes_live.fetch_sub(kept.weight.bytes, Relaxed);
    }
}

/// The stack of a block, where it has one.
fn stack_of<'a>(region: &'a Region, kept: &Kept) -> Option<&'a Stack> {
    region.stacks.get(kept.stack as usize).filter(|_| kept.stack != 0)
}

/// Whether the block may be tracked. Whoever has its address has it from the thread that entered it, and
/// so sees it counted, which it is as long as it stands here.
#[inline(always)]
pub(crate) fn may_know(region: &Region, address: usize) -> bool {
    region.tracked[bucket(address)].load(Relaxed) != 0
}

/// Gives a block a slot; false where there is none.
fn put(region: &Region, address: usize, kept: &Kept) -> bool {
    for slot in window(region, address) {
        if slot.address.load(Relaxed) == FREE
            && slot.address.compare_exchange(FREE, BUSY, AcqRel, Relaxed).is_ok()
        {
            // Only who holds a slot counts, so the count never overflows.
            region.tracked[bucket(address)].fetch_add(1, Relaxed);
            slot.bytes.store(kept.weight.bytes, Relaxed);
            slot.blocks.store(kept.weight.blocks, Relaxed);
            slot.stack.store(kept.stack, Relaxed);
            slot.round.store(kept.round, Relaxed);
            slot.address.store(address, Release);
            return true;
        }
    }
    region.dropped.fetch_add(1, Relaxed);
    region.blocks_dropped.fetch_add(1, Relaxed);
    false
}

/// The slot of a tracked block.
#[inline]
fn slot(region: &Region, address: usize) -> Option<&Block> {
    // Who tracks none touches no page of the buckets.
    let tracks = region.heap_interval.load(Relaxed) != 0;
    if tracks && may_know(region, address) { find(region, address) } else { None }
}

/// The address belongs to the calling thread until it is freed, so no one else writes this slot. The
/// whole window is searched: a slot emptied in its front must not hide it.
#[cold]
#[inline(never)]
fn find(region: &Region, address: usize) -> Option<&Block> {
    window(region, address).find(|slot| slot.address.load(Relaxed) == address)
}

fn read(slot: &Block) -> Kept {
    let weight = Weight { bytes: slot.bytes.load(Relaxed), blocks: slot.blocks.load(Relaxed) };
    Kept { stack: slot.stack.load(Relaxed), round: slot.round.load(Relaxed), weight }
}

fn empty(region: &Region, address: usize, slot: &Block) {
    region.tracked[bucket(address)].fetch_sub(1, Relaxed);
    slot.address.store(FREE, Release);
}

/// The slots where a block of this address may stand.
fn window(region: &Region, address: usize) -> impl Iterator<Item = &Block> {
    let place = place(region, bucket(address));
    (0..SPILL).flat_map(move |spill| &region.blocks[(place + spill) & (BUCKETS - 1)])
}

/// The place of a bucket's blocks.
#[inline]
fn place(region: &Region, bucket: usize) -> usize {
    /// A part of the golden ratio (Fibonacci hashing): what is aligned is spread as well as what is not.
    const RATIO: u32 = 0x9e37_79b1;
    match region.heap_interval.load(Relaxed) {
        0 | 1 => bucket,
        _ => (bucket as u32).wrapping_mul(RATIO) as usize >> (32 - SAMPLED_PLACES.trailing_zeros()),
    }
}
