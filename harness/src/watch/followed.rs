//! One process that is followed: looked at again and again, with its past.

use std::time::{Duration, Instant};

use watertight_report::metric;
use watertight_report::trend::Limit;
use watertight_report::watch::Sample;

use super::census::Census;
use super::clock::Clock;
use super::history::History;
use super::notes::Notes;
use crate::outside::{
    self, Event, GroupUse, Image, Limits, Paced, Part, Reading, Relative, Snapshot, Subject,
    Unavailable,
};
use crate::probe::{process, time_wait};

/// What was seen of one program in one process; after an exec there is another.
pub(crate) struct Seen {
    pub(crate) pid: u32,
    /// Whether it is the watched process itself, or was.
    pub(crate) is_main: bool,
    /// The command line, without the folder of the program.
    pub(crate) command: String,
    /// What the program is called: it may call itself otherwise on its command line.
    pub(crate) program: String,
    /// Whether it has a network that is not ours, and so perhaps its own.
    pub(crate) has_own_net: bool,
    pub(crate) notes: Option<Notes>,
    pub(crate) history: History,
}

impl Seen {
    fn nothing(pid: u32, is_main: bool) -> Self {
        let network = process::network(pid);
        Self {
            pid,
            is_main,
            command: cut(process::command_line(pid)),
            program: process::stat(pid).map(|stat| stat.name).unwrap_or_default(),
            has_own_net: network.is_some() && network != process::network(std::process::id()),
            notes: None,
            history: History::default(),
        }
    }

    /// Removes its notes: the program has ended, and was judged.
    pub(crate) fn forget(&self) {
        if let Some(notes) = &self.notes {
            notes.remove();
        }
    }
}

/// One process that lives, or has just ended.
pub(crate) struct Followed {
    pub(crate) subject: Subject,
    pub(crate) seen: Seen,
    /// Start, in milliseconds since the Unix epoch.
    started_ms: Option<u64>,
    pub(crate) last: Option<Snapshot>,
    looks: u64,
    /// What the last census took.
    census_cost: Duration,
    /// When the dear readings in its history were taken.
    taken: [Option<Instant>; 3],
    /// Its own port pairs in TIME_WAIT, as its notes tell them.
    waiting: Option<Paced<u64>>,
}

/// What one look at it has shown.
pub(crate) struct Look {
    pub(crate) sample: Sample,
    pub(crate) events: Vec<Event>,
    /// What was seen of the program before, where it runs another one now.
    pub(crate) replaced: Option<Seen>,
    /// Why its notes, which are there, cannot be read; told once.
    pub(crate) unreadable_notes: Option<Unavailable>,
}

impl Followed {
    pub(crate) fn new(subject: Subject, is_main: bool) -> Self {
        let pid = subject.pid();
        let age_ms = process::stat(pid).ok().and_then(|stat| process::age_ms(&stat));
        Self {
            seen: Seen::nothing(pid, is_main),
            started_ms: age_ms.map(|age| Clock::unix_ms().saturating_sub(age)),
            subject,
            last: None,
            looks: 0,
            census_cost: Duration::ZERO,
            taken: [None; 3],
            waiting: None,
        }
    }

    /// What has ended is not looked at any more.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.last.as_ref().map(|last| &last.state);
        state.is_some_and(|state| state.as_ref().is_ok_and(|state| state.is_over()))
    }

    /// Looks once; `whole` also at what is not due.
    pub(crate) fn look(&mut self, clock: &Clock, ticks: u64, whole: bool) -> Look {
        let snapshot = match whole {
            true => self.subject.snapshot_whole(),
            false => self.subject.snapshot(),
        };
        let events =
            self.last.as_ref().map_or_else(Vec::new, |last| outside::events(last, &snapshot));
        let is_another = events.iter().any(|event| matches!(event, Event::Execed { .. }));
        let replaced = is_another.then(|| {
            // What it has is no growth of the one before.
            (self.looks, self.taken) = (0, [None; 3]);
            let new = Seen::nothing(self.subject.pid(), self.seen.is_main);
            std::mem::replace(&mut self.seen, new)
        });
        if let Ok(image) = &snapshot.image {
            self.seen.command = cut(image.command.clone());
            self.seen.program = program(self.subject.pid(), image);
        }
        let unreadable_notes = self.find_notes();
        self.count_waiting();
        let sample = self.sample(&snapshot, clock, ticks);
        if !snapshot.state.as_ref().is_ok_and(|state| state.is_over()) {
            self.enter(&snapshot, &sample, clock.at(snapshot.at));
            self.take_census(&snapshot, clock, whole);
        }
        self.last = Some(snapshot);
        self.looks += 1;
        Look { sample, events, replaced, unreadable_notes }
    }

    /// Looks for the agent's notes while there are none: at first, and ever less often, since a forked process
    /// has none before it makes something.
    fn find_notes(&mut self) -> Option<Unavailable> {
        if self.seen.notes.is_some() || !(self.looks == 0 || self.looks.is_power_of_two()) {
            return None;
        }
        match Notes::of(self.subject.pid()) {
            Ok(notes) => {
                self.seen.notes = notes;
                None
            }
            // Where nothing of it can be read, that is told anyway.
            Err(_) if self.subject.barred().is_some() => None,
            Err(_) if self.looks > 0 => None,
            Err(unavailable) => {
                self.subject.state().is_ok_and(|it| !it.is_over()).then_some(unavailable)
            }
        }
    }

    /// Port pairs in TIME_WAIT that are this process's doing: by its notes, or all of its network where that is
    /// its own. Of a network that others use as well nothing can be said.
    fn waiting(&self, snapshot: &Snapshot) -> Option<u64> {
        if self.seen.has_own_net {
            return snapshot.time_wait.as_ref().ok().copied();
        }
        self.waiting.as_ref()?.value.as_ref().ok().copied()
    }

    fn count_waiting(&mut self) {
        let Some(notes) = self.seen.notes.as_ref().filter(|_| self.seen.is_main) else { return };
        let pid = self.subject.pid();
        let count = || {
            let pairs: Vec<(u16, u16)> =
                notes.region.pairs().iter().map(|pair| (pair.local, pair.remote)).collect();
            Ok(time_wait::confirmed(pid, &pairs).len() as u64)
        };
        self.waiting = Some(Paced::renewed(&self.waiting, Some(Part::WAITING), count));
    }

    fn sample(&self, snapshot: &Snapshot, clock: &Clock, ticks: u64) -> Sample {
        let mut sample = Sample::new(&self.seen.command, self.subject.pid());
        sample.is_main = self.seen.is_main;
        sample.program.clone_from(&self.seen.program);
        (sample.at_ms, sample.unix_ms) =
            (clock.at(snapshot.at).as_millis() as u64, Clock::unix_ms());
        (sample.started_ms, sample.ticks) = (self.started_ms, ticks);
        sample.cpu_ms = snapshot.cpu.as_ref().ok().map(|cpu| cpu.as_millis() as u64);
        let mut put = |metric: &str, value: Option<u64>| {
            if let Some(value) = value {
                sample.values.insert(metric.to_owned(), value);
            }
        };
        let read = |reading: &Reading<u64>| reading.as_ref().ok().copied();
        put(metric::DESCRIPTOR, read(&snapshot.descriptors));
        put(metric::THREAD, read(&snapshot.threads));
        put(metric::PSS_BYTES, read(&snapshot.proportional.value));
        put(metric::MAPPING, read(&snapshot.mappings.value));
        if let Ok(held) = &snapshot.held.value {
            let sockets: u64 = held.sockets.values().sum();
            put(metric::SOCKET, Some(sockets));
            put(metric::FD, Some(held.kinds.values().sum::<u64>().saturating_sub(sockets)));
        }
        if let Ok(memory) = &snapshot.memory {
            put(metric::RSS_BYTES, Some(memory.resident));
            // The agent's notes are shared memory of the process, and not its own doing.
            let shared = if self.seen.notes.is_some() { 0 } else { memory.shared };
            put(metric::MEMORY_BYTES, Some(memory.anonymous + shared));
            put(metric::VIRTUAL_BYTES, Some(memory.mapped));
        }
        if self.seen.is_main {
            put(metric::TIME_WAIT, self.waiting(snapshot));
            let family = snapshot.family.value.as_ref().ok();
            put(metric::PROCESS, family.map(|family| family.descendants.len() as u64));
        }
        if let Some(heap) =
            self.seen.notes.as_ref().map(|notes| notes.region.heap()).filter(|it| it.calls > 0)
        {
            put(metric::HEAP_BYTES, u64::try_from(heap.bytes).ok());
            put(metric::HEAP_BLOCKS, u64::try_from(heap.blocks).ok());
        }
        let sockets = snapshot.held.value.iter().flat_map(|held| &held.sockets);
        sample.sockets = sockets.map(|(kind, count)| (kind.to_string(), *count)).collect();
        sample.limits = limits(&snapshot.limits);
        sample
    }

    /// Enters what was read anew into the past.
    fn enter(&mut self, snapshot: &Snapshot, sample: &Sample, at: Duration) {
        let mapped = snapshot.memory.as_ref().map_or(0, |memory| memory.mapped);
        let left = memory_left(&snapshot.limits, mapped);
        let threads = threads_left(&snapshot.limits);
        let [held, mappings, family] = [
            is_new(&snapshot.held, &mut self.taken[0]),
            is_new(&snapshot.mappings, &mut self.taken[1]),
            is_new(&snapshot.family, &mut self.taken[2]),
        ];
        for metric in super::history::JUDGED {
            let Some(value) = sample.values.get(metric).copied() else { continue };
            let is_new = match metric {
                metric::FD | metric::SOCKET => held,
                metric::MAPPING => mappings,
                metric::PROCESS => family,
                _ => true,
            };
            if !is_new {
                continue;
            }
            let given = sample.limits.get(metric).map(|limit| *limit as f64);
            let limit = match metric {
                metric::DESCRIPTOR => given.map(|limit| Limit::new("RLIMIT_NOFILE", limit)),
                metric::MAPPING => given.map(|limit| Limit::new("vm.max_map_count", limit)),
                metric::TIME_WAIT => given.map(|limit| Limit::new("ephemeral ports", limit)),
                metric::HEAP_BYTES | metric::MEMORY_BYTES => {
                    left.map(|(name, left)| Limit::new(name, (value + left) as f64))
                }
                metric::VIRTUAL_BYTES => {
                    snapshot.limits.address_space.map(|limit| Limit::new("RLIMIT_AS", limit as f64))
                }
                metric::THREAD | metric::PROCESS => {
                    threads.map(|left| Limit::new("pids of its cgroup", (value + left) as f64))
                }
                _ => None,
            };
            self.seen.history.push(metric, at, value, limit);
        }
    }

    fn take_census(&mut self, snapshot: &Snapshot, clock: &Clock, whole: bool) {
        let at_s = clock.at(snapshot.at).as_secs_f64();
        if whole || self.seen.history.census_is_due(at_s, self.census_cost) {
            let begun = outside::cpu_time();
            self.seen.history.keep(self.census(snapshot, at_s));
            self.census_cost = outside::cpu_time().saturating_sub(begun);
        }
    }

    pub(crate) fn census(&self, snapshot: &Snapshot, at_s: f64) -> Census {
        let family = snapshot.family.value.as_ref();
        let family: &[Relative] =
            family.map_or(&[], |family| if self.seen.is_main { &family.descendants } else { &[] });
        Census::take(self.subject.pid(), at_s, self.seen.notes.as_ref(), family)
    }
}

/// What a program is called: the kernel's name for it, which is that of the file as it was started (a link's, where
/// several programs are one file); whole, where the kernel has cut it.
fn program(pid: u32, image: &Image) -> String {
    let name = process::stat(pid).map(|stat| stat.name).unwrap_or_default();
    let file = image.executable.as_ref().ok().and_then(|path| path.file_name());
    let file = file.map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
    let file = file.strip_suffix(" (deleted)").unwrap_or(&file);
    if file.starts_with(&name) { file.to_owned() } else { name }
}

/// A command line is a name here; what is long, or at its end, may be no one else's business.
fn cut(mut command: String) -> String {
    const CHARACTERS_MAX: usize = 80;
    if let Some((at, _)) = command.char_indices().nth(CHARACTERS_MAX) {
        command.truncate(at);
        command.push('…');
    }
    command
}

/// Whether a reading was taken since the last one that was looked at.
fn is_new<T>(reading: &Paced<T>, last: &mut Option<Instant>) -> bool {
    last.replace(reading.at) != Some(reading.at)
}

/// How much memory it may still take, and of what: others take of it as well. `mapped` is its address space.
fn memory_left(limits: &Limits, mapped: u64) -> Option<(&'static str, u64)> {
    let left = |usage: &GroupUse| Some(usage.max?.saturating_sub(usage.current));
    let all = [
        ("RLIMIT_AS", limits.address_space.map(|limit| limit.saturating_sub(mapped))),
        ("memory of its cgroup", limits.memory.as_ref().ok().and_then(left)),
        ("memory of the machine", limits.available.as_ref().ok().copied()),
    ];
    all.into_iter().filter_map(|(name, left)| Some((name, left?))).min_by_key(|(_, left)| *left)
}

fn threads_left(limits: &Limits) -> Option<u64> {
    let group = limits.threads.as_ref().ok()?;
    Some(group.max?.saturating_sub(group.current))
}

fn limits(limits: &Limits) -> std::collections::BTreeMap<String, u64> {
    let memory = limits.memory.as_ref().ok().and_then(|memory| memory.max);
    let ports = limits.ports.as_ref().ok();
    let given = [
        (metric::DESCRIPTOR, limits.descriptors.as_ref().ok().copied()),
        (metric::MAPPING, limits.mappings.as_ref().ok().copied()),
        (metric::MEMORY_BYTES, memory),
        (metric::TIME_WAIT, ports.map(|(first, last)| u64::from(last.saturating_sub(*first)) + 1)),
    ];
    given.into_iter().filter_map(|(metric, limit)| Some((metric.to_owned(), limit?))).collect()
}
