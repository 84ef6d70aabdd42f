//! What a program that was looked at over time comes to: each growing metric is a finding for every place that
//! made what grew.
//!
//! - Descriptors, threads, descendants and counted heap decide. Where heap is not counted, memory does.
//! - What follows from other growth (the mappings of leaked threads, the memory of leaked heap) is no finding
//!   beside it. Memory beside counted heap that stays is told and not failed.
//! - What is too short to tell is not clean.

use std::collections::BTreeMap;

use watertight_report::metric::{self, Unit};
use watertight_report::model::{Finding, Forecast, Resource, Status, Verdict};
use watertight_report::trend::{Growth, Limit, Trend};

use super::Creation;
use super::finding::{Atom, group};

/// One process, as it was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    /// As findings name it.
    pub(crate) subject: String,
    /// What each judged metric says.
    pub(crate) trends: BTreeMap<&'static str, Trend>,
    /// By how much those have grown that do.
    pub(crate) grown: BTreeMap<&'static str, u64>,
    /// What there is more of, largest first within its resource.
    pub(crate) made: Vec<Made>,
    /// The limit of its descriptors, where that is reached: nothing grows there any more.
    pub(crate) at_limit: Option<Limit>,
    /// Whether its notes are there, so that what grew has lines.
    pub(crate) is_noted: bool,
    /// Whether they were to be there.
    pub(crate) expects_notes: bool,
}

/// More of something, made at one place or called by one name.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) resource: Resource,
    pub(crate) what: String,
    /// Things, or bytes.
    pub(crate) growth: u64,
    pub(crate) creation: Option<Creation>,
}

/// A place that made less than this part of what grew is not told.
const TOLD_PART: u64 = 16;

/// Bytes that must have been added: less is a list that grows with what it names, or a page.
const BYTES_MIN: u64 = 16 * 1024;

/// Growth of port pairs that has gone on for less than this may be their number coming to what it will be: the
/// kernel keeps each for 60 s (`TCP_TIMEWAIT_LEN`), and trends take their time.
const FILLING_S: f64 = 120.0;

/// Metrics that must have been seen for long enough, but for memory.
const REQUIRED: [&str; 4] =
    [metric::DESCRIPTOR, metric::THREAD, metric::PROCESS, metric::HEAP_BYTES];

/// Judges all processes of a watch.
pub(crate) fn watched(all: &[Watched]) -> (Vec<Finding>, Verdict) {
    let mut findings: Vec<Finding> = all.iter().flat_map(findings_of).collect();
    findings.sort_by(|a, b| a.severity(b));
    let leaks = findings.iter().any(|finding| finding.status == Status::Leak);
    let verdict = match (leaks, all.iter().any(is_too_short)) {
        (true, _) => Verdict::Leaked,
        (false, true) => Verdict::Unmeasured,
        (false, false) => Verdict::Clean,
    };
    (findings, verdict)
}

impl Watched {
    /// How a metric grows, where that is worth a word.
    fn growth(&self, metric: &str) -> Option<&Growth> {
        let is_little = || {
            let grown = self.grown.get(metric).copied().unwrap_or(u64::MAX);
            Unit::of(metric) == Unit::Bytes && grown < BYTES_MIN
        };
        match self.trends.get(metric) {
            Some(Trend::Growing(growth)) if !is_little() => Some(growth),
            _ => None,
        }
    }

    fn is_heap_counted(&self) -> bool {
        self.trends.contains_key(metric::HEAP_BYTES)
    }

    /// The growing metrics that are told, each with what its findings count as.
    fn told(&self) -> Vec<(&'static str, Status)> {
        let grows = |metric: &str| self.growth(metric).is_some();
        let mut told = Vec::new();
        // The sum first: sockets are a part of it, and may take the place of files.
        let is_full = |metric: &str| self.reached(metric).is_some();
        let is_told = |metric: &&str| grows(metric) || is_full(metric);
        let descriptors = [metric::DESCRIPTOR, metric::SOCKET].into_iter().find(is_told);
        told.extend(descriptors.map(|metric| (metric, Status::Leak)));
        let sure = [metric::THREAD, metric::PROCESS, metric::HEAP_BYTES];
        told.extend(sure.into_iter().filter(|metric| grows(metric)).map(|it| (it, Status::Leak)));
        if told.is_empty() {
            told.extend(self.memory_told());
        }
        told.extend(self.so_far());
        told.extend(self.waiting());
        told
    }

    /// Port pairs that grow. Each stays for a minute, so a program that goes on closing connections has more of
    /// them for as long, and no more after it.
    fn waiting(&self) -> Option<(&'static str, Status)> {
        let growth = self.growth(metric::TIME_WAIT)?;
        let grown = self.grown.get(metric::TIME_WAIT).copied().unwrap_or(0) as f64;
        let goes_on = grown >= growth.per_second.value * FILLING_S;
        Some((metric::TIME_WAIT, if goes_on { Status::Leak } else { Status::Unconfirmed }))
    }

    /// What has grown so far, and may be a warm-up: told with its lines, and not failed.
    fn so_far(&self) -> impl Iterator<Item = (&'static str, Status)> {
        let grows = |metric: &&'static str| {
            matches!(self.trends.get(metric), Some(Trend::TooShort { so_far: Some(_), .. }))
        };
        REQUIRED.into_iter().filter(grows).map(|metric| (metric, Status::Unconfirmed))
    }

    /// Memory that nothing else tells of. What is known to be mapped is told first: a program's own allocator maps.
    /// Where heap is counted and stays, memory is mapped by other means, or kept by the allocator; areas alone are
    /// split and joined by the kernel, and address space alone may be kept as well.
    fn memory_told(&self) -> Option<(&'static str, Status)> {
        let grows = |metric: &str| self.growth(metric).is_some();
        // What is mapped of a file on disk can be given back at any time: its growth is the file's.
        let is_on_disk =
            |made: &Made| made.what.starts_with('/') && !made.what.ends_with(" (deleted)");
        let is_mapped =
            self.made.iter().any(|it| it.resource == Resource::Mapping && !is_on_disk(it));
        let maps = grows(metric::VIRTUAL_BYTES) && grows(metric::MAPPING);
        match self.is_heap_counted() {
            _ if grows(metric::VIRTUAL_BYTES) && is_mapped => {
                Some((metric::VIRTUAL_BYTES, Status::Leak))
            }
            false if grows(metric::MEMORY_BYTES) => Some((metric::MEMORY_BYTES, Status::Leak)),
            _ if maps => Some((metric::VIRTUAL_BYTES, Status::Leak)),
            _ if grows(metric::MEMORY_BYTES) => Some((metric::MEMORY_BYTES, Status::Unconfirmed)),
            _ if grows(metric::VIRTUAL_BYTES) => Some((metric::VIRTUAL_BYTES, Status::Unconfirmed)),
            _ => None,
        }
    }
}

fn findings_of(watched: &Watched) -> Vec<Finding> {
    let mut atoms = Vec::new();
    for (metric, status) in watched.told() {
        atoms.extend(atoms_of(watched, metric, status));
    }
    let known: Vec<String> = atoms.iter().filter_map(Atom::key).collect();
    atoms.extend(beside(watched, &atoms, &known));
    let mut findings = group(atoms);
    if let Some(first) =
        findings.iter_mut().find(|finding| finding.site.is_none() && !watched.is_noted)
    {
        first.note.get_or_insert_with(|| watched.no_notes().to_owned());
    }
    for finding in &mut findings {
        finding.trend = watched.trend_of(finding);
        let is_of_descriptors = tells_of(metric::DESCRIPTOR, finding.resource);
        if let Some(limit) = watched.at_limit.as_ref().filter(|_| is_of_descriptors) {
            finding.note = Some(format!("it has reached its {} of {}", limit.name, limit.value));
        }
        let has_line = finding.site.as_ref().is_some_and(|site| site.line > 0);
        if !finding.stack.is_empty() && !has_line {
            finding.note.get_or_insert_with(|| UNLINED.to_owned());
        }
    }
    findings
}

/// What else those places have made that keep making something: the heap of connections that leak, say, though
/// heap alone would not tell yet.
fn beside(watched: &Watched, told: &[Atom], known: &[String]) -> Vec<Atom> {
    let is_told = |made: &Made| told.iter().any(|atom| atom.resource == made.resource);
    let atom = |made: &Made| {
        let mut atom = Atom::new(Status::Leak, made.resource, &*made.what, made.growth as i64, 0);
        atom.subject = Some(watched.subject.clone());
        Some(atom.made(made.creation.clone()))
            .filter(|atom| atom.key().is_some_and(|key| known.contains(&key)))
    };
    watched.made.iter().filter(|made| !is_told(made)).filter_map(atom).collect()
}

/// One thing to tell for each place that made what grew, or one for all where none is known.
fn atoms_of(watched: &Watched, metric: &str, status: Status) -> Vec<Atom> {
    let growth = watched.growth(metric);
    let total = watched.grown.get(metric).copied().unwrap_or(0).max(1);
    let atom = |resource: Resource, what: &str, grown: u64| {
        let per = growth.map_or(0.0, step) * grown as f64 / total as f64;
        let mut atom = Atom::new(status, resource, what, grown as i64, per.ceil() as i64);
        atom.subject = Some(watched.subject.clone());
        atom.forecast = growth.and_then(forecast).or_else(|| watched.reached(metric));
        atom
    };
    let of_metric = watched.made.iter().filter(|made| tells_of(metric, made.resource));
    let made: Vec<&Made> = of_metric.filter(|made| made.growth * TOLD_PART >= total).collect();
    if made.is_empty() {
        let mut atom = atom(resource_of(metric), metric::word(metric), total);
        atom.note = Some(unnamed(watched, metric).to_owned());
        return vec![atom];
    }
    let told = made.into_iter().map(|made| {
        let told = atom(made.resource, &made.what, made.growth);
        told.made(made.creation.clone())
    });
    told.collect()
}

impl Watched {
    /// That a metric has reached its limit: it is met at once.
    fn reached(&self, metric: &str) -> Option<Forecast> {
        let limit = self.at_limit.as_ref().filter(|_| metric == metric::DESCRIPTOR)?;
        Some(Forecast::new(&limit.name, limit.value as u64, 0, "second"))
    }

    /// How what a finding tells of grows: its part of the metric, where other places make the rest.
    fn trend_of(&self, finding: &Finding) -> Option<Trend> {
        let metrics = metric::of(finding.resource, &finding.what);
        let grows = |metric: &&String| self.growth(metric).is_some();
        let is_there = |metric: &&String| self.trends.contains_key(metric.as_str());
        let metric = metrics.iter().find(grows).or_else(|| metrics.iter().find(is_there))?;
        let part = match self.grown.get(metric.as_str()) {
            Some(total) if finding.growth * 8 < *total as i64 * 7 => {
                finding.growth as f64 / *total as f64
            }
            // One place makes it all, but for what came and went beside.
            _ => 1.0,
        };
        Some(match self.trends.get(metric.as_str())? {
            Trend::Growing(growth) => Trend::Growing(Box::new(growth.share(part))),
            other => other.clone(),
        })
    }
}

/// Whether something that decides was seen for too short a time.
fn is_too_short(watched: &Watched) -> bool {
    let memory = (!watched.is_heap_counted()).then_some(metric::MEMORY_BYTES);
    let mut required = REQUIRED.into_iter().chain(memory);
    required.any(|metric| matches!(watched.trends.get(metric), Some(Trend::TooShort { .. })))
}

/// What one tick adds, or where ticks are not known one minute.
fn step(growth: &Growth) -> f64 {
    growth.per_tick.map_or(growth.per_second.value * 60.0, |slope| slope.value)
}

fn forecast(growth: &Growth) -> Option<Forecast> {
    let met = growth.limit.as_ref()?;
    let limit = met.limit.value.round() as u64;
    Some(Forecast::new(&met.limit.name, limit, met.at_s.round() as u64, "second"))
}

fn tells_of(metric: &str, resource: Resource) -> bool {
    match metric {
        metric::DESCRIPTOR => matches!(resource, Resource::Fd | Resource::Socket),
        metric => resource_of(metric) == resource,
    }
}

/// The resource whose findings tell of a metric.
fn resource_of(metric: &str) -> Resource {
    match metric {
        metric::SOCKET => Resource::Socket,
        metric::THREAD => Resource::Thread,
        metric::PROCESS => Resource::Process,
        metric::HEAP_BYTES => Resource::Heap,
        metric::MEMORY_BYTES => Resource::Memory,
        metric::MAPPING | metric::VIRTUAL_BYTES => Resource::Mapping,
        metric::TIME_WAIT => Resource::TimeWait,
        _ => Resource::Fd,
    }
}

impl Watched {
    /// How lines come to be known, or why they are not.
    fn no_notes(&self) -> &'static str {
        match self.expects_notes {
            true => "the agent is not in it (a static or setuid program), so no lines are known",
            false => UNNOTED,
        }
    }
}

/// Its functions are known, and no lines.
const UNLINED: &str = "no line is known: build it with line tables (gcc -g1, or debug = \"line-tables-only\" in Cargo.toml)";

/// How lines come to be known.
const UNNOTED: &str = "its lines are known where it is started by `cargo watertight run`, or with what `cargo watertight agent --env` prints";

fn unnamed(watched: &Watched, metric: &str) -> &'static str {
    match metric {
        metric::MEMORY_BYTES if watched.is_heap_counted() => {
            "its heap does not grow: the allocator keeps what was freed, or memory is mapped by other means"
        }
        _ if watched.is_noted => "no one place made what grew, or its allocator bypasses the agent",
        _ => watched.no_notes(),
    }
}

#[cfg(test)]
mod tests;
