//! The settings that a profile, an override or a suite may have; each may be left to a weaker one.

use std::num::NonZeroU32;
use std::time::Duration;

use watertight_report::document::{Amount, DeValue, DocumentError, Table, Value};

use super::Severity;
use super::allow::Allow;
use crate::case::{Case, Net};

#[derive(Debug, Clone, Default, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(default))]
pub(crate) struct Settings {
    /// Whether a trial fails in which a probe could not look. Built in: "fail" under the profile ci, else "warn".
    pub(crate) unmeasured: Option<Severity>,
    /// Whether a trial fails that was still giving back what it held when the settle time was over. Built in: as `unmeasured`.
    pub(crate) unsettled: Option<Severity>,
    /// Time for the whole trial, as "30s". Built in: 120s.
    #[cfg_attr(test, schemars(with = "Option<super::schema::Duration>"))]
    pub(crate) deadline: Option<Duration>,
    /// At most this many rounds. Built in: while something grows 12, of short ones with growing heap 300.
    #[cfg_attr(test, schemars(with = "Option<NonZeroU32>"))]
    pub(crate) rounds: Option<u32>,
    /// How long to wait for what may still be released after a round or at the end. Built in: 2s.
    #[cfg_attr(test, schemars(with = "Option<super::schema::Duration>"))]
    pub(crate) settle: Option<Duration>,
    /// Where sockets live. Built in: "private".
    #[cfg_attr(test, schemars(with = "Option<super::schema::Net>"))]
    pub(crate) net: Option<Net>,
    /// Ceiling on the test process's peak resident memory: bytes, or a size as "64 MiB". Built in: none.
    #[cfg_attr(test, schemars(with = "Option<super::schema::Amount>"))]
    pub(crate) rss_max: Option<u64>,
    /// Growth that one round may leave: things, or bytes for heap.
    #[cfg_attr(test, schemars(with = "super::schema::Allow"))]
    pub(crate) allow: Allow,
}

impl Settings {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, DocumentError> {
        Ok(Self {
            unmeasured: table.get("unmeasured")?,
            unsettled: table.get("unsettled")?,
            deadline: table.get("deadline")?,
            rounds: table.get::<NonZeroU32>("rounds")?.map(NonZeroU32::get),
            settle: table.get("settle")?,
            net: table.get("net")?,
            rss_max: table.get("rss_max")?.map(|Amount(bytes)| bytes),
            allow: table.table("allow")?.map(Allow::read).transpose()?.unwrap_or_default(),
        })
    }

    /// These, and what they leave open from `weaker`.
    pub(super) fn over(self, weaker: &Self) -> Self {
        Self {
            unmeasured: self.unmeasured.or(weaker.unmeasured),
            unsettled: self.unsettled.or(weaker.unsettled),
            deadline: self.deadline.or(weaker.deadline),
            rounds: self.rounds.or(weaker.rounds),
            settle: self.settle.or(weaker.settle),
            net: self.net.or(weaker.net),
            rss_max: self.rss_max.or(weaker.rss_max),
            allow: self.allow.over(&weaker.allow),
        }
    }

    /// Gives a case what its own code leaves open.
    pub(super) fn fill(self, case: &mut Case) {
        case.unmeasured = self.unmeasured.unwrap_or_default();
        case.unsettled = self.unsettled.unwrap_or_default();
        case.deadline = case.deadline.or(self.deadline);
        case.rounds = case.rounds.or(self.rounds);
        case.settle = self.settle;
        case.net = case.net.or(self.net);
        case.budget.rss_max = case.budget.rss_max.or(self.rss_max);
        let declared = Allow(std::mem::take(&mut case.budget.allowed));
        case.budget.allowed = declared.over(&self.allow).0;
    }
}

impl Value for Net {
    const EXPECTED: &'static str = "\"private\" or \"host\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        match value.as_str() {
            Some("private") => Ok(Self::Private),
            Some("host") => Ok(Self::Host),
            _ => Err(None),
        }
    }
}
