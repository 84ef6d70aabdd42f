//! Descriptors that come and go past the C library, and maps.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::sync::OnceLock;

use memmap2::{Mmap, MmapMut};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// Looks like a leak: opened by the C library, closed by a raw system call, so who counts calls sees an
/// open without a close.
#[test]
fn opened_by_libc_and_closed_by_rustix() {
    let fd = File::open(MANIFEST).unwrap().into_raw_fd();
    // SAFETY: the descriptor is ours and is not used afterwards.
    unsafe { rustix::io::close(fd) };
}

/// Looks like one open less than closes: opened by a raw system call, closed by the C library.
#[test]
fn opened_by_rustix_and_closed_by_libc() {
    let opened = rustix::fs::open(MANIFEST, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    drop(File::from(opened.unwrap()));
}

/// Looks as if the file were still open: the number of a file that was closed by a raw system call is
/// taken by an eventfd that stays for ever, as its owner is a static. The line that opened the file has
/// nothing to do with it.
#[test]
fn a_number_with_a_new_owner() {
    static WAKER: OnceLock<OwnedFd> = OnceLock::new();
    let fd = File::open(MANIFEST).unwrap().into_raw_fd();
    // SAFETY: the descriptor is ours and is not used afterwards.
    unsafe { rustix::io::close(fd) };
    WAKER.get_or_init(|| eventfd(0, EventfdFlags::CLOEXEC).unwrap());
}

/// Looks like two descriptors too many while it runs: duplicates of a pipe's end, by raw system calls.
#[test]
fn duplicated_and_closed() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let again = rustix::io::dup(&writer).unwrap();
    assert_eq!(rustix::io::write(&again, b"!").unwrap(), 1);
    assert_eq!(rustix::io::read(&reader, &mut [0u8; 4]).unwrap(), 1);
}

/// Looks like a leak when read in the test: the file is the thread's, and the thread's end closes it.
#[test]
fn a_file_of_the_thread() {
    thread_local! {
        static FILE: RefCell<Option<File>> = const { RefCell::new(None) };
    }
    FILE.with(|file| *file.borrow_mut() = Some(File::open(MANIFEST).unwrap()));
}

/// Looks like mappings that stay: they are taken away by drop, one in two steps.
#[test]
fn maps_that_are_released() {
    // SAFETY: nobody writes the file while it is mapped.
    let file = unsafe { Mmap::map(&File::open(MANIFEST).unwrap()).unwrap() };
    assert!(file.starts_with(b"[package]"));
    let mut pages = MmapMut::map_anon(1 << 20).unwrap();
    pages.fill(7);
    drop(pages.make_read_only().unwrap());
}

/// Looks like files that stay: they are in a directory that is removed as a whole, one under another name
/// than it was made with, and one has no name at all.
#[test]
fn temporary_files_that_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    fs::write(&first, "moved").unwrap();
    fs::rename(first, &second).unwrap();
    fs::create_dir(directory.path().join("inside")).unwrap();
    let mut named = tempfile::NamedTempFile::new().unwrap();
    named.write_all(b"removed by drop").unwrap();
    named.persist(directory.path().join("third")).unwrap();
    tempfile::tempfile().unwrap().write_all(b"nameless").unwrap();
    directory.close().unwrap();
}
