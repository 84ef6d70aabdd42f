//! The rhythm of a count's rises: "+1 every 5.0 s".
//!
//! A rise is where the count goes up and stays up. Where it flickers the flicker is first removed
//! by a running median, the narrowest that does. The gap between two rises is one period, or two or
//! three where samples are missing or rises fell together; the period is the whole time over all
//! these. Only gaps are looked at, so a program that sleeps between its rounds, and is therefore
//! later and later, has a period like one that keeps to the clock.

use serde::{Deserialize, Serialize};

use super::Sample;
use super::middle::{median, running_median};

/// Rises below which there is no rhythm: less come evenly by chance.
const RISES_MIN: usize = 5;

/// Widths, in samples, of the running medians that are tried.
const WIDTHS: [usize; 6] = [1, 3, 7, 15, 31, 63];

/// Falls for each rise that are still no flicker.
const FALLS_MAX: f64 = 0.1;

/// How far gaps may be from their period, as a share of it (root mean square). Rises that come by
/// chance are at 0.4; a period of two and a half samples is at 0.16, because of the sampling.
const IRREGULAR_MAX: f64 = 0.2;

/// Periods for each rise: more would be a rhythm that is missing more often than not.
const PERIODS_MAX: f64 = 2.0;

/// A count that rises regularly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Period {
    /// From one rise to the next.
    pub seconds: f64,
    /// What is added in one period.
    pub added: f64,
    /// How many rises were seen.
    pub rises: usize,
}

struct Rise {
    at_s: f64,
    size: f64,
}

/// The period of what `samples` count, if it rises regularly.
pub(super) fn of(samples: &[Sample]) -> Option<Period> {
    let rises = WIDTHS.iter().find_map(|width| rises(samples, *width))?;
    if rises.len() < RISES_MIN {
        return None;
    }
    let guess = median(gaps(&rises));
    let interval = median(samples.windows(2).map(|two| two[1].at_s - two[0].at_s).collect());
    if guess < 2.0 * interval {
        return None;
    }

    let rises = whole(rises, (1.5 * interval).min(guess / 2.0));
    let gaps = gaps(&rises);
    if rises.len() < RISES_MIN {
        return None;
    }
    let periods: Vec<f64> = gaps.iter().map(|gap| (gap / guess).round().max(1.0)).collect();
    let count: f64 = periods.iter().sum();
    let seconds = gaps.iter().sum::<f64>() / count;
    let irregular = gaps.iter().zip(&periods).map(|(gap, n)| (gap / seconds - n).powi(2));
    let irregular = (irregular.sum::<f64>() / gaps.len() as f64).sqrt();
    if irregular > IRREGULAR_MAX || count > PERIODS_MAX * gaps.len() as f64 {
        return None;
    }
    // What is usually added, and the time in which so much is: rises that were missed, or fell together, are in it.
    let added = median(rises.iter().map(|rise| rise.size).collect());
    let all = rises[1..].iter().map(|rise| rise.size).sum::<f64>();
    let seconds = gaps.iter().sum::<f64>() * added / all;
    Some(Period { seconds, added, rises: rises.len() })
}

fn gaps(rises: &[Rise]) -> Vec<f64> {
    rises.windows(2).map(|two| two[1].at_s - two[0].at_s).collect()
}

/// What rises in two samples, because one was taken in the midst of it, is one rise: both parts together are
/// what is usually added.
fn whole(rises: Vec<Rise>, within_s: f64) -> Vec<Rise> {
    let usual = median(rises.iter().map(|rise| rise.size).collect());
    let mut whole: Vec<Rise> = Vec::with_capacity(rises.len());
    for rise in rises {
        let is_rest = |first: &&mut Rise| {
            rise.at_s - first.at_s < within_s && first.size + rise.size <= usual
        };
        match whole.last_mut().filter(is_rest) {
            Some(first) => {
                first.at_s = first.at_s.midpoint(rise.at_s);
                first.size += rise.size;
            }
            None => whole.push(rise),
        }
    }
    whole
}

/// The rises that a running median of `width` leaves; `None` where it leaves flicker.
fn rises(samples: &[Sample], width: usize) -> Option<Vec<Rise>> {
    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    let calm = running_median(&values, width);
    let mut rises = Vec::new();
    let mut falls = 0.0;
    for (times, levels) in samples.windows(2).zip(calm.windows(2)) {
        let size = levels[1] - levels[0];
        if size > 0.0 {
            // It rose somewhere between the two.
            rises.push(Rise { at_s: times[0].at_s.midpoint(times[1].at_s), size });
        } else if size < 0.0 {
            falls += 1.0;
        }
    }
    (falls <= FALLS_MAX * rises.len() as f64).then_some(rises)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(seconds: impl Iterator<Item = f64>, value: impl Fn(f64) -> f64) -> Option<Period> {
        let sample = |at_s| Sample { at_s, value: value(at_s), ticks: 0 };
        of(&seconds.map(sample).collect::<Vec<_>>())
    }

    fn each_second(count: i32) -> impl Iterator<Item = f64> {
        (0..count).map(f64::from)
    }

    #[test]
    fn a_clock_is_read_off() {
        let period = sampled(each_second(30), |s| 7.0 + (s / 5.0).floor()).unwrap();
        assert_eq!(period, Period { seconds: 5.0, added: 1.0, rises: 5 });
        let period = sampled(each_second(300), |s| 3.0 * (s / 4.6).floor()).unwrap();
        assert!((period.seconds - 4.6).abs() < 0.02 && period.added == 3.0, "{period:?}");
    }

    #[test]
    fn a_sample_in_the_midst_of_a_rise_does_not_split_it() {
        // Two things are opened 20 ms apart, every 3.01 s.
        let opened = |s: f64| (s / 3.01).floor() + ((s - 0.02) / 3.01).floor();
        let tenths = (0..1_200).map(|tenth| f64::from(tenth) / 10.0);
        let period = sampled(tenths, opened).unwrap();
        assert!((period.seconds - 3.01).abs() < 0.01, "{period:?}");
        assert!((period.added - 2.0).abs() < 0.01, "{period:?}");
    }

    #[test]
    fn missed_samples_do_not_hide_it() {
        let some = each_second(200).filter(|s| (s / 3.0) as i32 % 9 != 4);
        let period = sampled(some, |s| (s / 5.0).floor()).unwrap();
        assert!((period.seconds - 5.0).abs() < 0.05, "{period:?}");
        assert!((period.added - 1.0).abs() < 0.03, "{period:?}");
    }

    #[test]
    fn a_program_that_is_later_and_later_has_one() {
        // It sleeps five seconds and works for 0 to 0.4.
        let mut due = 0.0;
        let rises: Vec<f64> = (0..100)
            .map(|round| {
                due += 5.0 + f64::from(round * 37 % 5) / 10.0;
                due
            })
            .collect();
        let value = |s: f64| rises.iter().filter(|rise| **rise <= s).count() as f64;
        let period = sampled(each_second(500), value).unwrap();
        assert!((period.seconds - 5.2).abs() < 0.05, "{period:?}");
    }

    #[test]
    fn flicker_does_not_hide_it() {
        let flicker = |s: f64| [0.0, 0.0, 0.0, 2.0, 0.0, -2.0, 0.0][s as usize % 7];
        let period = sampled(each_second(512), |s| (s / 60.0).floor() + flicker(s)).unwrap();
        assert!((period.seconds - 60.0).abs() < 2.0 && period.added == 1.0, "{period:?}");
    }

    #[test]
    fn without_rhythm_there_is_none() {
        let squares = |s: f64| s.sqrt().floor();
        assert_eq!(sampled(each_second(400), squares), None);
        assert_eq!(sampled(each_second(400), |s| s), None, "faster than the samples");
        assert_eq!(sampled(each_second(20), |s| (s / 5.0).floor()), None, "three rises");
        assert_eq!(sampled(each_second(400), |s| s % 7.0), None, "it comes back down");
    }
}
