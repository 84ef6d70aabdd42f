//! What is dear is read less often.
//!
//! A reading's CPU time decides when it is due again, so that a process which grows is not read ever more
//! dearly. The parts of all readings, and what is read always (0.04 ms), keep below 0.5 % of one core at one
//! snapshot a second.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::Reading;

/// A reading that may be an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Paced<T> {
    /// When it was taken.
    pub at: Instant,
    /// What was read.
    pub value: Reading<T>,
    /// CPU time that it took.
    pub cost: Duration,
}

/// One reading may take one part in so many of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part(u32);

impl Part {
    pub(crate) const HELD: Self = Self(500);
    pub(super) const FAMILY: Self = Self(1000);
    pub(crate) const WAITING: Self = Self(2000);
    pub(super) const MAPPINGS: Self = Self(2000);
    pub(super) const PROPORTIONAL: Self = Self(2000);
}

/// Nothing is older than that.
const AGE_MAX: Duration = Duration::from_secs(600);

impl<T: Clone> Paced<T> {
    /// Reads now.
    pub(super) fn read(read: impl FnOnce() -> Reading<T>) -> Self {
        let (at, begun) = (Instant::now(), cpu_time());
        let value = read();
        Self { at, value, cost: cpu_time().saturating_sub(begun) }
    }

    /// Whether it is to be read again.
    fn is_due(&self, part: Part, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= (self.cost * part.0).min(AGE_MAX)
    }

    /// Reads again where that is due for its part; without one, always.
    pub(crate) fn renewed(
        last: &Option<Self>,
        part: Option<Part>,
        read: impl FnOnce() -> Reading<T>,
    ) -> Self {
        match (last, part) {
            (Some(last), Some(part)) if !last.is_due(part, Instant::now()) => last.clone(),
            _ => Self::read(read),
        }
    }
}

/// CPU time of this thread.
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(cost: Duration) -> Paced<u8> {
        Paced { at: Instant::now(), value: Ok(1), cost }
    }

    #[test]
    fn what_is_dear_is_due_later() {
        let part = Part(1000);
        let (cheap, dear) = (taken(Duration::from_micros(300)), taken(Duration::from_millis(50)));
        let second = Duration::from_secs(1);
        assert!(cheap.is_due(part, cheap.at + second));
        assert!(!dear.is_due(part, dear.at + 49 * second));
        assert!(dear.is_due(part, dear.at + 50 * second));
        let awful = taken(Duration::from_secs(10));
        assert!(awful.is_due(part, awful.at + AGE_MAX));
    }

    #[test]
    fn all_parts_together_are_less_than_half_a_percent() {
        let parts = [Part::HELD, Part::FAMILY, Part::MAPPINGS, Part::PROPORTIONAL, Part::WAITING];
        let sum: f64 = parts.iter().map(|part| 1.0 / f64::from(part.0)).sum();
        assert!(sum < 0.005, "{sum}");
    }

    #[test]
    fn an_earlier_reading_stays_until_it_is_due_or_asked_for() {
        let dear = taken(Duration::from_secs(10));
        assert_eq!(Paced::renewed(&Some(dear.clone()), Some(Part::HELD), || Ok(2)), dear);
        assert_eq!(Paced::renewed(&Some(dear), None, || Ok(2)).value, Ok(2));
        assert_eq!(Paced::renewed(&None, Some(Part::HELD), || Ok(2)).value, Ok(2));
    }
}
