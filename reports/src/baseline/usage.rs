//! What a run made of the entries: which of them accept nothing any more, which are over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use jiff::civil::Date;

use super::{Baseline, Entry};
use crate::model::{Outcome, Status, Trial, Verdict};

/// What the trials of a run say about entries, folded trial by trial.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The cases that ran, by suite and name, and whether they could show all they leak.
    ran: BTreeMap<(String, String), bool>,
    /// The entries that a finding matched, by index.
    matched: BTreeSet<usize>,
}

impl Usage {
    /// Takes one more trial.
    pub fn add(&mut self, baseline: &Baseline, trial: &Trial) {
        if trial.outcome == Outcome::Skipped {
            return;
        }
        let whole = trial.outcome == Outcome::Passed
            && !matches!(trial.verdict, Verdict::Unmeasured | Verdict::Unsettled);
        self.ran.insert((trial.suite.clone(), trial.case.clone()), whole);
        for (index, entry) in baseline.entries.iter().enumerate() {
            // A step is no leak any more; what is unconfirmed may be one.
            let mut findings =
                trial.findings.iter().filter(|finding| finding.status != Status::Step);
            if entry.case.matches_case(&trial.suite, &trial.case)
                && findings.any(|finding| entry.growth_of(finding) > 0)
            {
                self.matched.insert(index);
            }
        }
    }
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its cases ran and showed nothing of what it accepts.
    Unused,
    /// Its last day is over.
    Expired,
}

/// An entry that has to go, or to be renewed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Remark<'b> {
    /// The acceptance file.
    pub file: &'b Path,
    /// The entry.
    pub entry: &'b Entry,
    /// What is wrong with it.
    pub standing: Standing,
}

impl Baseline {
    /// The entries that could have applied to `declared` (pairs of suite and case) and did not.
    ///
    /// An entry is unused only where every declared case that it matches ran and could show all it
    /// leaks: a run that was filtered proves nothing.
    pub fn review<'b>(
        &'b self,
        usage: &Usage,
        declared: &[(String, String)],
        today: Date,
    ) -> Vec<Remark<'b>> {
        let standing = |(index, entry): (usize, &Entry)| {
            let own =
                || declared.iter().filter(|(suite, case)| entry.case.matches_case(suite, case));
            if !entry.is_active(today) {
                return own().any(|case| usage.ran.contains_key(case)).then_some(Standing::Expired);
            }
            let shown = own().all(|case| usage.ran.get(case).copied().unwrap_or(false));
            let unused = own().next().is_some() && shown && !usage.matched.contains(&index);
            unused.then_some(Standing::Unused)
        };
        let entries = self.entries.iter().enumerate();
        entries
            .filter_map(|(index, entry)| {
                let standing = standing((index, entry))?;
                Some(Remark { file: &self.file, entry, standing })
            })
            .collect()
    }
}

impl fmt::Display for Remark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, entry, standing } = self;
        write!(f, "{}:{} ", file.display(), entry.line)?;
        let (resource, case) = (entry.resource.name(), &entry.case);
        match standing {
            Standing::Unused => {
                write!(f, "accepts {resource} of `{case}`, and nothing of it leaks: remove it")
            }
            Standing::Expired => write!(
                f,
                "accepted {resource} of `{case}` until {}: fix the leak, or renew the entry",
                entry.expires
            ),
        }
    }
}
