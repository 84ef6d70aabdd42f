//! Locks that are never given back, on files that are opened once and stay open.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::LazyLock;

use libc::{F_OFD_SETLK, F_RDLCK, F_SETLK, F_UNLCK};

use crate::checked;

static FILE: LazyLock<File> = LazyLock::new(|| File::open("/proc/self/exe").unwrap());

#[test]
fn lock_flock() {
    FILE.lock_shared().unwrap(); // leaks here: lock_flock
}

#[test]
fn lock_flock_released() {
    FILE.lock_shared().unwrap();
    FILE.unlock().unwrap();
}

#[test]
fn lock_record() {
    // SAFETY: the structure lives as long as the call.
    checked(unsafe { libc::fcntl(FILE.as_raw_fd(), F_SETLK, &byte(F_RDLCK)) }); // leaks here: lock_record
}

#[test]
fn lock_record_released() {
    for kind in [F_RDLCK, F_UNLCK] {
        // SAFETY: the structure lives as long as the call.
        checked(unsafe { libc::fcntl(FILE.as_raw_fd(), F_SETLK, &byte(kind)) });
    }
}

#[test]
fn lock_ofd() {
    // SAFETY: the structure lives as long as the call.
    checked(unsafe { libc::fcntl(FILE.as_raw_fd(), F_OFD_SETLK, &byte(F_RDLCK)) }); // leaks here: lock_ofd
}

#[test]
fn lock_ofd_released() {
    for kind in [F_RDLCK, F_UNLCK] {
        // SAFETY: the structure lives as long as the call.
        checked(unsafe { libc::fcntl(FILE.as_raw_fd(), F_OFD_SETLK, &byte(kind)) });
    }
}

/// The first byte of a file.
fn byte(kind: i32) -> libc::flock {
    let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
    libc::flock { l_type, l_whence, l_start: 0, l_len: 1, l_pid: 0 }
}
