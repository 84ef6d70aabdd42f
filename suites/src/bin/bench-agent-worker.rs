//! What the benches `agent` and `snapshot` preload: a process that does one thing many times, or waits.
//!
//! - `bench-agent-worker malloc|hot|open N`: does it N times and prints nanoseconds each.
//! - `bench-agent-worker hold N`: opens N descriptors, prints a line, and waits for the end of its input.

use std::fs::File;
use std::hint::black_box;
use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Frames below the loop: about what a test's body has below it when it opens something.
const DEPTH: usize = 16;
/// Parts that the work is timed in. The fastest counts: what disturbs a part only ever adds to it.
const PARTS: usize = 10;
/// Blocks alive at one time.
const LIVE: usize = 1000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, count] = arguments.as_slice() else { return usage() };
    let Ok(count) = count.parse::<usize>() else { return usage() };
    let work: fn(usize) -> Duration = match what.as_str() {
        "malloc" => mixed,
        "hot" => hot,
        "open" => open,
        "hold" => {
            hold(count);
            return ExitCode::SUCCESS;
        }
        _ => return usage(),
    };
    let part = (count / PARTS).next_multiple_of(LIVE);
    let mut fastest = Duration::MAX;
    at_depth(DEPTH, &mut || {
        for _ in 0..PARTS {
            fastest = fastest.min(work(part));
        }
    });
    println!("{}", fastest.as_secs_f64() * 1e9 / part as f64);
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: bench-agent-worker malloc|hot|open|hold N");
    ExitCode::from(2)
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
fn mixed(count: usize) -> Duration {
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
    spent() - begun
}

/// malloc and free at once: the shortest way through the allocator, its thread cache.
fn hot(count: usize) -> Duration {
    let begun = spent();
    for number in 0..count {
        // SAFETY: the block is freed at once and never looked into.
        unsafe { libc::free(black_box(libc::malloc(64 + (number & 63)))) };
    }
    spent() - begun
}

/// open and close of a file that costs nothing to open.
fn open(count: usize) -> Duration {
    let begun = spent();
    for _ in 0..count {
        drop(black_box(File::open("/dev/null")));
    }
    spent() - begun
}

fn hold(count: usize) {
    let held: Vec<File> = (0..count).filter_map(|_| File::open("/dev/null").ok()).collect();
    println!("{}", held.len());
    // Whoever started us closes the pipe, or is gone: either way it ends.
    let _ = std::io::stdin().read(&mut [0]);
}
