//! What a watch comes to: one trial for the ledger.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use watertight_report::metric;
use watertight_report::model::{
    Mode, Outcome, Reading, Resource, SCHEMA, SUBJECT_TEST, Trended, Trial, Unmeasured, Verdict,
    WATCH_SUITE,
};
use watertight_report::trend::{SAMPLES_MIN, Trend};

use super::followed::{Followed, Seen};
use super::{Watch, sites, who};
use crate::judge::{self, Watched};
use crate::outside::{Ending, Snapshot};

/// Judges all processes that were seen.
pub(super) fn trial(watch: &Watch) -> Trial {
    let all = || watch.seen();
    let main = &watch.main.seen;
    let mut trends = Vec::new();
    let mut evidence = Vec::new();
    for seen in all() {
        // Of a descendant that was there for a moment nothing can be said.
        let is_main = std::ptr::eq(seen, main);
        if !is_main && !seen.history.is_long() {
            continue;
        }
        let of_command = all().filter(|it| it.command == seen.command).count();
        let subject = match (is_main, of_command) {
            (true, _) => SUBJECT_TEST.to_owned(),
            (false, 1) => seen.command.clone(),
            (false, _) => format!("{} [{}]", seen.command, seen.pid),
        };
        let own = seen.history.trends(watch.settings.warm_up);
        trends.extend(own.iter().map(|(metric, now, trend)| {
            Trended::new(subject.as_str(), seen.pid, *metric, *now, trend.clone())
        }));
        let own = own.into_iter().map(|(metric, _, trend)| (metric, trend)).collect();
        evidence.push(watched(watch, seen, &subject, own));
    }
    let (findings, mut verdict) = judge::watched(&evidence);
    // Address space is told only where nothing else tells of what takes it, and files where sockets grow beside.
    let is_mapped = findings.iter().any(|finding| finding.resource == Resource::Mapping);
    let of_sockets =
        trends.iter().filter(|it| it.metric == metric::SOCKET && it.trend.is_growing());
    let both: Vec<u32> = of_sockets.map(|it| it.pid).collect();
    trends.retain(|trended| match trended.metric.as_str() {
        metric::VIRTUAL_BYTES => is_mapped,
        metric::FD => both.contains(&trended.pid),
        _ => true,
    });
    let unmeasured = unreadable(&watch.main);
    let too_few = too_few(watch);
    if verdict == Verdict::Clean && (too_few.is_some() || !unmeasured.is_empty()) {
        verdict = Verdict::Unmeasured;
    }
    let (outcome, message) = outcome(watch);
    let mut trial = Trial::default();
    trial.schema = SCHEMA;
    trial.suite = WATCH_SUITE.to_owned();
    trial.case.clone_from(&main.program);
    trial.mode = Mode::Watch;
    (trial.outcome, trial.message) = (outcome, message);
    trial.verdict = verdict;
    trial.rounds = u32::try_from(watch.ticks).unwrap_or(u32::MAX);
    trial.duration_ms = watch.watched().as_millis() as u64;
    trial.readings = readings(&watch.main);
    trial.trends = trends;
    trial.unmeasured = unmeasured;
    trial.findings = findings;
    trial.notes.extend(too_few);
    let may_warm_up = |it: &Trended| matches!(it.trend, Trend::TooShort { so_far: Some(_), .. });
    if trial.verdict == Verdict::Unmeasured && trial.trends.iter().any(may_warm_up) {
        trial.notes.push(
            "What grows so far may be a warm-up: watch for longer (--for 10m), say how long the program warms up \
             (--warm-up 10s), or tie growth to its ticks (--tick)."
                .to_owned(),
        );
    }
    let dropped: u32 =
        all().filter_map(|it| Some(it.notes.as_ref()?.region.dropped.load(Relaxed))).sum();
    if dropped > 0 {
        trial.notes.push(format!(
            "{dropped} things found no room in the agent's notes, so not all that grew has its line."
        ));
    }
    if watch.was_crowded {
        trial.notes.push(format!(
            "More than {} descendants lived at once; the others were counted and not looked into.",
            super::FOLLOWED_MAX
        ));
    }
    trial
}

/// What one process has to say to the judge.
fn watched(
    watch: &Watch,
    seen: &Seen,
    subject: &str,
    trends: BTreeMap<&'static str, Trend>,
) -> Watched {
    let history = &seen.history;
    let reached = history.reached();
    let since = trends.iter().filter_map(|(metric, trend)| match trend {
        Trend::Growing(growth) => Some((*metric, growth.since_s)),
        Trend::TooShort { so_far: Some(_), .. } => Some((*metric, 0.0)),
        _ if reached.is_some() && *metric == metric::DESCRIPTOR => Some((*metric, 0.0)),
        _ => None,
    });
    let since: Vec<(&'static str, f64)> = since.collect();
    let grown =
        since.iter().map(|(metric, at)| (*metric, history.grown_since(metric, *at))).collect();
    let first_s = since.iter().map(|(_, at)| *at).fold(f64::INFINITY, f64::min);
    let census = history.around(first_s).filter(|_| !since.is_empty());
    let more = census.map(|(from, middle, to)| to.grown_since(from, middle)).unwrap_or_default();
    let made = sites::made(more, seen.notes.as_ref(), &watch.symbols);
    Watched {
        subject: subject.to_owned(),
        trends,
        grown,
        made,
        is_noted: seen.notes.is_some(),
        expects_notes: watch.settings.expects_notes,
        at_limit: reached,
    }
}

/// What was hardly looked at is not clean, though nothing of it has moved.
fn too_few(watch: &Watch) -> Option<String> {
    // A program that goes into the background lives on in a descendant.
    let judged = watch.seen().filter(|it| it.is_main || watch.settings.is_child);
    let looks = judged.map(|it| it.history.looks()).max().unwrap_or(0);
    (looks < SAMPLES_MIN).then(|| {
        let times = if looks == 1 { "once".to_owned() } else { format!("{looks} times") };
        format!(
            "It was looked at {times}, and {SAMPLES_MIN} are needed: watch it for longer, or more often \
             (--interval)."
        )
    })
}

/// What of the main process nobody could read at the end of its life, or now.
fn unreadable(main: &Followed) -> Vec<Unmeasured> {
    let Some(last) = main.last.as_ref().filter(|_| !main.is_over()) else { return Vec::new() };
    let Snapshot { descriptors, held, threads, memory, family, .. } = last;
    let probes = [
        (Resource::Fd, descriptors.as_ref().err()),
        (Resource::Socket, held.value.as_ref().err()),
        (Resource::Thread, threads.as_ref().err()),
        (Resource::Memory, memory.as_ref().err()),
        (Resource::Process, family.value.as_ref().err()),
    ];
    let unread =
        probes.into_iter().filter_map(|(probe, why)| Some(Unmeasured::new(probe, &why?.reason)));
    unread.collect()
}

/// What became of the program: one that runs on has done nothing wrong.
fn outcome(watch: &Watch) -> (Outcome, Option<String>) {
    let Some(ending) = watch.ending() else { return (Outcome::Passed, None) };
    let said = Some(format!("it ended: {}", who(&watch.main).ended(&ending)));
    match ending {
        Ok(Ending::Exited(0)) | Err(_) => (Outcome::Passed, said),
        Ok(Ending::Exited(_)) => (Outcome::Failed, said),
        Ok(Ending::Killed(signal)) => match signal {
            libc::SIGKILL | libc::SIGTERM | libc::SIGINT | libc::SIGHUP => (Outcome::Killed, said),
            _ => (Outcome::Crashed, said),
        },
    }
}

fn readings(main: &Followed) -> BTreeMap<String, Reading> {
    let mut readings = main.seen.history.readings();
    let held = main.last.as_ref().and_then(|last| last.held.value.as_ref().ok());
    if let (Some(held), Some(socket)) = (held, readings.get_mut(metric::SOCKET)) {
        let sockets = held.sockets.iter();
        socket.by_state = sockets.map(|(kind, count)| (kind.to_string(), *count)).collect();
    }
    readings
}
