//! The line at the end of a run.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::text;
use crate::metric;
use crate::model::{Outcome, Trial, Verdict};

/// A run in one line, folded trial by trial: its size does not grow with the run.
///
/// A case that was tried again is told by its last trial, so only that one is added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Summary {
    /// Cases in all.
    pub cases: u64,
    /// Cases that left nothing.
    pub clean: u64,
    /// Cases that left something within a budget or an accepted exception.
    pub tolerated: u64,
    /// Cases that leaked.
    pub leaked: u64,
    /// Cases whose resources were still falling at the deadline.
    pub unsettled: u64,
    /// Cases for which a probe could not look.
    pub unmeasured: u64,
    /// Cases that did not run; they have no verdict.
    pub skipped: u64,
    /// Cases whose body failed, whatever their verdict.
    pub failed: u64,
    /// Cases whose process ended by itself, whatever their verdict.
    pub crashed: u64,
    /// Cases whose process was ended from outside, whatever their verdict.
    pub killed: u64,
    /// Cases that met their deadline, whatever their verdict.
    pub timed_out: u64,
    /// The highest resident memory of any trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child_peak_rss_bytes: Option<u64>,
    /// The highest resident memory of the supervisor, which the caller knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor_peak_rss_bytes: Option<u64>,
    /// Where the records are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<PathBuf>,
    /// Entries of the acceptance file that have to go or to be renewed, each in a sentence.
    pub remarks: Vec<String>,
}

impl Summary {
    /// Counts one more case.
    pub fn add(&mut self, trial: &Trial) {
        self.child_peak_rss_bytes = self.child_peak_rss_bytes.max(Self::peak_rss_bytes(trial));
        self.count(trial.outcome, trial.verdict);
    }

    /// The highest resident memory that was read in a trial.
    pub(crate) fn peak_rss_bytes(trial: &Trial) -> Option<u64> {
        let rss = trial.readings.get(metric::RSS_BYTES)?;
        Some(rss.peak.unwrap_or(0).max(rss.before).max(rss.after))
    }

    /// Counts one more case by what became of it.
    pub(crate) fn count(&mut self, outcome: Outcome, verdict: Verdict) {
        self.cases += 1;
        match outcome {
            Outcome::Skipped => {
                self.skipped += 1;
                return;
            }
            Outcome::Passed => {}
            Outcome::Failed => self.failed += 1,
            Outcome::Crashed => self.crashed += 1,
            Outcome::Killed => self.killed += 1,
            Outcome::TimedOut => self.timed_out += 1,
        }
        match verdict {
            Verdict::Clean => self.clean += 1,
            Verdict::Tolerated => self.tolerated += 1,
            Verdict::Leaked => self.leaked += 1,
            Verdict::Unsettled => self.unsettled += 1,
            Verdict::Unmeasured => self.unmeasured += 1,
        }
    }

    /// Whether every case that ran passed, and is clean or tolerated.
    #[must_use]
    pub fn is_green(&self) -> bool {
        !self.is_red() && self.unsettled + self.unmeasured == 0
    }

    /// Whether a case failed or leaked, under any profile.
    pub(super) fn is_red(&self) -> bool {
        self.leaked + self.failed + self.crashed + self.killed + self.timed_out > 0
    }
}

/// The line, without colours and without a newline.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cases = if self.cases == 1 { "case" } else { "cases" };
        write!(f, "watertight: {} {cases}", metric::count(self.cases))?;
        // What needs a look comes first.
        for (many, what) in [
            (self.leaked, "leaked"),
            (self.unsettled, "unsettled"),
            (self.unmeasured, "unmeasured"),
            (self.clean, "clean"),
            (self.tolerated, "tolerated"),
            (self.skipped, "skipped"),
        ] {
            if many > 0 {
                write!(f, ", {} {what}", metric::count(many))?;
            }
        }
        let outcomes: Vec<String> = [
            (self.failed, "failed"),
            (self.crashed, "crashed"),
            (self.killed, "killed"),
            (self.timed_out, "timed out"),
        ]
        .into_iter()
        .filter(|(many, _)| *many > 0)
        .map(|(many, what)| format!("{} {what}", metric::count(many)))
        .collect();
        if !outcomes.is_empty() {
            write!(f, "; outcomes: {}", outcomes.join(", "))?;
        }
        let peaks: Vec<String> = [
            (self.child_peak_rss_bytes, "largest child"),
            (self.supervisor_peak_rss_bytes, "supervisor"),
        ]
        .into_iter()
        .filter_map(|(peak, whose)| Some(format!("{} ({whose})", metric::bytes(peak?))))
        .collect();
        if !peaks.is_empty() {
            write!(f, "; peak RSS {}", peaks.join(", "))?;
        }
        if let Some(ledger) = &self.ledger {
            write!(f, "; ledger {}", text::escape(&ledger.to_string_lossy()))?;
        }
        Ok(())
    }
}
