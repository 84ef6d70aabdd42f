//! How fast a series grows.
//!
//! The slope is the median of the slopes of all pairs of points (Theil, "A rank-invariant method of
//! linear and polynomial regression analysis", Proceedings of the Royal Netherlands Academy of
//! Sciences 53, 1950), which outliers of up to 29 % of the points do not spoil. Its interval is Sen's ("Estimates
//! of the Regression Coefficient Based on Kendall's Tau", Journal of the American Statistical
//! Association 63, 1968): of the sorted slopes of the N pairs those at the places (N ± C) / 2, with
//! C = z sqrt(var S) and var S = n (n - 1) (2 n + 5) / 18, the variance of Kendall's S.
//!
//! Samples of a process remember the ones before, and so say less than their number: var S is
//! made larger by n over the effective number of them, from the autocorrelation of what the line
//! leaves (Hamed and Rao, "A modified Mann-Kendall trend test for autocorrelated data", Journal of
//! Hydrology 204, 1998; in the form of Yue and Wang, Water Resources Management 18, 2004).

use serde::{Deserialize, Serialize};

use super::middle::{median, quantile};

/// The normal quantile of a two-sided interval of 99 %.
const Z: f64 = 2.576;

/// Points of which all pairs are looked at, 131 thousand.
pub const POINTS_MAX: usize = 512;

/// The slope is in its interval in so many of a hundred series.
pub const CONFIDENCE_PERCENT: u32 = 99;

/// A slope with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Slope {
    /// The median of the slopes of all pairs.
    pub value: f64,
    /// The lower end of its interval of [`CONFIDENCE_PERCENT`].
    pub low: f64,
    /// The upper end of it.
    pub high: f64,
}

impl Slope {
    /// The slope and its interval, so many times.
    pub(super) fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, low: self.low * factor, high: self.high * factor }
    }
}

/// The slope of points (x, y) in the order of x; `None` where no two of them have a different x.
///
/// Looks at all pairs; of more than [`POINTS_MAX`] points neighbours are put together first.
pub fn of(points: &[(f64, f64)]) -> Option<Slope> {
    let points = &together(points)[..];
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (index, (x, y)) in points.iter().enumerate() {
        let later = points[index + 1..].iter().filter(|later| later.0 > *x);
        slopes.extend(later.map(|later| (later.1 - y) / (later.0 - x)));
    }
    if slopes.is_empty() {
        return None;
    }
    let pairs = slopes.len() as f64;
    let value = quantile(&mut slopes, 0.5);

    let n = points.len() as f64;
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0 * memory(points, value);
    let reach = Z * variance.sqrt();
    let low = ((pairs - reach) / 2.0).floor().clamp(0.0, pairs - 1.0) as usize;
    let high = ((pairs + reach) / 2.0).ceil().clamp(0.0, pairs - 1.0) as usize;
    let low = *slopes.select_nth_unstable_by(low, f64::total_cmp).1;
    let high = *slopes.select_nth_unstable_by(high, f64::total_cmp).1;
    Some(Slope { value, low, high })
}

/// At most [`POINTS_MAX`] points: the means of as many neighbours as it takes.
fn together(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean_of = |neighbours: &[(f64, f64)]| {
        let (x, y) =
            neighbours.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (x / neighbours.len() as f64, y / neighbours.len() as f64)
    };
    points.chunks(points.len().div_ceil(POINTS_MAX).max(1)).map(mean_of).collect()
}

/// How many samples say as much as one independent one: 1 + 2 Σ (1 - k/n) r(k), summed until the
/// autocorrelation r of what the line leaves is gone. At least 1.
fn memory(points: &[(f64, f64)], slope: f64) -> f64 {
    let mut left: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    let level = median(left.clone());
    let mut spread: Vec<f64> = left.iter().map(|value| (value - level).abs()).collect();
    // A spike would drown the rest.
    let bound = quantile(&mut spread, 0.95);
    for value in &mut left {
        *value = (*value - level).clamp(-bound, bound);
    }
    let n = left.len();
    let variance: f64 = left.iter().map(|value| value * value).sum();
    if variance <= 0.0 {
        return 1.0;
    }
    let mut sum = 0.0;
    for lag in 1..n / 2 {
        let shared: f64 = left.iter().zip(&left[lag..]).map(|(a, b)| a * b).sum();
        if shared <= 0.0 {
            break;
        }
        sum += (1.0 - lag as f64 / n as f64) * shared / variance;
    }
    1.0 + 2.0 * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope_and_no_doubt() {
        let points: Vec<_> = (0..50).map(|x| (f64::from(x), 3.0 + 0.25 * f64::from(x))).collect();
        assert_eq!(of(&points), Some(Slope { value: 0.25, low: 0.25, high: 0.25 }));
    }

    #[test]
    fn a_quarter_of_outliers_does_not_spoil_it() {
        let y = |x: i32| if x % 4 == 0 { 1e6 } else { 2.0 * f64::from(x) };
        let points: Vec<_> = (0..80).map(|x| (f64::from(x), y(x))).collect();
        let slope = of(&points).unwrap();
        assert!((1.9..2.1).contains(&slope.value), "{slope:?}");
    }

    #[test]
    fn the_interval_is_sens() {
        // Ten independent points: var S = 10 * 9 * 25 / 18 = 125, C = 28.8, so of the 45 sorted
        // slopes those at places 8 and 37, counted from 0.
        let y = [0.0, 3.0, 1.0, 4.0, 2.0, 7.0, 4.5, 8.5, 6.0, 9.7];
        let points: Vec<_> = (0..10).map(|x| (x as f64, y[x])).collect();
        let mut slopes = Vec::new();
        for i in 0..10 {
            slopes.extend((i + 1..10).map(|j| (y[j] - y[i]) / (j - i) as f64));
        }
        slopes.sort_by(f64::total_cmp);
        let slope = of(&points).unwrap();
        assert_eq!((slope.low, slope.value, slope.high), (slopes[8], slopes[22], slopes[37]));
    }

    #[test]
    fn memory_widens_it() {
        let wave = |period: f64| {
            let y = move |x: f64| x + 20.0 * (x / period * std::f64::consts::TAU).sin();
            let points: Vec<_> = (0..400).map(|x| (f64::from(x), y(f64::from(x)))).collect();
            let slope = of(&points).unwrap();
            slope.high - slope.low
        };
        assert!(wave(80.0) > 2.0 * wave(2.5), "{} {}", wave(80.0), wave(2.5));
    }

    #[test]
    fn one_moment_has_no_slope() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(1.0, 2.0), (1.0, 3.0)]), None);
    }
}
