//! What a process holds, read from outside, by the harness's own probes: the fast tier (how many), the full
//! tier (which), and which port pairs wait, each next to the crate `procfs`, which reads the same from texts.
//!
//! The full tier is read of a process with 10,000 descriptors in a network of its own with 28,000 port pairs
//! in TIME_WAIT. Where no such network may be made, that part is left out, and says so.

mod in_turn;
mod preload;
#[expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the harness and its tests use the rest"
)]
mod probe;

use std::collections::HashSet;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader};
use std::mem::offset_of;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group, criterion_main};
use memmap2::{MmapOptions, MmapRaw};
use procfs::net::TcpState;
use procfs::process::LimitValue;

use in_turn::{Way, in_turn};
use preload::table::{Region, SHARDS, Shard};
use preload::{Agent, Table};

/// The fast tier costs the same whatever a process holds.
const FAST: [usize; 3] = [10, 1000, 10_000];
/// The full tier's target: this many descriptors and waiting port pairs in 50 ms.
const FULL: (usize, usize) = (10_000, 28_000);
/// Looked at from outside, once a second: 100 descriptors in less than 5 ms, 0.5 % of a core.
const WATCHED: [usize; 3] = [10, 100, 1000];
/// Port pairs of the trial's own that are looked for among those that wait.
const NOTED: usize = 100;

/// A preloaded process that holds descriptors until it is dropped.
struct Subject<'a> {
    child: Child,
    shards: MmapRaw,
    _table: Table<'a>,
}

impl<'a> Subject<'a> {
    #[expect(clippy::disallowed_methods, reason = "ended and reaped on drop")]
    fn start(agent: &'a Agent, descriptors: usize, pairs: usize) -> Option<Self> {
        let table = agent.table((0, 0));
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench-agent-worker"));
        command.args(["hold", &descriptors.to_string(), &pairs.to_string()]);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped());
        table.preload(&mut command);
        let mut child = command.spawn().expect("the subject starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("its line");
        if line.is_empty() {
            // Its reason is on stderr.
            let _ = child.wait();
            return None;
        }
        assert_eq!(line.trim(), format!("{descriptors} {pairs}"), "it holds what it was asked for");
        let region =
            File::options().read(true).write(true).open(table.region()).expect("the region");
        let shards = MmapOptions::new()
            .len(offset_of!(Region, shards) + (SHARDS + 1) * size_of::<Shard>())
            .map_raw(&region)
            .expect("the region maps");
        Some(Self { child, shards, _table: table })
    }

    /// Live heap blocks and bytes over all threads: as `RegionMap::heap`, which is the harness's own.
    fn heap(&self) -> (u64, u64) {
        // SAFETY: the mapping covers the region up to the end of the shards, is aligned to a page, and lives
        // as long as `self`; both are made of atomics, valid in every bit pattern.
        let (used, shards): (&[AtomicU64], &[Shard]) = unsafe {
            let at = |offset: usize| self.shards.as_ptr().add(offset);
            (
                std::slice::from_raw_parts(at(offset_of!(Region, shards_used)).cast(), SHARDS / 64),
                std::slice::from_raw_parts(at(offset_of!(Region, shards)).cast(), SHARDS),
            )
        };
        let mut live = (0_u64, 0_u64);
        for (word, bits) in used.iter().map(|word| word.load(Relaxed)).enumerate() {
            for bit in (0..64).filter(|bit| bits >> bit & 1 == 1) {
                let shard = &shards[word * 64 + bit];
                let less = |all: &AtomicU64, gone: &AtomicU64| {
                    all.load(Relaxed).wrapping_sub(gone.load(Relaxed))
                };
                live.0 = live.0.wrapping_add(less(&shard.allocs, &shard.frees));
                live.1 = live.1.wrapping_add(less(&shard.alloc_bytes, &shard.free_bytes));
            }
        }
        live
    }
}

impl Drop for Subject<'_> {
    fn drop(&mut self) {
        // Closing its input ends it; waiting for a child of ours cannot fail in a way that matters.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Every number of the fast tier.
#[derive(Debug, PartialEq)]
struct Counts {
    fds: u64,
    threads: u64,
    resident: u64,
    time_wait: u64,
    /// Soft limit on descriptors; the harness reads all limits, the directory, and the masks of `status`.
    fd_limit: Option<u64>,
    /// Locks of the whole machine, of which the harness keeps the subject's.
    locks: usize,
}

/// RLIMIT_NOFILE.
const FD_LIMIT: usize = 7;

/// As the harness reads them (`snapshot.rs`, `Counts::read`), of a process with no mapping, lock or watch of
/// its own: those are asked for one by one.
fn fast(pid: u32) -> Counts {
    let status = probe::memory::status(pid).expect("its status");
    let state = probe::state::state(pid, &status);
    Counts {
        fds: probe::fd::count(pid).expect("its descriptors"),
        threads: probe::thread::count(pid).expect("its threads"),
        resident: probe::memory::resident_in(&status).expect("its memory").now,
        time_wait: probe::time_wait::count_private(pid).expect("its network"),
        fd_limit: state.limits[FD_LIMIT].map(|(soft, _)| soft),
        locks: probe::read("/proc/locks").expect("the machine's locks").lines().count(),
    }
}

/// The crate `procfs`: each descriptor with its target, TIME_WAIT from the tables of connections.
fn procfs_counts(pid: u32) -> Counts {
    let process = procfs::process::Process::new(pid as i32).expect("it is there");
    Counts {
        fds: process.fd().expect("its descriptors").filter_map(Result::ok).count() as u64,
        threads: process.tasks().expect("its threads").count() as u64,
        resident: process.status().expect("its status").vmrss.unwrap_or_default() * 1024,
        time_wait: procfs_waiting(pid).len() as u64,
        fd_limit: match process.limits().expect("its limits").max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        },
        locks: procfs::locks().expect("the machine's locks").len(),
    }
}

/// (local, remote) ports in TIME_WAIT from the texts.
fn procfs_waiting(pid: u32) -> HashSet<(u16, u16)> {
    let process = procfs::process::Process::new(pid as i32).expect("it is there");
    let mut tcp = process.tcp().expect("its network");
    tcp.extend(process.tcp6().unwrap_or_default());
    let waiting = tcp.iter().filter(|entry| entry.state == TcpState::TimeWait);
    waiting.map(|entry| (entry.local_address.port(), entry.remote_address.port())).collect()
}

/// As the harness reads it (`snapshot.rs`, `Inventory::read`): descriptors, threads, sockets by inode.
fn full(pid: u32) -> (usize, usize, usize) {
    let fds = probe::fd::list(pid).expect("its descriptors");
    let sockets = probe::socket::table(pid, probe::fd::socket_inodes(&fds));
    let threads = probe::thread::list(pid).expect("its threads");
    let of_its_own = fds.iter().filter(|fd| sockets.contains_key(&fd.inode)).count();
    (fds.len(), threads.len(), of_its_own)
}

/// The same by the crate `procfs`.
fn procfs_full(pid: u32) -> (usize, usize, usize) {
    use procfs::process::FDTarget;
    let process = procfs::process::Process::new(pid as i32).expect("it is there");
    let mut inodes = HashSet::new();
    let mut inet = |entries: Vec<u64>| inodes.extend(entries);
    for tcp in [process.tcp(), process.tcp6()] {
        inet(tcp.unwrap_or_default().into_iter().map(|entry| entry.inode).collect());
    }
    for udp in [process.udp(), process.udp6()] {
        inet(udp.unwrap_or_default().into_iter().map(|entry| entry.inode).collect());
    }
    inet(process.unix().unwrap_or_default().into_iter().map(|entry| entry.inode).collect());
    let fds: Vec<_> = process.fd().expect("its descriptors").filter_map(Result::ok).collect();
    let is_known =
        |target: &FDTarget| matches!(target, FDTarget::Socket(inode) if inodes.contains(inode));
    let of_its_own = fds.iter().filter(|fd| is_known(&fd.target)).count();
    (fds.len(), process.tasks().expect("its threads").count(), of_its_own)
}

fn timed<T>(iterations: u64, mut work: impl FnMut() -> T) -> Duration {
    let begun = Instant::now();
    for _ in 0..iterations {
        black_box(work());
    }
    begun.elapsed()
}

/// As `watertight::outside` reads a process every second, next to the descriptors' list alone. The part of a
/// core at one snapshot a second is the time divided by a second.
fn outside(group: &mut BenchmarkGroup<'_, WallTime>, agent: &Agent) {
    for descriptors in WATCHED {
        let held = Subject::start(agent, descriptors, 0).expect("the subject starts");
        let pid = held.child.id();
        let subject = || watertight::outside::Subject::open(pid).expect("it runs");
        let (mut whole, mut due) = (subject(), subject());
        assert_eq!(due.snapshot().descriptors.ok(), Some(procfs_counts(pid).fds));
        in_turn(
            group,
            &format!("from outside, {descriptors} descriptors"),
            vec![
                Way::new("all of it", |iterations| timed(iterations, || whole.snapshot_whole())),
                Way::new("what is never left out", |iterations| {
                    timed(iterations, || due.snapshot())
                }),
                Way::new("of it, the descriptors", |iterations| {
                    timed(iterations, || probe::fd::list(pid))
                }),
            ],
        );
    }
}

fn snapshot(criterion: &mut Criterion) {
    let agent = Agent::find();
    let mut group = criterion.benchmark_group("snapshot");
    group
        .sample_size(20)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    for descriptors in FAST {
        let subject = Subject::start(&agent, descriptors, 0).expect("the subject starts");
        let pid = subject.child.id();
        assert_eq!(fast(pid).fds, procfs_counts(pid).fds, "two ways to count agree");
        assert!(subject.heap().0 > 0, "the agent counts");
        in_turn(
            &mut group,
            &format!("fast tier, {descriptors} descriptors"),
            vec![
                Way::new("harness", |iterations| timed(iterations, || (fast(pid), subject.heap()))),
                Way::new("of it, the table's counters", |iterations| {
                    timed(iterations, || subject.heap())
                }),
                Way::new("procfs", |iterations| timed(iterations, || procfs_counts(pid))),
            ],
        );
    }
    outside(&mut group, &agent);
    let (descriptors, pairs) = FULL;
    let Some(subject) = Subject::start(&agent, descriptors, pairs) else {
        eprintln!("the full tier is left out: no private network");
        return;
    };
    let pid = subject.child.id();
    assert_eq!(fast(pid).time_wait, pairs as u64, "all pairs wait");
    assert_eq!(full(pid), procfs_full(pid), "two ways to list agree");
    in_turn(
        &mut group,
        &format!("full tier, {descriptors} descriptors, {pairs} pairs in TIME_WAIT"),
        vec![
            Way::new("harness", |iterations| timed(iterations, || full(pid))),
            Way::new("of it, the descriptors", |iterations| {
                timed(iterations, || probe::fd::list(pid))
            }),
            Way::new("procfs", |iterations| timed(iterations, || procfs_full(pid))),
        ],
    );
    // Not in turn with what takes a thousand times as long and leaves the caches cold.
    in_turn(
        &mut group,
        &format!("fast tier, {descriptors} descriptors, {pairs} pairs in TIME_WAIT"),
        vec![Way::new("harness", |iterations| timed(iterations, || (fast(pid), subject.heap())))],
    );
    let mut noted: Vec<(u16, u16)> = procfs_waiting(pid).into_iter().collect();
    noted.truncate(NOTED);
    assert_eq!(probe::time_wait::confirmed(pid, &noted).len(), noted.len(), "all of them wait");
    in_turn(
        &mut group,
        &format!("{NOTED} pairs confirmed among {pairs} in TIME_WAIT"),
        vec![
            Way::new("harness", |iterations| {
                timed(iterations, || probe::time_wait::confirmed(pid, &noted))
            }),
            Way::new("procfs", |iterations| timed(iterations, || procfs_waiting(pid))),
        ],
    );
    group.finish();
}

criterion_group!(benches, snapshot);
criterion_main!(benches);
