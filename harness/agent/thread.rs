//! Threads: who started each.
//!
//! The slot goes to the new thread as its argument: it writes its own id there and then runs the
//! program's start routine. Threads that libc makes for itself do not pass here.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering::*};

use crate::heap;
use crate::hold;
use crate::local;
use crate::next::forward;
use crate::note;
use crate::sys;
use crate::table::{Control, Region, THREAD_SLOTS, Thread};

/// Not `C-unwind`, although pthread_exit(3) and pthread_cancel(3) unwind through the routine: with
/// `panic=abort` a call that may unwind gets a landing pad that aborts. Without one the C library's
/// forced unwinding finds a frame with nothing to do in it and passes, as it does in every other hook.
type Start = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(*mut c_void, *const c_void, Start, *mut c_void) -> c_int;

const FREE: u32 = 0;
const MAKING: u32 = 1;
const ALIVE: u32 = 2;

/// Where the search for a free slot starts.
static CURSOR: AtomicUsize = AtomicUsize::new(0);
/// Where that was at the last [`sweep`].
static SWEPT: AtomicUsize = AtomicUsize::new(0);

/// pthread_create(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut c_void,
    attributes: *const c_void,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let Some(slot) = claim() else {
        return forward!(PTHREAD_CREATE as Create, (thread, attributes, start, argument), else -1);
    };
    slot.start.store(start as usize, Relaxed);
    slot.argument.store(argument as usize, Release);
    let own: *mut c_void = (&raw const *slot).cast_mut().cast();
    let result = forward!(PTHREAD_CREATE as Create, (thread, attributes, begin, own), else -1);
    if result != 0 {
        slot.state.store(FREE, Release);
    }
    result
}

/// A slot with its stack and birth written, or none where the process is not measured.
fn claim() -> Option<&'static Thread> {
    let region = local::region()?;
    let control = local::control()?;
    hold::test_begins(control);
    if let Some(slot) = find(region, control) {
        return Some(slot);
    }
    // A sweep asks about every slot, so there is one for as many threads at most.
    let (now, last) = (CURSOR.load(Relaxed), SWEPT.load(Relaxed));
    if now.wrapping_sub(last) >= THREAD_SLOTS
        && SWEPT.compare_exchange(last, now, AcqRel, Relaxed).is_ok()
    {
        sweep(region);
        if let Some(slot) = find(region, control) {
            return Some(slot);
        }
    }
    region.dropped.fetch_add(1, Relaxed);
    None
}

/// Frees the slots of threads that left by pthread_exit or were cancelled.
#[cold]
fn sweep(region: &Region) {
    for slot in &region.threads {
        let tid = slot.tid.load(Acquire);
        if slot.state.load(Acquire) == ALIVE && !sys::thread_alive(tid) {
            let _ = slot.state.compare_exchange(ALIVE, FREE, AcqRel, Relaxed);
        }
    }
}

/// A free slot, taken.
fn find(region: &'static Region, control: &Control) -> Option<&'static Thread> {
    let from = CURSOR.fetch_add(1, Relaxed);
    for probe in 0..THREAD_SLOTS {
        let slot = &region.threads[(from + probe) % THREAD_SLOTS];
        if slot.state.load(Relaxed) == FREE
            && slot.state.compare_exchange(FREE, MAKING, AcqRel, Relaxed).is_ok()
        {
            slot.tid.store(0, Relaxed);
            slot.stack.store(note::stack_id(region, control), Relaxed);
            slot.round.store(control.round.load(Relaxed), Relaxed);
            slot.sample.store(control.sample.load(Relaxed), Relaxed);
            return Some(slot);
        }
    }
    None
}

/// Runs in the new thread. A thread that leaves by pthread_exit or is cancelled unwinds through here
/// and leaves its slot to the next [`sweep`]: the supervisor asks the kernel which ids are alive.
unsafe extern "C" fn begin(own: *mut c_void) -> *mut c_void {
    // SAFETY: `own` is the slot that pthread_create passed; slots are never unmapped.
    let slot = unsafe { &*own.cast::<Thread>() };
    let pid = sys::getpid();
    slot.tid.store(sys::gettid(), Relaxed);
    // A thread pointer is used again by later threads, so the mark is taken back at the end.
    mark(slot.stack.load(Relaxed));
    let start = slot.start.load(Acquire);
    let argument = slot.argument.load(Acquire);
    slot.state.store(ALIVE, Release);
    // SAFETY: the program's own start routine and argument.
    let result = unsafe { core::mem::transmute::<usize, Start>(start)(argument as *mut c_void) };
    mark(0);
    // In the child of a fork the slot still is the parent's.
    if sys::getpid() == pid {
        slot.state.store(FREE, Release);
    }
    result
}

/// Lets stacks taken on this thread go on in the stack that made it.
fn mark(creation: u32) {
    if let Some(region) = local::region() {
        let shard = heap::shard(region);
        if !heap::is_shared(region, shard) {
            shard.creation.store(creation, Relaxed);
        }
    }
}
