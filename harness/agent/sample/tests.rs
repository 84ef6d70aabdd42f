//! The estimates against what was allocated: exact over all blocks, and for some of them within what chance
//! may do. The seeds are given, so what holds here once holds always.

use proptest::prelude::*;

use super::{Marks, Weight};

const INTERVAL: u64 = 1000;
/// Chance goes further than this many standard deviations once in two million estimates.
const SIGMAS: f64 = 5.0;

/// What blocks stand for in all, one after the other on a line.
fn sum(marks: Marks, blocks: impl Iterator<Item = u64>) -> (u64, u64) {
    let (mut from, mut bytes, mut count) = (0, 0, 0);
    for block in blocks {
        if let Some(weight) = marks.weight(from, block) {
            bytes += weight.bytes;
            count += u64::from(weight.blocks);
        }
        from += block;
    }
    (bytes, count)
}

/// How far an estimate may be from so many bytes.
fn error_max(bytes: u64) -> f64 {
    SIGMAS * (INTERVAL as f64 * bytes as f64).sqrt()
}

proptest! {
    #[test]
    fn all_small_blocks_are_known_to_the_interval(
        blocks in prop::collection::vec(1..2 * INTERVAL, 1..500),
        thread: usize,
    ) {
        let all: u64 = blocks.iter().sum();
        let (bytes, _) = sum(Marks::new(INTERVAL, 1, thread), blocks.into_iter());
        prop_assert!(bytes.abs_diff(all) <= INTERVAL, "{bytes} for {all}");
    }

    #[test]
    fn a_large_block_always_holds_a_mark_and_stands_for_itself(
        from in 0..1_u64 << 50,
        more in 0..10 * INTERVAL,
        thread: usize,
    ) {
        let (marks, bytes) = (Marks::new(INTERVAL, 1, thread), 2 * INTERVAL + more);
        prop_assert!(marks.next(from) < from + bytes);
        prop_assert_eq!(marks.weight(from, bytes), Some(Weight { bytes, blocks: 1 }));
    }

    /// The short way looks no further than the next mark.
    #[test]
    fn a_block_is_sampled_where_it_reaches_beyond_the_next_mark(
        from in 0..1_u64 << 50,
        bytes in 0..4 * INTERVAL,
        thread: usize,
    ) {
        let marks = Marks::new(INTERVAL, 1, thread);
        prop_assert_eq!(marks.weight(from, bytes).is_some(), from + bytes > marks.next(from));
    }

    #[test]
    fn no_interval_and_no_size_overflow(interval: u64, from in 0..1_u64 << 50, bytes in 0..1_u64 << 47) {
        let marks = Marks::new(interval, 1, 1);
        prop_assert!(marks.next(from) >= from);
        let weight = marks.weight(from, bytes);
        prop_assert!(weight.is_none_or(|weight| weight.bytes > 0));
    }
}

#[test]
fn every_size_is_estimated_without_a_bias() {
    const COUNT: u64 = 200_000;
    for size in [1, 24, 56, 333, 499, 500, 501, 999, 1000, 1001, 1400, 1999] {
        // Other sizes beside it, as in a program.
        let between = [0, 24, 1000 - size % 1000, 136];
        for (thread, other) in between.into_iter().enumerate() {
            let marks = Marks::new(INTERVAL, 1, thread);
            let (mut from, mut bytes, mut blocks) = (0, 0, 0);
            for _ in 0..COUNT {
                if let Some(weight) = marks.weight(from, size) {
                    bytes += weight.bytes;
                    blocks += u64::from(weight.blocks);
                }
                from += size + other;
            }
            let all = COUNT * size;
            assert!(
                (bytes as f64 - all as f64).abs() <= error_max(all),
                "{size} beside {other}: {bytes} bytes for {all}"
            );
            // What is rounded adds a quarter of a block squared for each of at most as many.
            let count_max = error_max(all) / size as f64 + SIGMAS * (COUNT as f64 / 4.0).sqrt();
            assert!(
                (blocks as f64 - COUNT as f64).abs() <= count_max,
                "{size} beside {other}: {blocks} blocks for {COUNT}"
            );
        }
    }
}

/// Two blocks that make an interval together, for ever: a mark at the same place of each would always be
/// in the same one.
#[test]
fn no_pattern_keeps_in_step() {
    const COUNT: u64 = 100_000;
    for first in [100, 500, 900] {
        for thread in 0..8 {
            let marks = Marks::new(INTERVAL, 1, thread);
            let weights = (0..COUNT).filter_map(|at| marks.weight(at * INTERVAL, first));
            let bytes: u64 = weights.map(|weight| weight.bytes).sum();
            let all = COUNT * first;
            assert!((bytes as f64 - all as f64).abs() <= error_max(all), "{bytes} for {all}");
        }
    }
}

#[test]
fn threads_and_processes_have_marks_of_their_own() {
    let marks = |process, thread| Marks::new(INTERVAL, process, thread).next(0);
    let first: Vec<u64> = (0..20).map(|thread| marks(1, 0x7f00_0000_0000 + thread * 64)).collect();
    let second: Vec<u64> = (0..20).map(|thread| marks(2, 0x7f00_0000_0000 + thread * 64)).collect();
    let same = |one: &[u64], other: &[u64]| one.iter().zip(other).filter(|(a, b)| a == b).count();
    assert!(same(&first, &second) <= 2, "{first:?} {second:?}");
    assert!(same(&first[1..], &first[..19]) <= 2, "{first:?}");
}
