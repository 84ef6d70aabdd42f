//! The last figures of each process, for the screen: bounded, whatever the time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use watertight_report::metric::{self, Unit};
use watertight_report::watch::Sample;

/// What is shown, in this order.
pub(super) const SHOWN: [&str; 8] = [
    metric::DESCRIPTOR,
    metric::SOCKET,
    metric::THREAD,
    metric::PROCESS,
    metric::HEAP_BYTES,
    metric::MEMORY_BYTES,
    metric::MAPPING,
    metric::TIME_WAIT,
];

/// A sparkline's width.
pub(super) const RECENT: usize = 24;

/// Growth a minute is told over this time, or over all there is.
const RATE_OVER: Duration = Duration::from_secs(60);

/// All processes.
#[derive(Debug, Default)]
pub(super) struct Figures {
    processes: BTreeMap<u32, Process>,
    main: Option<u32>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) subject: String,
    figures: BTreeMap<String, Figure>,
    limits: BTreeMap<String, u64>,
    sockets: BTreeMap<String, u64>,
    last: u64,
}

/// One metric of one process.
#[derive(Debug, Default)]
pub(super) struct Figure {
    first: u64,
    highest: u64,
    /// Milliseconds and values, the newest last.
    recent: VecDeque<(u64, u64)>,
    /// The oldest value that is not older than [`RATE_OVER`], and those after it, thinned to one a second.
    minute: VecDeque<(u64, u64)>,
}

impl Figures {
    /// A look; processes that are not in it have ended.
    pub(super) fn enter(&mut self, samples: &[Sample]) {
        let Some(now) = samples.iter().map(|sample| sample.at_ms).max() else { return };
        for sample in samples {
            self.main = if sample.is_main { Some(sample.pid) } else { self.main };
            let process = self.processes.entry(sample.pid).or_insert_with(|| Process::new(sample));
            if process.subject != sample.subject {
                // Another program: what it has is no change of the one before.
                *process = Process::new(sample);
            }
            process.enter(sample, now);
        }
        let main = self.main;
        self.processes.retain(|pid, process| process.last == now || Some(*pid) == main);
    }

    pub(super) fn main(&self) -> Option<&Process> {
        self.processes.get(&self.main?)
    }

    pub(super) fn descendants(&self) -> impl Iterator<Item = &Process> {
        self.processes.values().filter(|process| Some(process.pid) != self.main)
    }
}

impl Process {
    fn new(sample: &Sample) -> Self {
        Self {
            pid: sample.pid,
            subject: sample.subject.clone(),
            figures: BTreeMap::new(),
            limits: BTreeMap::new(),
            sockets: BTreeMap::new(),
            last: 0,
        }
    }

    fn enter(&mut self, sample: &Sample, now: u64) {
        for (metric, value) in &sample.values {
            let figure = self.figures.entry(metric.clone());
            figure
                .or_insert_with(|| Figure { first: *value, ..Figure::default() })
                .enter(sample.at_ms, *value);
        }
        self.limits.clone_from(&sample.limits);
        self.sockets.clone_from(&sample.sockets);
        self.last = now;
    }

    pub(super) fn figure(&self, metric: &str) -> Option<&Figure> {
        self.figures.get(metric)
    }

    /// What is worth a row: not what it has never had.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&'static str, &Figure)> {
        let figures = SHOWN.iter().filter_map(|metric| Some((*metric, self.figure(metric)?)));
        figures.filter(|(metric, figure)| *metric == metric::DESCRIPTOR || figure.highest > 0)
    }

    pub(super) fn limit(&self, metric: &str) -> Option<u64> {
        self.limits.get(metric).copied()
    }

    pub(super) fn sockets(&self) -> &BTreeMap<String, u64> {
        &self.sockets
    }
}

impl Figure {
    fn enter(&mut self, at_ms: u64, value: u64) {
        self.highest = self.highest.max(value);
        self.recent.push_back((at_ms, value));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        if self.minute.back().is_none_or(|(last, _)| at_ms >= last + 1000) {
            self.minute.push_back((at_ms, value));
        }
        let over = RATE_OVER.as_millis() as u64;
        while self.minute.get(1).is_some_and(|(at, _)| at + over <= at_ms) {
            self.minute.pop_front();
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.recent.back().map_or(self.first, |(_, value)| *value)
    }

    /// Since the first look.
    pub(super) fn change(&self) -> i64 {
        self.now() as i64 - self.first as i64
    }

    /// Growth a minute, over the last minute; none in the first seconds.
    pub(super) fn per_minute(&self) -> Option<i64> {
        const MS_MIN: u64 = 5_000;
        let ((from_ms, from), (to_ms, to)) = (self.minute.front()?, self.recent.back()?);
        let ms = to_ms.checked_sub(*from_ms).filter(|ms| *ms >= MS_MIN)?;
        Some((*to as i64 - *from as i64) * 60_000 / ms as i64)
    }

    /// The last values as a line of blocks, from the lowest of them to the highest.
    pub(super) fn sparkline(&self) -> String {
        const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let values = || self.recent.iter().map(|(_, value)| *value);
        let (low, high) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
        let block = |value: u64| {
            let at = (value - low) * (BLOCKS.len() as u64 - 1);
            BLOCKS[at.checked_div(high - low).unwrap_or(0) as usize]
        };
        values().map(block).collect()
    }
}

/// A figure in few characters: `1,024`, `1.4 MiB`; with its sign where it is a change.
pub(super) fn short(metric: &str, value: i64, is_change: bool) -> String {
    let sign = match value {
        ..=-1 => "-",
        1.. if is_change => "+",
        _ => "",
    };
    let shown = match Unit::of(metric) {
        Unit::Things => metric::count(value.unsigned_abs()),
        Unit::Bytes => {
            let value = value.unsigned_abs();
            match value {
                ..1024 => format!("{value} B"),
                1024..1_048_576 => format!("{:.1} KiB", value as f64 / 1024.0),
                _ => metric::bytes(value),
            }
        }
    };
    format!("{sign}{shown}")
}

/// What a process has of a metric, and what of that has changed: `descriptors 21 (+9)`.
pub(super) fn told(metric: &str, figure: &Figure) -> String {
    let now = short(metric, figure.now() as i64, false);
    let change = match figure.change() {
        0 => String::new(),
        change => format!(" ({})", short(metric, change, true)),
    };
    format!("{} {now}{change}", metric::word(metric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(pid: u32, at_ms: u64, fds: u64) -> Sample {
        let mut sample = Sample::new("x", pid);
        (sample.at_ms, sample.is_main) = (at_ms, pid == 7);
        sample.values.insert(metric::DESCRIPTOR.to_owned(), fds);
        sample
    }

    #[test]
    fn change_and_rate_are_told() {
        let mut figures = Figures::default();
        for second in 0..=120 {
            figures
                .enter(&[sample(7, second * 1000, 10 + second / 5), sample(8, second * 1000, 3)]);
        }
        let main = figures.main().unwrap();
        let figure = main.figure(metric::DESCRIPTOR).unwrap();
        assert_eq!((figure.now(), figure.change(), figure.per_minute()), (34, 24, Some(12)));
        assert_eq!(figure.sparkline().chars().count(), RECENT);
        assert!(figure.recent.len() <= RECENT && figure.minute.len() <= 62);
        assert_eq!(figures.descendants().count(), 1);
        figures.enter(&[sample(7, 121_000, 34)]);
        assert_eq!(figures.descendants().count(), 0);
    }

    #[test]
    fn a_flat_line_is_flat() {
        let mut figure = Figure::default();
        (0..3).for_each(|at| figure.enter(at, 5));
        assert_eq!(figure.sparkline(), "▁▁▁");
        figure.enter(4, 6);
        assert_eq!(figure.sparkline(), "▁▁▁█");
        assert_eq!(figure.per_minute(), None);
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(short(metric::THREAD, 1234, false), "1,234");
        assert_eq!(short(metric::THREAD, 2, true), "+2");
        assert_eq!(short(metric::MEMORY_BYTES, -1536, true), "-1.5 KiB");
        assert_eq!(short(metric::MEMORY_BYTES, 3 << 20, false), "3.0 MiB");
    }
}
