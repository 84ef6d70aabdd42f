//! What is dear is read less often.
//!
//! A reading's CPU time decides when it is due again, so that a process which grows is not read ever more
//! dearly: what takes 0.3 ms is read every second, what takes 50 ms every 50 s.

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

/// A reading may take this part of one core: four of them, and what is read always, keep below 0.5 %.
const PART: u32 = 1000;
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
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= (self.cost * PART).min(AGE_MAX)
    }

    /// Reads again where that is due, or asked for.
    pub(super) fn renewed(
        last: &Option<Self>,
        is_asked: bool,
        read: impl FnOnce() -> Reading<T>,
    ) -> Self {
        match last {
            Some(last) if !is_asked && !last.is_due(Instant::now()) => last.clone(),
            _ => Self::read(read),
        }
    }
}

/// CPU time of this thread.
pub(super) fn cpu_time() -> Duration {
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
        let (cheap, dear) = (taken(Duration::from_micros(300)), taken(Duration::from_millis(50)));
        let second = Duration::from_secs(1);
        assert!(cheap.is_due(cheap.at + second));
        assert!(!dear.is_due(dear.at + second));
        assert!(!dear.is_due(dear.at + 49 * second));
        assert!(dear.is_due(dear.at + 50 * second));
        let awful = taken(Duration::from_secs(10));
        assert!(awful.is_due(awful.at + AGE_MAX));
    }

    #[test]
    fn an_earlier_reading_stays_until_it_is_due_or_asked_for() {
        let dear = taken(Duration::from_secs(10));
        assert_eq!(Paced::renewed(&Some(dear.clone()), false, || Ok(2)), dear);
        assert_eq!(Paced::renewed(&Some(dear), true, || Ok(2)).value, Ok(2));
        assert_eq!(Paced::renewed(&None, false, || Ok(2)).value, Ok(2));
    }
}
