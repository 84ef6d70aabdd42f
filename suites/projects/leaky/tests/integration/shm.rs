//! Shared memory that outlives the process that made it.
//!
//! Nobody on the machine takes it away: whoever runs these tests may set `LEAKY_RUN` to a number, finds
//! it in the names and the size of what is left, and removes that.

use std::ffi::CString;
use std::ptr;

use crate::checked;

const FLAGS: i32 = libc::O_CREAT | libc::O_RDWR;
const MODE: libc::mode_t = 0o600;

#[test]
fn shm_posix() {
    let name = name("");
    // SAFETY: the name ends with NUL.
    let fd = checked(unsafe { libc::shm_open(name.as_ptr(), FLAGS, MODE) }); // leaks here: shm_posix
    close(fd);
}

#[test]
fn shm_posix_released() {
    let name = name("-released");
    // SAFETY: the name ends with NUL.
    let fd = checked(unsafe { libc::shm_open(name.as_ptr(), FLAGS, MODE) });
    close(fd);
    // SAFETY: the name ends with NUL.
    checked(unsafe { libc::shm_unlink(name.as_ptr()) });
}

#[test]
fn shm_sysv() {
    // SAFETY: three integers; the segment is not attached.
    checked(unsafe { libc::shmget(libc::IPC_PRIVATE, size(), 0o600) }); // leaks here: shm_sysv
}

#[test]
fn shm_sysv_released() {
    // SAFETY: three integers; the segment is not attached.
    let id = checked(unsafe { libc::shmget(libc::IPC_PRIVATE, size(), 0o600) });
    // SAFETY: this command takes no buffer.
    checked(unsafe { libc::shmctl(id, libc::IPC_RMID, ptr::null_mut()) });
}

/// The semaphore is closed; the file `/dev/shm/sem.NAME` stays.
#[test]
fn semaphore() {
    let name = name("");
    // SAFETY: the name ends with NUL; a semaphore that is made takes a mode and a value.
    let semaphore = unsafe { libc::sem_open(name.as_ptr(), libc::O_CREAT, MODE, 1) }; // leaks here: semaphore
    assert_ne!(semaphore, libc::SEM_FAILED);
    // SAFETY: it is open, and is not used afterwards.
    checked(unsafe { libc::sem_close(semaphore) });
}

#[test]
fn semaphore_released() {
    let name = name("-released");
    // SAFETY: the name ends with NUL; a semaphore that is made takes a mode and a value.
    let semaphore = unsafe { libc::sem_open(name.as_ptr(), libc::O_CREAT, MODE, 1) };
    assert_ne!(semaphore, libc::SEM_FAILED);
    // SAFETY: it is open, and is not used afterwards; the name ends with NUL.
    unsafe {
        checked(libc::sem_close(semaphore));
        checked(libc::sem_unlink(name.as_ptr()));
    }
}

/// The number of this run.
fn run() -> u32 {
    let given = std::env::var("LEAKY_RUN").ok().and_then(|number| number.parse().ok());
    given.unwrap_or_else(std::process::id)
}

/// One for each run and process: a test that is run again makes its own.
fn name(ending: &str) -> CString {
    CString::new(format!("/leaky-{}-{}{ending}", run(), std::process::id())).unwrap()
}

/// A segment that has no name is known by its size: a megabyte and the number of the run.
fn size() -> usize {
    (1 << 20) + run() as usize
}

fn close(fd: i32) {
    // SAFETY: the caller has just made it, and nobody else knows of it.
    checked(unsafe { libc::close(fd) });
}
