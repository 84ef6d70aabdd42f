//! A heap of which the agent samples some blocks: its totals stay exact, and what lives of each creation stack
//! is estimated. Each test starts its own program once more, with the agent in it, and reads what is left.

use std::ffi::c_void;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::AtomicU64;
use std::thread::Builder;

use super::*;
use crate::agent::Agent;
use crate::symbol::Symbolizer;
use crate::table::{FLAG_HEAP_STACKS, STAGE_BODY};

/// Where the program finds its own notes: set in it alone.
const INSIDE: &str = "WATERTIGHT_TEST_SAMPLED";
/// Bytes that are sampled once: few, so that estimates are good after few blocks.
const INTERVAL: u64 = 8192;
/// Chance goes further than this many standard deviations once in two million estimates.
const SIGMAS: f64 = 5.0;

/// A process that has ended.
struct Measured {
    region: RegionMap,
    /// The functions on each stack, and what lives of it.
    stacks: Vec<(Vec<String>, LiveStack)>,
}

/// Starts this program once more for one test, and waits for its end; gives its processes.
fn run(test: &str, interval: u64) -> Vec<Measured> {
    let directory = tempfile::tempdir().unwrap();
    let control = ControlMap::create(directory.path()).unwrap();
    control.flags.store(FLAG_HEAP_STACKS, Relaxed);
    control.heap_interval.store(interval, Relaxed);
    control.stage.store(STAGE_BODY, Relaxed);
    let agent = Agent::install(directory.path()).unwrap();
    let program = std::env::current_exe().unwrap();
    let output = Command::new(&program)
        .args(["--exact", &format!("region::sampled::{test}"), "--nocapture"])
        .envs(agent.environment(directory.path()))
        .env(INSIDE, directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut symbolizer = Symbolizer::new();
    let mut measured = |region: RegionMap| {
        assert_eq!(region.dropped.load(Relaxed), 0);
        let modules = region.modules(&program);
        let mut name = |id| {
            let stack = symbolizer.name(&modules, &region.stack(id));
            stack.into_iter().map(|frame| frame.function).collect()
        };
        let stacks = region.live_stacks().into_iter().map(|(id, live)| (name(id), live)).collect();
        Measured { region, stacks }
    };
    let paths = RegionMap::paths(directory.path());
    paths.iter().map(|path| measured(RegionMap::open(path).unwrap())).collect()
}

/// In the program that a test has started: its own region.
fn inside() -> Option<RegionMap> {
    let directory = std::env::var_os(INSIDE)?;
    let own = format!("{}-0{REGION_ENDING}", std::process::id());
    Some(RegionMap::open(&Path::new(&directory).join(own)).expect("the agent has made it"))
}

impl Measured {
    /// What lives of the stacks that a function of this file is on.
    fn live(&self, function: &str) -> LiveStack {
        let name = format!("::sampled::{function}");
        let mut sum = LiveStack::default();
        for (stack, live) in &self.stacks {
            if stack.iter().any(|function| function.ends_with(&name)) {
                sum.blocks += live.blocks;
                sum.bytes += live.bytes;
            }
        }
        sum
    }

    /// Nothing lives of a function that has been sampled.
    fn assert_none(&self, function: &str) {
        let live = self.live(function);
        assert_eq!((live.blocks, live.bytes), (0, 0), "{function}");
    }

    /// What lives of a function is as near to so many blocks of so many usable bytes as it must be.
    fn assert_near(&self, function: &str, count: u64, each: u64) {
        let (live, all) = (self.live(function), count * each);
        let error_max = SIGMAS * (INTERVAL as f64 * all as f64).sqrt();
        let error = (live.bytes as f64 - all as f64).abs();
        assert!(error <= error_max, "{function}: {live:?} for {all} bytes");
        // What is rounded adds a quarter of a block squared for each of at most as many.
        let error_max = error_max / each as f64 + SIGMAS * (count as f64 / 4.0).sqrt();
        let error = (live.blocks as f64 - count as f64).abs();
        assert!(error <= error_max, "{function}: {live:?} for {count} blocks");
    }
}

fn malloc(size: usize) -> *mut c_void {
    // SAFETY: any size may be asked for.
    std::hint::black_box(unsafe { libc::malloc(size) })
}

fn free(block: *mut c_void) {
    // SAFETY: the callers' own block, freed once.
    unsafe { libc::free(std::hint::black_box(block)) }
}

/// Forgets where a block is.
fn keep(_block: *mut c_void) {}

fn usable(block: *mut c_void) -> u64 {
    // SAFETY: a block of malloc, alive.
    unsafe { libc::malloc_usable_size(block) as u64 }
}

/// Usable bytes of a block for so many.
fn usable_of(size: usize) -> u64 {
    let block = malloc(size);
    let usable = usable(block);
    free(block);
    usable
}

const SMALL: (u64, usize) = (200_000, 48);
const MIDDLE: (u64, usize) = (2000, 5000);
const LARGE: (u64, usize) = (30, 300_000);
/// Blocks that are freed for each that is not.
const CHURN: u64 = 100;

#[inline(never)]
fn leaks_small() {
    keep(malloc(SMALL.1));
}

#[inline(never)]
fn leaks_middle() {
    keep(malloc(MIDDLE.1));
}

#[inline(never)]
fn leaks_large() {
    keep(malloc(LARGE.1));
}

#[inline(never)]
fn churns(size: usize) {
    for block in [(); 4].map(|()| malloc(size)) {
        free(block);
    }
}

#[test]
fn what_lives_is_estimated_by_its_site() {
    if inside().is_some() {
        let sites: [(_, fn()); 3] =
            [(SMALL, leaks_small), (MIDDLE, leaks_middle), (LARGE, leaks_large)];
        for ((count, size), leaks) in sites {
            for _ in 0..count {
                leaks();
                (0..CHURN / 4).for_each(|_| churns(size));
            }
        }
        return;
    }
    let [ran] = &run("what_lives_is_estimated_by_its_site", INTERVAL)[..] else { panic!("forks") };
    ran.assert_near("leaks_small", SMALL.0, usable_of(SMALL.1));
    ran.assert_near("leaks_middle", MIDDLE.0, usable_of(MIDDLE.1));
    // In glibc's heap or a mapping of its own, which is up to a page more.
    let large = ran.live("leaks_large");
    let least = LARGE.0 as i64 * LARGE.1 as i64;
    assert_eq!(large.blocks, LARGE.0 as i64, "what is large is always sampled");
    assert!((least..least + 4096 * large.blocks).contains(&large.bytes), "{large:?}");
    ran.assert_none("churns");
    let made = |id| ran.region.stacks[id as usize].blocks_made.load(Relaxed);
    let made: u64 = ran.region.stack_ids().map(made).sum();
    let expected = [SMALL, MIDDLE, LARGE].map(|(count, _)| count * (CHURN + 1)).iter().sum::<u64>();
    assert!(made.abs_diff(expected) < expected / 10, "{made} blocks were made of {expected}");
    // Whatever the heap's size: it is memory that the process seems to have.
    let written = ran.region.file.metadata().unwrap().blocks() * 512;
    assert!(written < 8 << 20, "{written} bytes were written");
}

#[inline(never)]
fn keeps_every_other() {
    keep(malloc(4088));
}

#[inline(never)]
fn frees_every_other() {
    free(malloc(4088));
}

/// Two blocks that make an interval together, for ever: a mark at the same place of each would always be in
/// the same one.
#[test]
fn a_period_as_long_as_the_interval_hides_nothing() {
    const COUNT: u64 = 4000;
    if inside().is_some() {
        for _ in 0..COUNT {
            keeps_every_other();
            frees_every_other();
        }
        return;
    }
    let own = usable_of(4088);
    let ran = &run("a_period_as_long_as_the_interval_hides_nothing", 2 * own)[0];
    ran.assert_near("keeps_every_other", COUNT, own);
    ran.assert_none("frees_every_other");
}

/// Small and large classes of glibc's malloc, and blocks that it maps by themselves.
const SIZES: [usize; 8] = [1, 24, 25, 100, 1000, 5000, 200_000, 4 << 20];

/// Makes blocks in every way that there is, and frees as many; gives the others.
#[inline(never)]
fn makes_in_every_way() -> [[*mut c_void; 6]; SIZES.len()] {
    SIZES.map(|size| {
        free(malloc(size));
        // SAFETY: plain calls with valid arguments; one writes to a pointer of ours, and a block that is
        // moved is given up for what it becomes.
        unsafe {
            free(libc::calloc(3, size));
            free(libc::realloc(std::ptr::null_mut(), size));
            let mut page = std::ptr::null_mut();
            assert_eq!(libc::posix_memalign(&raw mut page, 4096, size), 0);
            let sizes = [100, 90, 200_000, 4 << 20, 8 << 20, 50];
            let moved = sizes.iter().fold(malloc(size), |block, size| libc::realloc(block, *size));
            let aligned = libc::aligned_alloc(32, size.next_multiple_of(32));
            [malloc(size), libc::calloc(3, size), libc::memalign(64, size), aligned, page, moved]
        }
    })
}

/// Live blocks and bytes of the calling thread: another prints what became of its test.
fn own_totals(region: &RegionMap) -> (u64, u64) {
    // SAFETY: pthread_self has no failure. On glibc it is the thread pointer.
    let own = unsafe { libc::pthread_self() } as usize;
    let shard = region.shards.iter().find(|shard| shard.owner.load(Relaxed) == own).unwrap();
    let less =
        |one: &AtomicU64, other: &AtomicU64| one.load(Relaxed).wrapping_sub(other.load(Relaxed));
    (less(&shard.allocs, &shard.frees), less(&shard.alloc_bytes, &shard.free_bytes))
}

#[test]
fn totals_are_exact() {
    if let Some(region) = inside() {
        for _ in 0..10 {
            let before = own_totals(&region);
            let kept = makes_in_every_way();
            let after = own_totals(&region);
            let count = kept.iter().flatten().count() as u64;
            let bytes: u64 = kept.iter().flatten().map(|block| usable(*block)).sum();
            assert_eq!((after.0 - before.0, after.1 - before.1), (count, bytes));
            kept.into_iter().flatten().for_each(free);
            assert_eq!(own_totals(&region), before);
        }
        return;
    }
    // Each block, nearly each, some, and hardly one.
    for interval in [1, 2, 64, INTERVAL, 1 << 30] {
        let ran = &run("totals_are_exact", interval)[0];
        ran.assert_none("makes_in_every_way");
        let counted = ran.region.tracked.iter().map(|count| usize::from(count.load(Relaxed)));
        let blocks = ran.region.blocks.iter().flatten();
        let tracked = blocks.filter(|block| block.address.load(Relaxed) != 0).count();
        assert_eq!(counted.sum::<usize>(), tracked, "at {interval}");
    }
}

#[inline(never)]
fn moves_in_vain() -> *mut c_void {
    // More than twice the interval, so that it is surely sampled.
    let block = malloc(100_000);
    // SAFETY: a block of ours; there is no memory for as much, so it stays what it was.
    let moved = unsafe { libc::realloc(block, std::hint::black_box(isize::MAX as usize)) };
    assert!(moved.is_null());
    block
}

#[inline(never)]
fn frees_what_was_moved_in_vain() {
    free(moves_in_vain());
}

#[test]
fn a_realloc_that_fails_leaves_the_block_as_it_was() {
    if inside().is_some() {
        keep(moves_in_vain());
        frees_what_was_moved_in_vain();
        return;
    }
    let ran = &run("a_realloc_that_fails_leaves_the_block_as_it_was", INTERVAL)[0];
    ran.assert_none("frees_what_was_moved_in_vain");
    let kept = ran.live("moves_in_vain");
    assert_eq!(kept.blocks, 1);
    assert!((100_000..100_100).contains(&kept.bytes), "{kept:?}");
}

/// A block of so many bytes has as many zeroes at the end of its address.
const ALIGNED: usize = 1 << 16;

#[inline(never)]
fn aligns() -> *mut c_void {
    // SAFETY: any size may be asked for that is a multiple of the alignment.
    std::hint::black_box(unsafe { libc::aligned_alloc(ALIGNED, ALIGNED) })
}

/// Addresses that have most of their bits in common have places of their own.
#[test]
fn blocks_find_room_however_they_are_aligned() {
    const COUNT: usize = 4000;
    if inside().is_some() {
        let blocks: Vec<_> = (0..COUNT).map(|_| aligns()).collect();
        blocks.into_iter().step_by(2).for_each(free);
        return;
    }
    let ran = &run("blocks_find_room_however_they_are_aligned", INTERVAL)[0];
    assert_eq!(ran.live("aligns").blocks, COUNT as i64 / 2);
}

/// More than there are shards, all alive at once: some share the last one.
const THREADS: usize = table::SHARDS + 100;
/// A thread that does so little needs little.
const STACK_BYTES: usize = 64 * 1024;
/// Blocks of each thread.
const EACH: usize = 40;

#[inline(never)]
fn leaks_on_a_thread() {
    (0..EACH).map(|_| malloc(1000)).for_each(keep);
}

#[inline(never)]
fn makes_for_another_thread() -> [usize; EACH] {
    [(); EACH].map(|()| malloc(1000) as usize)
}

#[test]
fn threads_are_estimated_together_and_free_for_each_other() {
    if inside().is_some() {
        let all = Barrier::new(THREADS);
        let work = || {
            all.wait();
            leaks_on_a_thread();
            let made = makes_for_another_thread();
            all.wait();
            made
        };
        std::thread::scope(|scope| {
            let thread = || Builder::new().stack_size(STACK_BYTES);
            let threads: Vec<_> =
                (0..THREADS).map(|_| thread().spawn_scoped(scope, work).unwrap()).collect();
            for thread in threads {
                thread.join().unwrap().into_iter().for_each(|block| free(block as *mut c_void));
            }
        });
        return;
    }
    let ran = &run("threads_are_estimated_together_and_free_for_each_other", INTERVAL)[0];
    let shared = ran.region.shards[table::SHARDS].allocs.load(Relaxed);
    assert!(shared > 0, "some threads found no shard of their own");
    ran.assert_near("leaks_on_a_thread", (THREADS * EACH) as u64, usable_of(1000));
    ran.assert_none("makes_for_another_thread");
}

#[inline(never)]
fn leaks_before_a_fork() -> Vec<*mut c_void> {
    (0..10_000).map(|_| malloc(1000)).collect()
}

#[inline(never)]
fn leaks_in_the_child() {
    (0..25_000).map(|_| malloc(500)).for_each(keep);
}

#[test]
fn the_child_of_a_fork_has_estimates_of_its_own() {
    if inside().is_some() {
        let inherited = leaks_before_a_fork();
        // SAFETY: the child calls malloc and free alone, which the C library keeps usable in it, and leaves.
        match unsafe { libc::fork() } {
            -1 => panic!("{}", io::Error::last_os_error()),
            0 => {
                inherited.iter().for_each(|block| free(*block));
                leaks_in_the_child();
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(0) }
            }
            child => {
                let mut status = -1;
                // SAFETY: our own child, waited for once.
                unsafe { libc::waitpid(child, &raw mut status, 0) };
                assert_eq!(status, 0);
            }
        }
        return;
    }
    let mut ran = run("the_child_of_a_fork_has_estimates_of_its_own", INTERVAL);
    ran.sort_by_key(|process| process.region.forked_from.load(Relaxed));
    let [parent, child] = &ran[..] else { panic!("{} processes", ran.len()) };
    assert_eq!(child.region.forked_from.load(Relaxed), 1);
    parent.assert_near("leaks_before_a_fork", 10_000, usable_of(1000));
    parent.assert_none("leaks_in_the_child");
    child.assert_near("leaks_in_the_child", 25_000, usable_of(500));
    child.assert_none("leaks_before_a_fork");
    assert_eq!(child.region.heap().blocks, 25_000 - 10_000, "it has freed what it never made");
}
