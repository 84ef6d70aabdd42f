//! The time of a watch: how long since it began, and what the wall says.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// When a watch began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// How long after the beginning.
    pub(crate) fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.began)
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn unix_ms() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
    }
}
