//! Which findings are the same one in another case.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use super::{Blind, Example, Group};
use crate::model::{Finding, Frame, Mode, Resource, SUBJECT_TEST, Status, Trial, Unmeasured};

/// How many cases a group names.
pub const EXAMPLES_MAX: usize = 3;

/// How many groups are kept apart; what is found beyond is told by its kind and resource alone, so
/// that a project that leaks everywhere does not fill the memory of whoever reads of it.
pub const GROUPS_MAX: usize = 10_000;

/// What a group of findings counts as, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It fails its tests.
    Leak,
    /// It could not be repeated.
    Unconfirmed,
    /// Heap that a test which cannot be repeated still held at its end: a leak or a cache, nobody knows.
    Retained,
    /// Within a declared budget or a committed exception.
    Accepted,
}

impl Kind {
    /// What `finding` counts as; none for a step, which is only recorded.
    pub fn of(trial: &Trial, finding: &Finding) -> Option<Self> {
        // Only a suite that somebody else made has a command of its own, and its bodies run once.
        let once = trial.command.is_some() && trial.mode != Mode::Watch;
        match finding.status {
            Status::Leak => Some(Self::Leak),
            Status::Unconfirmed if once && finding.resource == Resource::Heap => {
                Some(Self::Retained)
            }
            Status::Unconfirmed => Some(Self::Unconfirmed),
            Status::Accepted => Some(Self::Accepted),
            Status::Step => None,
        }
    }
}

/// What makes two findings the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    kind: Kind,
    /// Of a program that was watched: only its findings have a trend.
    is_watched: bool,
    resource: Resource,
    /// Empty for the test's own process.
    subject: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Line(String, u32),
    Function(String),
    /// Without a site: by its name.
    Named(String),
    /// Beyond [`GROUPS_MAX`].
    Rest,
}

impl Key {
    pub(super) fn of(kind: Kind, finding: &Finding) -> Self {
        let subject = match finding.subject.as_str() {
            SUBJECT_TEST => String::new(),
            other => shape(other),
        };
        let place = match &finding.site {
            Some(Frame { file, line, .. }) if !file.is_empty() => Place::Line(file.clone(), *line),
            Some(Frame { function, .. }) if !function.is_empty() => {
                Place::Function(function.clone())
            }
            _ => Place::Named(shape(&finding.what)),
        };
        let (is_watched, resource) = (finding.trend.is_some(), finding.resource);
        Self { kind, is_watched, resource, subject, place }
    }

    pub(super) fn rest(self) -> Self {
        Self { subject: String::new(), place: Place::Rest, ..self }
    }
}

/// `text` without what differs from one test to the next: numbers, and names of temporary files.
fn shape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        // As the crate `tempfile` names them.
        if let Some(after) = rest.strip_prefix(".tmp") {
            out.push_str(".tmp*");
            rest = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        } else if c.is_ascii_digit() {
            out.push('0');
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Cases, counted once each however often they were tried.
#[derive(Debug, Default)]
pub(super) struct Cases {
    seen: HashSet<u64>,
    examples: BTreeSet<Example>,
}

impl Cases {
    /// Whether the case is new here.
    pub(super) fn add(&mut self, id: u64, trial: &Trial) -> bool {
        let new = self.seen.insert(id);
        let is_first = |last: &Example| (&trial.suite, &trial.case) < (&last.suite, &last.case);
        if new && (self.examples.len() < EXAMPLES_MAX || self.examples.last().is_some_and(is_first))
        {
            self.examples.insert(Example::from(trial));
            if self.examples.len() > EXAMPLES_MAX {
                self.examples.pop_last();
            }
        }
        new
    }

    fn count(&self) -> u64 {
        self.seen.len() as u64
    }
}

/// A group as it grows.
#[derive(Debug)]
pub(super) struct Growing {
    cases: Cases,
    left: BTreeMap<Resource, i64>,
    finding: Finding,
    /// Of many sites: no finding can speak for the others.
    rest: bool,
}

impl Growing {
    pub(super) fn new(finding: &Finding) -> Self {
        let (cases, left) = (Cases::default(), BTreeMap::new());
        Self { cases, left, finding: finding.clone(), rest: false }
    }

    /// What is beyond [`GROUPS_MAX`], of the status and resource of `finding`.
    pub(super) fn rest(finding: &Finding) -> Self {
        let mut rest = Finding::leak(finding.resource, "more of these, at other sites", 0);
        rest.status = finding.status;
        rest.note = Some(format!("{GROUPS_MAX} groups are told one by one"));
        Self { rest: true, ..Self::new(&rest) }
    }

    /// Adds what one trial found of it.
    pub(super) fn add(&mut self, id: u64, trial: &Trial, findings: &[&Finding]) {
        if self.cases.add(id, trial) {
            for (resource, growth) in findings.iter().flat_map(|finding| amounts(finding)) {
                let sum = self.left.entry(resource).or_default();
                *sum = sum.saturating_add(growth);
            }
        }
        for finding in findings {
            if !self.rest && finding.severity(&self.finding).is_lt() {
                self.finding = (*finding).clone();
            }
        }
    }

    pub(super) fn finish(self, key: Key) -> Group {
        Group {
            kind: key.kind,
            cases: self.cases.count(),
            left: self.left,
            examples: self.cases.examples.into_iter().collect(),
            finding: self.finding,
        }
    }
}

/// What a finding tells of, by resource.
fn amounts(finding: &Finding) -> Vec<(Resource, i64)> {
    match finding.parts.as_slice() {
        [] => vec![(finding.resource, finding.growth)],
        parts => parts.iter().map(|part| (part.resource, part.growth)).collect(),
    }
}

/// The order in which groups are told.
pub(super) fn order(a: &Group, b: &Group) -> std::cmp::Ordering {
    let size = |group: &Group| group.left.get(&group.finding.resource).copied().unwrap_or_default();
    (a.kind, b.cases, a.finding.resource)
        .cmp(&(b.kind, a.cases, b.finding.resource))
        .then_with(|| size(b).cmp(&size(a)))
        .then_with(|| a.finding.severity(&b.finding))
}

pub(super) fn blind(unmeasured: Unmeasured, cases: Cases) -> Blind {
    Blind {
        probe: unmeasured.probe,
        reason: unmeasured.reason,
        cases: cases.count(),
        examples: cases.examples.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_forgets_what_is_random() {
        assert_eq!(shape("/tmp/.tmpK3f9Zx/a.db"), shape("/tmp/.tmpq/a.db"));
        assert_eq!(shape("127.0.0.1:40211 (tcp)"), shape("127.0.0.1:9 (tcp)"));
        assert_ne!(shape("/tmp/.tmpK3f9Zx/a.db"), shape("/tmp/.tmpK3f9Zx/b.db"));
    }
}
