//! Descriptors that are never closed.

use std::fs::{self, File};
use std::mem::forget;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::{io, mem, ptr};

use crate::checked;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

#[test]
fn fd_file() {
    forget(File::open(MANIFEST).unwrap()); // leaks here: fd_file
}

#[test]
fn fd_file_released() {
    drop(File::open(MANIFEST).unwrap());
}

#[test]
fn fd_deleted_file() {
    let path = temporary("deleted");
    forget(File::create(&path).unwrap()); // leaks here: fd_deleted_file
    fs::remove_file(path).unwrap();
}

#[test]
fn fd_deleted_file_released() {
    let path = temporary("deleted-released");
    drop(File::create(&path).unwrap());
    fs::remove_file(path).unwrap();
}

#[test]
fn fd_memfd() {
    // SAFETY: the name ends with NUL.
    checked(unsafe { libc::memfd_create(c"leaky".as_ptr(), libc::MFD_CLOEXEC) }); // leaks here: fd_memfd
}

#[test]
fn fd_memfd_released() {
    // SAFETY: the name ends with NUL.
    close(unsafe { libc::memfd_create(c"leaky".as_ptr(), libc::MFD_CLOEXEC) });
}

#[test]
fn fd_pipe() {
    forget(io::pipe().unwrap()); // leaks here: fd_pipe
}

#[test]
fn fd_pipe_released() {
    drop(io::pipe().unwrap());
}

#[test]
fn fd_eventfd() {
    // SAFETY: two integers.
    checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) }); // leaks here: fd_eventfd
}

#[test]
fn fd_eventfd_released() {
    // SAFETY: two integers.
    close(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) });
}

#[test]
fn fd_epoll() {
    // SAFETY: one integer.
    checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }); // leaks here: fd_epoll
}

#[test]
fn fd_epoll_released() {
    // SAFETY: one integer.
    close(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
}

#[test]
fn fd_timerfd() {
    // SAFETY: two integers.
    checked(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) }); // leaks here: fd_timerfd
}

#[test]
fn fd_timerfd_released() {
    // SAFETY: two integers.
    close(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) });
}

#[test]
fn fd_signalfd() {
    let set = no_signals();
    // SAFETY: the set lives as long as the call.
    checked(unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC) }); // leaks here: fd_signalfd
}

#[test]
fn fd_signalfd_released() {
    let set = no_signals();
    // SAFETY: the set lives as long as the call.
    close(unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC) });
}

#[test]
fn fd_inotify() {
    // SAFETY: one integer.
    checked(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) }); // leaks here: fd_inotify
}

#[test]
fn fd_inotify_released() {
    // SAFETY: one integer.
    close(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) });
}

/// The watch is a thing of its own: it keeps an inode in the kernel, and is counted by user.
#[test]
fn inotify_watch() {
    let path = c"/";
    // SAFETY: one integer.
    let instance = checked(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) }); // leaks here: inotify_watch's instance
    // SAFETY: the path ends with NUL.
    checked(unsafe { libc::inotify_add_watch(instance, path.as_ptr(), libc::IN_CREATE) }); // leaks here: inotify_watch
}

#[test]
fn inotify_watch_released() {
    let path = c"/";
    // SAFETY: one integer.
    let instance = checked(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) });
    // SAFETY: the path ends with NUL.
    let watch =
        checked(unsafe { libc::inotify_add_watch(instance, path.as_ptr(), libc::IN_CREATE) });
    // SAFETY: two integers.
    checked(unsafe { libc::inotify_rm_watch(instance, watch) });
    close(instance);
}

/// No call of this process has opened the file behind it.
#[test]
fn fd_received() {
    let (sender, receiver) = UnixStream::pair().unwrap();
    send(&sender, &File::open(MANIFEST).unwrap());
    let mut space = Space::default();
    let mut byte = [0u8];
    let mut vector = vector(&mut byte);
    let mut message = space.message(&mut vector);
    // SAFETY: the message's parts live as long as the call.
    let got = unsafe { libc::recvmsg(receiver.as_raw_fd(), &mut message, 0) }; // leaks here: fd_received
    assert_eq!(got, 1);
    forget(space.descriptor());
}

#[test]
fn fd_received_released() {
    let (sender, receiver) = UnixStream::pair().unwrap();
    send(&sender, &File::open(MANIFEST).unwrap());
    let mut space = Space::default();
    let mut byte = [0u8];
    let mut vector = vector(&mut byte);
    let mut message = space.message(&mut vector);
    // SAFETY: the message's parts live as long as the call.
    let got = unsafe { libc::recvmsg(receiver.as_raw_fd(), &mut message, 0) };
    assert_eq!(got, 1);
    drop(space.descriptor());
}

/// Sends a descriptor over a socket (unix(7), SCM_RIGHTS).
fn send(sender: &UnixStream, file: &File) {
    let mut space = Space::default();
    space.header.cmsg_len = mem::offset_of!(Space, fd) + mem::size_of::<i32>();
    space.header.cmsg_level = libc::SOL_SOCKET;
    space.header.cmsg_type = libc::SCM_RIGHTS;
    space.fd = file.as_raw_fd();
    let mut byte = *b"!";
    let mut vector = vector(&mut byte);
    let message = space.message(&mut vector);
    // SAFETY: the message's parts live as long as the call.
    let sent = unsafe { libc::sendmsg(sender.as_raw_fd(), &message, 0) };
    assert_eq!(sent, 1, "{}", io::Error::last_os_error());
}

/// A control message with room for one descriptor (cmsg(3)).
#[repr(C)]
struct Space {
    header: libc::cmsghdr,
    fd: i32,
    _padding: i32,
}

impl Default for Space {
    fn default() -> Self {
        // SAFETY: integers, for which zero is a value.
        unsafe { mem::zeroed() }
    }
}

impl Space {
    fn message(&mut self, vector: &mut libc::iovec) -> libc::msghdr {
        // SAFETY: integers and pointers, for which zero is a value.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = vector;
        message.msg_iovlen = 1;
        message.msg_control = ptr::from_mut(self).cast();
        message.msg_controllen = mem::size_of::<Space>();
        message
    }

    /// What has come.
    fn descriptor(&self) -> OwnedFd {
        assert_eq!(self.header.cmsg_type, libc::SCM_RIGHTS);
        // SAFETY: the kernel has just made this number for us.
        unsafe { OwnedFd::from_raw_fd(self.fd) }
    }
}

fn vector(byte: &mut [u8; 1]) -> libc::iovec {
    libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 }
}

fn no_signals() -> libc::sigset_t {
    // SAFETY: a set of bits, for which zero is a value.
    unsafe { mem::zeroed() }
}

fn close(fd: i32) {
    // SAFETY: the caller has just made it, and nobody else knows of it.
    drop(unsafe { OwnedFd::from_raw_fd(checked(fd)) });
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("leaky-{}-{name}", std::process::id()))
}
