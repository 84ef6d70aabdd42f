//! Growth that ended: a warm-up, a cache that filled, a leak of once.
//!
//! The level at the end is the middle of the last eighth. The plateau is all before it that is not
//! below that level by more than the last eighth is wide. What was there before the plateau began
//! must have been lower at its beginning, and must not have come back down on the way: a sawtooth,
//! load and noise do.

use super::middle::{median, quantile, running_median};
use super::{Sample, Step};
use crate::metric::Unit;

/// The end of a series that tells its level: one part of so many.
const END: usize = 8;

/// What is shorter than half of so many samples is no level.
const CALM: usize = 5;

/// The share of a step that may be lost again on its way up.
const COME_DOWN_MAX: f64 = 0.5;

/// The step that `samples` end on, where they do.
pub(super) fn step(samples: &[Sample], unit: Unit) -> Option<Step> {
    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    let calm = running_median(&values, CALM);
    let end = &calm[calm.len() - (calm.len() / END).max(1)..];
    let level = median(end.to_vec());
    let width = (quantile(end.to_vec(), 0.95) - quantile(end.to_vec(), 0.05)).max(match unit {
        Unit::Things => 0.5,
        Unit::Bytes => 0.0,
    });

    let begin = calm.iter().rposition(|value| *value < level - width)? + 1;
    let before = &calm[..begin];
    // A step at once is between the first two samples: as few as there are must do.
    let start = median(before[..(begin / END).clamp(1, CALM)].to_vec());
    let size = level - start;
    if size <= width || came_down(before) > (COME_DOWN_MAX * size).max(width) {
        return None;
    }
    let at = calm.iter().position(|value| *value >= start + size / 2.0).unwrap_or(begin);
    Some(Step { size, at_s: samples[at].at_s, settled_s: samples.get(begin)?.at_s })
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
        assert_eq!(step, Some(Step { size: 3.0, at_s: 440.0, settled_s: 440.0 }));
    }

    #[test]
    fn a_warm_up_is_one_too() {
        let step = stepped(Unit::Bytes, |s| 1e6 + 1e4 * s.min(180.0)).unwrap();
        assert!((step.size - 1.8e6).abs() < 3e4 && (step.at_s - 90.0).abs() < 3.0, "{step:?}");
        assert!((step.settled_s - 180.0).abs() < 3.0, "{step:?}");
    }

    #[test]
    fn a_few_steps_are_one_in_sum() {
        let step = stepped(Unit::Things, |s| [4.0, 5.0, 5.0, 8.0, 9.0, 9.0][s as usize / 100]);
        let step = step.unwrap();
        assert_eq!((step.size, step.settled_s), (5.0, 400.0));
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
