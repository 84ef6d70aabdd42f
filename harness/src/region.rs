//! The supervisor's view of the shared table: every `unsafe` of the harness's table access is here.
//!
//! Everything in the files is atomic and any bit pattern is a valid value, so a mapping may be read
//! while another process writes it. What is read may be stale or half a note; users of this module
//! check it against the kernel.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::{Duration, SystemTime};

use memmap2::{MmapOptions, MmapRaw};
use nix::fcntl::posix_fallocate;
use watertight_report::model::Frame;

use crate::symbol::LoadedModule;
use crate::table::{self, CONTROL_FILE, Control, MAGIC, Place, REGION_ENDING, Region, Text};

#[cfg(test)]
mod sampled;

/// The control file of a trial, mapped for reading and writing.
pub(crate) struct ControlMap {
    map: MmapRaw,
}

impl ControlMap {
    /// Makes the control file of a new trial in `directory`.
    pub(crate) fn create(directory: &Path) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(directory.join(CONTROL_FILE))?;
        // Room now, or an error: a page that the file system cannot give later ends the process (SIGBUS).
        posix_fallocate(&file, 0, size_of::<Control>() as libc::off_t)?;
        let control = Self::map(&file)?;
        control.supervisor.store(std::process::id(), Relaxed);
        control.tasks.store(-1, Relaxed);
        control.magic.store(MAGIC, Release);
        Ok(control)
    }

    /// Maps the control file that the supervisor has made.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(directory.join(CONTROL_FILE))?;
        if file.metadata()?.len() < size_of::<Control>() as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the control file is too short",
            ));
        }
        Self::map(&file)
    }

    fn map(file: &File) -> io::Result<Self> {
        Ok(Self { map: MmapOptions::new().len(size_of::<Control>()).map_raw(file)? })
    }
}

impl std::ops::Deref for ControlMap {
    type Target = Control;

    fn deref(&self) -> &Control {
        // SAFETY: the mapping has the size of a Control and starts on a page; all its fields are
        // atomics, valid in every bit pattern.
        unsafe { &*self.map.as_ptr().cast() }
    }
}

/// The control file as the agent of this very process has mapped it; none without an agent.
pub(crate) fn own_control() -> Option<&'static Control> {
    // SAFETY: dlsym takes any name that ends with NUL.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"watertight_agent_control".as_ptr()) };
    if symbol.is_null() {
        return None;
    }
    // SAFETY: the symbol is our agent's, with this signature; its mapping lives as long as the process.
    unsafe {
        let control: extern "C" fn() -> *const Control = std::mem::transmute(symbol);
        control().as_ref()
    }
}

/// What the agent of one process image has written.
pub(crate) struct RegionMap {
    map: MmapRaw,
    file: File,
}

impl RegionMap {
    /// Maps a region file; none while its agent has not finished making it, or for a file that is not one.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let file = File::options().read(true).write(true).open(path).ok()?;
        if file.metadata().ok()?.len() < size_of::<Region>() as u64 {
            return None;
        }
        let map = MmapOptions::new().len(size_of::<Region>()).map_raw(&file).ok()?;
        let region = Self { map, file };
        (region.magic.load(Acquire) == MAGIC).then_some(region)
    }

    /// Paths of all region files of a trial.
    pub(crate) fn paths(directory: &Path) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with(REGION_ENDING))
            .collect();
        paths.sort();
        paths
    }

    /// Process ids of all regions of a trial, by their files' names.
    pub(crate) fn processes(directory: &Path) -> Vec<u32> {
        let pid = |path: PathBuf| path.file_name()?.to_str()?.split_once('-')?.0.parse().ok();
        let mut pids: Vec<u32> = Self::paths(directory).into_iter().filter_map(pid).collect();
        pids.dedup();
        pids
    }

    /// The file itself, for whoever reads more of it than should be mapped.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// When the process image began.
    pub(crate) fn created(&self) -> Option<SystemTime> {
        self.file.metadata().and_then(|data| data.created()).ok()
    }

    /// Process id.
    pub(crate) fn process(&self) -> u32 {
        self.pid.load(Relaxed)
    }

    /// Live heap blocks and bytes, over all threads, dead ones included. Relative: a process that
    /// frees what it inherited over a fork goes below zero.
    pub(crate) fn heap(&self) -> Heap {
        let mut heap = Heap::default();
        for shard in self.shards_in_use() {
            let allocs = shard.allocs.load(Relaxed);
            heap.calls += allocs;
            heap.blocks += allocs.wrapping_sub(shard.frees.load(Relaxed)) as i64;
            heap.bytes +=
                shard.alloc_bytes.load(Relaxed).wrapping_sub(shard.free_bytes.load(Relaxed)) as i64;
        }
        heap
    }

    /// How many blocks were handed out to a live thread, by its thread pointer.
    pub(crate) fn calls_of(&self, thread: usize) -> u64 {
        let own = |shard: &&table::Shard| shard.owner.load(Relaxed) == thread;
        self.shards_in_use().find(own).map_or(0, |shard| shard.allocs.load(Relaxed))
    }

    /// The heap counters that anyone has ever written, the shared ones among them.
    fn shards_in_use(&self) -> impl Iterator<Item = &table::Shard> {
        let words = self.shards_used.iter().map(|word| word.load(Acquire)).enumerate();
        let used = words.filter(|(_, bits)| *bits != 0).flat_map(|(word, bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit)
        });
        used.chain([table::SHARDS]).map(|at| &self.shards[at])
    }

    /// The return addresses of a stack, innermost first; where it was taken on a thread that the
    /// program has made, it goes on in the stack that made the thread.
    pub(crate) fn stack(&self, id: u32) -> Vec<u64> {
        const GENERATIONS: usize = 4;
        let mut frames = Vec::new();
        let mut next = id;
        for _ in 0..GENERATIONS {
            let Some(stack) = self.stacks.get(next as usize).filter(|_| next != 0) else { break };
            let len = (stack.len.load(Acquire) as usize).min(table::FRAMES);
            frames.extend(stack.frames[..len].iter().map(|frame| frame.load(Relaxed) as u64));
            next = stack.parent.load(Relaxed);
        }
        frames
    }

    /// Creation stack that the slot of a descriptor number names now.
    pub(crate) fn fd_stack(&self, number: u32) -> Option<u32> {
        let stack = self.fds.get(number as usize)?.stack.load(Relaxed);
        (stack != 0).then_some(stack)
    }

    /// Round in which the descriptor of a number was made, as its slot says.
    pub(crate) fn fd_round(&self, number: u32) -> Option<u32> {
        Some(self.fds.get(number as usize)?.round.load(Relaxed))
    }

    /// Connections that were accepted and not closed since, as far as the agent has seen.
    pub(crate) fn accepted(&self) -> u32 {
        let top = (self.fd_top.load(Relaxed) as usize).min(table::FD_SLOTS);
        let is_open = |slot: &&table::Fd| {
            slot.kind.load(Relaxed) != 0 && slot.role.load(Relaxed) == table::ROLE_ACCEPT
        };
        self.fds[..top].iter().filter(is_open).count() as u32
    }

    /// Creation stack of a live thread; none where it has not run yet and so has not written its id.
    pub(crate) fn thread_stack(&self, tid: u32) -> Option<u32> {
        let own =
            |slot: &&table::Thread| slot.state.load(Acquire) != 0 && slot.tid.load(Relaxed) == tid;
        let stack = self.threads.iter().find(own)?.stack.load(Relaxed);
        (stack != 0).then_some(stack)
    }

    /// The same for one that may just be starting: any slot that is being made is as good as its own.
    pub(crate) fn starting_thread_stack(&self, tid: u32) -> Option<u32> {
        let known = || self.thread_stack(tid);
        // It may write its id between two looks.
        known().or_else(|| self.thread_stack(0)).or_else(known)
    }

    /// Creation stack of a process that this one has started, and the round in which it did.
    pub(crate) fn spawn(&self, pid: u32) -> Option<(u32, u32)> {
        let count = (self.spawn_next.load(Acquire) as usize).min(table::SPAWN_SLOTS);
        let slot = self.spawns[..count].iter().rfind(|slot| slot.pid.load(Acquire) == pid)?;
        let stack = slot.stack.load(Relaxed);
        (stack != 0).then(|| (stack, slot.round.load(Relaxed)))
    }

    /// The modules that stacks have passed through. The main program has no name of its own there.
    pub(crate) fn modules(&self, program: &Path) -> Vec<LoadedModule> {
        let count = (self.module_next.load(Acquire) as usize).min(table::MODULES);
        let seen = self.created();
        self.modules[..count]
            .iter()
            .filter(|module| module.start.load(Acquire) != 0)
            .map(|module| {
                let path = read_text(&module.path);
                LoadedModule {
                    path: if path.is_empty() { program.to_owned() } else { path.into() },
                    start: module.start.load(Relaxed) as u64,
                    end: module.end.load(Relaxed) as u64,
                    bias: module.bias.load(Relaxed) as u64,
                    // A file that is written later is another program.
                    seen,
                }
            })
            .collect()
    }

    /// What this process has entered of some kinds and not forgotten since.
    pub(crate) fn entries(&self, kinds: &[u32]) -> Vec<Noted> {
        if !kinds.iter().any(|kind| self.has_entries(*kind)) {
            return Vec::new();
        }
        let used = (self.entry_next.load(Acquire) as usize).min(table::ENTRIES);
        let slots = self.entry_index[..used].iter().map(|at| at.load(Acquire) as usize);
        let entry = |at: usize| {
            let entry = self.entries.get(at)?;
            let key = entry.key.load(Acquire);
            let kind = (key >> 56) as u32;
            kinds.contains(&kind).then(|| Noted {
                kind,
                identity: key & ((1 << 56) - 1),
                stack: entry.stack.load(Relaxed),
                round: entry.round.load(Relaxed),
                value: entry.value.load(Relaxed),
                before: entry.before.load(Relaxed),
                text: read_text(&entry.text),
            })
        };
        slots.filter_map(entry).collect()
    }

    /// How many things of a kind found no room.
    pub(crate) fn dropped_entries(&self, kind: u32) -> u32 {
        self.entries_dropped[kind as usize].load(Relaxed)
    }

    /// Whether more entries of a kind were made than forgotten.
    pub(crate) fn has_entries(&self, kind: u32) -> bool {
        let of = |counts: &[AtomicU32]| counts[kind as usize].load(Relaxed);
        of(&self.entries_made) > of(&self.entries_gone)
    }

    /// The pairs that this process closed first.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        let count = (self.pair_next.load(Acquire) as usize).min(table::PAIR_SLOTS);
        self.pairs[..count]
            .iter()
            .filter(|pair| pair.ready.load(Acquire) == 1)
            .map(|pair| Pair {
                local: pair.local_port.load(Relaxed),
                remote: pair.remote_port.load(Relaxed),
                stack: pair.stack.load(Relaxed),
                round: pair.round.load(Relaxed),
            })
            .collect()
    }

    /// The numbers of all stacks that were ever taken.
    pub(crate) fn stack_ids(&self) -> std::ops::RangeInclusive<u32> {
        1..=self.stack_next.load(Acquire).min(table::STACKS as u32 - 1)
    }

    /// What lives of each creation stack now: cheap, because only used stacks are looked at.
    pub(crate) fn live_stacks(&self) -> HashMap<u32, LiveStack> {
        let ids = self.stack_ids();
        ids.filter_map(|id| {
            let stack = self.stacks.get(id as usize)?;
            Some((
                id,
                LiveStack {
                    fds: i64::from(stack.fds_made.load(Relaxed))
                        - i64::from(stack.fds_closed.load(Relaxed)),
                    blocks: stack.blocks_made.load(Relaxed) as i64
                        - stack.blocks_freed.load(Relaxed) as i64,
                    bytes: stack.bytes_live.load(Relaxed) as i64,
                },
            ))
        })
        .collect()
    }

    /// Lets a process go that is held at its exit.
    pub(crate) fn release(&self) {
        self.release.store(1, Release);
        futex_wake(&self.release);
    }
}

impl std::ops::Deref for RegionMap {
    type Target = Region;

    fn deref(&self) -> &Region {
        // SAFETY: as for `ControlMap`.
        unsafe { &*self.map.as_ptr().cast() }
    }
}

/// What lives of one creation stack.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LiveStack {
    pub(crate) fds: i64,
    /// Where heap blocks get stacks: counted where each does, as in explain runs, estimated where some do.
    /// An estimate of `bytes` errs by `sqrt(interval * bytes)`.
    pub(crate) blocks: i64,
    pub(crate) bytes: i64,
}

/// An entry as it was read: see [`table::Entry`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) kind: u32,
    pub(crate) identity: u64,
    pub(crate) stack: u32,
    pub(crate) round: u32,
    pub(crate) value: u64,
    pub(crate) before: u64,
    pub(crate) text: String,
}

/// A port pair that a process has noted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) local: u16,
    pub(crate) remote: u16,
    pub(crate) stack: u32,
    pub(crate) round: u32,
}

/// Live heap of one process, relative to where its counting began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Heap {
    /// Blocks ever handed out: zero where the program's own allocator bypasses the agent.
    pub(crate) calls: u64,
    pub(crate) blocks: i64,
    pub(crate) bytes: i64,
}

/// Writes a text, cut to what fits at a character boundary.
pub(crate) fn write_text<const N: usize>(to: &Text<N>, text: &str) {
    let mut len = text.len().min(N);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    for (slot, byte) in to.bytes.iter().zip(text[..len].bytes()) {
        slot.store(byte, Relaxed);
    }
    to.len.store(len as u32, Release);
}

/// Reads a text.
pub(crate) fn read_text<const N: usize>(from: &Text<N>) -> String {
    let len = (from.len.load(Acquire) as usize).min(N);
    let bytes: Vec<u8> = from.bytes[..len].iter().map(|byte| byte.load(Relaxed)).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes a caller's position.
pub(crate) fn write_place(to: &Place, place: &std::panic::Location<'_>) {
    write_text(&to.file, place.file());
    to.line.store(place.line(), Release);
}

/// Reads a position; none where none was written.
pub(crate) fn read_place(from: &Place) -> Option<Frame> {
    let line = from.line.load(Acquire);
    (line != 0).then(|| Frame::new(read_text(&from.file), line, ""))
}

/// Tells the supervisor that there is news.
pub(crate) fn tell(control: &Control) {
    control.news.fetch_add(1, AcqRel);
    futex_wake(&control.news);
}

/// Waits while `word` holds `value`, at most `timeout` (futex(2), shared between processes).
pub(crate) fn futex_wait(word: &AtomicU32, value: u32, timeout: Duration) {
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: word and timeout live across the call; every result (woken, changed, timed out,
    // interrupted) means the same to callers, who look again.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const timeout);
    }
}

/// Wakes everyone who waits on `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word lives across the call.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX);
    }
}
