//! Cases that keep known blocks, made in every way that there is. Each counts its own in a gauge, by
//! malloc_usable_size(3). Run by `tests/heap.rs`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread::Builder;

use watertight::{Case, Context, Failed, Suite};

/// Small and large classes of glibc's malloc, and blocks that it maps by themselves.
const SIZES: [usize; 8] = [1, 24, 25, 100, 1000, 5000, 200_000, 4 << 20];
/// Threads that are alive at one time: some meet in the same home shard.
const THREADS: usize = 200;
/// So small that the C library keeps the stacks of all of them for the next round, and what belongs to each.
const STACK_BYTES: usize = 64 * 1024;

/// Where kept blocks are remembered without allocating.
static KEPT: [AtomicPtr<libc::c_void>; 4096] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; 4096];
static NEXT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);
static BLOCKS: AtomicI64 = AtomicI64::new(0);

fn main() -> ExitCode {
    watertight::gauge("kept_bytes", || BYTES.load(SeqCst));
    watertight::gauge("kept_blocks", || BLOCKS.load(SeqCst));
    let case = |name: &str, body: fn(&Context) -> Result<(), Failed>| {
        Case::new(name, body).package(env!("CARGO_MANIFEST_DIR"))
    };
    Suite::new("exact-heap")
        .case(case("every_size_and_call", every_size_and_call))
        .case(case("freed_by_another_thread", freed_by_another_thread))
        .case(case("grown_and_shrunk", grown_and_shrunk))
        .case(case("threads_that_died", threads_that_died))
        .case(case("while_a_child_of_a_fork_allocates", forks))
        .main()
}

/// Keeps a block and counts it.
fn keep(block: *mut libc::c_void) {
    KEPT[NEXT.fetch_add(1, SeqCst) % KEPT.len()].store(block, SeqCst);
    BLOCKS.fetch_add(1, SeqCst);
    // SAFETY: a block of malloc, alive.
    BYTES.fetch_add(unsafe { libc::malloc_usable_size(block) } as i64, SeqCst);
}

fn malloc(size: usize) -> *mut libc::c_void {
    // SAFETY: any size may be asked for.
    std::hint::black_box(unsafe { libc::malloc(size) })
}

fn free(block: *mut libc::c_void) {
    // SAFETY: the callers' own block, freed once.
    unsafe { libc::free(block) }
}

fn every_size_and_call(_cx: &Context) -> Result<(), Failed> {
    for size in SIZES {
        keep(malloc(size));
        free(malloc(size));
        // SAFETY: plain calls with valid arguments; the last writes to a pointer of ours.
        unsafe {
            keep(libc::calloc(3, size));
            keep(libc::memalign(64, size));
            keep(libc::aligned_alloc(32, size.next_multiple_of(32)));
            let mut aligned = std::ptr::null_mut();
            if libc::posix_memalign(&raw mut aligned, 4096, size) == 0 {
                keep(aligned);
            }
            free(libc::calloc(3, size));
            free(libc::realloc(std::ptr::null_mut(), size));
        }
    }
    free(std::ptr::null_mut());
    Ok(())
}

fn grown_and_shrunk(_cx: &Context) -> Result<(), Failed> {
    let mut block = malloc(10);
    for size in [100, 90, 200_000, 4 << 20, 8 << 20, 50] {
        // SAFETY: the block is ours and what it becomes replaces it.
        block = unsafe { libc::realloc(block, size) };
    }
    keep(block);
    Ok(())
}

fn freed_by_another_thread(_cx: &Context) -> Result<(), Failed> {
    let blocks: Vec<usize> = SIZES.iter().map(|size| malloc(*size) as usize).collect();
    let other = std::thread::spawn(move || {
        for block in blocks {
            free(block as *mut libc::c_void);
        }
    });
    other.join().map_err(|_| Failed::new("the other thread panicked"))
}

fn threads_that_died(_cx: &Context) -> Result<(), Failed> {
    let all = Arc::new(Barrier::new(THREADS));
    let mut threads = Vec::new();
    for number in 0..THREADS {
        let all = Arc::clone(&all);
        threads.push(Builder::new().stack_size(STACK_BYTES).spawn(move || {
            all.wait();
            for size in SIZES {
                free(malloc(size));
            }
            keep(malloc(number + 1));
        })?);
    }
    for thread in threads {
        thread.join().map_err(|_| Failed::new("a thread panicked"))?;
    }
    Ok(())
}

fn forks(_cx: &Context) -> Result<(), Failed> {
    let inherited = malloc(1000);
    // SAFETY: this process has one thread; the child allocates, frees and leaves.
    match unsafe { libc::fork() } {
        -1 => return Err(Failed::new(std::io::Error::last_os_error().to_string())),
        0 => {
            free(inherited);
            let kept = (0..100).filter(|size| !malloc(*size).is_null()).count();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(kept != 100)) }
        }
        child => {
            let mut status = -1;
            // SAFETY: our own child, waited for once.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            if status != 0 {
                return Err(Failed::new(format!("the child ended with {status}")));
            }
        }
    }
    free(inherited);
    keep(malloc(24));
    Ok(())
}
