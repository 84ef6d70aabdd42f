//! The acceptance file, `.config/watertight-accepted.toml`: leaks that a team has decided to live with for
//! a while. Review is the commit's diff.
//!
//! ```toml
//! [[accepted]]
//! case = "store::*"               # a case, as `case` or `suite::case`; `*` and `?` stand for others
//! resource = "fd"
//! site = "src/store.rs:31"        # end of the file's path, with or without the line
//! function = "store::Store::open" # end of the function's path; one of `site` and `function` must be there
//! max = 1                         # growth a round: things, or bytes as 4096 or "4 KiB"
//! reason = "upstream keeps the lock file open, issue 123"
//! expires = "2027-06-30"          # the last day, in UTC
//! ```
//!
//! Nothing is accepted by its name alone: a finding must be of the case, of the resource and made at the
//! site, so one without a site never is. Everything that was made at the site needs an entry of its own:
//! a forgotten connection is a descriptor and its heap. An entry's cap holds for all that it matches in
//! one trial together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use crate::document::{self, DocumentError, Unknown};
use crate::metric::Unit;
use crate::model::{AcceptedBy, Finding, Outcome, Resource, Status, Trial, Verdict};

mod entry;
mod proposal;
mod usage;

pub use entry::{Entry, Site};
pub use proposal::{Proposal, Refused};
pub use usage::{Remark, Standing, Usage};

/// The name of the file.
pub const FILE: &str = "watertight-accepted.toml";

/// The entries of an acceptance file; none without one.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Baseline {
    /// The file, as messages name it.
    pub file: PathBuf,
    /// Its entries, in their order.
    pub entries: Vec<Entry>,
}

impl Baseline {
    /// Reads the acceptance file `text`, which messages name `file`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(file: &Path, text: &str) -> Result<(Self, Vec<Unknown>), DocumentError> {
        let (entries, unknown) = document::read(file, text, |table| {
            table.tables("accepted")?.into_iter().map(Entry::read).collect::<Result<Vec<_>, _>>()
        })?;
        Ok((Self { file: file.to_owned(), entries }, unknown))
    }

    /// Accepts those leaks of one trial that active entries cover, and tells the others, in their notes,
    /// why an entry that was meant for them does not.
    ///
    /// Whatever was not a leak before is not touched.
    pub fn accept(&self, suite: &str, case: &str, findings: &mut [Finding], today: Date) {
        let claims = self.claims(suite, case, findings, today);
        for finding in findings.iter_mut().filter(|finding| finding.status == Status::Leak) {
            self.rule(finding, &claims);
        }
    }

    /// The entries for a case, each with what it names of these leaks.
    fn claims(&self, suite: &str, case: &str, findings: &[Finding], today: Date) -> Vec<Claim<'_>> {
        let leaks = || findings.iter().filter(|finding| finding.status == Status::Leak);
        let entries = self.entries.iter().filter(|entry| entry.case.matches_case(suite, case));
        entries
            .map(|entry| Claim {
                entry,
                growth: entry.growth_of_all(leaks()),
                active: entry.is_active(today),
            })
            .collect()
    }

    /// Judges a trial of a ledger by these entries and by no others: they may have changed since it ran.
    ///
    /// What a budget allowed, what was only a step and what could not be measured stays as it was.
    pub fn judge_again(&self, trial: &mut Trial, today: Date) {
        if trial.outcome == Outcome::Skipped {
            return;
        }
        let leaked = |trial: &Trial| trial.findings.iter().any(|it| it.status == Status::Leak);
        let unnamed = trial.verdict == Verdict::Leaked && !leaked(trial);
        reopen(&mut trial.findings);
        self.accept(&trial.suite, &trial.case, &mut trial.findings, today);
        let accepted = trial.findings.iter().any(|it| it.status == Status::Accepted);
        trial.verdict = match trial.verdict {
            _ if unnamed || leaked(trial) => Verdict::Leaked,
            verdict @ (Verdict::Unsettled | Verdict::Unmeasured) => verdict,
            _ if !trial.unmeasured.is_empty() => Verdict::Unmeasured,
            _ if accepted => Verdict::Tolerated,
            _ => Verdict::Clean,
        };
    }

    /// Accepts a leak if every resource in it is covered.
    fn rule(&self, finding: &mut Finding, claims: &[Claim<'_>]) {
        let (mut accepted, mut why) = (Vec::new(), Vec::new());
        let mut meant = false;
        for (resource, growth) in growths(finding) {
            let mut own =
                claims.iter().filter(|claim| claim.entry.names(finding, resource)).peekable();
            let first = own.peek().copied();
            meant |= first.is_some();
            match (own.find(|claim| claim.holds()), first) {
                (Some(claim), _) => accepted.push(claim.entry.accepting()),
                (None, Some(claim)) => why.push(self.refusal(claim)),
                (None, None) => why.push(format!(
                    "its {} ({} a round) is not accepted: that takes an entry with resource = \"{}\"",
                    resource.name(),
                    Unit::from(resource).show(growth),
                    resource.name()
                )),
            }
        }
        if why.is_empty() {
            finding.status = Status::Accepted;
            finding.accepted = accepted;
        } else if meant {
            // Of a finding that was judged before, some of it is said already.
            why.retain(|why| finding.note.as_ref().is_none_or(|note| !note.contains(why.as_str())));
            why.splice(0..0, finding.note.take());
            finding.note = Some(why.join("; "));
        }
    }

    /// Why an entry does not accept what it names.
    fn refusal(&self, claim: &Claim<'_>) -> String {
        let Claim { entry, growth, active } = claim;
        let place = format!("{}:{}", self.file.display(), entry.line);
        if !active {
            return format!(
                "it was accepted until {} ({place}): fix it, or renew the entry",
                entry.expires
            );
        }
        let shown = |amount: u64| Unit::from(entry.resource).show(amount);
        format!(
            "{place} accepts {} a round, and {} is {} above that",
            shown(entry.max),
            shown(*growth),
            shown(growth.saturating_sub(entry.max))
        )
    }
}

/// Makes leaks again of what entries have accepted.
fn reopen(findings: &mut [Finding]) {
    for finding in findings.iter_mut().filter(|it| it.status == Status::Accepted) {
        if !finding.accepted.is_empty() {
            finding.accepted.clear();
            finding.status = Status::Leak;
        }
    }
}

/// An entry and what it names in one trial.
struct Claim<'e> {
    entry: &'e Entry,
    /// All of it together, a round.
    growth: u64,
    active: bool,
}

impl Claim<'_> {
    fn holds(&self) -> bool {
        self.active && self.growth <= self.entry.max
    }
}

/// How much of each resource a finding grows by in a round. What shrinks needs nobody's acceptance; a
/// leak is one thing at least.
fn growths(finding: &Finding) -> BTreeMap<Resource, u64> {
    let mut growths = BTreeMap::new();
    let positive = |growth: i64| u64::try_from(growth).unwrap_or(0);
    for part in &finding.parts {
        let sum: &mut u64 = growths.entry(part.resource).or_default();
        *sum = sum.saturating_add(positive(part.per_round.unwrap_or(part.growth)));
    }
    growths.retain(|_, growth| *growth > 0);
    let own = growths.entry(finding.resource).or_default();
    *own = (*own).max(positive(finding.per_round)).max(1);
    growths
}

impl AcceptedBy {
    /// By the entry at `line` of the acceptance file.
    pub fn new(line: u32, resource: Resource, reason: &str, expires: Date) -> Self {
        Self { line, resource, reason: reason.to_owned(), expires: expires.to_string() }
    }
}
