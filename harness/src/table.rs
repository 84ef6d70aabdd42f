//! The shared table's layout: the one definition that the agent writes by and the supervisor reads by.
//!
//! A trial owns a directory. In it lie one [`Control`] file, mapped by every process of the trial and
//! written by the supervisor, and one [`Region`] file for each process image, created and written by
//! the agent inside that process. Both are sparse: what is never written costs nothing. A region
//! outlives its process, so it can be read after SIGKILL.
//!
//! This file is compiled twice, into the harness and (without std) into the agent. Everything here is
//! `repr(C)`, fixed in size and made of atomics, because two processes look at it at once. A field
//! that is all zeroes is a valid empty one: that is what a fresh sparse file holds.

use core::sync::atomic::{AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};

/// The environment variable that carries the trial's directory to a process.
pub(crate) const ENV_TABLE: &str = "WATERTIGHT_TABLE";
/// The environment variable by which the supervisor tells a trial's main process that it is one. It
/// goes no further than that process.
pub(crate) const ENV_MAIN: &str = "WATERTIGHT_MAIN";
/// Name of the control file in the trial's directory.
pub(crate) const CONTROL_FILE: &str = "control";
/// Ending of a region file's name, `<pid>-<image>.region`.
pub(crate) const REGION_ENDING: &str = ".region";

/// First word of both files; the last byte is the layout's version. An agent and a harness of
/// different versions must not read each other.
pub(crate) const MAGIC: u64 = 0x5741_5445_5254_4706;

/// Counter shards for the heap, a power of two. Threads that find none share the one after the last.
pub(crate) const SHARDS: usize = 1024;
/// Descriptor numbers with a slot. Higher ones are counted by the kernel and have no site.
pub(crate) const FD_SLOTS: usize = 65_536;
/// Threads with a slot at one time.
pub(crate) const THREAD_SLOTS: usize = 4096;
/// Remembered process creations, a ring.
pub(crate) const SPAWN_SLOTS: usize = 4096;
/// Remembered port pairs that this process closed first, a ring.
pub(crate) const PAIR_SLOTS: usize = 65_536;
/// Modules (executables and shared objects) met on stacks.
pub(crate) const MODULES: usize = 256;
/// Longest module path kept, in bytes.
pub(crate) const MODULE_PATH: usize = 240;
/// Distinct creation stacks.
pub(crate) const STACKS: usize = 16_384;
/// Places in the index of stacks, a power of two.
pub(crate) const STACK_PLACES: usize = 2 * STACKS;
/// Frames kept of a stack, innermost first.
pub(crate) const FRAMES: usize = 64;
/// How far a stack is looked for from its home place in the index.
pub(crate) const STACK_PROBES: usize = 32;
/// Buckets of addresses of heap blocks.
pub(crate) const BUCKETS: usize = 1 << 18;
/// Blocks of one bucket. A bucket covers 256 bytes of address space, and glibc's smallest chunk is
/// 32: eight blocks fit without a collision, and another 256 bytes may share the bucket.
pub(crate) const BUCKET_BLOCKS: usize = 16;

/// Entries: things and changes that have no slot of their own.
pub(crate) const ENTRIES: usize = 16_384;
/// How far an entry is looked for from its home slot.
pub(crate) const ENTRY_PROBES: usize = 64;
/// Longest name kept with an entry, in bytes. A longer path has no entry.
pub(crate) const ENTRY_TEXT: usize = 320;

/// Flag: take a stack for each heap block, or for some of them ([`Control::heap_interval`]), and for each
/// lock. Asked once, when a process opens its region.
pub(crate) const FLAG_HEAP_STACKS: u32 = 1;
/// Flag: take a stack for each descriptor.
pub(crate) const FLAG_FD_STACKS: u32 = 2;
/// Flag: the main process waits at its exit until it has been read.
pub(crate) const FLAG_HOLD_EXIT: u32 = 4;

/// Flag: waiting for tasks to end has not helped in an earlier run.
pub(crate) const FLAG_IMPATIENT: u32 = 8;

/// Flag: the main process runs a program that has not a line for us. The agent itself enters it for the
/// trial, waits there at its beginning, and tells when its test begins; heap stacks are taken in it alone.
pub(crate) const FLAG_UNEDITED: u32 = 16;
/// Flag: descriptors that an unedited main process makes by system calls of its own are noted as well.
pub(crate) const FLAG_RAW: u32 = 32;
/// Flag: with a stack for each heap block, blocks are filled with zeroes before the program gets them, and those
/// made before the first round are tracked too: their holders are asked for.
pub(crate) const FLAG_HOLDERS: u32 = 64;

/// What the supervisor and the main process of a trial say to each other.
#[repr(C)]
pub(crate) struct Control {
    /// [`MAGIC`].
    pub(crate) magic: AtomicU64,
    /// Process id of the supervisor.
    pub(crate) supervisor: AtomicU32,
    /// Process id of the trial's main process; 0 until it has entered.
    pub(crate) main: AtomicU32,
    /// `FLAG_*`.
    pub(crate) flags: AtomicU32,
    /// The current round, 0 before the first.
    pub(crate) round: AtomicU32,
    /// Heap blocks born in an earlier round get no stack.
    pub(crate) warm_round: AtomicU32,
    /// The current sample of the descendants.
    pub(crate) sample: AtomicU32,
    /// Futex: incremented by anyone who has news for the supervisor.
    pub(crate) news: AtomicU32,
    /// Where the main process stands, `STAGE_*`.
    pub(crate) stage: AtomicU32,
    /// Number of the boundary the main process has reached, from 1.
    pub(crate) boundary: AtomicU32,
    /// Futex: number of the last boundary the supervisor has answered.
    pub(crate) answered: AtomicU32,
    /// The answer, `GO_*`.
    pub(crate) answer: AtomicU32,
    /// Index of the case to run, or that has just run in shared mode.
    pub(crate) case: AtomicU32,
    /// Stack address of the entry of the body: stacks are cut there. 0 outside a body.
    pub(crate) body_sp: AtomicUsize,
    /// Thread pointer of the thread that runs the body; in an unedited program of its first thread.
    pub(crate) body_tp: AtomicUsize,
    /// Device and inode, folded, of the program that is the main process of an unedited trial: what
    /// starts it may be another.
    pub(crate) program: AtomicU64,
    /// The thread that has called exit(3) and is held there: it is not the first one where a test exits.
    pub(crate) exit_thread: AtomicU32,
    /// What became of the body, `BODY_*`.
    pub(crate) body: AtomicU32,
    /// What the namespace came to, `NET_*`.
    pub(crate) net: AtomicU32,
    /// Why the private namespace was refused: an errno.
    pub(crate) net_errno: AtomicU32,
    /// Live tasks of the harness's runtime at the boundary; -1 where there is none.
    pub(crate) tasks: AtomicI64,
    /// The body's failure message.
    pub(crate) message: Text<8192>,
    /// The case's name.
    pub(crate) case_name: Text<CASE_NAME_MAX>,
    /// Declared gauges.
    pub(crate) gauges: [Gauge; GAUGES],
    /// Declared clean-ups.
    pub(crate) cleanups: [Cleanup; CLEANUPS],
    /// Processes that the body asked to be watched; 0 is an empty slot.
    pub(crate) watched: [AtomicU32; WATCHED],
    /// Repetitions that the body runs by itself (`cx.steady`).
    pub(crate) steady: AtomicU32,
    /// Which repetition of `cx.steady` has just ended.
    pub(crate) steady_round: AtomicU32,
    /// With [`FLAG_HEAP_STACKS`]: 0 or 1 for a stack for each heap block, more for one in about so many bytes.
    pub(crate) heap_interval: AtomicU64,
}

/// Longest name of a case, in bytes.
pub(crate) const CASE_NAME_MAX: usize = 512;
/// Gauges of one process.
pub(crate) const GAUGES: usize = 32;
/// Clean-ups of one case.
pub(crate) const CLEANUPS: usize = 32;
/// Watched processes of one trial.
pub(crate) const WATCHED: usize = 32;

/// The main process has not entered yet.
pub(crate) const STAGE_START: u32 = 0;
/// It waits at a boundary between rounds.
pub(crate) const STAGE_BOUNDARY: u32 = 1;
/// It runs the body.
pub(crate) const STAGE_BODY: u32 = 2;
/// It waits at a boundary of `cx.steady`.
pub(crate) const STAGE_STEADY: u32 = 3;
/// It is at its exit.
pub(crate) const STAGE_EXIT: u32 = 4;

/// Answer: run another round.
pub(crate) const GO_AGAIN: u32 = 1;
/// Answer: leave.
pub(crate) const GO_LEAVE: u32 = 2;

/// The body has not ended.
pub(crate) const BODY_RUNNING: u32 = 0;
/// The body returned well.
pub(crate) const BODY_PASSED: u32 = 1;
/// The body returned an error or panicked.
pub(crate) const BODY_FAILED: u32 = 2;

/// Not tried: the machine's network.
pub(crate) const NET_HOST: u32 = 0;
/// In a namespace of its own.
pub(crate) const NET_PRIVATE: u32 = 1;
/// Asked for and refused.
pub(crate) const NET_REFUSED: u32 = 2;

/// A text of at most `N` bytes, cut at the end.
#[repr(C)]
pub(crate) struct Text<const N: usize> {
    /// Length in bytes.
    pub(crate) len: AtomicU32,
    /// The bytes.
    pub(crate) bytes: [AtomicU8; N],
}

/// One declared gauge.
#[repr(C)]
pub(crate) struct Gauge {
    /// Its name.
    pub(crate) name: Text<60>,
    /// Its value at the last boundary.
    pub(crate) value: AtomicI64,
    /// The line that declared it.
    pub(crate) place: Place,
}

/// A source position.
#[repr(C)]
pub(crate) struct Place {
    /// The file as the compiler prints it.
    pub(crate) file: Text<252>,
    /// The line, 0 for none.
    pub(crate) line: AtomicU32,
}

/// One declared clean-up.
#[repr(C)]
pub(crate) struct Cleanup {
    /// Its name.
    pub(crate) name: Text<124>,
    /// `CLEANUP_*`.
    pub(crate) status: AtomicU32,
    /// Its error.
    pub(crate) error: Text<252>,
    /// The line that declared it.
    pub(crate) place: Place,
}

/// Declared, and not reached yet.
pub(crate) const CLEANUP_PENDING: u32 = 1;
/// Ran to its end.
pub(crate) const CLEANUP_RAN: u32 = 2;
/// Ran and failed.
pub(crate) const CLEANUP_FAILED: u32 = 3;

/// What the agent of one process image writes.
#[repr(C)]
pub(crate) struct Region {
    /// [`MAGIC`], written last.
    pub(crate) magic: AtomicU64,
    /// Process id.
    pub(crate) pid: AtomicU32,
    /// Process id of the process that this one was forked from, 0 for a fresh image.
    pub(crate) forked_from: AtomicU32,
    /// Sample in which the region was made.
    pub(crate) born_sample: AtomicU32,
    /// Futex: set by the supervisor to release a process that is held at its exit.
    pub(crate) release: AtomicU32,
    /// 1 while the process is held at its exit.
    pub(crate) held: AtomicU32,
    /// Things that found no slot: blocks, stacks, threads, spawns.
    pub(crate) dropped: AtomicU32,
    /// Heap blocks among them.
    pub(crate) blocks_dropped: AtomicU32,
    /// Number of `spawns` ever written.
    pub(crate) spawn_next: AtomicU32,
    /// Number of `pairs` ever written.
    pub(crate) pair_next: AtomicU32,
    /// Number of `modules` written.
    pub(crate) module_next: AtomicU32,
    /// Number of stacks that were given a slot.
    pub(crate) stack_next: AtomicU32,
    /// Highest descriptor number that ever had a slot, plus one.
    pub(crate) fd_top: AtomicU32,
    /// 1 where blocks are filled with zeroes ([`FLAG_HOLDERS`]).
    pub(crate) wipes: AtomicU32,
    /// Keeps what follows aligned.
    pub(crate) reserved: AtomicU32,
    /// Where the heap that grows by brk(2) ended when the region was made.
    pub(crate) early_end: AtomicUsize,
    /// How heap blocks get stacks in this process: 0 none does, 1 each, more for one in about so many bytes.
    pub(crate) heap_interval: AtomicU64,
    /// Which shards have ever had an owner, a bit each, so that a reader need not touch the rest.
    pub(crate) shards_used: [AtomicU64; SHARDS / 64],
    /// Heap counters; the last is the shared one.
    pub(crate) shards: [Shard; SHARDS + 1],
    /// Descriptors by number.
    pub(crate) fds: [Fd; FD_SLOTS],
    /// Threads.
    pub(crate) threads: [Thread; THREAD_SLOTS],
    /// Process creations.
    pub(crate) spawns: [Spawn; SPAWN_SLOTS],
    /// Port pairs closed by this side first.
    pub(crate) pairs: [Pair; PAIR_SLOTS],
    /// Modules.
    pub(crate) modules: [Module; MODULES],
    /// Stacks by their hash: the slot of the one that has its place here, 0 for none.
    pub(crate) stack_index: [AtomicU32; STACK_PLACES],
    /// Creation stacks, in order of their first use, so that few pages are touched; slot 0 is never used, so
    /// 0 means "no stack".
    pub(crate) stacks: [Stack; STACKS],
    /// Entries ever made, by kind.
    pub(crate) entries_made: [AtomicU32; ENTRY_KINDS],
    /// Entries forgotten again, by kind.
    pub(crate) entries_gone: [AtomicU32; ENTRY_KINDS],
    /// Entries that found no room, by kind.
    pub(crate) entries_dropped: [AtomicU32; ENTRY_KINDS],
    /// Orders mappings in time: a later one has taken the place of an earlier one.
    pub(crate) sequence: AtomicU64,
    /// Number of `entry_index` entries written.
    pub(crate) entry_next: AtomicU32,
    /// The used slots of `entries`, in order of their first use.
    pub(crate) entry_index: [AtomicU32; ENTRIES],
    /// Entries, found by their key.
    pub(crate) entries: [Entry; ENTRIES],
    /// How many blocks of `blocks` have their address in each bucket.
    pub(crate) tracked: [AtomicU8; BUCKETS],
    /// Live heap blocks that are tracked, in the order of their buckets where each is.
    pub(crate) blocks: [[Block; BUCKET_BLOCKS]; BUCKETS],
}

/// Cumulative heap totals of one thread: written by that thread alone with plain loads and stores,
/// so a reader's sum may lack the call in flight. A dead thread's shard stays.
#[repr(C, align(64))]
pub(crate) struct Shard {
    /// The thread pointer that owns the shard, 0 for a free one.
    pub(crate) owner: AtomicUsize,
    /// Blocks handed out.
    pub(crate) allocs: AtomicU64,
    /// Usable bytes handed out.
    pub(crate) alloc_bytes: AtomicU64,
    /// Blocks taken back.
    pub(crate) frees: AtomicU64,
    /// Usable bytes taken back.
    pub(crate) free_bytes: AtomicU64,
    /// Where blocks are sampled: the value of `alloc_bytes` up to which none holds a mark.
    pub(crate) unmarked: AtomicU64,
    /// Creation stack of the thread that owns the shard now; 0 for the first thread.
    pub(crate) creation: AtomicU32,
}

/// One descriptor number.
#[repr(C)]
pub(crate) struct Fd {
    /// `KIND_*`; 0 for a closed one.
    pub(crate) kind: AtomicU32,
    /// Creation stack.
    pub(crate) stack: AtomicU32,
    /// Inode of what it referred to when it was made, 0 where no stack was taken; the kernel must agree
    /// before the stack is believed.
    pub(crate) inode: AtomicU64,
    /// Round of its birth.
    pub(crate) round: AtomicU32,
    /// Sample of its birth.
    pub(crate) sample: AtomicU32,
    /// TCP: 0 not connected, 1 connect, 2 accept.
    pub(crate) role: AtomicU32,
    /// Stack of the connect or accept.
    pub(crate) role_stack: AtomicU32,
}

/// A descriptor made by a call whose kind is told by the kernel (dup, SCM_RIGHTS).
pub(crate) const KIND_ANY: u32 = 1;
/// open and relatives.
pub(crate) const KIND_FILE: u32 = 2;
/// socket, socketpair, accept.
pub(crate) const KIND_SOCKET: u32 = 3;
/// pipe.
pub(crate) const KIND_PIPE: u32 = 4;
/// eventfd, epoll, timerfd, signalfd, inotify, pidfd: the kernel's anonymous inodes.
pub(crate) const KIND_ANON: u32 = 5;
/// memfd.
pub(crate) const KIND_MEMFD: u32 = 6;

/// The socket connected.
pub(crate) const ROLE_CONNECT: u32 = 1;
/// The socket was accepted.
pub(crate) const ROLE_ACCEPT: u32 = 2;

/// One thread made by `pthread_create`.
#[repr(C)]
pub(crate) struct Thread {
    /// 0 free, 1 being made, 2 alive.
    pub(crate) state: AtomicU32,
    /// Thread id.
    pub(crate) tid: AtomicU32,
    /// Creation stack.
    pub(crate) stack: AtomicU32,
    /// Round of its birth.
    pub(crate) round: AtomicU32,
    /// Sample of its birth.
    pub(crate) sample: AtomicU32,
    /// Keeps `start` aligned.
    pub(crate) reserved: AtomicU32,
    /// The program's start routine.
    pub(crate) start: AtomicUsize,
    /// Its argument.
    pub(crate) argument: AtomicUsize,
}

/// One process made by fork or posix_spawn.
#[repr(C)]
pub(crate) struct Spawn {
    /// Process id; 0 while being written.
    pub(crate) pid: AtomicU32,
    /// Creation stack.
    pub(crate) stack: AtomicU32,
    /// Round of its birth.
    pub(crate) round: AtomicU32,
    /// Sample of its birth.
    pub(crate) sample: AtomicU32,
}

/// One TCP connection that this process closed first.
#[repr(C)]
pub(crate) struct Pair {
    /// 1 when written.
    pub(crate) ready: AtomicU32,
    /// Stack of the connect or accept.
    pub(crate) stack: AtomicU32,
    /// Round of the close.
    pub(crate) round: AtomicU32,
    /// `ROLE_*`.
    pub(crate) role: AtomicU32,
    /// Ports in host order.
    pub(crate) local_port: AtomicU16,
    /// Ports in host order.
    pub(crate) remote_port: AtomicU16,
    /// `AF_INET` or `AF_INET6`.
    pub(crate) family: AtomicU32,
}

/// One module, written when a stack meets it first.
#[repr(C)]
pub(crate) struct Module {
    /// First mapped address.
    pub(crate) start: AtomicUsize,
    /// One past the last.
    pub(crate) end: AtomicUsize,
    /// What to subtract from an address for the one in the file.
    pub(crate) bias: AtomicUsize,
    /// Path; empty for the main program.
    pub(crate) path: Text<MODULE_PATH>,
}

/// One creation stack.
#[repr(C)]
pub(crate) struct Stack {
    /// Hash of the frames, 0 for a free slot.
    pub(crate) hash: AtomicU64,
    /// Number of frames, written last.
    pub(crate) len: AtomicU32,
    /// Descriptors ever made here.
    pub(crate) fds_made: AtomicU32,
    /// Descriptors made here and closed since.
    pub(crate) fds_closed: AtomicU32,
    /// Creation stack of the thread that this one was taken on, 0 for the first thread: where it goes
    /// on, across the thread's start.
    pub(crate) parent: AtomicU32,
    /// Heap blocks made here, where they get stacks: an estimate where they are sampled, as are the next two.
    pub(crate) blocks_made: AtomicU64,
    /// Those of them that were freed since.
    pub(crate) blocks_freed: AtomicU64,
    /// Bytes made here and not freed.
    pub(crate) bytes_live: AtomicU64,
    /// Return addresses, innermost first.
    pub(crate) frames: [AtomicUsize; FRAMES],
}

/// Something that was made, taken or changed, and is known by a name or number of its own. The kernel
/// tells whether it still is so; the entry tells where and when it came to be.
#[repr(C)]
pub(crate) struct Entry {
    /// [`entry_key`]; 0 free, 1 forgotten, 2 being written.
    pub(crate) key: AtomicU64,
    /// Stack of the last call that made it so.
    pub(crate) stack: AtomicU32,
    /// Round of that call.
    pub(crate) round: AtomicU32,
    /// By kind: length of a mapping, descriptor of a lock or watch, value that was set.
    pub(crate) value: AtomicU64,
    /// By kind: when a mapping was made, where a lock starts, watch number, value before the first change.
    pub(crate) before: AtomicU64,
    /// By kind: path, or name of a variable.
    pub(crate) text: Text<ENTRY_TEXT>,
}

/// A mapping by its address: `value` is its length, `before` its place in the order.
pub(crate) const ENTRY_MAPPING: u32 = 1;
/// A path that was created, by its hash.
pub(crate) const ENTRY_PATH: u32 = 2;
/// An inotify watch: `value` is the descriptor, `before` the watch's number, the text its path.
pub(crate) const ENTRY_WATCH: u32 = 3;
/// A lock of flock(2): `value` is the descriptor.
pub(crate) const ENTRY_FLOCK: u32 = 4;
/// A record lock of fcntl(2): `value` is the descriptor, `before` where it starts.
pub(crate) const ENTRY_POSIX_LOCK: u32 = 5;
/// An open file description lock of fcntl(2), likewise.
pub(crate) const ENTRY_OFD_LOCK: u32 = 6;
/// A System V shared memory segment by its id.
pub(crate) const ENTRY_SYSV_SHM: u32 = 7;
/// An environment variable, by the hash of its name: `value` and `before` are hashes of its values.
pub(crate) const ENTRY_ENV: u32 = 8;
/// The handler of a signal: `value` and `before` are the functions.
pub(crate) const ENTRY_HANDLER: u32 = 9;
/// A signal that was blocked or unblocked on the body's thread.
pub(crate) const ENTRY_MASK: u32 = 10;
/// The working directory.
pub(crate) const ENTRY_CWD: u32 = 11;
/// The umask.
pub(crate) const ENTRY_UMASK: u32 = 12;
/// A resource limit by its number.
pub(crate) const ENTRY_RLIMIT: u32 = 13;
/// Kinds, and one that is none.
pub(crate) const ENTRY_KINDS: usize = 14;

/// An entry's key: its kind in the top byte, which is never 0, and 56 bits of what identifies it.
#[inline]
pub(crate) const fn entry_key(kind: u32, identity: u64) -> u64 {
    (kind as u64) << 56 | identity & ((1 << 56) - 1)
}

/// The hash by which a text is an entry's identity (FNV-1a), continued from `hash`.
#[inline]
pub(crate) fn text_hash(hash: u64, text: &[u8]) -> u64 {
    text.iter().fold(hash, |hash, byte| (hash ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Where [`text_hash`] begins.
pub(crate) const TEXT_HASH: u64 = 0xcbf2_9ce4_8422_2325;

/// One live heap block, and what it stands for: itself, or more where blocks are sampled.
#[repr(C)]
pub(crate) struct Block {
    /// Address; 0 free, 1 being written; with [`BLOCK_MOVING`] of a block that is being reallocated.
    pub(crate) address: AtomicUsize,
    /// How many usable bytes.
    pub(crate) bytes: AtomicU64,
    /// How many blocks.
    pub(crate) blocks: AtomicU32,
    /// Creation stack; 0 for one that was made before the first round.
    pub(crate) stack: AtomicU32,
    /// Round of its birth.
    pub(crate) round: AtomicU32,
    /// Keeps `address` aligned.
    pub(crate) reserved: AtomicU32,
}

/// Marks the address of a block that realloc may be giving back just now: another thread may be given the same
/// address before we hear of it. Blocks begin at even addresses.
pub(crate) const BLOCK_MOVING: usize = 1;

/// The bucket of an address: neighbours in memory are neighbours in the table, so that tracking a
/// heap touches few pages.
#[inline]
pub(crate) const fn bucket(address: usize) -> usize {
    (address >> 8) & (BUCKETS - 1)
}

/// A hash of return addresses, and of the stack they go on in, that is never 0 (FNV-1a over words).
#[inline]
pub(crate) fn stack_hash(frames: &[usize], parent: u32) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ parent as u64;
    for &frame in frames {
        hash = (hash ^ frame as u64).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^= hash >> 29;
    }
    hash | 1
}
