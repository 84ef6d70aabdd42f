//! Records in, a report out.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::group::{Cases, Growing, Key, blind, order};
use super::{Example, GROUPS_MAX, Kind, Report, Trouble};
use crate::model::{
    Finding, Mode, Outcome, Record, Resource, Run, Status, Trial, Unmeasured, Verdict,
};
use crate::render::{self, Summary};

/// How many cases in trouble are kept.
pub const TROUBLES_MAX: usize = 10_000;
/// How many reasons of blind probes are kept.
const REASONS_MAX: usize = 1_000;

/// A report as it grows: [`add`](Self::add) every record, then [`finish`](Self::finish).
#[derive(Debug, Default)]
pub struct Fold {
    runs: Vec<Run>,
    /// Every case by its hash: at a million of them, two that share one are less likely than a
    /// broken disk, and would cost one in the count.
    cases: HashMap<u64, Told>,
    groups: BTreeMap<Key, Growing>,
    troubles: BTreeMap<(Example, u64), Trouble>,
    unmeasured: BTreeMap<(Resource, String), Cases>,
    child_peak_rss_bytes: Option<u64>,
}

/// What is told of a case so far.
#[derive(Debug, Clone, Copy)]
struct Told {
    attempt: u32,
    outcome: Outcome,
    verdict: Verdict,
}

impl Fold {
    /// Takes one record.
    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Run(run) => self.run(run),
            Record::Trial(trial) => self.trial(trial),
        }
    }

    /// The report of all that was added.
    pub fn finish(self) -> Report {
        let mut summary =
            Summary { child_peak_rss_bytes: self.child_peak_rss_bytes, ..Summary::default() };
        for told in self.cases.values() {
            summary.count(told.outcome, told.verdict);
        }
        let mut groups: Vec<_> =
            self.groups.into_iter().map(|(key, growing)| growing.finish(key)).collect();
        groups.sort_by(order);
        let mut unmeasured: Vec<_> = (self.unmeasured.into_iter())
            .map(|((probe, reason), cases)| blind(Unmeasured::new(probe, reason), cases))
            .collect();
        unmeasured.sort_by_key(|it| std::cmp::Reverse(it.cases));
        let troubles = self.troubles.into_values().collect();
        Report { runs: self.runs, summary, groups, troubles, unmeasured, broken_lines: 0 }
    }

    /// A run is written once by each of its processes that finds none; shards share an id.
    fn run(&mut self, run: &Run) {
        if !self.runs.iter().any(|known| (&known.run, known.shard) == (&run.run, run.shard)) {
            self.runs.push(run.clone());
        }
    }

    fn trial(&mut self, trial: &Trial) {
        let id = id(trial);
        self.child_peak_rss_bytes = self.child_peak_rss_bytes.max(Summary::peak_rss_bytes(trial));
        self.told(id, trial);
        self.found(id, trial);
        for it in &trial.unmeasured {
            let key = (it.probe, it.reason.clone());
            if self.unmeasured.contains_key(&key) || self.unmeasured.len() < REASONS_MAX {
                self.unmeasured.entry(key).or_default().add(id, trial);
            }
        }
    }

    /// The last attempt tells of a case; attempts may stand in a ledger in any order.
    fn told(&mut self, id: u64, trial: &Trial) {
        let now =
            Told { attempt: trial.attempt.max(1), outcome: trial.outcome, verdict: trial.verdict };
        let told = self.cases.entry(id).or_insert(now);
        let leaked = [told.verdict, now.verdict].contains(&Verdict::Leaked);
        let is_last = told.attempt <= now.attempt;
        if is_last {
            *told = now;
        }
        if leaked {
            told.verdict = Verdict::Leaked;
        }
        if !is_last {
            return;
        }
        let key = (Example::from(trial), id);
        if !is_trouble(trial) {
            self.troubles.remove(&key);
        } else if self.troubles.contains_key(&key) || self.troubles.len() < TROUBLES_MAX {
            let (example, said) = (Example::from(trial), render::sentence(trial));
            let Told { outcome, verdict, .. } = *told;
            self.troubles.insert(key, Trouble { example, outcome, verdict, said });
        }
    }

    /// Groups what the trial found; a group's finding may stand in a trial more than once.
    fn found(&mut self, id: u64, trial: &Trial) {
        let mut found: BTreeMap<Key, Vec<&Finding>> = BTreeMap::new();
        for finding in &trial.findings {
            if let Some(kind) = Kind::of(trial, finding) {
                found.entry(Key::of(kind, finding)).or_default().push(finding);
            }
        }
        for (key, findings) in found {
            let full = self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key);
            let growing = match full {
                true => self.groups.entry(key.rest()).or_insert_with(|| Growing::rest(findings[0])),
                false => self.groups.entry(key).or_insert_with(|| Growing::new(findings[0])),
            };
            growing.add(id, trial, &findings);
        }
    }
}

/// The case of a run, whichever attempt.
fn id(trial: &Trial) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&trial.run, &trial.suite, &trial.case).hash(&mut hasher);
    hasher.finish()
}

/// Whether a case has to be named although no group tells of it.
fn is_trouble(trial: &Trial) -> bool {
    let ended_well = matches!(trial.outcome, Outcome::Passed | Outcome::Skipped);
    let says_what = trial.findings.iter().any(|finding| finding.status == Status::Leak);
    match trial.verdict {
        Verdict::Unsettled => true,
        // Watched for too short a time: no probe is to blame, so nothing else tells of it.
        Verdict::Unmeasured if trial.mode == Mode::Watch && trial.unmeasured.is_empty() => true,
        Verdict::Leaked => !ended_well || !says_what,
        Verdict::Clean | Verdict::Tolerated | Verdict::Unmeasured => !ended_well,
    }
}
