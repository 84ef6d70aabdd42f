//! Mappings that are never taken away.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::ptr;

const BYTES: usize = 256 << 10;
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

#[test]
fn mapping_anonymous() {
    // SAFETY: a new mapping overwrites nothing.
    let map = unsafe { libc::mmap(ptr::null_mut(), BYTES, libc::PROT_WRITE, ANONYMOUS, -1, 0) }; // leaks here: mapping_anonymous
    assert_ne!(map, libc::MAP_FAILED);
}

#[test]
fn mapping_anonymous_released() {
    // SAFETY: a new mapping overwrites nothing.
    let map = unsafe { libc::mmap(ptr::null_mut(), BYTES, libc::PROT_WRITE, ANONYMOUS, -1, 0) };
    release(map, BYTES);
}

#[test]
fn mapping_file() {
    let file = File::open(MANIFEST).unwrap();
    let (fd, flags) = (file.as_raw_fd(), libc::MAP_PRIVATE);
    // SAFETY: a new mapping overwrites nothing.
    let map = unsafe { libc::mmap(ptr::null_mut(), 100, libc::PROT_READ, flags, fd, 0) }; // leaks here: mapping_file
    assert_ne!(map, libc::MAP_FAILED);
}

#[test]
fn mapping_file_released() {
    let file = File::open(MANIFEST).unwrap();
    let (fd, flags) = (file.as_raw_fd(), libc::MAP_PRIVATE);
    // SAFETY: a new mapping overwrites nothing.
    let map = unsafe { libc::mmap(ptr::null_mut(), 100, libc::PROT_READ, flags, fd, 0) };
    release(map, 100);
}

fn release(map: *mut libc::c_void, len: usize) {
    assert_ne!(map, libc::MAP_FAILED);
    // SAFETY: the caller has just mapped it and refers to nothing in it.
    crate::checked(unsafe { libc::munmap(map, len) });
}
