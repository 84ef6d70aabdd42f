//! The first line of a failure: what a person who had watched would say.
//!
//! A trial did one thing or several: "left 1 socket behind in every round; it was opened at ...",
//! "ended, but the process it started ... was still running". The worst is said, the second is
//! added, and of more than that only how many there are. A watched program has done nothing wrong
//! yet: of it is said what grows.

mod kept;
mod watched;

use std::collections::BTreeMap;

use super::advice::cleanup_status;
use super::text::{self, list, quoted};
use crate::metric;
use crate::model::{
    CleanupStatus, Finding, Frame, Mode, Outcome, Part, ProcessState, Resource, SUBJECT_TEST,
    Status, Trial, Verdict,
};

/// One sentence about a trial: what became of its body, and the worst that it left behind.
pub fn sentence(trial: &Trial) -> String {
    if trial.mode == Mode::Watch {
        return watched::sentence(trial);
    }
    let case = quoted(&trial.case);
    let clauses = clauses(trial);
    let outcome = outcome(trial);
    let Some((worst, more)) = clauses.split_first() else {
        return format!("{case} {}.", without_leak(trial, outcome));
    };
    let mut said = match outcome {
        Some(outcome) => format!("{case} {outcome} and {}", worst.said),
        None => format!("{case} {}", worst.said),
    };
    match more {
        [] => {}
        [one] => said.push_str(&format!("; the test also {}", one.said)),
        more => {
            let findings: usize = more.iter().map(|clause| clause.findings).sum();
            said.push_str(&format!("; {findings} more findings are below"));
        }
    }
    said.push('.');
    said
}

/// What became of the body, unless it passed.
fn outcome(trial: &Trial) -> Option<String> {
    let said = match trial.outcome {
        Outcome::Passed => return None,
        Outcome::Failed => "failed",
        Outcome::Crashed => "crashed",
        Outcome::Killed => "was killed from outside",
        Outcome::TimedOut => "did not end before its deadline",
        Outcome::Skipped => "was skipped",
    };
    Some(match headline(trial) {
        Some(headline) => format!("{said} ({headline})"),
        None => said.to_owned(),
    })
}

/// The first line of the trial's message that says something.
pub(super) fn headline(trial: &Trial) -> Option<String> {
    let line = trial.message.as_deref()?.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(text::name(line.trim_end_matches(['.', ':'])))
}

fn without_leak(trial: &Trial, outcome: Option<String>) -> String {
    if trial.outcome == Outcome::Skipped {
        return outcome.unwrap_or_default();
    }
    let (passed, outcome) = (outcome.is_none(), outcome.unwrap_or_else(|| "passed".to_owned()));
    let but = if passed { "but" } else { "and" };
    match trial.verdict {
        Verdict::Clean => format!("{outcome} and left nothing behind"),
        Verdict::Tolerated => {
            format!("{outcome}; what it left behind is within its budget or accepted")
        }
        Verdict::Leaked => format!("{outcome} {but} leaked; its record does not say what"),
        Verdict::Unsettled => format!(
            "{outcome}, {but} was still giving back what it held when the deadline came, \
             so nobody knows what it keeps"
        ),
        Verdict::Unmeasured => format!("{outcome}, {but} {}", blind(trial)),
    }
}

/// Which probes could not look.
fn blind(trial: &Trial) -> String {
    let mut probes: Vec<Resource> = trial.unmeasured.iter().map(|it| it.probe).collect();
    probes.sort_unstable();
    probes.dedup();
    let names: Vec<String> = probes.iter().map(|it| it.name().to_owned()).collect();
    match names.as_slice() {
        [] => "it was not measured".to_owned(),
        [one] => format!("the {one} probe could not look"),
        names => format!("{} probes could not look: {}", names.len(), list(names)),
    }
}

/// One thing that the trial did wrong, to follow the name of the case.
struct Clause {
    said: String,
    /// How many findings it tells of.
    findings: usize,
}

/// What the trial did wrong, worst first.
fn clauses(trial: &Trial) -> Vec<Clause> {
    let mut leaks: Vec<&Finding> =
        trial.findings.iter().filter(|finding| finding.status == Status::Leak).collect();
    leaks.sort_by(|a, b| a.severity(b));
    let worst_heap = leaks.iter().copied().find(|finding| kept::has_heap(finding));
    let mut clauses = Vec::new();
    while !leaks.is_empty() {
        let first = leaks.remove(0);
        if let Some(said) = alone(trial, first, clauses.is_empty()) {
            clauses.push(Clause { said, findings: 1 });
            continue;
        }
        // Whatever the same subject left behind is said in one breath.
        let mut together = vec![first];
        leaks.retain(|finding| {
            let joins = finding.subject == first.subject && alone(trial, finding, false).is_none();
            if joins {
                together.push(finding);
            }
            !joins
        });
        let mut said = left_behind(trial, &together);
        if let Some(kept) = worst_heap.and_then(|worst| kept::kept(trial, worst, &together)) {
            said.push_str(&format!("; {kept}"));
        }
        clauses.push(Clause { said, findings: together.len() });
    }
    clauses
}

/// The clause of a finding that cannot be counted together with others; `first` if none was said.
fn alone(trial: &Trial, finding: &Finding, first: bool) -> Option<String> {
    let each = if repeats(trial, finding) { in_every_round(trial) } else { "" };
    let amount = if each.is_empty() { finding.growth } else { finding.per_round };
    let many = amount.unsigned_abs();
    let by = descendant(finding);
    Some(match finding.resource {
        Resource::Process => return outlived(finding, first && trial.outcome == Outcome::Passed),
        Resource::TimeWait => {
            let over = finding.budget.map_or_else(String::new, |budget| {
                format!(", over its budget of {}", metric::count(budget))
            });
            let site = finding.site.as_ref().map_or_else(String::new, |site| {
                format!("; the side that closed first opened them {}", at(site))
            });
            let things = metric::things(Resource::TimeWait, many);
            format!("{by}left {things}{each}{over}{site}")
        }
        Resource::Memory => match finding.budget {
            Some(ceiling) => format!(
                "{by}took {} of memory at its peak, {} over its ceiling of {}",
                metric::bytes(ceiling.saturating_add(finding.growth.unsigned_abs())),
                metric::bytes(finding.growth.unsigned_abs()),
                metric::bytes(ceiling),
            ),
            None => format!("{by}grew by {}{each}", metric::things(Resource::Memory, many)),
        },
        Resource::State => {
            format!("{by}changed {} and did not put it back", quoted(&finding.what))
        }
        Resource::Gauge => {
            let higher = if amount < 0 { "lower" } else { "higher" };
            format!(
                "{by}left the gauge {} {} {higher}{each}",
                quoted(&finding.what),
                metric::count(many)
            )
        }
        Resource::Cleanup => {
            let name = quoted(&finding.what);
            match cleanup_status(trial, finding) {
                Some(CleanupStatus::Failed) => format!("ran its clean-up {name}, which failed"),
                _ => format!("never reached its clean-up {name}"),
            }
        }
        _ => return None,
    })
}

/// The clause of a process that was left, where the record says how it was found; `ended` if the
/// test's own end is still to be said.
fn outlived(finding: &Finding, ended: bool) -> Option<String> {
    let process = finding.process.as_ref()?;
    let many = finding.growth.unsigned_abs();
    let whose = match finding.site.as_ref() {
        Some(site) => format!("it started {}", at(site)),
        None => "it started".to_owned(),
    };
    let named = format!("{} (pid {})", quoted(&finding.what), process.pid);
    let (who, was, they) = match many {
        ..=1 => (format!("the process {whose}, {named},"), "was", "it was"),
        _ => (
            format!("{} processes {whose}, among them {named},", metric::count(many)),
            "were",
            "they were",
        ),
    };
    Some(match process.state {
        ProcessState::Outlived if ended => {
            format!("ended, but {who} {was} still running; {they} killed")
        }
        ProcessState::Outlived => format!("left {who} running; {they} killed"),
        ProcessState::Zombie => {
            let zombie = if many > 1 { "zombies" } else { "a zombie" };
            format!("never waited for {who} which ended and stayed {zombie}")
        }
    })
}

/// `left 1 file descriptor and 77,012 B of heap behind in every round; both were created at ...`.
fn left_behind(trial: &Trial, findings: &[&Finding]) -> String {
    let by = findings.first().map_or_else(String::new, |finding| descendant(finding));
    let each = findings.iter().all(|finding| repeats(trial, finding));
    let mut amounts: BTreeMap<Resource, i64> = BTreeMap::new();
    for finding in findings {
        for part in parts(finding) {
            let amount = if each { per_round(finding, &part) } else { part.growth };
            let sum = amounts.entry(part.resource).or_default();
            *sum = sum.saturating_add(amount);
        }
    }
    let told = |sign: i64| -> Vec<String> {
        amounts
            .iter()
            .filter(|(_, amount)| amount.signum() == sign)
            .map(|(resource, amount)| metric::things(*resource, amount.unsigned_abs()))
            .collect()
    };
    let (more, fewer) = (told(1), told(-1));
    let rounds = if each { in_every_round(trial) } else { "" };
    if more.is_empty() {
        return match fewer.as_slice() {
            [] => format!("{by}left {} behind", quoted(&findings[0].what)),
            fewer => format!("{by}ended with {} fewer than it began with{rounds}", list(fewer)),
        };
    }
    let kinds: Vec<Resource> =
        amounts.iter().filter(|(_, amount)| **amount > 0).map(|(resource, _)| *resource).collect();
    let (verb, behind) = verbs(&kinds);
    let plural = kinds.iter().any(|resource| !resource.is_bytes() && amounts[resource] > 1);
    let they = match kinds.as_slice() {
        [_] if plural => "they were",
        [_] => "it was",
        [_, _] if !plural => "both were",
        _ => "all were",
    };
    let made = made(findings, they, verb);
    format!("{by}left {} {behind}{rounds}; {made}", list(&more))
}

/// `it was opened at src/store.rs:31`, or at how many sites, or that nobody knows.
fn made(findings: &[&Finding], they: &str, verb: &str) -> String {
    let mut sites: Vec<&Frame> = Vec::new();
    for site in findings.iter().filter_map(|finding| finding.site.as_ref()) {
        if !sites.iter().any(|other| (&other.file, other.line) == (&site.file, site.line)) {
            sites.push(site);
        }
    }
    let unknown = findings.iter().any(|finding| finding.site.is_none());
    match sites.as_slice() {
        [] if they == "it was" => format!("where it was {verb} is not known"),
        [] => format!("where they were {verb} is not known"),
        [one] if !unknown => format!("{they} {verb} {}", at(one)),
        [one] => format!("some {verb} {}, some where is not known", at(one)),
        [first, ..] => {
            // A site with a line is worth more than an earlier one without.
            let first = sites.iter().find(|site| !site.file.is_empty()).unwrap_or(first);
            format!("they were {verb} at {} sites, one of them {}", sites.len(), at(first))
        }
    }
}

/// How things of these kinds come to be, and how they are left.
fn verbs(kinds: &[Resource]) -> (&'static str, &'static str) {
    match kinds {
        [Resource::Fd | Resource::Socket] => ("opened", "behind"),
        [Resource::Thread | Resource::Process] => ("started", "running"),
        [Resource::Task] => ("spawned", "running"),
        [Resource::Heap] => ("allocated", "behind"),
        [Resource::Mapping] => ("mapped", "behind"),
        [Resource::Lock] => ("taken", "behind"),
        _ => ("created", "behind"),
    }
}

/// What was made under the finding's site; the finding itself, where that is all.
fn parts(finding: &Finding) -> Vec<Part> {
    if finding.parts.is_empty() {
        let mut own = Part::new(finding.resource, finding.what.as_str(), finding.growth);
        own.per_round = Some(finding.per_round);
        return vec![own];
    }
    finding.parts.clone()
}

/// A part's growth in one round: as read, else in the proportion of the finding's own.
pub(super) fn per_round(finding: &Finding, part: &Part) -> i64 {
    part.per_round.unwrap_or_else(|| {
        let scaled = i128::from(part.growth) * i128::from(finding.per_round);
        let scaled = scaled.checked_div(i128::from(finding.growth));
        scaled.and_then(|scaled| i64::try_from(scaled).ok()).unwrap_or(part.growth)
    })
}

/// Whether the growth was seen in more than one round. A watched program has none.
pub(super) fn repeats(trial: &Trial, finding: &Finding) -> bool {
    trial.mode != Mode::Watch
        && trial.rounds > 1
        && finding.per_round != 0
        && finding.growth.unsigned_abs() > finding.per_round.unsigned_abs()
}

fn in_every_round(trial: &Trial) -> &'static str {
    match trial.mode {
        Mode::Shared => " in every pass",
        Mode::Trial | Mode::Off => " in every round",
        Mode::Watch => "",
    }
}

/// ``started `tracker daemon run`, which `` for a finding in a descendant.
fn descendant(finding: &Finding) -> String {
    match finding.subject.as_str() {
        SUBJECT_TEST | "" => String::new(),
        subject => format!("started {}, which ", quoted(subject)),
    }
}

/// `at file:line`, or `in` a function whose line is not known.
fn at(site: &Frame) -> String {
    format!("{} {}", if site.file.is_empty() { "in" } else { "at" }, place(site))
}

/// `file:line` as far as it is known, else the function.
pub(super) fn place(site: &Frame) -> String {
    match (site.file.as_str(), site.line) {
        ("", _) => quoted(&site.function),
        (file, 0) => text::name(file),
        (file, line) => format!("{}:{line}", text::name(file)),
    }
}
