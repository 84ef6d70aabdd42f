//! The names of metrics, their units, and how their values read to a person.

use crate::model::Resource;

/// Open descriptors, sockets included: the exact total that `RLIMIT_NOFILE` bounds. Of a watched
/// program [`FD`] and [`SOCKET`] are the parts of it.
pub const DESCRIPTOR: &str = "descriptor";
/// Descriptors that are not sockets.
pub const FD: &str = "fd";
/// Socket descriptors.
pub const SOCKET: &str = "socket";
/// Port pairs in TIME_WAIT.
pub const TIME_WAIT: &str = "time_wait";
/// Threads.
pub const THREAD: &str = "thread";
/// Live asynchronous tasks.
pub const TASK: &str = "task";
/// Processes; of a watched program its descendants.
pub const PROCESS: &str = "process";
/// Bytes in live heap blocks.
pub const HEAP_BYTES: &str = "heap_bytes";
/// Live heap blocks.
pub const HEAP_BLOCKS: &str = "heap_blocks";
/// Areas of the address space that are mapped, which `vm.max_map_count` bounds.
pub const MAPPING: &str = "mapping";
/// Bytes in mappings that the program made by itself.
pub const MAPPING_BYTES: &str = "mapping_bytes";
/// File locks held.
pub const LOCK: &str = "lock";
/// Inotify watches.
pub const INOTIFY_WATCH: &str = "inotify_watch";
/// Resident memory that no file backs, so that only the process can give it back: anonymous, and shared.
pub const MEMORY_BYTES: &str = "memory_bytes";
/// Resident memory.
pub const RSS_BYTES: &str = "rss_bytes";
/// Resident memory, shared pages counted by share.
pub const PSS_BYTES: &str = "pss_bytes";
/// Address space in use, resident or not.
pub const VIRTUAL_BYTES: &str = "virtual_bytes";

/// What stands before a gauge's name in the name of its metric.
const GAUGE_PREFIX: &str = "gauge:";

/// The metric of the gauge `name`, as `gauge:open_stores`.
pub fn gauge(name: &str) -> String {
    format!("{GAUGE_PREFIX}{name}")
}

/// The gauge that a metric is of, if it is of one.
pub(crate) fn gauge_name(metric: &str) -> Option<&str> {
    metric.strip_prefix(GAUGE_PREFIX)
}

/// The metrics that count a resource of a watched program, the one that fits best first; `what` is
/// the name of a gauge.
pub fn of(resource: Resource, what: &str) -> Vec<String> {
    let metrics: &[&str] = match resource {
        Resource::Process => &[PROCESS],
        Resource::Fd => &[FD, DESCRIPTOR],
        Resource::Socket => &[SOCKET, DESCRIPTOR],
        Resource::Thread => &[THREAD],
        Resource::Task => &[TASK],
        Resource::Heap => &[HEAP_BYTES, HEAP_BLOCKS],
        Resource::TimeWait => &[TIME_WAIT],
        Resource::Memory => &[MEMORY_BYTES, RSS_BYTES, PSS_BYTES],
        Resource::Mapping => &[MAPPING_BYTES, VIRTUAL_BYTES, MAPPING],
        Resource::InotifyWatch => &[INOTIFY_WATCH],
        Resource::Lock => &[LOCK],
        Resource::Gauge => return vec![gauge(what)],
        Resource::File | Resource::Shm | Resource::State | Resource::Cleanup => &[],
    };
    metrics.iter().map(|&metric| metric.to_owned()).collect()
}

/// What a metric of a watched program is called, for a person.
pub fn word(metric: &str) -> &str {
    match metric {
        DESCRIPTOR => "descriptors",
        FD => "file descriptors",
        SOCKET => "sockets",
        TIME_WAIT => "TIME_WAIT",
        THREAD => "threads",
        TASK => "tasks",
        PROCESS => "descendants",
        HEAP_BYTES => "heap",
        HEAP_BLOCKS => "heap blocks",
        MAPPING => "mappings",
        MAPPING_BYTES => "mapped memory",
        MEMORY_BYTES => "memory",
        RSS_BYTES | PSS_BYTES => "resident memory",
        VIRTUAL_BYTES => "address space",
        LOCK => "file locks",
        INOTIFY_WATCH => "inotify watches",
        other => gauge_name(other).unwrap_or(other),
    }
}

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things, one by one.
    Things,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// The unit of a metric, which its name tells: those in bytes end in `_bytes`.
    pub fn of(metric: &str) -> Self {
        if gauge_name(metric).is_none() && metric.ends_with("_bytes") {
            Self::Bytes
        } else {
            Self::Things
        }
    }

    /// `value` in this unit, for a person.
    pub fn show(self, value: u64) -> String {
        match self {
            Self::Things => count(value),
            Self::Bytes => bytes(value),
        }
    }

    /// A measured `value`, in three digits that tell: `0.199`, `1.5`, `1,024`, `77,012 B`.
    pub fn show_about(self, value: f64) -> String {
        let sign = if value < 0.0 { "-" } else { "" };
        let value = value.abs();
        if self == Self::Bytes {
            return format!("{sign}{}", bytes(value.round() as u64));
        }
        if value >= 100.0 {
            return format!("{sign}{}", count(value.round() as u64));
        }
        // One place for tens, two for ones, and one more for each zero behind the point.
        let places = if value > 0.0 { 2 - value.log10().floor() as i32 } else { 0 };
        let shown = format!("{value:.*}", places.clamp(0, 9) as usize);
        let shown = if shown.contains('.') { shown.trim_end_matches('0') } else { &shown };
        format!("{sign}{}", shown.trim_end_matches('.'))
    }
}

impl From<Resource> for Unit {
    fn from(resource: Resource) -> Self {
        if resource.is_bytes() { Self::Bytes } else { Self::Things }
    }
}

/// `1234567` as `1,234,567`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Below this a size is told to the byte: the reader compares it with the sizes in the source.
const EXACT_BYTES_MAX: u64 = 1 << 20;

/// `77,012 B`, or from a mebibyte on `1.4 MiB`.
pub fn bytes(value: u64) -> String {
    if value < EXACT_BYTES_MAX {
        return format!("{} B", count(value));
    }
    let mut shown = String::new();
    for (name, shift) in [("MiB", 20), ("GiB", 30), ("TiB", 40)] {
        let tenths = ((u128::from(value) * 10 + (1 << (shift - 1))) >> shift) as u64;
        shown = format!("{}.{} {name}", count(tenths / 10), tenths % 10);
        // Ask for the rounded value, so that 1,023.96 MiB reads 1.0 GiB and not 1,024.0 MiB.
        if tenths < 10_240 {
            break;
        }
    }
    shown
}

/// Growth with its sign and unit: `+3`, `+77,012 B`, `-2`, `0`.
pub fn growth(resource: Resource, value: i64) -> String {
    let sign = match value {
        ..=-1 => "-",
        0 => "",
        1.. => "+",
    };
    format!("{sign}{}", Unit::from(resource).show(value.unsigned_abs()))
}

/// `412 ms`, `1.4 s`, `2 min 5 s`, `3 h 2 min`.
pub fn duration_ms(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", count(seconds / 3_600), seconds % 3_600 / 60),
    }
}

/// A time that nobody counts in seconds once it is minutes: `20.0 s`, `28 min`, `3 h 2 min`, `12 days`.
pub fn duration_about_ms(ms: u64) -> String {
    let minutes = ms / 60_000 + u64::from(ms % 60_000 >= 30_000);
    match minutes {
        _ if ms < 60_000 => duration_ms(ms),
        0..60 => format!("{minutes} min"),
        60..2_880 if minutes.is_multiple_of(60) => format!("{} h", minutes / 60),
        60..2_880 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} days", count(minutes / 1_440)),
    }
}

/// So many of a resource: `1 file descriptor`, `3 sockets`, `77,012 B of heap`.
pub fn things(resource: Resource, value: u64) -> String {
    if resource.is_bytes() {
        let of = if resource == Resource::Mapping { "mapped memory" } else { resource.name() };
        return format!("{} of {of}", bytes(value));
    }
    let (one, many) = nouns(resource);
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

/// What one and what many of a resource are called.
pub(crate) fn nouns(resource: Resource) -> (&'static str, &'static str) {
    match resource {
        Resource::Process => ("process", "processes"),
        Resource::Fd => ("file descriptor", "file descriptors"),
        Resource::Socket => ("socket", "sockets"),
        Resource::Thread => ("thread", "threads"),
        Resource::Task => ("task", "tasks"),
        Resource::Heap | Resource::Memory | Resource::Mapping => ("byte", "bytes"),
        Resource::TimeWait => ("port pair in TIME_WAIT", "port pairs in TIME_WAIT"),
        Resource::File => ("file", "files"),
        Resource::Shm => ("shared memory object", "shared memory objects"),
        Resource::InotifyWatch => ("inotify watch", "inotify watches"),
        Resource::Lock => ("file lock", "file locks"),
        Resource::State => ("change of state", "changes of state"),
        Resource::Gauge => ("gauge", "gauges"),
        Resource::Cleanup => ("clean-up", "clean-ups"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_thousands_separators() {
        let shown = [0, 7, 999, 1_000, 77_012, 1_234_567, u64::MAX].map(count);
        let wanted =
            ["0", "7", "999", "1,000", "77,012", "1,234,567", "18,446,744,073,709,551,615"];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn bytes_are_exact_below_a_mebibyte_and_rounded_above() {
        let shown = [0, 64, 77_012, 1_048_575, 1_048_576, 1_468_006, (1 << 30) - 1, 1 << 41];
        let wanted =
            ["0 B", "64 B", "77,012 B", "1,048,575 B", "1.0 MiB", "1.4 MiB", "1.0 GiB", "2.0 TiB"];
        assert_eq!(shown.map(bytes), wanted);
        assert_eq!(bytes(u64::MAX), "16,777,216.0 TiB");
    }

    #[test]
    fn growth_carries_its_sign() {
        assert_eq!(growth(Resource::Fd, 3), "+3");
        assert_eq!(growth(Resource::Fd, 0), "0");
        assert_eq!(growth(Resource::Fd, -1_200), "-1,200");
        assert_eq!(growth(Resource::Heap, 77_012), "+77,012 B");
        assert_eq!(growth(Resource::Heap, i64::MIN), "-8,388,608.0 TiB");
    }

    #[test]
    fn durations_use_two_units_at_most() {
        let shown = [0, 412, 1_499, 59_999, 125_000, 10_920_000].map(duration_ms);
        assert_eq!(shown, ["0 ms", "412 ms", "1.4 s", "59.9 s", "2 min 5 s", "3 h 2 min"]);
    }

    #[test]
    fn what_is_far_is_told_in_one_unit_or_two() {
        let about = [20_000, 59_999, 89_999, 1_680_000, 3_580_000, 10_920_000, 1_036_800_000];
        let wanted = ["20.0 s", "59.9 s", "1 min", "28 min", "1 h", "3 h 2 min", "12 days"];
        assert_eq!(about.map(duration_about_ms), wanted);
        assert_eq!(duration_about_ms(u64::MAX), "213,503,982,334 days");
    }

    #[test]
    fn amounts_have_three_digits() {
        let shown = [0.0, 0.2, 0.19949, 1.0, 1.5, 12.34, 1_024.4, -0.00123]
            .map(|value| Unit::Things.show_about(value));
        assert_eq!(shown, ["0", "0.2", "0.199", "1", "1.5", "12.3", "1,024", "-0.00123"]);
        assert_eq!(Unit::Bytes.show_about(77_012.4), "77,012 B");
    }

    #[test]
    fn things_are_singular_when_one() {
        assert_eq!(things(Resource::Fd, 1), "1 file descriptor");
        assert_eq!(things(Resource::InotifyWatch, 0), "0 inotify watches");
        assert_eq!(things(Resource::Process, 2), "2 processes");
        assert_eq!(things(Resource::Heap, 1), "1 B of heap");
    }

    #[test]
    fn a_gauge_counts_things_whatever_its_name() {
        assert_eq!(Unit::of(RSS_BYTES), Unit::Bytes);
        assert_eq!(Unit::of(HEAP_BLOCKS), Unit::Things);
        assert_eq!(Unit::of(&gauge("cached_bytes")), Unit::Things);
    }
}
