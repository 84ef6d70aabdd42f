//! All readings of a process at one instant.

use std::time::{Duration, Instant};

use super::family::{self, Family};
use super::held::{self, Held};
use super::image::{self, Image, State, User};
use super::pace::{Paced, Part, cpu_time};
use super::{Ending, Limits, Reading, Relative, Subject, Unavailable};
use crate::probe::process::{self, Stat};
use crate::probe::{fd, mapping, memory, thread, time_wait};

/// What a process holds at one instant. Bytes are bytes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// When the reading began.
    pub at: Instant,
    /// What the process does.
    pub state: Reading<State>,
    /// How it ended; none while it lives.
    pub ending: Option<Reading<Ending>>,
    /// The program that it runs.
    pub image: Reading<Image>,
    /// Whose rights it has.
    pub user: Reading<User>,
    /// Open descriptors.
    pub descriptors: Reading<u64>,
    /// The same by kind, and sockets by protocol and state.
    pub held: Paced<Held>,
    /// Port pairs in TIME_WAIT in its network: all of them, since none belongs to a process any more.
    pub time_wait: Reading<u64>,
    /// Threads.
    pub threads: Reading<u64>,
    /// Memory, as far as the kernel counts it anyway.
    pub memory: Reading<Memory>,
    /// CPU time of all its threads so far.
    pub cpu: Reading<Duration>,
    /// The process's share of memory (PSS).
    pub proportional: Paced<u64>,
    /// Areas that are mapped.
    pub mappings: Paced<u64>,
    /// Descendants.
    pub family: Paced<Family>,
    /// What it may still take.
    pub limits: Limits,
    /// CPU time that this snapshot took.
    pub cost: Duration,
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Resident now. The kernel sums it up loosely: by some pages for each processor it may be off.
    pub resident: u64,
    /// Resident at most so far; an exec begins anew.
    pub peak: u64,
    /// Address space that is mapped.
    pub mapped: u64,
    /// Of what is resident, what is its own and no file's.
    pub anonymous: u64,
    /// Of what is resident, what it may share with others and is no file's on a disk.
    pub shared: u64,
}

/// Readings that are kept until they are due again, or tell more than the next.
#[derive(Debug, Default)]
pub(super) struct Last {
    image: Option<Image>,
    held: Option<Paced<Held>>,
    proportional: Option<Paced<u64>>,
    mappings: Option<Paced<u64>>,
    family: Option<Paced<Family>>,
}

impl Last {
    /// Descendants that were seen before.
    fn relatives(&self) -> &[Relative] {
        let family = self.family.as_ref().and_then(|family| family.value.as_ref().ok());
        family.map_or(&[], |family| &family.descendants)
    }
}

/// Reads everything once; `whole` also what is not due.
pub(super) fn read(subject: &mut Subject, whole: bool) -> Snapshot {
    let begun = cpu_time();
    let mut state = subject.state();
    let mut seen = None;
    if !is_over(&state) {
        seen = Some(living(subject, whole));
        // What was read is of this process only if it is still there now.
        state = subject.state();
    }
    let seen = seen.filter(|_| !is_over(&state)).unwrap_or_else(|| over(subject));
    let snapshot = Snapshot { state, cost: cpu_time().saturating_sub(begun), ..seen };
    subject.last = Last {
        image: snapshot.image.as_ref().ok().cloned(),
        held: Some(snapshot.held.clone()),
        proportional: Some(snapshot.proportional.clone()),
        mappings: Some(snapshot.mappings.clone()),
        family: Some(snapshot.family.clone()),
    };
    snapshot
}

fn is_over(state: &Reading<State>) -> bool {
    state.as_ref().is_ok_and(|state| state.is_over())
}

fn living(subject: &Subject, whole: bool) -> Snapshot {
    let at = Instant::now();
    let last = &subject.last;
    let pid = subject.reader();
    let part = |part: Part| (!whole).then_some(part);
    let status = memory::status(pid);
    let status = || status.as_deref().map_err(Unavailable::clone);
    Snapshot {
        at,
        state: Ok(State::Running),
        ending: None,
        image: Image::read(pid, last.image.as_ref()),
        user: status().and_then(user_in),
        descriptors: fd::count(pid),
        held: Paced::renewed(&last.held, part(Part::HELD), || held::read(pid)),
        time_wait: time_wait::count_private(pid),
        threads: thread::count(pid),
        memory: status().and_then(memory_in),
        cpu: process::stat(pid).and_then(|stat| cpu_of(&stat)),
        proportional: Paced::renewed(&last.proportional, part(Part::PROPORTIONAL), || {
            memory::proportional(pid)
        }),
        mappings: Paced::renewed(&last.mappings, part(Part::MAPPINGS), || mapping::count(pid)),
        family: Paced::renewed(&last.family, part(Part::FAMILY), || {
            family::read(subject.pid, Some(pid), last.relatives())
        }),
        limits: Limits::read(pid),
        cost: Duration::ZERO,
    }
}

/// Of a process that is over nothing is left but its ending and its descendants.
fn over(subject: &Subject) -> Snapshot {
    let reason = Unavailable::new(format!("process {} has ended", subject.pid));
    let known = subject.last.relatives();
    Snapshot {
        ending: subject.ending(),
        family: Paced::read(|| family::read(subject.pid, None, known)),
        ..Snapshot::unavailable(&reason)
    }
}

impl Snapshot {
    /// One in which nothing could be read.
    pub(super) fn unavailable(reason: &Unavailable) -> Self {
        Self {
            at: Instant::now(),
            state: Err(reason.clone()),
            ending: None,
            image: Err(reason.clone()),
            user: Err(reason.clone()),
            descriptors: Err(reason.clone()),
            held: Paced::read(|| Err(reason.clone())),
            time_wait: Err(reason.clone()),
            threads: Err(reason.clone()),
            memory: Err(reason.clone()),
            cpu: Err(reason.clone()),
            proportional: Paced::read(|| Err(reason.clone())),
            mappings: Paced::read(|| Err(reason.clone())),
            family: Paced::read(|| Err(reason.clone())),
            limits: Limits::unavailable(reason),
            cost: Duration::ZERO,
        }
    }
}

fn user_in(status: &str) -> Reading<User> {
    image::user_in(status).ok_or_else(|| Unavailable::new("/proc/PID/status names no user"))
}

fn cpu_of(stat: &Stat) -> Reading<Duration> {
    let ms = process::in_ms(stat.cpu);
    ms.map(Duration::from_millis).ok_or_else(|| Unavailable::new("the length of a tick is unknown"))
}

fn memory_in(status: &str) -> Reading<Memory> {
    let resident = memory::resident_in(status)?;
    let mapped = memory::mapped_in(status)
        .ok_or_else(|| Unavailable::new("/proc/PID/status names no address space"))?;
    let (anonymous, shared) = memory::unbacked_in(status).unwrap_or((resident.now, 0));
    Ok(Memory { resident: resident.now, peak: resident.peak, mapped, anonymous, shared })
}
