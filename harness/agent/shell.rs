//! Shells that the C library starts by itself: system(3) and popen(3) give them `environ`, past our hooks.
//!
//! So `environ` is lent a vector with our variables for the length of the call. Other threads may read
//! the environment meanwhile (every `localtime` does): what was lent once stays mapped, and is written over
//! only with words that are good to read.

use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::*};

use crate::environment;
use crate::next::{self, forward};
use crate::sys;

/// Calls that are running. The first lends and the last takes back.
static USERS: AtomicUsize = AtomicUsize::new(0);
/// Where the vector is written, by the first user alone; kept for the next.
static MEMORY: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static MEMORY_BYTES: AtomicUsize = AtomicUsize::new(0);
/// The vector that was lent, and the one whose place it takes.
static LENT: AtomicPtr<*mut c_char> = AtomicPtr::new(core::ptr::null_mut());
static BEFORE: AtomicPtr<*mut c_char> = AtomicPtr::new(core::ptr::null_mut());

/// Runs a call that starts a shell.
fn with_environment<T>(run: impl FnOnce() -> T) -> T {
    let Some(environ) = next::environ() else { return run() };
    if USERS.fetch_add(1, AcqRel) == 0 {
        lend(environ);
    }
    let result = run();
    // Read before the next first user may change them.
    let (lent, before) = (LENT.load(Acquire), BEFORE.load(Acquire));
    if USERS.fetch_sub(1, AcqRel) == 1
        && !lent.is_null()
        && environ.compare_exchange(lent, before, AcqRel, Acquire).is_err()
    {
        // setenv(3) has made a copy meanwhile, ours included.
        // SAFETY: the copy is libc's, and ends with a null.
        unsafe { strip(environ.load(Acquire)) };
    }
    result
}

fn lend(environ: &AtomicPtr<*mut c_char>) {
    let before = environ.load(Acquire);
    // SAFETY: the path is a constant; the vector is libc's own.
    let Some(plan) = (unsafe { environment::plan(c"/bin/sh".as_ptr(), before) }) else { return };
    let Some(memory) = memory(plan.bytes()) else { return };
    // SAFETY: the memory is the first user's, and has the room.
    let vector = unsafe { plan.write(memory) }.cast_mut();
    BEFORE.store(before, Release);
    LENT.store(vector, Release);
    // Somebody who has changed the environment since keeps theirs.
    let _ = environ.compare_exchange(before, vector, AcqRel, Acquire);
}

/// Room for the vector. One that has become too small is not given back: somebody may be reading it.
fn memory(bytes: usize) -> Option<*mut u8> {
    let known = MEMORY.load(Acquire);
    if !known.is_null() && MEMORY_BYTES.load(Acquire) >= bytes {
        return Some(known);
    }
    let room = bytes.next_power_of_two();
    let fresh = sys::map_private(room)?;
    MEMORY_BYTES.store(room, Release);
    MEMORY.store(fresh, Release);
    Some(fresh)
}

/// Takes the strings that lie in our memory out of a vector, in place.
///
/// # Safety
/// The vector ends with a null, or is null.
unsafe fn strip(vector: *mut *mut c_char) {
    let (start, len) = (MEMORY.load(Acquire) as usize, MEMORY_BYTES.load(Acquire));
    if vector.is_null() {
        return;
    }
    let (mut from, mut to) = (vector, vector);
    // SAFETY: `to` never passes `from`, which stops at the null.
    unsafe {
        while !(*from).is_null() {
            if (*from as usize).wrapping_sub(start) >= len {
                *to = *from;
                to = to.add(1);
            }
            from = from.add(1);
        }
        *to = core::ptr::null_mut();
    }
}

/// system(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn system(command: *const c_char) -> c_int {
    type System = unsafe extern "C" fn(*const c_char) -> c_int;
    with_environment(|| forward!(SYSTEM as System, (command), else -1))
}

/// popen(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn popen(command: *const c_char, mode: *const c_char) -> *mut c_void {
    type Popen = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut c_void;
    with_environment(|| forward!(POPEN as Popen, (command, mode), else core::ptr::null_mut()))
}
