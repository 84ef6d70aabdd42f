//! One or more ledgers in one: what every renderer tells.
//!
//! A [`Fold`] takes records one at a time, in the order of the ledgers, and keeps what is worth
//! telling. The same leak in forty tests is one [`Group`] with its count of cases and some examples;
//! of a case that passed and left nothing only a few bytes are kept, to know it again when it is
//! tried a second time.
//!
//! A case is told by its last attempt, but a leak seen in any attempt stays a leak: retries hide nothing.

mod fold;
mod group;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{Finding, Outcome, Resource, Run, Trial, Verdict};
use crate::render::Summary;

pub use fold::{Fold, TROUBLES_MAX};
pub use group::{EXAMPLES_MAX, GROUPS_MAX, Kind};

/// What ledgers say, folded.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The runs, in the order in which they were met.
    pub runs: Vec<Run>,
    /// How many cases, and what became of them.
    pub summary: Summary,
    /// What was found, grouped by kind, resource and site: the worst kind first, in it the largest group.
    pub groups: Vec<Group>,
    /// Cases that did not end well, by name; at most [`TROUBLES_MAX`], the summary counts them all.
    pub troubles: Vec<Trouble>,
    /// The probes that could not look in some cases, those of most cases first.
    pub unmeasured: Vec<Blind>,
    /// Lines of the ledgers that could not be read; whoever reads them counts.
    pub broken_lines: u64,
}

impl Report {
    /// The groups of `kind`, largest first.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(move |group| group.kind == kind)
    }
}

/// The same finding in one or more cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Group {
    /// What it counts as.
    pub kind: Kind,
    /// In how many cases it was found.
    pub cases: u64,
    /// What was left in all of these cases together, what was made under the same site included:
    /// things, or bytes.
    pub left: BTreeMap<Resource, i64>,
    /// Some of the cases, the first by name.
    pub examples: Vec<Example>,
    /// The largest of the findings, with its site and stack.
    pub finding: Finding,
}

/// A case, named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Example {
    /// Its suite.
    pub suite: String,
    /// Its name.
    pub case: String,
}

impl From<&Trial> for Example {
    fn from(trial: &Trial) -> Self {
        Self { suite: trial.suite.clone(), case: trial.case.clone() }
    }
}

/// A case that did not end well, or of which nobody knows what it keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Trouble {
    /// Which one.
    #[serde(flatten)]
    pub example: Example,
    /// What became of its body.
    pub outcome: Outcome,
    /// What became of its resources.
    pub verdict: Verdict,
    /// All of it in a sentence.
    pub said: String,
}

/// A probe that could not look, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Blind {
    /// The probe.
    pub probe: Resource,
    /// Why.
    pub reason: String,
    /// In how many cases.
    pub cases: u64,
    /// Some of them, the first by name.
    pub examples: Vec<Example>,
}
