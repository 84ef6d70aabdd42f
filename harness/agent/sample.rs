//! Which blocks of a sampled heap get a stack, and what each of them stands for.
//!
//! Think of all bytes that a shard ever hands out as a line, cut into stretches of `interval` bytes. In each
//! stretch one byte is marked, at a place of chance. A block is sampled where it holds a mark, and stands for
//! one interval of bytes for each. So, of a block of any size and wherever it lies, the bytes that it is
//! expected to stand for are its own: nothing is over- or underestimated, and since no place depends on
//! another, no pattern of allocations can keep in step with the marks.
//! The estimate of `bytes` bytes has a variance of at most `interval * bytes` (a sum of independent draws,
//! one for each stretch), and what was ever allocated in all is known to the interval.
//!
//! Nothing is remembered from mark to mark: a mark is a hash of its stretch's number, so threads that share
//! a line need not agree on a next one.

/// What a sampled block stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) bytes: u64,
    pub(crate) blocks: u32,
}

/// The marks on the line of one shard.
#[derive(Clone, Copy)]
pub(crate) struct Marks {
    /// Bytes of a stretch, not 0.
    interval: u64,
    seed: u64,
}

/// Longest stretch: more than a process has memory, and far from where numbers overflow.
const INTERVAL_MAX: u64 = 1 << 48;

impl Marks {
    /// Those of a line that two numbers tell from all others.
    pub(crate) fn new(interval: u64, process: u32, thread: usize) -> Self {
        let seed = mix(u64::from(process)).wrapping_add(thread as u64);
        Self { interval: interval.clamp(1, INTERVAL_MAX), seed: mix(seed) }
    }

    /// The first mark at or after `from`.
    pub(crate) fn next(&self, from: u64) -> u64 {
        let stretch = from / self.interval;
        let mark = self.in_stretch(stretch);
        if mark >= from { mark } else { self.in_stretch(stretch + 1) }
    }

    /// What the block of so many bytes stands for that begins at `from`; none where it holds no mark.
    pub(crate) fn weight(&self, from: u64, bytes: u64) -> Option<Weight> {
        // It covers a whole stretch, so it always holds a mark, and need not be estimated.
        if bytes >= 2 * self.interval {
            return Some(Weight { bytes, blocks: 1 });
        }
        let end = from + bytes;
        let mut marks = 0;
        let mut mark = self.next(from);
        while mark < end {
            marks += 1;
            mark = self.next(mark + 1);
        }
        let stands_for = marks * self.interval;
        (marks > 0)
            .then(|| Weight { bytes: stands_for, blocks: self.blocks(from, stands_for, bytes) })
    }

    /// How many blocks of `each` bytes are `all` bytes, rounded up as often as is right on average.
    fn blocks(&self, from: u64, all: u64, each: u64) -> u32 {
        let chance = below(mix(self.seed ^ !from), each);
        let blocks = all / each + u64::from(chance < all % each);
        u32::try_from(blocks).unwrap_or(u32::MAX)
    }

    fn in_stretch(&self, stretch: u64) -> u64 {
        let chance = mix(self.seed.wrapping_add(stretch.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        stretch * self.interval + below(chance, self.interval)
    }
}

/// A number below `limit` from one of 64 bits.
fn below(chance: u64, limit: u64) -> u64 {
    ((u128::from(chance) * u128::from(limit)) >> 64) as u64
}

/// Spreads every bit over all (the finalizer of SplitMix64; Steele, Lea, Flood 2014).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
#[path = "sample/tests.rs"]
mod tests;
