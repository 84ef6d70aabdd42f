//! The samples of one resource, as many as are needed and no more.
//!
//! A series of any length is kept in at most [`KEPT_MAX`] samples. When they are full every three
//! neighbours give way to the one whose value is in the middle (the remedian of Rousseeuw and
//! Bassett, "The Remedian: A Robust Averaging Method for Large Data Sets", Journal of the American
//! Statistical Association 85, 1990). What is kept was sampled, value and time, so counts stay
//! whole numbers and slopes have no bias; an edge stays an edge; a spike is outvoted. All kept
//! samples stand for equally many: thinning old ones more than new ones would make old noise look
//! smaller than new noise.
//!
//! The last [`RECENT_MAX`] samples are kept as they came too, for rhythms that thinning would hide.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Samples kept of a whole series.
pub const KEPT_MAX: usize = 1_024;

/// Samples kept as they came: four minutes at two a second, eight at one.
pub const RECENT_MAX: usize = 512;

/// Neighbours that give way to one.
const NEIGHBOURS: usize = 3;

/// One reading of the resource.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sample {
    /// Seconds since the start.
    pub at_s: f64,
    /// How many, or how many bytes.
    pub value: f64,
    /// Ticks of the program that were seen before it; 0 where they are not known.
    pub ticks: u64,
}

/// The samples of one resource of one process: at most [`KEPT_MAX`] and [`RECENT_MAX`] of them.
#[derive(Debug, Clone)]
pub struct Series {
    kept: Vec<Sample>,
    /// Neighbours that are not yet as many as one kept sample stands for, by level: what is in the
    /// third place stands for nine samples, and so on.
    pending: Vec<Vec<Sample>>,
    /// Up to twice [`RECENT_MAX`], so that old ones are dropped all at once.
    recent: Vec<Sample>,
    ticks: u64,
    kept_max: usize,
}

impl Default for Series {
    fn default() -> Self {
        Self::keeping(KEPT_MAX)
    }
}

impl Series {
    /// An empty series that keeps at most so many samples, at least three.
    pub fn keeping(kept_max: usize) -> Self {
        Self {
            kept: Vec::new(),
            pending: Vec::new(),
            recent: Vec::new(),
            ticks: 0,
            kept_max: kept_max.max(NEIGHBOURS),
        }
    }

    /// The program ticked once more.
    pub fn tick(&mut self) {
        self.ticks += 1;
    }

    /// `value` was read so long after the start. What is no number, or earlier than what is here,
    /// is left out: a series goes forward.
    pub fn push(&mut self, at: Duration, value: f64) {
        let sample = Sample { at_s: at.as_secs_f64(), value, ticks: self.ticks };
        let is_later = self.recent.last().is_none_or(|last| last.at_s < sample.at_s);
        if !value.is_finite() || !is_later {
            return;
        }
        if self.recent.len() == 2 * RECENT_MAX {
            self.recent.drain(..RECENT_MAX);
        }
        self.recent.push(sample);
        self.keep(sample);
    }

    /// The samples kept, in order, all standing for equally many.
    pub fn samples(&self) -> &[Sample] {
        &self.kept
    }

    /// The last samples as they came.
    pub fn recent(&self) -> &[Sample] {
        &self.recent[self.recent.len().saturating_sub(RECENT_MAX)..]
    }

    /// Carries `sample` up the levels, as in counting to the base of three.
    fn keep(&mut self, mut sample: Sample) {
        for level in &mut self.pending {
            level.push(sample);
            if level.len() < NEIGHBOURS {
                return;
            }
            sample = middle_of(level);
            level.clear();
        }
        self.kept.push(sample);
        if self.kept.len() >= self.kept_max {
            self.thin();
        }
    }

    fn thin(&mut self) {
        let whole = self.kept.len() / NEIGHBOURS * NEIGHBOURS;
        let left_over = self.kept.split_off(whole);
        self.kept = self.kept.chunks_exact(NEIGHBOURS).map(middle_of).collect();
        self.pending.push(left_over);
    }
}

/// The sample whose value is in the middle; of equal ones the middle in time.
fn middle_of(neighbours: &[Sample]) -> Sample {
    let mut sorted = neighbours.to_vec();
    // Stable, so that equal values stay in the order of time.
    sorted.sort_by(|a, b| a.value.total_cmp(&b.value));
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(samples: u32, value: impl Fn(u32) -> f64) -> Series {
        let mut series = Series::keeping(30);
        for second in 0..samples {
            series.push(Duration::from_secs(u64::from(second)), value(second));
        }
        series
    }

    #[test]
    fn short_series_are_kept_whole() {
        let series = filled(29, f64::from);
        assert_eq!(series.samples(), series.recent());
        assert_eq!(series.samples().len(), 29);
    }

    #[test]
    fn what_is_kept_stands_for_equally_many() {
        let series = filled(1_000, f64::from);
        let kept = series.samples();
        let strides: Vec<f64> = kept.windows(2).map(|two| two[1].at_s - two[0].at_s).collect();
        assert!(kept.len() >= 10 && kept.len() < 30, "{}", kept.len());
        assert!(strides.iter().all(|stride| *stride == 81.0), "{strides:?}");
        assert!(kept.iter().all(|sample| sample.at_s == sample.value), "{kept:?}");
    }

    #[test]
    fn a_spike_is_outvoted_and_an_edge_stays() {
        let series = filled(270, |second| match second {
            100 => 1e9,
            0..135 => 4.0,
            _ => 9.0,
        });
        let edge = series.samples().iter().find(|sample| sample.value != 4.0);
        assert!(edge.is_some_and(|edge| edge.value == 9.0 && edge.at_s < 135.0 + 27.0), "{edge:?}");
    }

    #[test]
    fn a_series_goes_forward() {
        let mut series = Series::default();
        for (second, value) in [(1, 1.0), (2, f64::NAN), (3, 3.0), (3, 4.0), (2, 5.0)] {
            series.push(Duration::from_secs(second), value);
        }
        let values: Vec<f64> = series.samples().iter().map(|sample| sample.value).collect();
        assert_eq!(values, [1.0, 3.0]);
    }

    #[test]
    fn twenty_four_hours_take_no_more_than_a_minute() {
        let mut series = Series::default();
        for second in 0..86_400 {
            series.tick();
            series.push(Duration::from_secs(second), 1.0);
        }
        assert!(series.samples().len() < KEPT_MAX);
        assert_eq!(series.recent().len(), RECENT_MAX);
        assert!(series.pending.iter().all(|level| level.len() < NEIGHBOURS));
        assert_eq!(series.recent().last().map(|sample| sample.ticks), Some(86_400));
    }
}
