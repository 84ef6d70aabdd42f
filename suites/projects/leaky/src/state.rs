//! Process state that a test changes and does not put back.
//!
//! Under libtest a test has a thread of its own: what only that thread has, as its mask of blocked
//! signals, ends with it and is no leak.

use std::{env, mem, ptr};

use crate::checked;

#[test]
fn environment_variable() {
    // SAFETY: no other thread of this process reads a variable but by the standard library.
    unsafe { env::set_var("LEAKY_LEFT_BEHIND", "set") }; // leaks here: environment_variable
}

#[test]
fn environment_variable_released() {
    // SAFETY: no other thread of this process reads a variable but by the standard library.
    unsafe { env::set_var("LEAKY_FOR_A_MOMENT", "set") };
    // SAFETY: as above.
    unsafe { env::remove_var("LEAKY_FOR_A_MOMENT") };
}

#[test]
fn working_directory() {
    env::set_current_dir("/").unwrap(); // leaks here: working_directory
}

#[test]
fn working_directory_released() {
    let here = env::current_dir().unwrap();
    env::set_current_dir("/").unwrap();
    env::set_current_dir(here).unwrap();
}

#[test]
fn umask() {
    // SAFETY: one integer.
    unsafe { libc::umask(0o027) }; // leaks here: umask
}

#[test]
fn umask_released() {
    // SAFETY: one integer.
    let before = unsafe { libc::umask(0o027) };
    // SAFETY: one integer.
    unsafe { libc::umask(before) };
}

#[test]
fn rlimit() {
    let mut limit = limit();
    limit.rlim_cur -= 1;
    // SAFETY: the structure lives as long as the call.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }); // leaks here: rlimit
}

#[test]
fn rlimit_released() {
    let before = limit();
    let lower = libc::rlimit { rlim_cur: before.rlim_cur - 1, ..before };
    for limit in [lower, before] {
        // SAFETY: the structure lives as long as the call.
        checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) });
    }
}

#[test]
fn signal_handler() {
    let action = action();
    // SAFETY: the handler does nothing.
    checked(unsafe { libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut()) }); // leaks here: signal_handler
}

#[test]
fn signal_handler_released() {
    let (action, mut before) = (action(), action());
    // SAFETY: the handler does nothing.
    checked(unsafe { libc::sigaction(libc::SIGUSR2, &action, &mut before) });
    // SAFETY: the handler that was there.
    checked(unsafe { libc::sigaction(libc::SIGUSR2, &before, ptr::null_mut()) });
}

/// Never given back, and no leak: the mask is the thread's, and the thread ends with the test.
#[test]
fn signal_blocked_in_a_thread_that_ends() {
    // SAFETY: a set of bits, for which zero is a value.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the set lives as long as the calls.
    unsafe {
        checked(libc::sigaddset(&mut set, libc::SIGUSR2));
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut()), 0);
    }
}

fn limit() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives as long as the call.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) });
    limit
}

fn action() -> libc::sigaction {
    extern "C" fn nothing(_signal: i32) {}
    // SAFETY: integers and an optional pointer, for which zero is a value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
    action
}
