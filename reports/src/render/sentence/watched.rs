//! The sentence of a watched program: what grows, how fast, when it meets its limit, where it was made.

use super::{blind, made, outcome, verbs};
use crate::metric::{self, Unit};
use crate::model::{Finding, Forecast, Outcome, Resource, Status, Trended, Trial, Verdict};
use crate::render::text::{list, name, quoted};
use crate::trend::{Growth, LimitMet, Trend};

pub(super) fn sentence(trial: &Trial) -> String {
    let program = quoted(&trial.case);
    let outcome = outcome(trial);
    let clauses = clauses(trial);
    let Some((worst, more)) = clauses.split_first() else {
        return format!("{program} {}.", without_growth(trial, outcome));
    };
    let grows = outcome.map_or_else(|| "grows".to_owned(), |outcome| format!("{outcome} and grew"));
    let place = if worst.place.is_empty() { String::new() } else { format!(" {}", worst.place) };
    let mut said = format!("{program} {grows}{place}: {}", worst.said);
    match more {
        [] => {}
        [one] if one.place == worst.place => said.push_str(&format!("; also {}", one.said)),
        [one] if one.place.is_empty() => said.push_str(&format!("; itself {}", one.said)),
        [one] => said.push_str(&format!("; {} {}", one.place, one.said)),
        more => {
            said.push_str(&format!("; {} more resources grow", metric::count(more.len() as u64)))
        }
    }
    said.push('.');
    said
}

/// One resource of one process that grows.
struct Clause {
    /// ``in `worker` `` for a descendant.
    place: String,
    said: String,
}

/// What grows, worst first. The findings of one resource of one process are said in one breath.
fn clauses(trial: &Trial) -> Vec<Clause> {
    let of_program = |finding: &Finding| trial.is_of_program(&finding.subject);
    let mut leaks: Vec<&Finding> =
        trial.findings.iter().filter(|finding| finding.status == Status::Leak).collect();
    leaks.sort_by(|a, b| of_program(b).cmp(&of_program(a)).then_with(|| a.severity(b)));
    let mut clauses = Vec::new();
    while let Some(&first) = leaks.first() {
        let is_alike = |other: &Finding| {
            let same_subject = match of_program(first) {
                true => of_program(other),
                false => first.subject == other.subject,
            };
            // Two gauges count two things.
            let same_thing = first.resource != Resource::Gauge || first.what == other.what;
            first.resource == other.resource && same_subject && same_thing
        };
        let (alike, others) = leaks.iter().copied().partition(|finding| is_alike(finding));
        leaks = others;
        let place = match of_program(first) {
            true => String::new(),
            false => format!("in {}", quoted(&first.subject)),
        };
        clauses.push(Clause { place, said: growing(trial, first, &alike) });
    }
    clauses
}

/// `+3 file descriptors every 5.0 s, RLIMIT_NOFILE 1,024 is met in 28 min; they were opened at ...`.
fn growing(trial: &Trial, first: &Finding, findings: &[&Finding]) -> String {
    // Findings of one resource have each their part of its growth: together they have the sum.
    let all: i64 = findings.iter().fold(0, |sum, it| sum.saturating_add(it.growth));
    let own = findings.iter().find_map(|it| Some((it.growth, growth(it.trend.as_ref())?)));
    let own = own.filter(|(part, _)| *part > 0);
    let together = own.map(|(part, growth)| growth.share(all as f64 / part as f64));
    let metrics = metric::of(first.resource, &first.what);
    let series = metrics.iter().find_map(|metric| growth_of(trial, &first.subject, metric));
    let (unit, growth) = match (&together, series) {
        (Some(growth), _) => (Unit::from(first.resource), Some(growth)),
        (None, Some((unit, growth))) => (unit, Some(growth)),
        (None, None) => (Unit::from(first.resource), None),
    };
    let mut said = match growth {
        Some(growth) => growth.pace(unit, |value| format!("+{}", things(first, unit, value))),
        None => {
            let sign = if all < 0 { "-" } else { "+" };
            let things = things(first, unit, all.unsigned_abs() as f64);
            format!("{sign}{things} in {}", metric::duration_about_ms(trial.duration_ms))
        }
    };
    let bounded = matches!(first.resource, Resource::Fd | Resource::Socket);
    // What bounds descriptors of one kind is the number of all.
    let of_all = || growth_of(trial, &first.subject, metric::DESCRIPTOR).filter(|_| bounded);
    let limit = growth.and_then(|growth| growth.limit.as_ref());
    let is_met = |it: &&Forecast| it.unit == "second" && it.at <= trial.duration_ms / 1_000;
    if let Some(met) = first.forecast.as_ref().filter(is_met) {
        let value = unit.show(met.value);
        said.push_str(&format!(", {} {value} is met", name(&met.limit)));
    } else if let Some(met) = limit.or_else(|| of_all().and_then(|(_, all)| all.limit.as_ref())) {
        said.push_str(&format!(", {}", limit_met(unit, met)));
    }
    let is_known = findings.iter().any(|finding| finding.site.is_some());
    // Nobody makes resident memory, TIME_WAIT or what a gauge counts at a line of its own.
    let is_made = !matches!(
        first.resource,
        Resource::Memory | Resource::TimeWait | Resource::Gauge | Resource::State
    );
    if is_known || is_made {
        let (verb, _) = verbs(&[first.resource]);
        let they = if unit == Unit::Bytes { "it was" } else { "they were" };
        said.push_str(&format!("; {}", made(findings, they, verb)));
    }
    said
}

/// How `metric` of a process grows, if it does.
fn growth_of<'a>(trial: &'a Trial, subject: &str, metric: &str) -> Option<(Unit, &'a Growth)> {
    let is_of_program = trial.is_of_program(subject);
    let is_same = |it: &Trended| match is_of_program {
        true => trial.is_of_program(&it.subject),
        false => it.subject == subject,
    };
    let of_metric = trial.trends.iter().filter(|it| it.metric == metric && is_same(it));
    of_metric.filter_map(|it| Some((it.unit(), growth(Some(&it.trend))?))).next()
}

fn growth(trend: Option<&Trend>) -> Option<&Growth> {
    match trend {
        Some(Trend::Growing(growth)) => Some(growth),
        _ => None,
    }
}

/// `3 file descriptors`, `1.5 threads`, `1.9 MiB of memory`.
fn things(finding: &Finding, unit: Unit, value: f64) -> String {
    let amount = unit.show_about(value);
    let (one, many) = match finding.resource {
        Resource::Gauge => return format!("{amount} of {}", quoted(&finding.what)),
        Resource::Mapping if unit == Unit::Things => ("mapping", "mappings"),
        Resource::Heap if unit == Unit::Things => ("block of heap", "blocks of heap"),
        resource if resource.is_bytes() => return metric::things(resource, value.round() as u64),
        resource => metric::nouns(resource),
    };
    format!("{amount} {}", if amount == "1" { one } else { many })
}

/// `RLIMIT_NOFILE 1,024 is met in 28 min`.
fn limit_met(unit: Unit, met: &LimitMet) -> String {
    let limit = format!("{} {}", name(&met.limit.name), unit.show_about(met.limit.value));
    if met.in_s <= 0.0 {
        return format!("{limit} is met");
    }
    format!("{limit} is met in {}", metric::duration_about_ms((met.in_s * 1e3).round() as u64))
}

fn without_growth(trial: &Trial, outcome: Option<String>) -> String {
    if trial.outcome == Outcome::Skipped {
        return outcome.unwrap_or_default();
    }
    let duration = metric::duration_about_ms(trial.duration_ms);
    let (is, was) = match outcome {
        Some(outcome) => (format!("{outcome} and was"), format!("{outcome} and was")),
        None => ("is".to_owned(), "was".to_owned()),
    };
    let short = short(trial);
    let growing = spoken(trial, Trend::is_growing);
    match trial.verdict {
        Verdict::Clean if !growing.is_empty() => {
            let growing = list(&growing);
            format!("{was} watched for {duration}; only {growing} grew, which alone is no leak")
        }
        Verdict::Clean => match (steps(trial).as_slice(), short) {
            ([], None) => format!("{is} flat: nothing grew in {duration}"),
            ([], Some(short)) => {
                format!(
                    "{is} flat so far: nothing grew in {duration}, which is too short to tell{short}"
                )
            }
            (grown, short) => {
                let grown = list(grown);
                let short = short.map_or_else(String::new, |short| {
                    format!(", which is too short to tell{short}")
                });
                format!(
                    "{is} flat: {grown} grew and stopped, nothing else grew in {duration}{short}"
                )
            }
        },
        Verdict::Tolerated => {
            format!("{was} watched for {duration}, and grew only by what is accepted")
        }
        Verdict::Leaked => {
            format!("{was} watched for {duration} and grew; its record does not say by what")
        }
        Verdict::Unsettled => format!(
            "{was} watched for {duration}, and was still giving back what it held, \
             so nobody knows what it keeps"
        ),
        Verdict::Unmeasured => {
            let watched = format!("{was} watched for {duration}");
            match (short, trial.unmeasured.is_empty()) {
                (None, true) if !trial.trends.is_empty() => {
                    format!("{watched}, which is too short to tell")
                }
                (Some(short), true) => format!("{watched}, which is too short to tell{short}"),
                (Some(short), false) => {
                    format!("{watched}, which is too short to tell{short}, and {}", blind(trial))
                }
                (None, _) if trial.trends.is_empty() => format!("{watched}, but {}", blind(trial)),
                (None, _) if growing.is_empty() => {
                    format!("{watched}, but {}; nothing else grew", blind(trial))
                }
                (None, _) => format!("{watched}, but {}; {} grew", blind(trial), list(&growing)),
            }
        }
    }
}

/// ` for memory and threads`: of what nothing can be said yet; empty where that is everything.
fn short(trial: &Trial) -> Option<String> {
    let mut metrics = spoken(trial, |trend| matches!(trend, Trend::TooShort { .. }));
    // Of what decides nothing it is no matter.
    let has_heap = trial.trends.iter().any(|it| it.metric == metric::HEAP_BYTES);
    let idle = [metric::MAPPING, metric::VIRTUAL_BYTES, metric::TIME_WAIT];
    let idle = idle.into_iter().chain(has_heap.then_some(metric::MEMORY_BYTES)).map(metric::word);
    let idle: Vec<&str> = idle.collect();
    metrics.retain(|metric| !idle.contains(&metric.as_str()));
    let is_all = trial.trends.iter().all(|it| matches!(it.trend, Trend::TooShort { .. }));
    match metrics.as_slice() {
        [] => None,
        _ if is_all => Some(String::new()),
        metrics => Some(format!(" for {}", list(metrics))),
    }
}

fn steps(trial: &Trial) -> Vec<String> {
    spoken(trial, |trend| matches!(trend, Trend::Step(_)))
}

/// The metrics of which a series says so, in words.
fn spoken(trial: &Trial, says: impl Fn(&Trend) -> bool) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for it in trial.trends.iter().filter(|it| says(&it.trend)) {
        let word = name(metric::word(&it.metric));
        if !told.contains(&word) {
            told.push(word);
        }
    }
    told
}
