//! The exit hold: the trial's main process waits at its very end until the supervisor has read it.
//!
//! The handler is registered before the program's first, so it runs after its last. A process that
//! ends by `_exit`, abort or a signal does not pass here and is judged from the table alone.

use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering::*;

use crate::local;
use crate::next::forward;
use crate::sys;
use crate::table::{FLAG_HOLD_EXIT, STAGE_EXIT};

/// How often the supervisor's life is checked, so that nobody is held by a dead one.
const CHECK_SECONDS: u64 = 1;

/// Registers the handler (`__cxa_atexit`, LSB core specification).
pub(crate) fn register() {
    type CxaAtexit =
        unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, *mut c_void) -> c_int;
    let (none, owner) = (core::ptr::null_mut(), core::ptr::null_mut());
    forward!(CXA_ATEXIT as CxaAtexit, (hold, none, owner), else 0);
}

unsafe extern "C" fn hold(_: *mut c_void) {
    let (Some(control), Some(region)) = (local::control(), local::region()) else { return };
    if control.flags.load(Acquire) & FLAG_HOLD_EXIT == 0 || control.main.load(Acquire) != sys::getpid() {
        return;
    }
    region.held.store(1, Release);
    control.stage.store(STAGE_EXIT, Release);
    control.news.fetch_add(1, AcqRel);
    sys::futex_wake(&control.news);
    while region.release.load(Acquire) == 0 && sys::alive(control.supervisor.load(Relaxed)) {
        sys::futex_wait(&region.release, 0, CHECK_SECONDS);
    }
    region.held.store(0, Release);
}
