//! When a limit is met.

use serde::{Deserialize, Serialize};

use super::middle::median;
use super::{Sample, Slope};

/// Where a resource ends: RLIMIT_NOFILE, a cgroup's memory, the ephemeral ports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Limit {
    /// Its name, for the reader.
    pub name: String,
    /// How many, or how many bytes.
    pub value: f64,
}

/// What is met later than in ten years is no matter.
const HORIZON_S: f64 = 10.0 * 365.25 * 86_400.0;

impl Limit {
    /// The limit `name` at `value`.
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value }
    }

    /// When a window that grows by `per_second` meets it; `None` unless all of the slope's interval
    /// is above zero, and where nobody will be there to see it.
    ///
    /// It starts from where the line is at the last sample, not from that sample: that may be a
    /// spike.
    pub(super) fn met(&self, window: &[Sample], per_second: Slope) -> Option<LimitMet> {
        let now_s = window.last()?.at_s;
        if per_second.low <= 0.0 {
            return None;
        }
        let levels = window.iter().map(|s| s.value + per_second.value * (now_s - s.at_s));
        let left = (self.value - median(levels.collect())).max(0.0);
        let in_s = left / per_second.value;
        if in_s > HORIZON_S {
            return None;
        }
        Some(LimitMet {
            limit: self.clone(),
            at_s: now_s + in_s,
            in_s,
            in_s_min: left / per_second.high,
            in_s_max: left / per_second.low,
        })
    }
}

/// The limit is met at this time if growth goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LimitMet {
    /// The limit.
    pub limit: Limit,
    /// The second of the series at which it is met.
    pub at_s: f64,
    /// Seconds from the last sample until then; 0 where it is met already.
    pub in_s: f64,
    /// The same at the upper end of the slope's interval.
    pub in_s_min: f64,
    /// The same at the lower end.
    pub in_s_max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Vec<Sample> {
        (0..=100)
            .map(|second| {
                let spike = if second == 100 { 500.0 } else { 0.0 };
                Sample { at_s: f64::from(second), value: f64::from(second) + spike, ticks: 0 }
            })
            .collect()
    }

    #[test]
    fn it_is_met_where_the_line_goes() {
        let slope = Slope { value: 1.0, low: 0.5, high: 2.0 };
        let met = Limit::new("RLIMIT_NOFILE", 300.0).met(&line(), slope).unwrap();
        assert_eq!((met.at_s, met.in_s), (300.0, 200.0));
        assert_eq!((met.in_s_min, met.in_s_max), (100.0, 400.0));
    }

    #[test]
    fn a_limit_behind_is_met_now_and_one_that_may_never_be_met_is_not_told() {
        let slope = Slope { value: 1.0, low: 0.5, high: 2.0 };
        let met = Limit::new("memory.max", 50.0).met(&line(), slope).unwrap();
        assert_eq!((met.at_s, met.in_s), (100.0, 0.0));
        let doubtful = Slope { low: 0.0, ..slope };
        assert_eq!(Limit::new("memory.max", 300.0).met(&line(), doubtful), None);
    }
}
