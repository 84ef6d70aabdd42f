//! The live heap blocks of a process, and which of them an address lies in.

use std::mem::{offset_of, size_of};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::probe::Unavailable;
use crate::region::RegionMap;
use crate::table::{self, BLOCK_MOVING, BUCKET_BLOCKS, BUCKETS, Region};

const PAGE: u64 = 4096;
/// Blocks that lie further apart are looked for in an index of their own.
const GAP: u64 = 1 << 20;
/// Buckets after its own in which a block may stand.
const SPILL: usize = 3;
/// Buckets that are read at once.
const AT_ONCE: usize = 2048;

/// One live block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) start: u64,
    /// Usable bytes.
    pub(super) bytes: u64,
    /// Creation stack; 0 for one that was made before the first round.
    pub(super) stack: u32,
    /// Round of its birth.
    pub(super) round: u32,
}

impl Block {
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes
    }
}

/// All live blocks, by address.
pub(super) struct Blocks {
    blocks: Vec<Block>,
    extents: Vec<Extent>,
}

/// Blocks that lie close together.
struct Extent {
    start: u64,
    end: u64,
    /// For each page the first block that ends behind its beginning.
    pages: Vec<u32>,
}

impl Blocks {
    /// Reads what the agent has noted. The process stands still.
    pub(super) fn read(region: &RegionMap) -> Result<Self, Unavailable> {
        if region.wipes.load(Relaxed) == 0 {
            return Err(Unavailable::new("not every one of its heap blocks was noted"));
        }
        if region.forked_from.load(Relaxed) != 0 {
            return Err(Unavailable::new("it was forked, and what it had before is not known"));
        }
        if region.blocks_dropped.load(Relaxed) > 0 {
            return Err(Unavailable::new("it has more heap blocks than can be noted"));
        }
        Ok(Self::new(noted(region)?))
    }

    pub(super) fn new(mut blocks: Vec<Block>) -> Self {
        blocks.sort_unstable_by_key(|block| block.start);
        let mut extents: Vec<Extent> = Vec::new();
        for (at, block) in (0u32..).zip(&blocks) {
            let is_near = extents.last().is_some_and(|extent| block.start < extent.end + GAP);
            if !is_near {
                let start = block.start & !(PAGE - 1);
                extents.push(Extent { start, end: start, pages: Vec::new() });
            }
            let Some(extent) = extents.last_mut() else { continue };
            // The page that its end points into is still its own.
            let pages = ((block.end() - extent.start) / PAGE + 1) as usize;
            if extent.pages.len() < pages {
                extent.pages.resize(pages, at);
            }
            extent.end = extent.end.max(block.end());
        }
        Self { blocks, extents }
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn get(&self, at: u32) -> &Block {
        &self.blocks[at as usize]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Block)> {
        (0..).zip(&self.blocks)
    }

    /// The block that an address lies in, also in its midst; at its very end too, where an iterator or a buffer
    /// that was read to its end points, unless another begins there.
    pub(super) fn find(&self, address: u64) -> Option<u32> {
        // One look for nearly all words: they are no addresses of blocks.
        let (first, last) = (self.extents.first()?, self.extents.last()?);
        if address < first.start || address > last.end {
            return None;
        }
        let at = self.extents.partition_point(|extent| extent.end < address);
        let extent = self.extents.get(at).filter(|extent| extent.start <= address)?;
        let page = ((address - extent.start) / PAGE) as usize;
        let from = *extent.pages.get(page)? as usize;
        let to = extent.pages.get(page + 1).map_or(self.blocks.len(), |next| *next as usize + 1);
        let near = &self.blocks[from..to.min(self.blocks.len())];
        let before = near.partition_point(|block| block.start <= address).checked_sub(1)?;
        (address <= near[before].end()).then_some((from + before) as u32)
    }
}

/// The blocks in the region's file. Read and not looked at through the mapping: of a large heap that would
/// be as much memory of ours.
fn noted(region: &RegionMap) -> Result<Vec<Block>, Unavailable> {
    const BUCKET_BYTES: usize = BUCKET_BLOCKS * size_of::<table::Block>();
    let mut blocks = Vec::new();
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < BUCKETS {
        let is_used = |at: &usize| region.tracked[*at].load(Acquire) != 0;
        let Some(first) = (at..BUCKETS).find(is_used) else { break };
        // To the end of its neighbours, and of those that stand in for them.
        let quiet = |at: &usize| (*at..BUCKETS.min(at + 1 + SPILL)).all(|near| !is_used(&near));
        let end = (first..BUCKETS).find(quiet).unwrap_or(BUCKETS);
        for from in (first..end + SPILL).step_by(AT_ONCE) {
            let to = (from + AT_ONCE).min(end + SPILL);
            // The last ones spill into the first.
            for (from, to) in [
                (from.min(BUCKETS), to.min(BUCKETS)),
                (from.max(BUCKETS) - BUCKETS, to.max(BUCKETS) - BUCKETS),
            ] {
                buffer.resize((to - from) * BUCKET_BYTES, 0);
                let offset = offset_of!(Region, blocks) + from * BUCKET_BYTES;
                region.file().read_exact_at(&mut buffer, offset as u64).map_err(|error| {
                    Unavailable::new(format!("the notes on its heap cannot be read: {error}"))
                })?;
                blocks.extend(parse(&buffer));
            }
        }
        at = end + SPILL;
    }
    // What spills over the end may be read with the beginning as well.
    blocks.sort_unstable_by_key(|block| block.start);
    blocks.dedup_by_key(|block| block.start);
    Ok(blocks)
}

/// The used ones among slots of the table.
fn parse(bytes: &[u8]) -> impl Iterator<Item = Block> {
    let (slots, _) = bytes.as_chunks::<{ size_of::<table::Block>() }>();
    slots.iter().filter_map(|slot| {
        let long =
            |at: usize| slot[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let short =
            |at: usize| slot[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let start = long(offset_of!(table::Block, address)) & !(BLOCK_MOVING as u64);
        // Free, or being written by a thread that was stopped there: the program has not been given it yet.
        (start != 0).then(|| Block {
            start,
            bytes: long(offset_of!(table::Block, bytes)),
            stack: short(offset_of!(table::Block, stack)),
            round: short(offset_of!(table::Block, round)),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(spans: &[(u64, u64)]) -> Blocks {
        let block = |&(start, bytes)| Block { start, bytes, stack: 1, round: 1 };
        Blocks::new(spans.iter().map(block).collect())
    }

    #[test]
    fn an_address_is_in_the_block_around_it() {
        let blocks =
            blocks(&[(0x1_0010, 24), (0x1_0040, 0x5000), (0x1_6000, 8), (0x7000_0000, 16)]);
        for (address, found) in [
            (0x1_000f, None),
            (0x1_0010, Some(0)),
            (0x1_0027, Some(0)),
            (0x1_0028, Some(0)),
            (0x1_0029, None),
            (0x1_0040, Some(1)),
            (0x1_3000, Some(1)),
            (0x1_503f, Some(1)),
            (0x1_5040, Some(1)),
            (0x1_5041, None),
            (0x1_6007, Some(2)),
            (0x1_6008, Some(2)),
            (0x1_6009, None),
            (0x6fff_ffff, None),
            (0x7000_000f, Some(3)),
            (0x7000_0010, Some(3)),
            (0x7000_0011, None),
            (0, None),
            (u64::MAX, None),
        ] {
            assert_eq!(blocks.find(address), found, "{address:#x}");
        }
    }

    proptest! {
        #[test]
        fn every_address_is_found_as_by_looking_at_all(
            gaps in proptest::collection::vec((1u64..9000, 1u64..9000), 1..200),
            far in 0usize..200,
            probes in proptest::collection::vec(0u64..4_000_000, 100),
        ) {
            let mut at = 0x10_000;
            let mut spans = Vec::new();
            for (index, (gap, bytes)) in gaps.iter().enumerate() {
                at += gap + if index == far { 1 << 32 } else { 0 };
                spans.push((at, *bytes));
                at += bytes;
            }
            let blocks = blocks(&spans);
            let edges = spans.iter().flat_map(|(start, bytes)| [start - 1, *start, start + bytes, start + bytes + 1]);
            for address in probes.into_iter().map(|it| it + 0x10_000).chain(edges) {
                let slow = spans.iter().rposition(|(start, bytes)| (*start..=start + bytes).contains(&address));
                prop_assert_eq!(blocks.find(address), slow.map(|at| at as u32));
            }
        }
    }
}
