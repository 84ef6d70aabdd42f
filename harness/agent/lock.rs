//! File locks: which call took each, and in which round. The kernel tells which are held.
//!
//! Databases lock in every transaction, so a lock's stack is taken in explain runs alone.

use core::ffi::{c_int, c_long};
use core::sync::atomic::Ordering::*;

use crate::entry::{self, Facts};
use crate::next::forward;
use crate::note;
use crate::table::{ENTRY_FLOCK, ENTRY_OFD_LOCK, ENTRY_POSIX_LOCK, FLAG_HEAP_STACKS};

/// flock(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flock(fd: c_int, operation: c_int) -> c_int {
    const LOCK_UN: c_int = 8;
    let result = forward!(FLOCK as unsafe extern "C" fn(c_int, c_int) -> c_int, (fd, operation), else -1);
    if result == 0 && operation & LOCK_UN == 0 {
        taken(ENTRY_FLOCK, fd, 0);
    }
    result
}

type Lockf = unsafe extern "C" fn(c_int, c_int, c_long) -> c_int;

/// lockf(3): a record lock from the current position on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockf(fd: c_int, command: c_int, len: c_long) -> c_int {
    locked(fd, command, forward!(LOCKF as Lockf, (fd, command, len), else -1))
}

/// lockf(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockf64(fd: c_int, command: c_int, len: c_long) -> c_int {
    locked(fd, command, forward!(LOCKF64 as Lockf, (fd, command, len), else -1))
}

fn locked(fd: c_int, command: c_int, result: c_int) -> c_int {
    const F_LOCK: c_int = 1;
    const F_TLOCK: c_int = 2;
    if result == 0 && matches!(command, F_LOCK | F_TLOCK) {
        taken(ENTRY_POSIX_LOCK, fd, 0);
    }
    result
}

/// `struct flock` of fcntl(2), 64-bit.
#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    start: i64,
    len: i64,
    pid: i32,
}

/// A successful fcntl(2) of `command` with this argument.
#[inline]
pub(crate) fn controlled(fd: c_int, command: c_int, argument: c_long) {
    const F_SETLK: c_int = 6;
    const F_SETLKW: c_int = 7;
    const F_OFD_SETLK: c_int = 37;
    const F_OFD_SETLKW: c_int = 38;
    const F_UNLCK: i16 = 2;
    let kind = match command {
        F_SETLK | F_SETLKW => ENTRY_POSIX_LOCK,
        F_OFD_SETLK | F_OFD_SETLKW => ENTRY_OFD_LOCK,
        _ => return,
    };
    // SAFETY: the kernel has just read this structure from the caller.
    let flock = unsafe { &*(argument as *const Flock) };
    if flock.kind != F_UNLCK {
        taken(kind, fd, flock.start);
    }
}

fn taken(kind: u32, fd: c_int, start: i64) {
    let Some((region, control)) = entry::main_table() else { return };
    let explains = control.flags.load(Relaxed) & FLAG_HEAP_STACKS != 0;
    let stack = if explains { note::stack_id(region, control) } else { 0 };
    let identity = (fd as u64) << 32 ^ start as u64;
    let facts = Facts { value: fd as u64, before: start as u64, text: b"" };
    entry::put(region, control, kind, identity, stack, facts);
}
