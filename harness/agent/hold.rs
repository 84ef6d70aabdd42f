//! The holds: the trial's main process waits at its very end, and an unedited one at its beginning too, until
//! the supervisor has read it.
//!
//! The exit handler is registered before the program's first, so it runs after its last. A process that
//! ends by `_exit`, abort or a signal does not pass here and is judged from the table alone.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicU32, Ordering::*};

use crate::local;
use crate::next::forward;
use crate::sys;
use crate::table::{
    Control, FLAG_HOLD_EXIT, FLAG_UNEDITED, STAGE_BODY, STAGE_BOUNDARY, STAGE_EXIT,
};

/// How often the supervisor's life is checked, so that nobody is held by a dead one.
const CHECK_SECONDS: u64 = 1;

/// Registers the exit handler (on_exit(3)).
pub(crate) fn register() {
    type OnExit = unsafe extern "C" fn(unsafe extern "C" fn(c_int, *mut c_void), *mut c_void) -> c_int;
    forward!(ON_EXIT as OnExit, (end, core::ptr::null_mut()), else 0);
}

/// Makes this process the trial's main process, where it runs the unedited program and is the first to.
pub(crate) fn claim(control: &Control) {
    if !is_unedited(control) || control.main.load(Acquire) != 0 {
        return;
    }
    if sys::inode_of(c"/proc/self/exe") == control.program.load(Acquire) {
        let _ = control.main.compare_exchange(0, sys::getpid(), AcqRel, Relaxed);
    }
}

/// Whether this process is the trial's main process and has not a line for us.
pub(crate) fn is_unedited_main(control: &Control) -> bool {
    is_unedited(control) && control.main.load(Acquire) == sys::getpid()
}

fn is_unedited(control: &Control) -> bool {
    control.flags.load(Relaxed) & FLAG_UNEDITED != 0
}

/// The beginning of an unedited main process, before its `main`: its first boundary.
pub(crate) fn begin() {
    let Some(control) = local::control().filter(|control| is_unedited_main(control)) else { return };
    if control.boundary.load(Acquire) != 0 {
        // The program has replaced itself by exec: it has begun already.
        return;
    }
    control.body_tp.store(sys::thread_pointer(), Relaxed);
    control.stage.store(STAGE_BOUNDARY, Release);
    control.boundary.store(1, Release);
    tell(control);
    wait(control, &control.answered, |answered| answered >= 1);
    control.stage.store(STAGE_BODY, Release);
}

/// The main thread of an unedited program has made a thread: libtest runs each test on one. What was made
/// before is the program's own start (round 0), what comes now is the test's.
pub(crate) fn test_begins(control: &Control) {
    if control.round.load(Relaxed) == 0 && is_unedited_main(control) {
        control.round.store(1, Release);
    }
}

unsafe extern "C" fn end(_: c_int, _: *mut c_void) {
    let (Some(control), Some(region)) = (local::control(), local::region()) else { return };
    if control.flags.load(Acquire) & FLAG_HOLD_EXIT == 0 || control.main.load(Acquire) != sys::getpid() {
        return;
    }
    control.exit_thread.store(sys::gettid(), Relaxed);
    region.held.store(1, Release);
    control.stage.store(STAGE_EXIT, Release);
    tell(control);
    wait(control, &region.release, |release| release != 0);
    region.held.store(0, Release);
}

/// Tells the supervisor that there is news.
fn tell(control: &Control) {
    control.news.fetch_add(1, AcqRel);
    sys::futex_wake(&control.news);
}

/// Waits until `word` says so, or the supervisor has gone.
fn wait(control: &Control, word: &AtomicU32, is_over: impl Fn(u32) -> bool) {
    loop {
        let seen = word.load(Acquire);
        if is_over(seen) || !sys::alive(control.supervisor.load(Relaxed)) {
            return;
        }
        sys::futex_wait(word, seen, CHECK_SECONDS);
    }
}
