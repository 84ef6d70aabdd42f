//! Growth that ended: a warm-up, a cache that filled, a leak of once.
//!
//! The level at the end is the middle of the last eighth. The plateau begins where the series is best
//! parted into samples below that level and samples at it. What was there before must have been
//! lower at its beginning, and must not have come back down on the way; the plateau must hold. A
//! sawtooth, load and noise do not.

use super::middle::{median, quantile, running_median};
use super::{Sample, Step};
use crate::metric::Unit;

/// The end of a series that tells its level: one part of so many.
const END: usize = 8;

/// What is shorter than half of so many samples is no level.
const CALM: usize = 9;

/// The samples at most that tell the level at the beginning: a warm-up may be over soon.
const BEGINNING_MAX: usize = 5;

/// What a step must be at least, in widths of the plateau: less is one of its own swings.
const WIDTHS_MIN: f64 = 2.0;

/// How far above its first samples a series still is at its level before, as a share of the step.
const LOW: f64 = 0.15;

/// How far from its levels a step begins and ends, as a share of it.
const NEAR: f64 = 0.02;

/// The share of a step that may be lost again for a while, on its way up or later.
const LOST_MAX: f64 = 0.5;

/// The share of a plateau's samples that may be below it.
const BELOW_MAX: f64 = 0.1;

/// The step that `samples` end on, where they do.
pub(super) fn step(samples: &[Sample], unit: Unit) -> Option<Step> {
    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    let calm = running_median(&values, CALM);
    let mut end = calm[calm.len() - (calm.len() / END).max(1)..].to_vec();
    let level = median(end.clone());
    let swing = quantile(&mut end, 0.95) - quantile(&mut end, 0.05);
    let width = swing.max(match unit {
        Unit::Things => 0.5,
        Unit::Bytes => 0.0,
    });

    let size = level - beginning(&calm);
    let begin = part(&calm, level - width.max(NEAR * size))?;
    let (before, after) = calm.split_at(begin);
    // One step has a level before it, which tells more than the first samples; a climb has none.
    let (first, usual) = (beginning(before), median(before.to_vec()));
    let start = if usual - first < LOW * size { usual } else { first };
    let size = level - start;
    let lost_max = LOST_MAX * size;
    let dip = after.iter().fold(0.0, |dip: f64, value| dip.max(level - value));
    let comes_back = came_down(before) > lost_max.max(width) || dip > lost_max;
    if size <= 0.0 || size < WIDTHS_MIN * width || comes_back {
        return None;
    }
    let near = width.max(NEAR * size);
    let began = before.iter().rposition(|value| *value < start + near).map_or(0, |last| last + 1);
    Some(Step { size, began_s: samples.get(began)?.at_s, settled_s: samples.get(begin)?.at_s })
}

/// The level of the first samples.
fn beginning(values: &[f64]) -> f64 {
    median(values[..(values.len() / END).clamp(1, BEGINNING_MAX).min(values.len())].to_vec())
}

/// Where the values are parted best into those below `cut` and those not; `None` where that leaves
/// nothing before, or after it too many that are below.
fn part(values: &[f64], cut: f64) -> Option<usize> {
    let is_below = |value: &&f64| **value < cut;
    let (mut best, mut best_score, mut score) = (0, 0_i64, 0_i64);
    for (index, value) in values.iter().enumerate() {
        score += if is_below(&value) { 1 } else { -1 };
        if score > best_score {
            (best, best_score) = (index + 1, score);
        }
    }
    let after = &values[best..];
    let below = after.iter().filter(is_below).count();
    (best > 0 && below as f64 <= BELOW_MAX * after.len() as f64).then_some(best)
}

/// How far the values fell at most from the highest before.
fn came_down(values: &[f64]) -> f64 {
    let mut highest = f64::MIN;
    let mut most: f64 = 0.0;
    for value in values {
        highest = highest.max(*value);
        most = most.max(highest - value);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stepped(unit: Unit, value: impl Fn(f64) -> f64) -> Option<Step> {
        let sample = |second: i32| {
            let at_s = f64::from(second);
            Sample { at_s, value: value(at_s), ticks: 0 }
        };
        step(&(0..600).map(sample).collect::<Vec<_>>(), unit)
    }

    #[test]
    fn one_step_has_its_size_and_its_second() {
        let step = stepped(Unit::Things, |s| if s < 440.0 { 9.0 } else { 12.0 });
        assert_eq!(step, Some(Step { size: 3.0, began_s: 440.0, settled_s: 440.0 }));
    }

    #[test]
    fn a_warm_up_is_one_too() {
        let step = stepped(Unit::Bytes, |s| 1e6 + 1e4 * s.min(180.0)).unwrap();
        assert!((step.size - 1.8e6).abs() < 5e4 && step.began_s < 15.0, "{step:?}");
        assert!((step.settled_s - 180.0).abs() < 5.0, "{step:?}");
    }

    #[test]
    fn a_few_steps_are_one_in_sum() {
        let step = stepped(Unit::Things, |s| [4.0, 5.0, 5.0, 8.0, 9.0, 9.0][s as usize / 100]);
        let step = step.unwrap();
        assert_eq!((step.size, step.began_s, step.settled_s), (5.0, 100.0, 400.0));
    }

    #[test]
    fn what_comes_back_down_is_none() {
        for phase in 0..50 {
            let phase = f64::from(phase) * 4.0;
            assert_eq!(stepped(Unit::Bytes, |s| (s + phase) % 200.0), None, "{phase}");
        }
        assert_eq!(stepped(Unit::Things, |s| if s == 300.0 { 50.0 } else { 3.0 }), None, "a spike");
        assert_eq!(stepped(Unit::Things, |s| 9.0 - (s / 100.0).floor()), None, "it shrinks");
    }
}
