//! Changes of the main process's own state: environment, working directory, umask, limits, signals.
//!
//! Only what a round changes is entered, with what was there before its first change. What the kernel
//! shows of it (all but variables and handlers) the supervisor reads there.

use core::ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void};

use crate::entry::{self, Facts};
use crate::next::forward;
use crate::table::{
    ENTRY_CWD, ENTRY_ENV, ENTRY_HANDLER, ENTRY_MASK, ENTRY_RLIMIT, ENTRY_UMASK, TEXT_HASH, text_hash,
};

/// A hash of a variable's value; 0 where it is not set.
fn value_of(name: *const c_char) -> u64 {
    let value = forward!(GETENV as unsafe extern "C" fn(*const c_char) -> *const c_char, (name), else core::ptr::null());
    if value.is_null() {
        return 0;
    }
    // SAFETY: getenv gives a text that ends with NUL.
    text_hash(TEXT_HASH, unsafe { CStr::from_ptr(value) }.to_bytes()) | 1
}

/// Runs a call that changes the variable `name`, and enters the change.
fn changing(name: *const c_char, call: impl FnOnce() -> c_int) -> c_int {
    if name.is_null() || entry::main_table().is_none() {
        return call();
    }
    let before = value_of(name);
    let result = call();
    // SAFETY: the caller's name ends with NUL.
    let text = unsafe { CStr::from_ptr(name) }.to_bytes();
    let (identity, value) = (text_hash(TEXT_HASH, text), value_of(name));
    if result == 0 && (value != before || is_known(ENTRY_ENV, identity)) {
        entry::change(ENTRY_ENV, identity, Facts { value, before, text });
    }
    result
}

/// setenv(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setenv(name: *const c_char, value: *const c_char, overwrite: c_int) -> c_int {
    type Setenv = unsafe extern "C" fn(*const c_char, *const c_char, c_int) -> c_int;
    changing(name, || forward!(SETENV as Setenv, (name, value, overwrite), else -1))
}

/// unsetenv(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unsetenv(name: *const c_char) -> c_int {
    changing(name, || forward!(UNSETENV as unsafe extern "C" fn(*const c_char) -> c_int, (name), else -1))
}

/// clearenv(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clearenv() -> c_int {
    if entry::main_table().is_some() {
        let mut at = crate::process::environ();
        // SAFETY: the program's environment vector ends with a null, its texts with NUL.
        unsafe {
            while !at.is_null() && !(*at).is_null() {
                let text = CStr::from_ptr(*at).to_bytes();
                let len = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
                let (name, value) = text.split_at(len);
                let before = text_hash(TEXT_HASH, value.get(1..).unwrap_or_default()) | 1;
                let facts = Facts { value: 0, before, text: name };
                entry::change(ENTRY_ENV, text_hash(TEXT_HASH, name), facts);
                at = at.add(1);
            }
        }
    }
    forward!(CLEARENV as unsafe extern "C" fn() -> c_int, (), else -1)
}

/// putenv(3): the name ends at the equals sign.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn putenv(text: *mut c_char) -> c_int {
    const NAME_MAX: usize = 256;
    let call = || forward!(PUTENV as unsafe extern "C" fn(*mut c_char) -> c_int, (text), else -1);
    if text.is_null() {
        return call();
    }
    // SAFETY: the caller's text ends with NUL.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    let mut name = [0u8; NAME_MAX];
    let len = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
    if len >= NAME_MAX {
        return call();
    }
    name[..len].copy_from_slice(&bytes[..len]);
    changing(name.as_ptr().cast(), call)
}

/// Whether something was changed before: then it is of interest also when it is set as it is.
fn is_known(kind: u32, identity: u64) -> bool {
    entry::main_table().is_some_and(|(region, _)| entry::find(region, kind, identity).is_some())
}

/// Enters a change whose effect the kernel shows.
fn changed(kind: u32, identity: u64, succeeded: bool) {
    if succeeded {
        entry::change(kind, identity, Facts::default());
    }
}

/// chdir(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chdir(path: *const c_char) -> c_int {
    let result = forward!(CHDIR as unsafe extern "C" fn(*const c_char) -> c_int, (path), else -1);
    changed(ENTRY_CWD, 0, result == 0);
    result
}

/// fchdir(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fchdir(fd: c_int) -> c_int {
    let result = forward!(FCHDIR as unsafe extern "C" fn(c_int) -> c_int, (fd), else -1);
    changed(ENTRY_CWD, 0, result == 0);
    result
}

/// umask(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn umask(mask: c_uint) -> c_uint {
    let before = forward!(UMASK as unsafe extern "C" fn(c_uint) -> c_uint, (mask), else mask);
    changed(ENTRY_UMASK, 0, before != mask || is_known(ENTRY_UMASK, 0));
    before
}

type Setrlimit = unsafe extern "C" fn(c_uint, *const c_void) -> c_int;

/// setrlimit(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setrlimit(resource: c_uint, limit: *const c_void) -> c_int {
    let result = forward!(SETRLIMIT as Setrlimit, (resource, limit), else -1);
    changed(ENTRY_RLIMIT, resource.into(), result == 0);
    result
}

/// setrlimit(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setrlimit64(resource: c_uint, limit: *const c_void) -> c_int {
    let result = forward!(SETRLIMIT64 as Setrlimit, (resource, limit), else -1);
    changed(ENTRY_RLIMIT, resource.into(), result == 0);
    result
}

type Prlimit = unsafe extern "C" fn(c_int, c_uint, *const c_void, *mut c_void) -> c_int;

/// prlimit(2): only where it sets one of this process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prlimit(pid: c_int, resource: c_uint, new: *const c_void, old: *mut c_void) -> c_int {
    let result = forward!(PRLIMIT as Prlimit, (pid, resource, new, old), else -1);
    changed(ENTRY_RLIMIT, resource.into(), result == 0 && !new.is_null());
    result
}

/// prlimit(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prlimit64(pid: c_int, resource: c_uint, new: *const c_void, old: *mut c_void) -> c_int {
    let result = forward!(PRLIMIT64 as Prlimit, (pid, resource, new, old), else -1);
    changed(ENTRY_RLIMIT, resource.into(), result == 0 && !new.is_null());
    result
}

/// Bytes of `struct sigaction` on x86_64 (handler, mask of 1024 bits, flags, restorer); the handler is first.
const SIGACTION_WORDS: usize = 19;

/// sigaction(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(signal: c_int, new: *const usize, old: *mut usize) -> c_int {
    type Sigaction = unsafe extern "C" fn(c_int, *const usize, *mut usize) -> c_int;
    let mut kept = [0usize; SIGACTION_WORDS];
    // What was there before is asked for in any case.
    let before = if old.is_null() { kept.as_mut_ptr() } else { old };
    // `new` and `old` may be the same structure.
    // SAFETY: the caller's structure, whose first word is the handler.
    let value = if new.is_null() { 0 } else { unsafe { *new } };
    let result = forward!(SIGACTION as Sigaction, (signal, new, before), else -1);
    if result == 0 && !new.is_null() {
        // SAFETY: the call has filled it.
        handled(signal, unsafe { *before }, value);
    }
    result
}

/// signal(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn signal(signal: c_int, handler: usize) -> usize {
    const SIG_ERR: usize = usize::MAX;
    let before = forward!(SIGNAL as unsafe extern "C" fn(c_int, usize) -> usize, (signal, handler), else SIG_ERR);
    if before != SIG_ERR {
        handled(signal, before, handler);
    }
    before
}

/// Enters a signal's new handler.
fn handled(signal: c_int, before: usize, value: usize) {
    if before != value || is_known(ENTRY_HANDLER, signal as u64) {
        let facts = Facts { value: value as u64, before: before as u64, text: b"" };
        entry::change(ENTRY_HANDLER, signal as u64, facts);
    }
}

type Sigmask = unsafe extern "C" fn(c_int, *const c_ulong, *mut c_ulong) -> c_int;

/// sigprocmask(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigprocmask(how: c_int, new: *const c_ulong, old: *mut c_ulong) -> c_int {
    masked(how, new, old, |before| forward!(SIGPROCMASK as Sigmask, (how, new, before), else -1))
}

/// pthread_sigmask(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_sigmask(how: c_int, new: *const c_ulong, old: *mut c_ulong) -> c_int {
    const ENOSYS: c_int = 38;
    masked(how, new, old, |before| forward!(PTHREAD_SIGMASK as Sigmask, (how, new, before), else ENOSYS))
}

/// Enters each signal that a call blocks or unblocks on the body's thread.
fn masked(how: c_int, new: *const c_ulong, old: *mut c_ulong, call: impl FnOnce(*mut c_ulong) -> c_int) -> c_int {
    const SIG_BLOCK: c_int = 0;
    const SIG_UNBLOCK: c_int = 1;
    /// `sigset_t` has 1024 bits; the kernel's 64 are in the first word.
    const SIGSET_WORDS: usize = 16;
    let mut kept = [0; SIGSET_WORDS];
    let before = if old.is_null() { kept.as_mut_ptr() } else { old };
    // SAFETY: the caller's set; it may be the same as `old`.
    let set = if new.is_null() { 0 } else { unsafe { *new } };
    let result = call(before);
    if result == 0
        && !new.is_null()
        && let Some((_, control)) = entry::main_table()
        && entry::is_body_thread(control)
    {
        // SAFETY: the call has filled it.
        let before = unsafe { *before };
        let now = match how {
            SIG_BLOCK => before | set,
            SIG_UNBLOCK => before & !set,
            _ => set,
        };
        let mut touched = before ^ now | set;
        while touched != 0 {
            let signal = u64::from(touched.trailing_zeros()) + 1;
            if (before ^ now) >> (signal - 1) & 1 != 0 || is_known(ENTRY_MASK, signal) {
                entry::change(ENTRY_MASK, signal, Facts::default());
            }
            touched &= touched - 1;
        }
    }
    result
}
