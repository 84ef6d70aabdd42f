//! Processes: who started each, and the agent for each of them.
//!
//! vfork is never interposed: its child runs on the parent's stack until it execs.

use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{AtomicPtr, Ordering::*};

use crate::environment::{self, Merged};
use crate::local;
use crate::next::{self, forward};
use crate::note;
use crate::stack;
use crate::table::SPAWN_SLOTS;

type Environment = *const *mut c_char;

/// The program's own environment vector, as libc has it now.
fn environ() -> Environment {
    let variable = next::get(&next::ENVIRON).cast::<Environment>();
    // SAFETY: `environ` is a variable of libc.
    if variable.is_null() { core::ptr::null() } else { unsafe { *variable } }
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
    // A null environment is the current one (glibc).
    let envp = if envp.is_null() { environ() } else { envp };
    let mut made: c_int = 0;
    // SAFETY: the arguments are the caller's; the signature is that of posix_spawn(3).
    let (result, merged) = unsafe {
        let spawn = core::mem::transmute::<*mut c_void, Spawn>(pointer);
        let merged = environment::merge(path, envp);
        let envp = merged.as_ref().map_or(envp, Merged::vector);
        (spawn(&mut made, path, rest.0, rest.1, rest.2, envp), merged)
    };
    if let Some(merged) = merged {
        merged.release();
    }
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

/// An exec with our variables on top of `envp`. A merged environment is not given back: where exec
/// succeeds the memory goes with the image, and where it fails one page or two are left.
unsafe fn exec(next: &AtomicPtr<c_void>, path: *const c_char, argv: *const *mut c_char, envp: Environment) -> c_int {
    let pointer = next::get(next);
    if pointer.is_null() {
        return -1;
    }
    // SAFETY: the arguments are the caller's; execve and execvpe have the same signature.
    unsafe {
        let exec = core::mem::transmute::<*mut c_void, Execve>(pointer);
        match environment::merge(path, envp) {
            Some(merged) => {
                let result = exec(path, argv, merged.vector());
                merged.release();
                result
            }
            None => exec(path, argv, envp),
        }
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

/// Runs a call that starts a shell with libc's own idea of the environment: it is lent ours for the
/// length of the call. POSIX lets nobody change the environment meanwhile; should somebody have,
/// theirs stays.
fn with_environment<T>(run: impl FnOnce() -> T) -> T {
    let variable = next::get(&next::ENVIRON).cast::<Environment>();
    let before = environ();
    // SAFETY: the path is a constant; the vector is libc's own.
    let merged = unsafe { environment::merge(c"/bin/sh".as_ptr(), before) };
    let Some(merged) = merged.filter(|_| !variable.is_null()) else { return run() };
    // SAFETY: `environ` is a variable of libc, and the merged vector outlives the call.
    unsafe { *variable = merged.vector() };
    let result = run();
    // SAFETY: as above.
    unsafe {
        if *variable == merged.vector() {
            *variable = before;
            merged.release();
        }
    }
    result
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

/// dlclose(3): what the unwinder knows of the module's addresses is no longer true.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlclose(handle: *mut c_void) -> c_int {
    let result = forward!(DLCLOSE as unsafe extern "C" fn(*mut c_void) -> c_int, (handle), else -1);
    stack::flush();
    result
}
