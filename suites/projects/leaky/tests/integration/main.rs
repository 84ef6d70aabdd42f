//! What is left on the machine: files, shared memory, locks.

mod files;
mod locks;
mod shm;

/// An error of libc's as Rust says it.
fn checked(result: i32) -> i32 {
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    result
}
