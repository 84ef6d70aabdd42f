//! The entries that are to be written so that today's leaks are accepted.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::{Baseline, Entry, growths, reopen};
use crate::document::Glob;
use crate::model::{Finding, Outcome, Resource, Status, Trial};

/// From so many cases with the same leak on, one entry with a pattern says it better.
const CASES_MIN: usize = 3;

/// What active entries do not cover, gathered trial by trial.
#[derive(Debug, Clone)]
pub struct Proposal {
    reason: String,
    expires: Date,
    /// The cap of each, by what it is about.
    wanted: BTreeMap<Leak, BTreeMap<Case, u64>>,
    /// All cases that ran, chosen or not: a pattern must match none of the others.
    ran: BTreeSet<Case>,
    refused: BTreeSet<Refused>,
}

/// A suite and a case.
type Case = (String, String);

/// What an entry is about, its case left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Leak {
    file: Option<(String, Option<u32>)>,
    function: Option<String>,
    resource: Resource,
}

/// A leak that no entry can accept, because nobody knows which line makes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Refused {
    /// Its suite.
    pub suite: String,
    /// Its case.
    pub case: String,
    /// What leaks.
    pub resource: Resource,
    /// The thing.
    pub what: String,
    /// Why there is no site, where the record says it.
    pub note: Option<String>,
}

impl Proposal {
    /// Nothing yet; entries will give `reason` and hold until `expires`.
    pub fn new(reason: impl Into<String>, expires: Date) -> Self {
        Self {
            reason: reason.into(),
            expires,
            wanted: BTreeMap::new(),
            ran: BTreeSet::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Takes note of a case that is not to be accepted.
    pub fn pass(&mut self, trial: &Trial) {
        if trial.outcome != Outcome::Skipped {
            self.ran.insert((trial.suite.clone(), trial.case.clone()));
        }
    }

    /// Takes the leaks of one more trial that the active entries of `baseline` do not cover. The caps are
    /// what was seen: the most that one trial of the case left; with a quarter of room for a pace.
    pub fn add(&mut self, baseline: &Baseline, trial: &Trial, today: Date) {
        self.pass(trial);
        let mut findings = trial.findings.clone();
        reopen(&mut findings);
        findings.retain(|finding| finding.status == Status::Leak);
        let claims = baseline.claims(&trial.suite, &trial.case, &findings, today);
        for finding in &findings {
            let entries = Entry::of(trial, finding, &self.reason, self.expires);
            if entries.is_empty() {
                self.refuse(trial, finding);
            }
            for entry in entries {
                let mut own = claims.iter().filter(|it| it.entry.names(finding, entry.resource));
                if own.any(|claim| claim.holds()) {
                    continue;
                }
                // The cap holds for all that the entry matches in a trial, which may be more than this.
                let max = entry.growth_of_all(&findings);
                // How fast a program that runs grows is measured, and a little different each time.
                let room = if finding.trend.is_some() { max / 4 + 1 } else { 0 };
                let max = max.saturating_add(room);
                let case = (trial.suite.clone(), trial.case.clone());
                let cap = self.wanted.entry(Leak::of(&entry)).or_default().entry(case).or_default();
                *cap = max.max(*cap);
            }
        }
    }

    fn refuse(&mut self, trial: &Trial, finding: &Finding) {
        self.refused.extend(growths(finding).into_keys().map(|resource| Refused {
            suite: trial.suite.clone(),
            case: trial.case.clone(),
            resource,
            what: finding.what.clone(),
            note: finding.note.clone(),
        }));
    }

    /// What cannot be accepted.
    pub fn refused(&self) -> impl Iterator<Item = &Refused> {
        self.refused.iter()
    }

    /// The entries in the order of their cases: one for each case, or one with a pattern for several cases
    /// with the same leak of the same size, where the pattern matches no other case that ran.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (leak, cases) in &self.wanted {
            let names: Vec<&Case> = cases.keys().collect();
            let cap = cases.values().max().copied().unwrap_or_default();
            let is_same = cases.values().all(|other| *other == cap);
            match is_same.then(|| self.pattern(&names)).flatten() {
                Some(pattern) => entries.push(self.entry(leak, &pattern, cap)),
                None => entries.extend(cases.iter().map(|((suite, case), cap)| {
                    self.entry(leak, &format!("{suite}::{case}"), *cap)
                })),
            }
        }
        // One resource after the other, as they come from the finding.
        entries.sort_by_cached_key(|entry| entry.case.to_string());
        entries
    }

    fn entry(&self, leak: &Leak, case: &str, max: u64) -> Entry {
        Entry {
            case: Glob::new(case),
            resource: leak.resource,
            site: leak.file.clone().map(|(file, line)| super::Site::new(file, line)),
            function: leak.function.clone(),
            max,
            reason: self.reason.clone(),
            expires: self.expires,
            line: 0,
        }
    }

    /// The pattern for the longest path that all cases have in common, where it matches them and no other
    /// case that ran.
    fn pattern(&self, cases: &[&Case]) -> Option<String> {
        let names: Vec<String> =
            cases.iter().map(|(suite, case)| format!("{suite}::{case}")).collect();
        let first = names.first().filter(|_| names.len() >= CASES_MIN)?;
        let ends = first.rmatch_indices("::").map(|(at, colons)| at + colons.len());
        let common = ends.map(|end| &first[..end]);
        let mut common = common.filter(|path| names.iter().all(|name| name.starts_with(path)));
        let pattern = format!("{}*", common.next()?);
        let glob = Glob::new(&pattern);
        let matched = self.ran.iter().filter(|(suite, case)| glob.matches_case(suite, case));
        (matched.count() == cases.len()).then_some(pattern)
    }
}

impl Leak {
    fn of(entry: &Entry) -> Self {
        Self {
            file: entry.site.as_ref().map(|site| (site.file.clone(), site.line)),
            function: entry.function.clone(),
            resource: entry.resource,
        }
    }
}
