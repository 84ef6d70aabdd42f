//! What every medium says of a group: how much, where, in which cases.

use super::{sentence, terminal, text};
use crate::metric;
use crate::model::{Finding, Holder, HolderClass, Part, Resource, Run, Trial};
use crate::report::{Example, Group, Kind, Report, Trouble};

/// Whether a group is worth the time of a person; programs get them all.
pub(super) fn is_shown(group: &Group) -> bool {
    let growth = group.left.get(&group.finding.resource).copied().unwrap_or_default();
    let is_little = group.finding.resource.is_bytes() && growth < terminal::UNCONFIRMED_BYTES_MIN;
    group.kind != Kind::Unconfirmed || !is_little
}

/// `120 file descriptors and 9.2 MiB of heap`: what the cases of a group left together.
pub(super) fn amounts(group: &Group) -> String {
    let told: Vec<String> = (group.left.iter())
        .filter(|(_, growth)| **growth != 0)
        .map(|(resource, growth)| {
            let things = match resource {
                // What a gauge counts only its name tells.
                Resource::Gauge => metric::growth(*resource, *growth),
                _ => metric::things(*resource, growth.unsigned_abs()),
            };
            let fewer = if *growth < 0 && *resource != Resource::Gauge { " fewer" } else { "" };
            format!("{things}{fewer}")
        })
        .collect();
    match told.as_slice() {
        [] => group.finding.resource.name().to_owned(),
        told => text::list(told),
    }
}

/// `file:line`, or the function; none where nobody knows.
pub(super) fn place(group: &Group) -> Option<String> {
    group.finding.site.as_ref().map(sentence::place)
}

/// Whether the group is of watched programs: it is then of no test.
pub(super) fn is_watched(group: &Group) -> bool {
    group.finding.trend.is_some()
}

/// How a group of one watched program grows: `growing, +3 every 5.0 s (0.6/s)`.
pub(super) fn trend(group: &Group) -> Option<String> {
    let finding = total(group);
    finding.trend.map(|trend| text::escape(&trend.show(finding.resource.into())))
}

/// `suite::case`.
pub(super) fn case(example: &Example) -> String {
    match example.suite.as_str() {
        "" => text::name(&example.case),
        suite => format!("{}::{}", text::name(suite), text::name(&example.case)),
    }
}

/// A case in trouble, with its suite.
pub(super) fn trouble(trouble: &Trouble) -> String {
    match trouble.example.suite.as_str() {
        "" => trouble.said.clone(),
        suite => format!("{}: {}", text::name(suite), trouble.said),
    }
}

/// `a::b`, or `40 cases: a::b, a::c, a::d and 37 more`.
pub(super) fn cases(count: u64, examples: &[Example]) -> String {
    let mut named: Vec<String> = examples.iter().map(case).collect();
    let more = count.saturating_sub(named.len() as u64);
    if more > 0 {
        named.push(format!("{} more", metric::count(more)));
    }
    match count {
        1 => text::list(&named),
        _ => format!("{}: {}", how_many(count), text::list(&named)),
    }
}

/// The cases of a group, and where its finding has a holder whose that is: in other cases it may be another.
pub(super) fn found_in(group: &Group) -> String {
    let cases = cases(group.cases, &group.examples);
    let is_told = |holder: &Holder| holder.class != HolderClass::Unmeasured;
    match &group.finding.holder {
        Some(holder) if group.cases > 1 && is_told(holder) => {
            format!("{cases}; the holder is that of one of them")
        }
        _ => cases,
    }
}

/// `1 case`, `40 cases`.
pub(super) fn how_many(cases: u64) -> String {
    format!("{} {}", metric::count(cases), if cases == 1 { "case" } else { "cases" })
}

/// A group as one finding, with the sums of all its cases.
pub(super) fn total(group: &Group) -> Finding {
    let mut finding = group.finding.clone();
    if group.cases == 1 {
        return finding;
    }
    finding.growth = group.left.get(&finding.resource).copied().unwrap_or_default();
    finding.per_round = finding.growth;
    let own = Part::new(finding.resource, finding.what.as_str(), finding.growth);
    let others = (group.left.iter())
        .filter(|(resource, growth)| **resource != finding.resource && **growth != 0)
        .map(|(resource, growth)| Part::new(*resource, "", *growth));
    finding.parts = std::iter::once(own).chain(others).collect();
    // These hold for one trial alone.
    finding.process = None;
    finding.forecast = None;
    finding.trend = None;
    finding
}

/// The report in a few words: `2 leaks in 41 of 1,234 cases`.
pub(super) fn headline(report: &Report) -> String {
    let summary = &report.summary;
    let sites = report.of(Kind::Leak).count() as u64;
    let of = how_many(summary.cases);
    let failed = summary.failed + summary.crashed + summary.killed + summary.timed_out;
    if summary.leaked > 0 {
        let leaks = if sites == 1 { "leak" } else { "leaks" };
        let (sites, leaked) = (metric::count(sites), metric::count(summary.leaked));
        return format!("{sites} {leaks} in {leaked} of {of}");
    }
    match () {
        () if summary.cases == 0 => "no case was measured".to_owned(),
        () if failed > 0 => format!("no leak, but {} of {of} did not pass", metric::count(failed)),
        () if summary.unsettled + summary.unmeasured > 0 => {
            let unknown = metric::count(summary.unsettled + summary.unmeasured);
            format!("no leak was found, but {unknown} of {of} could not be judged")
        }
        () => format!("no leak in {of}"),
    }
}

/// Where and how a run was measured, in one line.
pub(super) fn run(run: &Run) -> String {
    let mut told = vec![format!("run {}", text::name(&run.run))];
    if let Some(shard) = run.shard {
        told.push(format!("shard {} of {}", shard.index, shard.count));
    }
    for (what, value) in
        [("", &run.host.os), ("kernel ", &run.host.kernel), ("profile ", &run.profile)]
    {
        if !value.is_empty() {
            told.push(format!("{what}{}", text::name(value)));
        }
    }
    told.join(", ")
}

/// The canaries that were not seen, in sentences; of shards with the same canary one is told.
pub(super) fn blind_canaries(report: &Report) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for canary in report.runs.iter().flat_map(|run| &run.canaries).filter(|canary| !canary.seen) {
        let why = canary
            .reason
            .as_deref()
            .map_or_else(String::new, |why| format!(": {}", text::escape(why)));
        let said = format!("the {} probe did not see its canary{why}", canary.probe.name());
        if !told.contains(&said) {
            told.push(said);
        }
    }
    told
}

/// What a trial stood for: `passed, leaked, 3 rounds, 412 ms`.
pub(super) fn verdict(trial: &Trial) -> String {
    let mut told = vec![word(&trial.outcome), word(&trial.verdict)];
    if trial.attempt > 1 {
        told.push(format!("attempt {}", trial.attempt));
    }
    if trial.rounds > 1 {
        told.push(format!("{} rounds", metric::count(trial.rounds.into())));
    }
    told.push(metric::duration_ms(trial.duration_ms));
    told.join(", ")
}

/// A value as the record writes it.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => String::new(),
    }
}
