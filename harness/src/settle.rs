//! Settling: waiting for a condition with a doubling back-off and a deadline. The only place that sleeps.

use std::time::{Duration, Instant};

/// Longest wait for something that may still be released. Fixed windows of 2, 100 and 200 ms have all
/// proved too short under load.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);
/// The same for a trial that is repeated alone because it did not settle.
pub(crate) const SETTLE_ALONE: Duration = Duration::from_secs(30);

const FIRST: Duration = Duration::from_micros(200);
const LONGEST: Duration = Duration::from_millis(50);

/// A doubling pause that ends at a deadline.
pub(crate) struct Backoff {
    deadline: Instant,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self { deadline, next: FIRST }
    }

    /// Pauses; false once the deadline has passed, and then without pausing.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that waits between two looks, with a deadline"
    )]
    pub(crate) fn pause(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(self.next.min(left));
        self.next = (self.next * 2).min(LONGEST);
        true
    }
}
