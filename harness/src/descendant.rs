//! Descendants: the processes that a test starts, sampled while they live.
//!
//! Each has a region of its own in the trial's directory, which is also how it is found and attributed.
//! A *staircase* is what one creation stack keeps making and never releases: at least [`STAIRS`] live
//! things, born in different samples, none of that stack released. What a descendant holds at its own
//! exit is not judged: exiting releases it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use crate::holder::{self, Looked};
use crate::pidfd::peer_has_closed;
use crate::probe::fd::Descriptor;
use crate::probe::state::limit;
use crate::probe::{self, process};
use crate::region::{ControlMap, Heap, RegionMap};
use crate::table::{FD_SLOTS, ROLE_ACCEPT};

/// Live things of one stack that make a staircase.
pub(crate) const STAIRS: usize = 5;

/// How long before its end a process may already be shutting down: in samples, and as a part of its life.
const SHUTDOWN_SAMPLES: u32 = 4;
const SHUTDOWN_PART: u32 = 8;

/// All descendants of one trial.
pub(crate) struct Descendants {
    directory: PathBuf,
    control: Arc<ControlMap>,
    /// By region file name.
    known: BTreeMap<String, Descendant>,
    number: u32,
}

/// One process image other than the main one.
pub(crate) struct Descendant {
    pub(crate) region: RegionMap,
    pub(crate) pid: u32,
    /// Start time; with the id it names the process for good. None once it has gone.
    started: Option<u64>,
    /// Command line, as last seen.
    pub(crate) command: String,
    pub(crate) executable: PathBuf,
    /// Samples in which it was alive: number, live heap.
    pub(crate) heap: Vec<(u32, Heap)>,
    /// Connections that it had accepted and not closed, at the same samples.
    clients: Vec<u32>,
    /// For each stack: how many descriptors it had made, sample by sample, where that changed.
    fds: HashMap<u32, Stair>,
    /// The same for heap blocks, in explain runs.
    blocks: HashMap<u32, Stair>,
    /// Its heap when one of these was last a staircase, and who points to whom.
    pub(crate) looked: Option<Looked>,
    /// The sample from which on that is to be looked at.
    next_look: u32,
    first_sample: u32,
    last_sample: u32,
    /// When those were taken.
    seen: (Instant, Instant),
    /// Its soft limit on descriptors, and how many it had when they were last counted.
    pub(crate) fd_limit: Option<u64>,
    pub(crate) fd_count: u64,
}

/// What one stack has made over time.
#[derive(Debug, Clone, Default)]
struct Stair {
    /// Sample and number of things made so far, at each change.
    steps: Vec<(u32, u32)>,
    /// The sample in which something that this stack made was first seen released.
    released: Option<u32>,
    /// Live bytes (heap).
    bytes: u64,
    /// What the kernel calls the newest of them.
    what: String,
    /// Live things that the kernel confirms.
    alive: usize,
}

/// A staircase as raw facts: the stack is still to be named.
#[derive(Debug, Clone)]
pub(crate) struct RawStaircase {
    pub(crate) stack: u32,
    pub(crate) is_heap: bool,
    pub(crate) is_socket: bool,
    pub(crate) what: String,
    pub(crate) things: u32,
    pub(crate) bytes: u64,
    pub(crate) samples: usize,
}

impl Descendants {
    pub(crate) fn new(directory: PathBuf, control: Arc<ControlMap>) -> Self {
        Self { directory, control, known: BTreeMap::new(), number: 0 }
    }

    /// Every descendant seen so far.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Descendant> {
        self.known.values()
    }

    /// Looks at all of them once.
    pub(crate) fn sample(&mut self) {
        self.discover();
        for descendant in self.known.values_mut() {
            descendant.sample(self.number);
        }
        self.number += 1;
        self.control.sample.store(self.number, Release);
    }

    /// Finds regions that were not there before.
    pub(crate) fn discover(&mut self) {
        let main = self.control.main.load(Acquire);
        for path in RegionMap::paths(&self.directory) {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            if self.known.contains_key(&name) || name.starts_with(&format!("{main}-")) || main == 0
            {
                continue;
            }
            if let Some(region) = RegionMap::open(&path) {
                self.known.insert(name, Descendant::new(region, self.number));
            }
        }
    }

    /// The latest image of a process.
    pub(crate) fn of(&self, pid: u32) -> Option<&Descendant> {
        self.known.values().rfind(|descendant| descendant.pid == pid)
    }
}

impl Descendant {
    fn new(region: RegionMap, number: u32) -> Self {
        let pid = region.process();
        Self {
            pid,
            started: process::stat(pid).ok().map(|stat| stat.started),
            command: process::command_line(pid),
            executable: process::executable(pid).unwrap_or_default(),
            region,
            heap: Vec::new(),
            clients: Vec::new(),
            fds: HashMap::new(),
            blocks: HashMap::new(),
            looked: None,
            next_look: number,
            first_sample: number,
            last_sample: number,
            seen: (Instant::now(), Instant::now()),
            fd_limit: limit(pid, libc::RLIMIT_NOFILE).map(|(soft, _)| soft),
            fd_count: 0,
        }
    }

    /// How long it was watched.
    pub(crate) fn watched(&self) -> Duration {
        self.seen.1 - self.seen.0
    }

    /// Whether the process runs, and runs this image.
    pub(crate) fn is_running(&self) -> bool {
        process::stat(self.pid)
            .is_ok_and(|stat| !stat.is_zombie() && Some(stat.started) == self.started)
    }

    fn sample(&mut self, number: u32) {
        if !self.is_running() {
            self.started = None;
            return;
        }
        self.last_sample = number;
        self.seen.1 = Instant::now();
        // An exec keeps the number: the command may be another one now. A process at its very end has
        // neither any more; where it still has the executable, the command read before was whole.
        if self.command.is_empty() || number.is_power_of_two() {
            let command = process::command_line(self.pid);
            if let Some(executable) = process::executable(self.pid) {
                (self.command, self.executable) = (command, executable);
            }
        }
        self.heap.push((number, self.region.heap()));
        self.clients.push(self.region.accepted());
        let mut suspects = Vec::new();
        for id in self.region.stack_ids() {
            let Some(stack) = self.region.stacks.get(id as usize) else { continue };
            let made = stack.fds_made.load(Relaxed);
            if made > 0 {
                let stair = self.fds.entry(id).or_default();
                stair.step(number, made, stack.fds_closed.load(Relaxed) > 0);
                if stair.is_staircase(self.first_sample, number) {
                    suspects.push(id);
                }
            }
            let made = u32::try_from(stack.blocks_made.load(Relaxed)).unwrap_or(u32::MAX);
            if made > 0 {
                let stair = self.blocks.entry(id).or_default();
                stair.step(number, made, stack.blocks_freed.load(Relaxed) > 0);
                stair.bytes = stack.bytes_live.load(Relaxed);
                stair.alive = made as usize;
            }
        }
        if !suspects.is_empty() {
            self.confirm(&suspects);
        }
        self.look(number);
    }

    /// Looks who holds its heap, where that is a staircase. It stands still meanwhile, so twice as late each
    /// time: it need not be the very last moment.
    fn look(&mut self, number: u32) {
        let is_staircase = |stair: &Stair| stair.is_staircase(self.first_sample, number);
        if number < self.next_look || !self.blocks.values().any(is_staircase) {
            return;
        }
        self.next_look = number + (number - self.first_sample).max(1);
        let looked = holder::look_at(self.pid, &self.region);
        // A look that came too late leaves what an earlier one has seen.
        if !matches!((&looked, &self.looked), (Some(Err(_)), Some(Ok(_)))) {
            self.looked = looked;
        }
    }

    /// Asks the kernel which of the suspected stacks' descriptors are still what the agent says.
    fn confirm(&mut self, suspects: &[u32]) {
        // A process at its very end has no descriptors any more, or loses them while we look; what it
        // had is what counts.
        let open = probe::fd::list(self.pid).unwrap_or_default();
        let rest = probe::fd::count(self.pid).unwrap_or(0);
        if open.is_empty() || rest < open.len() as u64 {
            return;
        }
        self.fd_count = open.len() as u64;
        let sockets = probe::socket::table(self.pid, probe::fd::socket_inodes(&open));
        for id in suspects {
            let mut alive = 0;
            let mut what = String::new();
            for descriptor in &open {
                let Some(slot) = self.region.fds.get(descriptor.number as usize) else { continue };
                if slot.stack.load(Relaxed) != *id || !is_believed(&self.region, descriptor) {
                    continue;
                }
                // A connection whose peer is still there is the peer's, not a leak of ours.
                if slot.role.load(Relaxed) == ROLE_ACCEPT
                    && peer_has_closed(self.pid, descriptor.number) != Some(true)
                {
                    continue;
                }
                alive += 1;
                what = sockets
                    .get(&descriptor.inode)
                    .map_or_else(|| descriptor.link.clone(), |socket| socket.name.clone());
            }
            // Released while we looked: the earlier look stands.
            let closed = self.region.stacks[*id as usize].fds_closed.load(Acquire) > 0;
            if let Some(stair) = self.fds.get_mut(id).filter(|stair| !closed || stair.alive == 0) {
                stair.alive = alive;
                stair.what = what;
            }
        }
    }

    /// The staircases, as they stood when the process was last seen alive.
    pub(crate) fn staircases(&self) -> Vec<RawStaircase> {
        let raw = |stacks: &HashMap<u32, Stair>, is_heap: bool| {
            let found = stacks.iter().filter(|(_, stair)| {
                stair.is_staircase(self.first_sample, self.last_sample) && stair.alive >= STAIRS
            });
            found
                .map(|(id, stair)| RawStaircase {
                    stack: *id,
                    is_heap,
                    is_socket: stair.what.starts_with("socket:")
                        || ["tcp", "udp", "unix"].iter().any(|kind| stair.what.starts_with(kind)),
                    what: stair.what.clone(),
                    things: stair.steps.last().map_or(0, |step| step.1),
                    bytes: stair.bytes,
                    samples: stair.steps.len(),
                })
                .collect::<Vec<_>>()
        };
        let mut all = raw(&self.fds, false);
        all.extend(raw(&self.blocks, true));
        all.retain(|raw| !raw.is_heap || !self.may_belong_to_clients(raw.stack));
        all.sort_by_key(|raw| raw.stack);
        all
    }

    /// Whether heap that a shutdown gave back may have been that of clients who were still connected.
    fn may_belong_to_clients(&self, stack: u32) -> bool {
        if self.region.stacks[stack as usize].blocks_freed.load(Relaxed) == 0 {
            return false;
        }
        let released = self.blocks.get(&stack).and_then(|stair| stair.released);
        let before = self.heap.iter().zip(&self.clients);
        let before = before.take_while(|((sample, _), _)| released.is_none_or(|end| *sample < end));
        before.last().is_none_or(|(_, clients)| *clients > 0)
    }

    /// Whether live heap rose in enough samples, to the end: worth an explain run.
    pub(crate) fn heap_rises(&self) -> bool {
        let mut top = i64::MIN;
        let mut rises = Vec::new();
        for (number, heap) in &self.heap {
            if heap.blocks > top {
                rises.push(*number);
                top = heap.blocks;
            }
        }
        // The first one is the process's start.
        rises.len() > STAIRS && spans_life(&rises, self.first_sample, self.last_sample)
    }
}

/// Whether the agent's note about a descriptor is about what the kernel has there now.
pub(crate) fn is_believed(region: &RegionMap, descriptor: &Descriptor) -> bool {
    let Some(slot) = region
        .fds
        .get(descriptor.number as usize)
        .filter(|_| (descriptor.number as usize) < FD_SLOTS)
    else {
        return false;
    };
    slot.kind.load(Acquire) != 0
        && descriptor.identity != 0
        && slot.inode.load(Relaxed) == descriptor.identity
}

impl Stair {
    fn step(&mut self, sample: u32, made: u32, released: bool) {
        if released {
            self.released.get_or_insert(sample);
        }
        if self.steps.last().is_none_or(|(_, last)| *last < made) {
            self.steps.push((sample, made));
        }
    }

    fn is_staircase(&self, first: u32, last: u32) -> bool {
        let samples: Vec<u32> = self.steps.iter().map(|(sample, _)| *sample).collect();
        // A process that ends in good order releases what it has leaked, and may be seen doing so.
        let shutdown = SHUTDOWN_SAMPLES.max(last.saturating_sub(first) / SHUTDOWN_PART);
        let kept = self.released.is_none_or(|sample| sample + shutdown >= last);
        kept && samples.len() >= STAIRS && spans_life(&samples, first, last)
    }
}

/// Whether things were made until the end: a start-up that opens one thing after the other stops early.
fn spans_life(samples: &[u32], first: u32, last: u32) -> bool {
    let (Some(from), Some(to)) = (samples.first(), samples.last()) else { return false };
    let life = last.saturating_sub(first);
    // The last step lies in the last quarter, and the steps cover at least half of the life.
    (to - from) * 2 >= life && (to.saturating_sub(first)) * 4 >= life * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stair(samples: &[u32], released: bool) -> Stair {
        let mut stair = Stair::default();
        for (made, sample) in samples.iter().enumerate() {
            stair.step(*sample, made as u32 + 1, released);
        }
        stair
    }

    #[test]
    fn a_leak_at_every_tick_is_a_staircase() {
        assert!(stair(&[2, 4, 6, 8, 10, 12], false).is_staircase(0, 12));
    }

    #[test]
    fn a_start_up_is_none() {
        assert!(!stair(&[0, 1, 2, 3, 4], false).is_staircase(0, 40));
    }

    #[test]
    fn one_release_ends_the_suspicion_but_for_a_shutdown() {
        assert!(!stair(&[2, 4, 6, 8, 20], true).is_staircase(0, 20));
        let mut shut_down = stair(&[2, 4, 6, 8, 10], false);
        shut_down.step(11, 5, true);
        assert!(shut_down.is_staircase(0, 12));
    }

    #[test]
    fn a_burst_in_one_sample_is_none() {
        let mut burst = Stair::default();
        burst.step(3, 20, false);
        assert!(!burst.is_staircase(0, 4));
    }
}
