//! What a process holds, read from outside: the harness's fast tier against listing everything.
//!
//! The harness's probes are private, so the same reads are done again here: `probe/fd.rs`,
//! `probe/thread.rs`, `probe/memory.rs`, `probe/time_wait.rs` and `RegionMap::heap`.

mod in_turn;
mod preload;

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufRead as _, BufReader};
use std::mem::offset_of;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use memmap2::{MmapOptions, MmapRaw};
use procfs::net::TcpState;

use in_turn::{Way, in_turn};
use preload::table::{Region, SHARDS, Shard};
use preload::{Agent, Table};

const DESCRIPTORS: [usize; 2] = [10, 1000];

/// A preloaded process that holds descriptors until it is dropped.
struct Subject<'a> {
    child: Child,
    shards: MmapRaw,
    _table: Table<'a>,
}

impl<'a> Subject<'a> {
    #[expect(clippy::disallowed_methods, reason = "ended and reaped on drop")]
    fn start(agent: &'a Agent, descriptors: usize) -> Self {
        let table = agent.table(0);
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench-agent-worker"));
        command.args(["hold", &descriptors.to_string()]).stdin(Stdio::piped());
        command.stdout(Stdio::piped());
        table.preload(&mut command);
        let mut child = command.spawn().expect("the subject starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("its line");
        assert_eq!(line.trim().parse(), Ok(descriptors), "all descriptors are open");
        let region =
            File::options().read(true).write(true).open(table.region()).expect("the region");
        let shards = MmapOptions::new()
            .len(offset_of!(Region, shards) + (SHARDS + 1) * size_of::<Shard>())
            .map_raw(&region)
            .expect("the region maps");
        Self { child, shards, _table: table }
    }

    /// Live heap blocks and bytes over all threads.
    fn heap(&self) -> (u64, u64) {
        // SAFETY: the mapping covers the shards, is aligned to a page, and lives as long as `self`; a
        // shard is made of atomics, valid in every bit pattern.
        let shards: &[Shard] = unsafe {
            let first = self.shards.as_ptr().add(offset_of!(Region, shards));
            std::slice::from_raw_parts(first.cast(), SHARDS + 1)
        };
        shards.iter().fold((0_u64, 0_u64), |(blocks, bytes), shard| {
            let live = shard.allocs.load(Relaxed).wrapping_sub(shard.frees.load(Relaxed));
            let size = shard.alloc_bytes.load(Relaxed).wrapping_sub(shard.free_bytes.load(Relaxed));
            (blocks.wrapping_add(live), bytes.wrapping_add(size))
        })
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
    resident_kilobytes: u64,
    time_wait: u64,
}

/// The number after `name` in a text of kernel lines.
fn number(text: &str, line: &str, name: &str) -> u64 {
    let line = text.lines().find(|found| found.starts_with(line)).unwrap_or_default();
    let mut words = line.split_ascii_whitespace().skip_while(|word| *word != name).skip(1);
    words.next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn read(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).expect("the subject is there")
}

/// As the harness reads them.
fn fast(pid: u32) -> Counts {
    let size = |name: &str| fs::metadata(format!("/proc/{pid}/{name}")).expect("it is there");
    Counts {
        // Since Linux 6.2; before, the harness lists.
        fds: size("fd").size(),
        threads: size("task").nlink() - 2,
        resident_kilobytes: number(&read(pid, "status"), "VmRSS:", "VmRSS:"),
        time_wait: number(&read(pid, "net/sockstat"), "TCP:", "tw"),
    }
}

/// Counting entries instead of asking for their number.
fn listed(pid: u32) -> Counts {
    let entries = |name: &str| {
        fs::read_dir(format!("/proc/{pid}/{name}")).expect("it is there").count() as u64
    };
    Counts { fds: entries("fd"), threads: entries("task"), ..fast(pid) }
}

/// The crate `procfs`, each descriptor with its target.
fn procfs(pid: u32) -> Counts {
    let process = procfs::process::Process::new(pid as i32).expect("it is there");
    Counts {
        fds: process.fd().expect("its descriptors").filter_map(Result::ok).count() as u64,
        threads: process.tasks().expect("its threads").count() as u64,
        resident_kilobytes: process.status().expect("its status").vmrss.unwrap_or_default(),
        time_wait: number(&read(pid, "net/sockstat"), "TCP:", "tw"),
    }
}

/// The same, and TIME_WAIT from the tables of connections, which the kernel walks bucket by bucket.
fn procfs_with_tables(pid: u32) -> Counts {
    let process = procfs::process::Process::new(pid as i32).expect("it is there");
    let mut tcp = process.tcp().expect("its network");
    tcp.extend(process.tcp6().unwrap_or_default());
    let time_wait = tcp.iter().filter(|entry| entry.state == TcpState::TimeWait).count() as u64;
    Counts { time_wait, ..procfs(pid) }
}

fn timed<T>(iterations: u64, mut work: impl FnMut() -> T) -> Duration {
    let begun = Instant::now();
    for _ in 0..iterations {
        black_box(work());
    }
    begun.elapsed()
}

fn snapshot(criterion: &mut Criterion) {
    let agent = Agent::find();
    let mut group = criterion.benchmark_group("snapshot");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    for descriptors in DESCRIPTORS {
        let subject = Subject::start(&agent, descriptors);
        let pid = subject.child.id();
        assert_eq!(fast(pid).fds, listed(pid).fds, "two ways to count agree");
        assert_eq!(fast(pid).fds, procfs(pid).fds, "three ways to count agree");
        assert!(subject.heap().0 > 0, "the agent counts");
        in_turn(
            &mut group,
            &format!("{descriptors} descriptors"),
            vec![
                Way::new("fast tier", |iterations| {
                    timed(iterations, || (fast(pid), subject.heap()))
                }),
                Way::new("of it, the table's counters", |iterations| {
                    timed(iterations, || subject.heap())
                }),
                Way::new("listing", |iterations| {
                    timed(iterations, || (listed(pid), subject.heap()))
                }),
                Way::new("procfs", |iterations| {
                    timed(iterations, || (procfs(pid), subject.heap()))
                }),
                Way::new("procfs, tables of connections", |iterations| {
                    timed(iterations, || (procfs_with_tables(pid), subject.heap()))
                }),
            ],
        );
    }
    group.finish();
}

criterion_group!(benches, snapshot);
criterion_main!(benches);
