//! What a daemon is made of and has done, in numbers: the answer to `metrics`.
//!
//! What every process has bears its customary name, as client libraries call it; what only we know
//! is called `tracker_*`. What could not be looked at is left out, and never told as a zero.

mod exposition;

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;
use tokio::time::timeout;

use super::Shared;
use crate::protocol::Metrics;
use exposition::{Exposition, Kind};

/// The media type of the text.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long a store that is at work is waited for.
const STORE_PATIENCE: Duration = Duration::from_millis(500);

/// All of them, as they are now.
pub(super) async fn now(shared: &Shared) -> Metrics {
    let asked = shared.requests.call(|store| store.statements());
    let statements = timeout(STORE_PATIENCE, asked).await.ok().and_then(Result::ok);
    of(shared, statements)
}

fn of(shared: &Shared, statements: Option<usize>) -> Metrics {
    let mut out = Exposition::new();
    process(&mut out);
    state(&mut out, shared, statements);
    counts(&mut out, shared);
    Metrics { content_type: CONTENT_TYPE.into(), text: out.finish() }
}

fn process(out: &mut Exposition) {
    let mut gauge = |name, help, value: Option<f64>| {
        if let Some(value) = value {
            out.family(name, Kind::Gauge, help).sample("", &[], value);
        }
    };
    let status = procfs::process::Process::myself().and_then(|process| process.stat()).ok();
    let limit = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft as f64);
    gauge("process_open_fds", "Open file descriptors.", open_fds().map(|count| count as f64));
    gauge("process_max_fds", "File descriptors that may be open.", limit);
    let pages = status.as_ref().map(|stat| stat.rss.saturating_mul(procfs::page_size()) as f64);
    gauge("process_resident_memory_bytes", "Resident memory.", pages);
    let space = status.as_ref().map(|stat| stat.vsize as f64);
    gauge("process_virtual_memory_bytes", "Address space in use.", space);
    gauge("process_threads", "Threads.", status.as_ref().map(|stat| stat.num_threads as f64));
    let started = status.as_ref().zip(procfs::boot_time_secs().ok()).map(|(stat, boot)| {
        boot as f64 + stat.starttime as f64 / procfs::ticks_per_second() as f64
    });
    gauge("process_start_time_seconds", "Start since the Unix epoch.", started);
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let used = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        out.family("process_cpu_seconds", Kind::Counter, "CPU time used, of user and system.")
            .sample("_total", &[], used as f64 / 1e6);
    }
}

/// How many descriptors are open. The kernel tells since 6.2 without one being opened for it.
fn open_fds() -> Option<u64> {
    match fs::metadata("/proc/self/fd") {
        Ok(found) if found.len() > 0 => Some(found.len()),
        // What we look through is itself one of them.
        _ => fs::read_dir("/proc/self/fd").ok().map(|all| all.count().saturating_sub(1) as u64),
    }
}

fn state(out: &mut Exposition, shared: &Shared, statements: Option<usize>) {
    let mut gauge = |name, help, value: f64| {
        out.family(name, Kind::Gauge, help).sample("", &[], value);
    };
    gauge("tracker_open_stores", "Database connections.", shared.stores.count() as f64);
    if let Some(statements) = statements {
        let help = "Statements that the store of requests keeps prepared.";
        gauge("tracker_statements", help, statements as f64);
    }
    gauge("tracker_connections", "Clients that are connected.", shared.connections() as f64);
    gauge("tracker_tasks", "Asynchronous tasks that live.", shared.tasks.len() as f64);
    let backoff = shared.backoff().unwrap_or_default();
    let help = "Until a sync that failed is tried again, 0 where none failed.";
    gauge("tracker_backoff_seconds", help, backoff.as_secs_f64());
    let wal = shared.workspace.database().with_extension("db-wal");
    if let Ok(found) = fs::metadata(wal) {
        gauge("tracker_wal_bytes", "The write-ahead log of the database.", found.len() as f64);
    }
    if let Some(bytes) = shared.git_bytes() {
        gauge("tracker_git_bytes", "Git's objects after the last commit.", bytes as f64);
    }
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    out.family("tracker_build", Kind::Info, "The daemon's program.").sample("_info", &version, 1.0);
}

fn counts(out: &mut Exposition, shared: &Shared) {
    let counters = &shared.counters;
    let mut counter = |name, help, count: u64| {
        out.family(name, Kind::Counter, help).sample("_total", &[], count as f64);
    };
    counter("tracker_ticks", "Looks at what there is to do.", counters.ticks.count());
    counter("tracker_passes", "Sync passes.", counters.passes.count());
    counter("tracker_failed_passes", "Sync passes that failed.", counters.failed.get());
    counter("tracker_exports", "Passes that wrote the file.", counters.exports.get());
    counter("tracker_imports", "Passes that read the file.", counters.imports.get());
    counter("tracker_commits", "Passes that git committed.", counters.commits.get());
    counter("tracker_refused_requests", "Requests that were refused.", counters.refused.get());
    let help = "Connections that could not be accepted or kept.";
    counter("tracker_refused_connections", help, counters.turned_away.get());
    for (name, help, spent) in [
        ("tracker_tick_seconds", "Time of ticks.", &counters.ticks),
        ("tracker_pass_seconds", "Time of sync passes.", &counters.passes),
    ] {
        out.family(name, Kind::Summary, help).sample("_count", &[], spent.count() as f64).sample(
            "_sum",
            &[],
            spent.seconds(),
        );
    }
    let mut requests =
        out.family("tracker_requests", Kind::Counter, "Requests that were answered, by method.");
    for (method, count) in counters.by_method() {
        requests = requests.sample("_total", &[("method", method)], count as f64);
    }
}
