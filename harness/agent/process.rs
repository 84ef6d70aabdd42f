//! Processes: who started each, and the agent for each of them.
//!
//! vfork is never interposed: its child runs on the parent's stack until it execs.

use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{AtomicPtr, Ordering::*};

use crate::environment::{self, Environment};
use crate::local;
use crate::next::{self, forward};
use crate::note;
use crate::stack;
use crate::table::SPAWN_SLOTS;

/// The program's own environment vector, as libc has it now.
pub(crate) fn environ() -> Environment {
    next::environ().map_or(core::ptr::null(), |variable| variable.load(Acquire))
}

/// Notes a process that has just been made.
fn born(pid: c_int) {
    if pid > 0
        && let Some(region) = local::region()
        && let Some(control) = local::control()
    {
        let at = region.spawn_next.fetch_add(1, AcqRel) as usize % SPAWN_SLOTS;
        let slot = &region.spawns[at];
        slot.pid.store(0, Release);
        slot.stack.store(note::stack_id(region, control), Relaxed);
        slot.round.store(control.round.load(Relaxed), Relaxed);
        slot.sample.store(control.sample.load(Relaxed), Relaxed);
        slot.pid.store(pid as u32, Release);
    }
}

/// fork(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fork() -> c_int {
    let pid = forward!(FORK as unsafe extern "C" fn() -> c_int, (), else -1);
    born(pid);
    pid
}

type Spawn = unsafe extern "C" fn(
    *mut c_int,
    *const c_char,
    *const c_void,
    *const c_void,
    *const *mut c_char,
    Environment,
) -> c_int;

/// What posix_spawn and posix_spawnp share.
unsafe fn spawn(
    next: &AtomicPtr<c_void>,
    pid: *mut c_int,
    path: *const c_char,
    rest: (*const c_void, *const c_void, *const *mut c_char),
    envp: Environment,
) -> c_int {
    const ENOSYS: c_int = 38;
    let pointer = next::get(next);
    if pointer.is_null() {
        return ENOSYS;
    }
    let mut made: c_int = 0;
    // SAFETY: the arguments are the caller's; the signature is that of posix_spawn(3).
    let result = unsafe {
        let spawn = core::mem::transmute::<*mut c_void, Spawn>(pointer);
        environment::with(path, envp, |envp| spawn(&mut made, path, rest.0, rest.1, rest.2, envp))
    };
    if result == 0 {
        if !pid.is_null() {
            // SAFETY: the caller gave a place for the id.
            unsafe { *pid = made };
        }
        born(made);
    }
    result
}

/// posix_spawn(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawn(
    pid: *mut c_int,
    path: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    argv: *const *mut c_char,
    envp: Environment,
) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { spawn(&next::POSIX_SPAWN, pid, path, (actions, attributes, argv), envp) }
}

/// posix_spawnp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawnp(
    pid: *mut c_int,
    path: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    argv: *const *mut c_char,
    envp: Environment,
) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { spawn(&next::POSIX_SPAWNP, pid, path, (actions, attributes, argv), envp) }
}

type Execve = unsafe extern "C" fn(*const c_char, *const *mut c_char, Environment) -> c_int;

/// An exec with our variables on top of `envp`.
unsafe fn exec(next: &AtomicPtr<c_void>, path: *const c_char, argv: *const *mut c_char, envp: Environment) -> c_int {
    let pointer = next::get(next);
    if pointer.is_null() {
        return -1;
    }
    // SAFETY: the arguments are the caller's; execve and execvpe have the same signature.
    unsafe {
        let exec = core::mem::transmute::<*mut c_void, Execve>(pointer);
        environment::with(path, envp, |envp| exec(path, argv, envp))
    }
}

/// execve(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execve(path: *const c_char, argv: *const *mut c_char, envp: Environment) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { exec(&next::EXECVE, path, argv, envp) }
}

/// execv(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execv(path: *const c_char, argv: *const *mut c_char) -> c_int {
    // SAFETY: the caller's arguments; execv is execve with the current environment.
    unsafe { exec(&next::EXECVE, path, argv, environ()) }
}

/// execvp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvp(file: *const c_char, argv: *const *mut c_char) -> c_int {
    // SAFETY: the caller's arguments; execvp is execvpe with the current environment.
    unsafe { exec(&next::EXECVPE, file, argv, environ()) }
}

/// execvpe(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvpe(file: *const c_char, argv: *const *mut c_char, envp: Environment) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { exec(&next::EXECVPE, file, argv, envp) }
}

/// dlclose(3): what the unwinder knows of the module's addresses is no longer true.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlclose(handle: *mut c_void) -> c_int {
    let result = forward!(DLCLOSE as unsafe extern "C" fn(*mut c_void) -> c_int, (handle), else -1);
    stack::flush();
    result
}
