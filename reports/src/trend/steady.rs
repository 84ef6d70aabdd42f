//! Whether a series goes on growing, and has all the time.
//!
//! The series is cut into eight blocks; of each the level (a trimmed mean) is compared with the
//! level of the block before. A leak adds about the same from block to block. Everything else
//! does not, and that is measured by one number, the mean of the seven gains over the error of
//! that mean, as in Student's t-test ("The Probable Error of a Mean", Biometrika 6, 1908):
//!
//! | shape | gains | t |
//! |---|---|---|
//! | a leak | alike | large, the larger the less noise |
//! | noise, also autocorrelated | a high block is followed by a low one: they cancel out | below 1.5 |
//! | a sawtooth, its period up to a third | one of the falls is among them, whatever the phase | below 1 |
//! | one step | one gain, and nothing else | 1 |
//! | warm-up that stops half-way | half of them | 2.6 |
//! | a walk of chance | both ways | Student's with 6 degrees of freedom, wider by a fifth, as neighbouring gains share a block |
//!
//! So the walk decides about the threshold. Noise of daemons is autocorrelated with any memory up
//! to a walk; the tests for trend that assume independence (Mann, Econometrica 13, 1945) call most
//! of it a trend, and their corrections (Hamed and Rao, Journal of Hydrology 204, 1998) need to know
//! the memory. Gains of blocks need not.
//!
//! What slows down is told from what goes on by comparing gains of the later half with the earlier.

use super::middle::trimmed_mean;
use super::{SAMPLES_MIN, Sample};

/// So many that a sawtooth of three periods falls inside also of the last half, and so few that a
/// leak's gain stands out of the noise of a block.
pub(super) const BLOCKS: usize = 8;

/// A walk of chance is beyond this in the series or in one of its later parts three times in a
/// hundred, all else hardly ever.
const T_MIN: f64 = 3.5;

/// What the later half of the gains must be at least, as a share of the earlier half: a cache that
/// fills loses more than half of its pace.
const LATER_HALF_MIN: f64 = 0.5;

/// What the last two gains must be at least, as a share of the mean: less is a series that stopped.
const LAST_TWO_MIN: f64 = 0.4;

/// The series and its later parts, longest first. None is shorter than half: a sawtooth of three
/// periods has a fall in it.
pub(super) fn windows(samples: &[Sample]) -> impl Iterator<Item = &[Sample]> {
    [0, 1, 2]
        .map(|quarters| &samples[samples.len() * quarters / 4..])
        .into_iter()
        .filter(|window| window.len() >= SAMPLES_MIN)
}

/// Whether as much is added in one time as in another.
pub(super) fn grows_over_time(window: &[Sample]) -> bool {
    grows(&window.iter().map(|sample| (sample.at_s, sample.value)).collect::<Vec<_>>())
}

/// Whether as much is added in one tick of the program as in another, however irregular they come.
pub(super) fn grows_over_ticks(window: &[Sample]) -> bool {
    grows(&by_ticks(window))
}

/// The level at each tick.
pub(super) fn by_ticks(window: &[Sample]) -> Vec<(f64, f64)> {
    window
        .chunk_by(|a, b| a.ticks == b.ticks)
        .map(|same| {
            let level = trimmed_mean(same.iter().map(|sample| sample.value).collect());
            (same[0].ticks as f64, level)
        })
        .collect()
}

/// Whether the gains from block to block are alike, and go on. `points` are in the order of x.
fn grows(points: &[(f64, f64)]) -> bool {
    if points.len() < SAMPLES_MIN {
        return false;
    }
    let levels = blocks(points);
    let gains: Vec<f64> =
        levels.windows(2).map(|two| (two[1].1 - two[0].1) / (two[1].0 - two[0].0)).collect();
    t(&gains) >= T_MIN && goes_on(&gains)
}

/// Where each block is, and its level.
fn blocks(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    (0..BLOCKS)
        .map(|block| {
            let end = points.len() * (block + 1) / BLOCKS;
            let block = &points[points.len() * block / BLOCKS..end];
            let (x, y): (Vec<f64>, Vec<f64>) = block.iter().copied().unzip();
            (x.iter().sum::<f64>() / x.len() as f64, trimmed_mean(y))
        })
        .collect()
}

/// Student's t of the gains against none. Gains that are all the same have an infinite one.
fn t(gains: &[f64]) -> f64 {
    let mean = mean(gains);
    if mean <= 0.0 {
        return 0.0;
    }
    let squares: f64 = gains.iter().map(|gain| (gain - mean).powi(2)).sum();
    let error = (squares / (gains.len() - 1) as f64 / gains.len() as f64).sqrt();
    mean / error
}

fn goes_on(gains: &[f64]) -> bool {
    let half = gains.len() / 2;
    let (earlier, later) = (mean(&gains[..half]), mean(&gains[gains.len() - half..]));
    later >= LATER_HALF_MIN * earlier
        && mean(&gains[gains.len() - 2..]) >= LAST_TWO_MIN * mean(gains)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: u32 = 480;

    fn grown(value: impl Fn(f64) -> f64) -> bool {
        let points = (0..SAMPLES).map(|x| (f64::from(x), value(f64::from(x) / f64::from(SAMPLES))));
        grows(&points.collect::<Vec<_>>())
    }

    #[test]
    fn what_goes_on_grows() {
        assert!(grown(|x| x));
        assert!(grown(|x| 1e9 + 1e-3 * x));
        assert!(grown(|x| (x * 6.0).floor()));
    }

    #[test]
    fn what_stays_stops_or_slows_down_does_not() {
        assert!(!grown(|_| 3.0));
        assert!(!grown(|x| -x));
        assert!(!grown(|x| f64::from(x > 0.3)));
        assert!(!grown(|x| x.min(0.75)));
        assert!(!grown(|x| 1.0 - (-6.0 * x).exp()));
    }

    #[test]
    fn a_sawtooth_of_three_periods_does_not_grow_whatever_its_phase() {
        for phase in 0..100 {
            let phase = f64::from(phase) / 100.0;
            assert!(!grown(|x| (3.0 * x + phase).fract()), "{phase}");
            assert!(!grown(|x| (1.5 * x + phase).fract()), "the last half, {phase}");
        }
    }

    #[test]
    fn irregular_ticks_are_levelled() {
        let mut seconds = 0.0;
        let window: Vec<Sample> = (0..200)
            .map(|index| {
                seconds += if index < 100 { 10.0 } else { 0.1 };
                Sample { at_s: seconds, value: (index / 2) as f64, ticks: index / 2 }
            })
            .collect();
        assert!(grows_over_ticks(&window));
        assert!(!grows_over_time(&window));
        assert_eq!(by_ticks(&window).len(), 100);
    }
}
