//! Heap: every block counted exactly, C's included, and live blocks with their stacks: each in an explain
//! run, some where the heap is sampled.
//!
//! malloc and free have a short way and a long one. The short way is for a process that only counts, on
//! glibc's allocator: it asks one pointer (`local::counting`), reads the block's size from the word before
//! it, adds to two totals of the thread's own cache line, and needs no stack frame of its own (free ends
//! in a jump). A process that samples has one of its own beside it (`local::sampling`), which asks of each
//! block in one look whether it is sampled (`sample.rs`) or was (`track.rs`). All else (a stack to take,
//! other allocators, blocks mapped by themselves, a thread's first block, the child of a fork) goes the long
//! way, which decides everything anew.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};

use crate::local;
use crate::next::{self, forward};
use crate::sample::{Marks, Weight};
use crate::sys;
use crate::table::{Control, FLAG_HEAP_STACKS, FLAG_UNEDITED, Region, SHARDS, Shard};
use crate::track;

type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);
type Calloc = unsafe extern "C" fn(usize, usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Reallocarray = unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void;
type PosixMemalign = unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int;
type UsableSize = unsafe extern "C" fn(*mut c_void) -> usize;

/// malloc(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    let Some(shards) = local::counting() else { return malloc_sampled(size) };
    // SAFETY: whoever counts has resolved the next definitions; the argument is the caller's own.
    let block = unsafe { next::ready::<Malloc>(&next::MALLOC)(size) };
    if block.is_null() {
        return block;
    }
    // SAFETY: a block of glibc's malloc, or the short way would be closed.
    let Some((shard, bytes)) = (unsafe { at_hand(shards, block) }) else { return born(block) };
    add(&shard.allocs, 1);
    add(&shard.alloc_bytes, bytes);
    block
}

/// malloc of a process that samples: short for a block that holds no mark.
// Cold for those who only count.
#[cold]
#[inline(never)]
fn malloc_sampled(size: usize) -> *mut c_void {
    let Some(region) = local::sampling() else { return malloc_long(size) };
    // SAFETY: as in malloc.
    let block = unsafe { next::ready::<Malloc>(&next::MALLOC)(size) };
    if block.is_null() {
        return block;
    }
    // SAFETY: as in malloc.
    let Some((shard, bytes)) = (unsafe { at_hand(&region.shards, block) }) else { return born(block) };
    if is_marked(shard, shard.alloc_bytes.load(Relaxed), bytes) {
        return born(block);
    }
    add(&shard.allocs, 1);
    add(&shard.alloc_bytes, bytes);
    block
}

#[cold]
#[inline(never)]
fn malloc_long(size: usize) -> *mut c_void {
    fresh(forward!(MALLOC as Malloc, (size), else return bootstrap(size, 16)))
}

/// calloc(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    // The arena is zeroed and never reused.
    born(forward!(CALLOC as Calloc, (count, size), else return count.checked_mul(size).map_or(core::ptr::null_mut(), |size| bootstrap(size, 16))))
}

/// free(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    let Some(shards) = local::counting() else { return free_sampled(block) };
    if block.is_null() {
        return;
    }
    // SAFETY: a block of glibc's malloc, or of our arena, which has headers as well.
    let Some((shard, bytes)) = (unsafe { at_hand(shards, block) }) else { return free_long(block) };
    add(&shard.frees, 1);
    add(&shard.free_bytes, bytes);
    // SAFETY: as in malloc.
    unsafe { next::ready::<Free>(&next::FREE)(block) }
}

/// free of a process that samples: short for a block that was not.
// Cold for those who only count.
#[cold]
#[inline(never)]
fn free_sampled(block: *mut c_void) {
    let Some(region) = local::sampling() else { return free_long(block) };
    if block.is_null() {
        return;
    }
    // SAFETY: as in free.
    let Some((shard, bytes)) = (unsafe { at_hand(&region.shards, block) }) else { return free_long(block) };
    if track::may_know(region, block as usize) {
        return free_long(block);
    }
    add(&shard.frees, 1);
    add(&shard.free_bytes, bytes);
    // SAFETY: as in malloc.
    unsafe { next::ready::<Free>(&next::FREE)(block) }
}

#[cold]
#[inline(never)]
fn free_long(block: *mut c_void) {
    if block.is_null() || from_bootstrap(block) {
        return;
    }
    dies(block);
    forward!(FREE as Free, (block), else ());
}

/// realloc(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    if block.is_null() {
        // SAFETY: realloc(NULL, n) is malloc(n).
        return unsafe { malloc(size) };
    }
    if from_bootstrap(block) {
        // SAFETY: as above, and the arena's block is readable to the arena's end.
        return unsafe { leave_bootstrap(block, size) };
    }
    moved(block, size, |block| forward!(REALLOC as Realloc, (block, size), else core::ptr::null_mut()))
}

/// reallocarray(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    if block.is_null() || from_bootstrap(block) {
        return match count.checked_mul(size) {
            // SAFETY: the same as realloc of the product.
            Some(bytes) => unsafe { realloc(block, bytes) },
            // The next definition sets ENOMEM.
            None => forward!(REALLOCARRAY as Reallocarray, (core::ptr::null_mut(), count, size), else core::ptr::null_mut()),
        };
    }
    moved(block, count.saturating_mul(size), |block| {
        forward!(REALLOCARRAY as Reallocarray, (block, count, size), else core::ptr::null_mut())
    })
}

/// memalign(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    fresh(forward!(MEMALIGN as Calloc, (align, size), else return bootstrap(size, align)))
}

/// aligned_alloc(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    fresh(forward!(ALIGNED_ALLOC as Calloc, (align, size), else return bootstrap(size, align)))
}

/// posix_memalign(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(to: *mut *mut c_void, align: usize, size: usize) -> c_int {
    const ENOMEM: c_int = 12;
    let result = forward!(POSIX_MEMALIGN as PosixMemalign, (to, align, size), else ENOMEM);
    if result == 0 {
        // SAFETY: on success the call has written `to`.
        fresh(unsafe { *to });
    }
    result
}

/// valloc(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn valloc(size: usize) -> *mut c_void {
    fresh(forward!(VALLOC as Malloc, (size), else core::ptr::null_mut()))
}

/// pvalloc(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvalloc(size: usize) -> *mut c_void {
    fresh(forward!(PVALLOC as Malloc, (size), else core::ptr::null_mut()))
}

/// The usable size of a block: malloc_usable_size(3), or read as glibc reads it where that was
/// proven to be the same.
#[inline(always)]
fn usable(block: *mut c_void) -> usize {
    if GLIBC_HEADERS.load(Relaxed) {
        // SAFETY: `probe_headers` has compared this with malloc_usable_size in this very process.
        unsafe { usable_by_header(block) }
    } else {
        usable_by_call(block)
    }
}

fn usable_by_call(block: *mut c_void) -> usize {
    forward!(USABLE_SIZE as UsableSize, (block), else 0)
}

/// Whether the word before a block is glibc's chunk size. Asking through malloc_usable_size would
/// cost as much as the rest of a note.
static GLIBC_HEADERS: AtomicBool = AtomicBool::new(false);

const WORD: usize = size_of::<usize>();
const FLAGS: usize = 7;
const MAPPED: usize = 2;

/// glibc keeps a chunk's size, with three flags in the low bits, in the word before the block; the
/// flag 2 marks a chunk mapped by itself, which has one word less (malloc/malloc.c, `struct malloc_chunk`).
///
/// # Safety
/// `block` is a block of glibc's malloc.
#[inline(always)]
unsafe fn usable_by_header(block: *mut c_void) -> usize {
    // SAFETY: the caller's promise.
    let header = unsafe { *block.cast::<usize>().sub(1) };
    (header & !FLAGS) - if header & MAPPED == 0 { WORD } else { 2 * WORD }
}

/// Compares both ways to size a block on blocks of every class (small, large, mapped) and trusts
/// the headers only where all agree. Runs at load, on the allocator that the process will use.
pub(crate) fn probe_headers() {
    const SIZES: [usize; 7] = [1, 24, 25, 1000, 5000, 100_000, 4 << 20];
    let agree = |size: usize| {
        let block = forward!(MALLOC as Malloc, (size), else core::ptr::null_mut());
        if block.is_null() {
            return false;
        }
        let by_call = usable_by_call(block);
        // SAFETY: the word before a block is mapped in every allocator that keeps blocks 16-aligned
        // and apart from page starts; glibc's mapped chunks start 16 bytes into their page.
        let by_header = block as usize % 4096 != 0 && unsafe { usable_by_header(block) } == by_call;
        forward!(FREE as Free, (block), else ());
        by_call >= size && by_header
    };
    GLIBC_HEADERS.store(SIZES.into_iter().all(agree), Release);
}

/// Whether notes may go a short way.
pub(crate) fn has_short_way() -> bool {
    GLIBC_HEADERS.load(Acquire)
}

/// How blocks of this process get stacks ([`Region::heap_interval`]): in an unedited trial those of its
/// main process alone.
pub(crate) fn interval(control: &Control) -> u64 {
    let flags = control.flags.load(Relaxed);
    let is_asked = flags & FLAG_HEAP_STACKS != 0
        && (flags & FLAG_UNEDITED == 0 || control.main.load(Relaxed) == sys::getpid());
    if is_asked { control.heap_interval.load(Relaxed).max(1) } else { 0 }
}

/// The calling thread's own shard and a block's usable size, where both are at hand: the thread sits in
/// its home shard, and the block is an ordinary one of glibc's. Our arena's blocks are marked as mapped.
///
/// # Safety
/// The word before `block` can be read.
#[inline(always)]
unsafe fn at_hand(shards: &[Shard; SHARDS + 1], block: *mut c_void) -> Option<(&Shard, usize)> {
    // SAFETY: the caller's promise.
    let header = unsafe { *block.cast::<usize>().sub(1) };
    let thread = sys::thread_pointer();
    let shard = &shards[home(thread)];
    let plain = header & MAPPED == 0 && shard.owner.load(Relaxed) == thread;
    plain.then(|| (shard, (header & !FLAGS).wrapping_sub(WORD)))
}

/// Adds to a total that only this thread writes.
#[inline(always)]
fn add(total: &AtomicU64, by: usize) {
    total.store(total.load(Relaxed).wrapping_add(by as u64), Relaxed);
}

/// Counts a block that has just been handed out with whatever was in it before.
fn fresh(block: *mut c_void) -> *mut c_void {
    wipe(block, 0);
    born(block)
}

/// Where holders are asked for: fills a block with zeroes from `from` on, so that no pointer is found in it
/// that an earlier owner of the same memory has left there.
#[inline(always)]
fn wipe(block: *mut c_void, from: usize) {
    if !block.is_null() && local::region().is_some_and(|region| region.wipes.load(Relaxed) != 0) {
        wipe_now(block, from);
    }
}

#[cold]
#[inline(never)]
fn wipe_now(block: *mut c_void, from: usize) {
    // SAFETY: as in `usable_by_header`.
    let is_mapped = GLIBC_HEADERS.load(Relaxed) && unsafe { *block.cast::<usize>().sub(1) } & MAPPED != 0;
    // What was mapped by itself is zero already, and may be larger than the memory that there is.
    if is_mapped {
        return;
    }
    if let Some(len) = usable(block).checked_sub(from) {
        // SAFETY: `usable` bytes are the caller's, who has not been given them yet.
        unsafe { block.cast::<u8>().add(from).write_bytes(0, len) };
    }
}

/// Counts a block that has just been handed out.
#[inline(never)]
fn born(block: *mut c_void) -> *mut c_void {
    if !block.is_null()
        && let Some(region) = local::region()
    {
        let bytes = usable(block);
        let (shard, from) = count(region, bytes, |shard| (&shard.allocs, &shard.alloc_bytes));
        if let Some(weight) = weight(region, shard, from, bytes)
            && let Some(control) = local::control()
        {
            track::enter(region, control, block as usize, weight);
        }
    }
    block
}

/// What a new block stands for that gets a stack; `from` is what its shard had handed out before it.
#[inline]
fn weight(region: &Region, shard: &Shard, from: u64, bytes: usize) -> Option<Weight> {
    match region.heap_interval.load(Relaxed) {
        0 => None,
        1 => Some(Weight { bytes: bytes as u64, blocks: 1 }),
        interval if is_shared(region, shard) || is_marked(shard, from, bytes) => {
            let marks = Marks::new(interval, region.pid.load(Relaxed), shard.owner.load(Relaxed));
            shard.unmarked.store(marks.next(from + bytes as u64), Relaxed);
            marks.weight(from, bytes as u64)
        }
        _ => None,
    }
}

/// Whether a block may hold a mark of a shard that has one writer.
#[inline(always)]
fn is_marked(shard: &Shard, from: u64, bytes: usize) -> bool {
    from + bytes as u64 > shard.unmarked.load(Relaxed)
}

/// Counts a block that is about to be taken back. It must happen before: afterwards another thread
/// may own the same address.
#[inline(always)]
fn dies(block: *mut c_void) {
    if let Some(region) = local::region() {
        count(region, usable(block), |shard| (&shard.frees, &shard.free_bytes));
        track::forget(region, block as usize);
    }
}

/// A realloc: one block dies, one is born; where it fails the old one lives on. The new block's
/// stack is that of the realloc, the call that made it as large as it is.
#[inline(always)]
fn moved(block: *mut c_void, size: usize, realloc: impl FnOnce(*mut c_void) -> *mut c_void) -> *mut c_void {
    let Some(region) = local::region() else { return realloc(block) };
    let bytes = usable(block);
    let marked = track::mark(region, block as usize);
    let new = realloc(block);
    if new.is_null() && size != 0 {
        if let Some(marked) = marked {
            track::unmark(marked, block as usize);
        }
        return new;
    }
    count(region, bytes, |shard| (&shard.frees, &shard.free_bytes));
    wipe(new, bytes);
    // Known under both addresses for a moment rather than under none.
    born(new);
    if let Some(marked) = marked {
        track::forget_marked(region, marked, block as usize);
    }
    new
}

/// Adds one block of `bytes` to two totals of this thread's shard; gives the shard, and the bytes that its
/// total was before. A shard has one writer, so plain
/// loads and stores suffice; the shared shard is for those who found none and is added to
/// atomically.
#[inline]
fn count<'a>(
    region: &'a Region,
    bytes: usize,
    totals: impl FnOnce(&'a Shard) -> (&'a AtomicU64, &'a AtomicU64),
) -> (&'a Shard, u64) {
    let shard = shard(region);
    let (blocks, total) = totals(shard);
    let before = if is_shared(region, shard) {
        blocks.fetch_add(1, Relaxed);
        total.fetch_add(bytes as u64, Relaxed)
    } else {
        let before = total.load(Relaxed);
        add(blocks, 1);
        add(total, bytes);
        before
    };
    (shard, before)
}

/// Whether a shard is that of all threads that found none.
#[inline]
pub(crate) fn is_shared(region: &Region, shard: &Shard) -> bool {
    core::ptr::eq(shard, &region.shards[SHARDS])
}

/// Home shard of a thread, never the shared one: the middle of the thread pointer's product with a part
/// of the golden ratio (Fibonacci hashing), to which all bits contribute in which thread pointers differ.
#[inline(always)]
fn home(thread: usize) -> usize {
    // Odd, and positive in 32 bits: an immediate of the multiplication.
    const RATIO: usize = 0x61c8_8647;
    (thread.wrapping_mul(RATIO) >> 32) & (SHARDS - 1)
}

/// The calling thread's shard, or the shared one.
#[inline]
pub(crate) fn shard(region: &Region) -> &Shard {
    let thread = sys::thread_pointer();
    let shard = &region.shards[home(thread)];
    if shard.owner.load(Relaxed) == thread { shard } else { find_shard(region, thread) }
}

/// The thread's shard by open addressing, claimed where it has none yet.
#[cold]
#[inline(never)]
fn find_shard(region: &Region, thread: usize) -> &Shard {
    const PROBES: usize = 16;
    for probe in 0..PROBES {
        let at = (home(thread) + probe) & (SHARDS - 1);
        let shard = &region.shards[at];
        let owner = shard.owner.load(Relaxed);
        if owner == thread {
            return shard;
        }
        if owner == 0 && shard.owner.compare_exchange(0, thread, AcqRel, Relaxed).is_ok() {
            region.shards_used[at / 64].fetch_or(1 << (at % 64), AcqRel);
            return shard;
        }
    }
    &region.shards[SHARDS]
}

/// Memory for the calls that dlsym itself makes while the table of next definitions is filled
/// (an error buffer of a few hundred bytes). Never given back.
const ARENA_BYTES: usize = 16 * 1024;
#[repr(align(64))]
struct Arena(core::cell::UnsafeCell<[u8; ARENA_BYTES]>);
// SAFETY: handed out in disjoint pieces by an atomic counter.
unsafe impl Sync for Arena {}
static ARENA: Arena = Arena(core::cell::UnsafeCell::new([0; ARENA_BYTES]));
static ARENA_USED: AtomicUsize = AtomicUsize::new(0);

#[cold]
fn bootstrap(size: usize, align: usize) -> *mut c_void {
    let align = align.clamp(16, 64).next_power_of_two();
    let Some(want) = size.max(1).checked_add(align + WORD) else { return core::ptr::null_mut() };
    let from = ARENA_USED.fetch_add(want, Relaxed);
    let start = (from + WORD + align - 1) & !(align - 1);
    if start + size > ARENA_BYTES {
        return core::ptr::null_mut();
    }
    // SAFETY: `start + size` and the word before `start` lie inside the arena, and both are this
    // caller's alone. The word keeps the block off free's short way.
    unsafe {
        let block = ARENA.0.get().cast::<u8>().add(start);
        block.cast::<usize>().sub(1).write(MAPPED);
        block.cast()
    }
}

#[inline(always)]
fn from_bootstrap(block: *mut c_void) -> bool {
    (block as usize).wrapping_sub(ARENA.0.get() as usize) < ARENA_BYTES
}

/// Moves a block out of the arena.
///
/// # Safety
/// `block` comes from the arena.
#[cold]
unsafe fn leave_bootstrap(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: plain malloc.
    let new = unsafe { malloc(size) };
    if !new.is_null() {
        let room = ARENA.0.get() as usize + ARENA_BYTES - block as usize;
        // SAFETY: at most `room` bytes lie behind `block` in the arena; `new` has `size`.
        unsafe { core::ptr::copy_nonoverlapping(block.cast::<u8>(), new.cast::<u8>(), size.min(room)) };
    }
    new
}
