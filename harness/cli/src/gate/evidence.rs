//! What ledgers say, folded record by record into reasons to be red.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use watertight_report::metric;
use watertight_report::model::{
    CANCELLED, CARGO, Finding, Mode, Outcome, Record, Resource, Run, Status, Trial, Verdict,
    is_no_test,
};
use watertight_report::render::sentence;

use super::reason::{Cases, Reason};
use crate::acceptance::Acceptance;
use crate::shards::Shards;

/// Of every trial only what is red is kept.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    runs: BTreeMap<String, RunFacts>,
    shards: Shards,
    seen: BTreeSet<Resource>,
    /// Why, of each probe that did not see its canary.
    blind: BTreeMap<Resource, BTreeSet<String>>,
    cases: u64,
    /// Programs that were watched.
    watches: u64,
    /// Those of them that grow by what is accepted.
    tolerated_watches: u64,
    /// What those say that could not tell.
    untold: Vec<String>,
    leaks: BTreeMap<String, Leak>,
    unsettled: Cases,
    unmeasured: BTreeMap<(Resource, String), Cases>,
    /// Unmeasured, and the record does not say by which probe.
    unexplained: Cases,
    /// What became of the cases that failed or were tried again, by their last attempt.
    last: HashMap<(String, String), Attempt>,
    accepted: u64,
    soonest: Option<String>,
}

/// What is known of one run.
#[derive(Debug, Default)]
struct RunFacts {
    is_recorded: bool,
    had_canaries: bool,
    ran: u64,
    skipped: u64,
    cancelled: u64,
    /// Why cargo failed, where no test tells.
    cargo: Option<String>,
}

/// The worst that a case leaks.
#[derive(Debug)]
struct Leak {
    worst: Finding,
    said: String,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    number: u32,
    outcome: Outcome,
}

impl Evidence {
    /// Takes one more record.
    pub(crate) fn add(&mut self, record: Record, acceptance: &mut Acceptance) {
        match record {
            Record::Run(run) => self.add_run(&run),
            Record::Trial(mut trial) => {
                acceptance.baseline.judge_again(&mut trial, acceptance.today);
                acceptance.note(&trial);
                self.add_trial(&trial);
            }
            _ => {}
        }
    }

    fn add_run(&mut self, run: &Run) {
        let facts = self.runs.entry(run.run.clone()).or_default();
        facts.is_recorded = true;
        facts.had_canaries |= !run.canaries.is_empty();
        self.shards.add(run);
        for canary in &run.canaries {
            if canary.seen {
                self.seen.insert(canary.probe);
            } else {
                let why = canary.reason.clone().unwrap_or_else(|| "nobody knows why".to_owned());
                self.blind.entry(canary.probe).or_default().insert(why);
            }
        }
    }

    fn add_trial(&mut self, trial: &Trial) {
        let facts = self.runs.entry(trial.run.clone()).or_default();
        if trial.outcome == Outcome::Killed && trial.message.as_deref() == Some(CANCELLED) {
            facts.cancelled += 1;
            return;
        }
        if trial.outcome == Outcome::Skipped {
            facts.skipped += u64::from(trial.case != CARGO);
            facts.cancelled += u64::from(trial.message.as_deref() == Some(CANCELLED));
            return;
        }
        if trial.case == CARGO {
            facts.cargo = trial.message.clone();
            return;
        }
        // Fixtures are no test, and leave something all the same.
        if !is_no_test(&trial.case) {
            facts.ran += 1;
            self.cases += u64::from(trial.attempt <= 1 && trial.mode != Mode::Watch);
        }
        let name = || format!("{}::{}", trial.suite, trial.case);
        self.add_attempt(trial);
        self.add_leak(trial);
        self.add_accepted(trial);
        if trial.mode == Mode::Watch {
            self.add_watch(trial);
            return;
        }
        // A leak hides what else is wrong, so the verdict alone does not tell.
        for it in &trial.unmeasured {
            self.unmeasured.entry((it.probe, it.reason.clone())).or_default().add(name());
        }
        if trial.verdict == Verdict::Unsettled {
            self.unsettled.add(name());
        }
        if trial.verdict == Verdict::Unmeasured && trial.unmeasured.is_empty() {
            self.unexplained.add(name());
        }
    }

    /// A test that is tried again is told by its last attempt: that is its runner's business.
    /// A watch that could not tell says so in its sentence.
    fn add_watch(&mut self, trial: &Trial) {
        self.watches += 1;
        self.tolerated_watches += u64::from(trial.verdict == Verdict::Tolerated);
        if trial.verdict == Verdict::Unmeasured {
            self.untold.push(sentence(trial));
        }
    }

    fn add_attempt(&mut self, trial: &Trial) {
        if trial.outcome == Outcome::Passed && trial.attempt <= 1 {
            return;
        }
        let attempt = Attempt { number: trial.attempt.max(1), outcome: trial.outcome };
        let key = (trial.run.clone(), format!("{}::{}", trial.suite, trial.case));
        let last = self.last.entry(key).or_insert(attempt);
        let is_later = attempt.number > last.number;
        if is_later || attempt.number == last.number && attempt.outcome != Outcome::Passed {
            *last = attempt;
        }
    }

    /// A leak in any attempt is a leak.
    fn add_leak(&mut self, trial: &Trial) {
        if trial.verdict != Verdict::Leaked {
            return;
        }
        let mut leaks: Vec<&Finding> =
            trial.findings.iter().filter(|finding| finding.status == Status::Leak).collect();
        leaks.sort_by(|a, b| a.severity(b));
        let unnamed = Finding::leak(Resource::Cleanup, "", 0);
        let mut worst = leaks.first().copied().unwrap_or(&unnamed).clone();
        worst.stack.clear();
        // The sentence is about what leaks; a body that failed has a reason of its own.
        let mut told = Trial::default();
        told.case.clone_from(&trial.case);
        (told.mode, told.rounds, told.verdict) = (trial.mode, trial.rounds, trial.verdict);
        if trial.mode == Mode::Watch {
            told.duration_ms = trial.duration_ms;
            told.trends.clone_from(&trial.trends);
        }
        told.findings = leaks.first().map(|_| worst.clone()).into_iter().collect();
        let mut said = format!("{}: {}", trial.suite, sentence(&told));
        if let Some(note) = &worst.note {
            said.push_str(&format!(" ({note})"));
        }
        if leaks.len() > 1 {
            said.push_str(&format!(" (and {} more in it)", leaks.len() - 1));
        }
        let name = format!("{}::{}", trial.suite, trial.case);
        let leak = Leak { worst, said };
        match self.leaks.get(&name) {
            Some(known) if known.worst.severity(&leak.worst).is_le() => {}
            _ => drop(self.leaks.insert(name, leak)),
        }
    }

    fn add_accepted(&mut self, trial: &Trial) {
        for finding in trial.findings.iter().filter(|it| it.status == Status::Accepted) {
            self.accepted += u64::from(!finding.accepted.is_empty());
            for by in &finding.accepted {
                if self.soonest.as_ref().is_none_or(|soonest| by.expires < *soonest) {
                    self.soonest = Some(by.expires.clone());
                }
            }
        }
    }

    /// Why it is red; empty where it is green.
    pub(crate) fn reasons(&self, broken: u64, remarks: Vec<String>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        self.say_leaks(&mut reasons);
        reasons.extend(remarks.into_iter().map(|remark| Reason::new(remark, "")));
        self.say_failures(&mut reasons);
        self.say_blindness(&mut reasons);
        self.say_runs(&mut reasons);
        if broken > 0 {
            let what = match broken {
                1 => "1 line of the ledgers cannot be read".to_owned(),
                _ => format!("{broken} lines of the ledgers cannot be read"),
            };
            let next = "which, is said above: a test process that was killed half-way may have left it; run the tests again";
            reasons.push(Reason::new(what, next));
        }
        reasons
    }

    fn say_leaks(&self, reasons: &mut Vec<Reason>) {
        let mut leaks: Vec<&Leak> = self.leaks.values().collect();
        leaks.sort_by(|a, b| a.worst.severity(&b.worst));
        if !leaks.is_empty() {
            let what = match leaks.len() {
                1 => "1 case leaks".to_owned(),
                many => format!("{many} cases leak"),
            };
            let next = "fix what they name, or live with it for a while: cargo watertight accept";
            let list = leaks.iter().map(|leak| leak.said.clone());
            reasons.push(Reason::new(what, next).list(list));
        }
    }

    fn say_failures(&self, reasons: &mut Vec<Reason>) {
        let all = [
            (Outcome::Failed, "failed"),
            (Outcome::Crashed, "crashed"),
            (Outcome::Killed, "was killed"),
            (Outcome::TimedOut, "did not end in time"),
        ];
        for (outcome, did) in all {
            let mut cases = Cases::default();
            let ended = self.last.iter().filter(|(_, last)| last.outcome == outcome);
            ended.for_each(|((_, case), _)| cases.add(case.clone()));
            if !cases.is_empty() {
                let next = "why: cargo watertight report";
                reasons.push(Reason::new(format!("{cases} {did}"), next));
            }
        }
    }

    fn say_blindness(&self, reasons: &mut Vec<Reason>) {
        let next = "what this machine lets us see, and what to change: cargo watertight doctor";
        for (probe, why) in &self.blind {
            let why = why.iter().map(String::as_str).collect::<Vec<_>>().join("; ");
            let what = format!("the {} probe did not see its canary: {why}", probe.name());
            reasons.push(Reason::new(what, next));
        }
        for ((probe, why), cases) in &self.unmeasured {
            // A probe that is blind for a run says so in each of its trials.
            if self.blind.get(probe).is_some_and(|known| known.contains(why)) {
                continue;
            }
            let what = format!("the {} probe could not look in {cases}: {why}", probe.name());
            reasons.push(Reason::new(what, next));
        }
        if !self.unexplained.is_empty() {
            let what = format!("{} not measured: the record does not say why", self.unexplained);
            reasons.push(Reason::new(what, next));
        }
        if !self.untold.is_empty() {
            let what = match self.untold.len() {
                1 => "1 watch could not tell".to_owned(),
                many => format!("{many} watches could not tell"),
            };
            let next = "watch for longer (--for), look more often (--interval), or say how long the program warms up (--warm-up)";
            reasons.push(Reason::new(what, next).list(self.untold.iter().cloned()));
        }
        if !self.unsettled.is_empty() {
            let what = format!("{} still gave back what they held at the deadline", self.unsettled);
            let next = "give them time, `settle = \"30s\"` in .config/watertight.toml, or find out what is so slow";
            reasons.push(Reason::new(what, next));
        }
    }

    fn say_runs(&self, reasons: &mut Vec<Reason>) {
        if self.runs.is_empty() {
            let next = "run the tests first: cargo watertight test";
            reasons.push(Reason::new("the ledger holds no record", next));
        }
        for (id, facts) in &self.runs {
            let mut red = |what: String, next| {
                reasons.push(Reason::new(format!("the run `{id}` {what}"), next))
            };
            if let Some(said) = &facts.cargo {
                red(
                    format!("is not whole: {said}"),
                    "mend what cargo complains of, and run the tests again",
                );
                if facts.ran == 0 {
                    continue;
                }
            }
            if !facts.is_recorded {
                red(
                    "has no run record, so nobody knows whether its probes could see".to_owned(),
                    "keep the whole ledger, its first line included, or run the tests again",
                );
            } else if !facts.had_canaries {
                red(
                    "was shown no canaries, so nobody knows whether its probes could see"
                        .to_owned(),
                    "run the tests again with this version: cargo watertight test",
                );
            }
            if facts.cancelled > 0 {
                red(
                    "was cancelled, and nobody knows what its other tests leave".to_owned(),
                    "run the tests again",
                );
            }
            if facts.ran == 0 {
                let skipped = match facts.skipped {
                    0 => String::new(),
                    skipped => format!(" ({} skipped)", metric::count(skipped)),
                };
                red(
                    format!("ran no test{skipped}"),
                    "look for a filter that matches nothing, or for a build that failed before",
                );
            }
        }
        reasons.extend(self.shards.incomplete().into_iter().map(|what| Reason::new(what, "")));
    }

    /// What a green gate has proven.
    pub(crate) fn proven(&self) -> String {
        let cases = if self.cases == 1 { "case leaves" } else { "cases leave" };
        let behind = if self.accepted == 0 { "nothing behind" } else { "nothing new behind" };
        let tests = (self.cases > 0 || self.watches == 0)
            .then(|| format!("{} {cases} {behind}", metric::count(self.cases)));
        let but = if self.tolerated_watches > 0 { " but by what is accepted" } else { "" };
        let watches = match self.watches {
            0 => None,
            1 => Some(format!("1 watched program does not grow{but}")),
            many => Some(format!("{} watched programs do not grow{but}", metric::count(many))),
        };
        let proven: Vec<String> = tests.into_iter().chain(watches).collect();
        let mut said = format!(
            "{}; {} of {} probes saw their canary",
            proven.join(", "),
            self.seen.len(),
            self.seen.len() + self.blind.len()
        );
        if let Some(soonest) = &self.soonest {
            let findings = if self.accepted == 1 { "finding" } else { "findings" };
            said.push_str(&format!(
                "; {} {findings} accepted, the first until {soonest}",
                metric::count(self.accepted)
            ));
        }
        said
    }
}
