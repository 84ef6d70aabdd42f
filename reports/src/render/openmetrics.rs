//! OpenMetrics 1.0 text, for Prometheus and whatever else reads it: what each process holds now.
//!
//! The format is that of <https://prometheus.io/docs/specs/om/open_metrics_spec/>: for each family of
//! metrics `# TYPE`, `# UNIT` and `# HELP`, then its samples, then `# EOF`. A unit is the end of the
//! family's name, the sample of a counter ends in `_total`, and whole numbers have no point.
//! What a process is known to have everywhere bears its customary name (`process_open_fds`, as client
//! libraries call it); what only we know is called `watertight_*`.

use std::collections::BTreeMap;

use crate::metric;
use crate::watch::Sample;

/// What the content type of an answer over HTTP must be.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics of one name; its end is their unit, where they have one.
struct Family {
    name: &'static str,
    of: Source,
    help: &'static str,
}

/// Where a family's values come from.
enum Source {
    /// The value of a metric.
    Value(&'static str),
    /// Where a metric ends.
    Limit(&'static str),
    /// CPU time: a counter.
    Cpu,
    /// The start of the process.
    Started,
    /// The ticks of the program: a counter.
    Ticks,
    /// Sockets by protocol and state.
    Sockets,
    /// What the program counts itself.
    Gauges,
}

use Source::{Cpu, Gauges, Limit, Sockets, Started, Ticks, Value};

const fn family(name: &'static str, of: Source, help: &'static str) -> Family {
    Family { name, of, help }
}

const FAMILIES: [Family; 26] = [
    family(
        "process_open_fds",
        Value(metric::DESCRIPTOR),
        "Open file descriptors, sockets included.",
    ),
    family(
        "process_max_fds",
        Limit(metric::DESCRIPTOR),
        "File descriptors that may be open (RLIMIT_NOFILE).",
    ),
    family("process_resident_memory_bytes", Value(metric::RSS_BYTES), "Resident memory."),
    family("process_virtual_memory_bytes", Value(metric::VIRTUAL_BYTES), "Address space in use."),
    family("process_threads", Value(metric::THREAD), "Threads."),
    family("process_cpu_seconds", Cpu, "CPU time used, of user and system."),
    family("process_start_time_seconds", Started, "Start of the process since the Unix epoch."),
    family("watertight_file_fds", Value(metric::FD), "Open file descriptors that are not sockets."),
    family(
        "watertight_socket_fds",
        Value(metric::SOCKET),
        "Open file descriptors that are sockets.",
    ),
    family("watertight_sockets", Sockets, "Sockets by protocol and state."),
    family("watertight_time_wait", Value(metric::TIME_WAIT), "Port pairs in TIME_WAIT."),
    family("watertight_max_time_wait", Limit(metric::TIME_WAIT), "Ephemeral ports."),
    family("watertight_heap_bytes", Value(metric::HEAP_BYTES), "Bytes in live blocks of heap."),
    family("watertight_heap_blocks", Value(metric::HEAP_BLOCKS), "Live blocks of heap."),
    family(
        "watertight_memory_bytes",
        Value(metric::MEMORY_BYTES),
        "Resident memory that no file backs.",
    ),
    family(
        "watertight_max_memory_bytes",
        Limit(metric::MEMORY_BYTES),
        "Memory that the control group may use.",
    ),
    family(
        "watertight_proportional_memory_bytes",
        Value(metric::PSS_BYTES),
        "Resident memory, shared pages counted by share.",
    ),
    family(
        "watertight_mappings",
        Value(metric::MAPPING),
        "Areas of the address space that are mapped.",
    ),
    family(
        "watertight_max_mappings",
        Limit(metric::MAPPING),
        "Areas that may be mapped (vm.max_map_count).",
    ),
    family(
        "watertight_mapping_bytes",
        Value(metric::MAPPING_BYTES),
        "Bytes in mappings of the program's own.",
    ),
    family("watertight_descendants", Value(metric::PROCESS), "Descendants."),
    family("watertight_tasks", Value(metric::TASK), "Live asynchronous tasks."),
    family("watertight_locks", Value(metric::LOCK), "File locks held."),
    family("watertight_inotify_watches", Value(metric::INOTIFY_WATCH), "Inotify watches."),
    family("watertight_gauge", Gauges, "What the program counts itself."),
    family("watertight_ticks", Ticks, "Ticks of the program."),
];

/// The latest of `samples` of each process; the watched process comes first.
pub fn openmetrics(samples: &[Sample]) -> String {
    let mut latest: BTreeMap<u32, &Sample> = BTreeMap::new();
    for sample in samples {
        let known = latest.entry(sample.pid).or_insert(sample);
        if known.at_ms <= sample.at_ms {
            *known = sample;
        }
    }
    let mut latest: Vec<&Sample> = latest.into_values().collect();
    latest.sort_by_key(|sample| !sample.is_main);
    let mut out = String::new();
    for family in &FAMILIES {
        family.write(&latest, &mut out);
    }
    out.push_str("# EOF\n");
    out
}

impl Family {
    fn is_counter(&self) -> bool {
        matches!(self.of, Cpu | Ticks)
    }

    /// The family with its samples, where there are any.
    fn write(&self, latest: &[&Sample], out: &mut String) {
        let total = if self.is_counter() { "_total" } else { "" };
        let mut samples = String::new();
        for sample in latest {
            // The command line may be long, and no one else's business.
            let name = if sample.program.is_empty() { &sample.subject } else { &sample.program };
            let (pid, name) = (sample.pid, escaped(name));
            for (more, value) in self.of.read(sample) {
                let labels = format!("pid=\"{pid}\",name=\"{name}\"{more}");
                samples.push_str(&format!("{}{total}{{{labels}}} {value}\n", self.name));
            }
        }
        if samples.is_empty() {
            return;
        }
        let Self { name, help, .. } = self;
        let kind = if self.is_counter() { "counter" } else { "gauge" };
        out.push_str(&format!("# TYPE {name} {kind}\n"));
        if let Some((_, unit @ ("bytes" | "seconds"))) = name.rsplit_once('_') {
            out.push_str(&format!("# UNIT {name} {unit}\n"));
        }
        out.push_str(&format!("# HELP {name} {help}\n{samples}"));
    }
}

impl Source {
    /// The values of a sample, each with the labels that tell it from the others of the process.
    fn read(&self, sample: &Sample) -> Vec<(String, String)> {
        let one = |value: Option<String>| value.map(|value| (String::new(), value));
        let of = |values: &BTreeMap<String, u64>, metric: &str| values.get(metric).copied();
        match self {
            Value(metric) => one(of(&sample.values, metric).map(whole)).into_iter().collect(),
            Limit(metric) => one(of(&sample.limits, metric).map(whole)).into_iter().collect(),
            Cpu => one(sample.cpu_ms.map(seconds)).into_iter().collect(),
            Started => one(sample.started_ms.map(seconds)).into_iter().collect(),
            // From 0 on, so that a reader sees the first one.
            Ticks => one(sample.is_main.then(|| whole(sample.ticks))).into_iter().collect(),
            Sockets => {
                let mut sockets: BTreeMap<(&str, &str), u64> = BTreeMap::new();
                for (of, many) in &sample.sockets {
                    let sum = sockets.entry(of.split_once('/').unwrap_or((of, ""))).or_default();
                    *sum = sum.saturating_add(*many);
                }
                let labels = |(protocol, state)| {
                    let (protocol, state) = (escaped(protocol), escaped(state));
                    format!(",protocol=\"{protocol}\",state=\"{state}\"")
                };
                sockets.into_iter().map(|(of, many)| (labels(of), whole(many))).collect()
            }
            Gauges => (sample.values.iter())
                .filter_map(|(metric, value)| Some((metric::gauge_name(metric)?, *value)))
                .map(|(gauge, value)| (format!(",gauge=\"{}\"", escaped(gauge)), whole(value)))
                .collect(),
        }
    }
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('\n', r"\n").replace('"', r#"\""#)
}

fn whole(value: u64) -> String {
    value.to_string()
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}
