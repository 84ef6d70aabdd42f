//! What the benches `agent` and `snapshot` preload: a process that does one thing many times, or waits.
//!
//! - `bench-agent-worker malloc|hot|open|insert N [THREADS]`: each thread does it N times; prints nanoseconds each.
//! - `bench-agent-worker hold N [PAIRS]`: opens N descriptors and leaves PAIRS port pairs in TIME_WAIT, prints
//!   both numbers, and waits for the end of its input. With pairs it does so in a network of its own.

use std::fs::File;
use std::hint::black_box;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use rusqlite::Connection;
use tempfile::TempDir;

#[path = "../../../harness/src/namespace.rs"]
mod namespace;

/// Frames below the loop: about what a test's body has below it when it opens something.
const DEPTH: usize = 16;
/// Parts that the work is timed in. The fastest counts: what disturbs a part only ever adds to it.
const PARTS: usize = 10;
/// Blocks alive at one time.
const LIVE: usize = 1000;

/// Does the work that many times; gives the processor time it took.
type Work = fn(usize) -> Result<Duration>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).map(|text| text.parse::<usize>()).transpose();
    let what =
        arguments.first().context("usage: bench-agent-worker malloc|hot|open|insert|hold N [M]")?;
    let count = number(1)?.context("how many?")?;
    let more = number(2)?;
    let work: Work = match what.as_str() {
        "malloc" => mixed,
        "hot" => hot,
        "open" => open,
        "insert" => insert,
        "hold" => return hold(count, more.unwrap_or(0)),
        other => bail!("nothing is called {other:?}"),
    };
    let part = (count / PARTS).next_multiple_of(LIVE);
    let threads = more.unwrap_or(1);
    let slowest = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| fastest(work, part))).collect();
        let times =
            workers.into_iter().map(|worker| worker.join().expect("a worker does not panic"));
        times.collect::<Result<Vec<Duration>>>()
    })?;
    let slowest = slowest.into_iter().max().context("no thread")?;
    println!("{}", slowest.as_secs_f64() * 1e9 / part as f64);
    Ok(())
}

/// The fastest of all parts.
fn fastest(work: Work, part: usize) -> Result<Duration> {
    let mut fastest = Ok(Duration::MAX);
    at_depth(DEPTH, &mut || {
        let times = (0..PARTS).map(|_| work(part));
        fastest = times
            .collect::<Result<Vec<Duration>>>()
            .map(|times| times.into_iter().min().unwrap_or(Duration::MAX));
    });
    fastest
}

/// Calls `work` below `depth` frames of its own.
#[inline(never)]
fn at_depth(depth: usize, work: &mut dyn FnMut()) {
    match black_box(depth) {
        0 => work(),
        depth => at_depth(depth - 1, work),
    }
    // Keeps the call above from becoming a jump.
    black_box(depth);
}

/// Processor time of this thread, the kernel's for it included: what others run beside us is not in it.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// malloc and free of mixed sizes, a thousand blocks alive at a time.
fn mixed(count: usize) -> Result<Duration> {
    let mut blocks = [std::ptr::null_mut::<libc::c_void>(); LIVE];
    let begun = spent();
    for _ in 0..count / LIVE {
        for (number, block) in blocks.iter_mut().enumerate() {
            // SAFETY: any size may be asked for; a null is fine to free.
            *block = black_box(unsafe { libc::malloc(16 + number * 37 % 2000) });
        }
        for block in &mut blocks {
            // SAFETY: each was made in the loop above and is freed once.
            unsafe { libc::free(black_box(*block)) };
        }
    }
    Ok(spent() - begun)
}

/// malloc and free at once: the shortest way through the allocator, its thread cache.
fn hot(count: usize) -> Result<Duration> {
    let begun = spent();
    for number in 0..count {
        // SAFETY: the block is freed at once and never looked into.
        unsafe { libc::free(black_box(libc::malloc(64 + (number & 63)))) };
    }
    Ok(spent() - begun)
}

/// open and close of a file that costs nothing to open.
fn open(count: usize) -> Result<Duration> {
    let begun = spent();
    for _ in 0..count {
        drop(black_box(File::open("/dev/null")?));
    }
    Ok(spent() - begun)
}

/// Rows into a database of this thread's own, each in a transaction of its own, with a write-ahead log.
fn insert(count: usize) -> Result<Duration> {
    let directory = TempDir::new()?;
    #[expect(clippy::disallowed_methods, reason = "a database of the bench, no tracker's")]
    let connection = Connection::open(directory.path().join("rows.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE row (id INTEGER PRIMARY KEY, text TEXT)",
    )?;
    let mut statement = connection.prepare("INSERT INTO row (text) VALUES (?1)")?;
    let begun = spent();
    for number in 0..count {
        statement.execute([format!("row {number}")])?;
    }
    Ok(spent() - begun)
}

/// A third each of files, pipes and sockets.
enum Held {
    File { _file: File },
    Pipe { _ends: (std::io::PipeReader, std::io::PipeWriter) },
    Sockets { _ends: (UnixStream, UnixStream) },
}

fn hold(count: usize, pairs: usize) -> Result<()> {
    /// Those that every process has, and some to spare.
    const OTHERS: u64 = 64;
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(count as u64 + OTHERS <= limit, "the hard limit of {limit} descriptors is too low");
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
    if pairs > 0 {
        namespace::enter().context("a private network")?;
        wait_in(pairs)?;
    }
    let mut held = Vec::new();
    let mut open = 0;
    while open < count {
        let (next, more) = match held.len() % 5 {
            _ if count - open == 1 => (Held::File { _file: File::open("/dev/null")? }, 1),
            0 => (Held::Pipe { _ends: std::io::pipe()? }, 2),
            1 => (Held::Sockets { _ends: UnixStream::pair()? }, 2),
            _ => (Held::File { _file: File::open("/dev/null")? }, 1),
        };
        held.push(next);
        open += more;
    }
    println!("{open} {pairs}");
    // Whoever started us closes the pipe, or is gone: either way it ends.
    let _ = std::io::stdin().read(&mut [0]);
    Ok(())
}

/// Makes and closes as many connections: the side that closes first keeps its port pair for a minute.
fn wait_in(pairs: usize) -> Result<()> {
    /// Fewer than a listener has ports to be reached from (ip_local_port_range).
    const EACH: usize = 20_000;
    let mut made = 0;
    while made < pairs {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        for _ in 0..EACH.min(pairs - made) {
            let client = TcpStream::connect(listener.local_addr()?)?;
            let (server, _) = listener.accept()?;
            drop(client);
            drop(server);
            made += 1;
        }
    }
    Ok(())
}
