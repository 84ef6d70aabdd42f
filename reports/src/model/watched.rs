//! What the record says of a watched program besides its findings.

use serde::{Deserialize, Serialize};

use super::{SUBJECT_TEST, Trial};
use crate::metric::Unit;
use crate::trend::Trend;

/// The suite of every watched program; its case is the program's name.
pub const WATCH_SUITE: &str = "watch";

/// What one series of samples says: one metric of one process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Trended {
    /// As findings name it: `test` for the watched process itself, else the command line of a
    /// descendant, or of what the process ran before.
    pub subject: String,
    /// Its process id.
    pub pid: u32,
    /// The metric, as `descriptor`.
    pub metric: String,
    /// The last value that was read: things, or bytes where the metric's name says so.
    pub now: u64,
    /// What its samples say.
    pub trend: Trend,
}

impl Trended {
    /// The samples of `metric` of a process say `trend`, and the last of them was `now`.
    pub fn new(
        subject: impl Into<String>,
        pid: u32,
        metric: impl Into<String>,
        now: u64,
        trend: Trend,
    ) -> Self {
        Self { subject: subject.into(), pid, metric: metric.into(), now, trend }
    }

    /// What its metric counts.
    pub fn unit(&self) -> Unit {
        Unit::of(&self.metric)
    }
}

impl Trial {
    /// Whether a finding or a series with this subject is of the watched process itself (or the
    /// test's own), not of a descendant.
    pub fn is_of_program(&self, subject: &str) -> bool {
        [SUBJECT_TEST, ""].contains(&subject)
    }
}
