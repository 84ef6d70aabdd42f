//! Processes by descriptor: a number may be given away, a pidfd may not.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// A descriptor for the process (pidfd_open(2), Linux 5.3); none on older kernels.
pub(crate) fn open(pid: u32) -> Option<OwnedFd> {
    // SAFETY: the call makes a descriptor or fails.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: a result that is not negative is a new descriptor, ours alone.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Signals exactly the process behind the descriptor, also if its number was given away since.
pub(crate) fn signal(pidfd: &OwnedFd, signal: Signal) {
    // SAFETY: pidfd_send_signal(2) with no siginfo. A process that has gone is no error to us.
    unsafe {
        let none = std::ptr::null::<libc::siginfo_t>();
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal as i32, none, 0);
    }
}

/// Whether the process has ended, be it reaped or not (poll(2) on a pidfd).
pub(crate) fn has_ended(pidfd: &OwnedFd) -> bool {
    ends_within(pidfd, Duration::ZERO)
}

/// The same, waiting so long for it.
pub(crate) fn ends_within(pidfd: &OwnedFd, patience: Duration) -> bool {
    happened_within(pidfd, libc::POLLIN, patience).is_some_and(|events| events != 0)
}

/// The status of a process that has been reaped, by whomever, as wait(2) gives it (ioctl PIDFD_GET_INFO,
/// Linux 6.15); none where it is not kept.
pub(crate) fn reaped_status(pidfd: &OwnedFd) -> Option<i32> {
    // SAFETY: plain numbers, all valid when zero.
    let mut info: libc::pidfd_info = unsafe { std::mem::zeroed() };
    info.mask = libc::PIDFD_INFO_EXIT.into();
    // SAFETY: the ioctl writes the structure, whose size is part of its number.
    let result =
        unsafe { libc::ioctl(pidfd.as_raw_fd(), libc::PIDFD_GET_INFO as _, &raw mut info) };
    (result == 0 && info.mask & u64::from(libc::PIDFD_INFO_EXIT) != 0).then_some(info.exit_code)
}

pub(crate) fn signal_process(pid: u32, signal: Signal) {
    let _ = nix::sys::signal::kill(Pid::from_raw(pid as i32), signal);
}

/// Signals a process group. A group that has gone is no error to us.
pub(crate) fn signal_group(group: u32, signal: Signal) {
    let _ = nix::sys::signal::killpg(Pid::from_raw(group as i32), signal);
}

/// Whether the peer of a connected socket of another process has closed its end (pidfd_getfd(2),
/// Linux 5.6). The socket is ours too for some microseconds. None where it cannot be told.
pub(crate) fn peer_has_closed(pid: u32, number: u32) -> Option<bool> {
    let pidfd = open(pid)?;
    // SAFETY: the call makes a descriptor or fails.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    if fd < 0 {
        return None;
    }
    // SAFETY: a new descriptor, ours alone.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let events = happened(&fd, libc::POLLRDHUP)?;
    Some(events & (libc::POLLHUP | libc::POLLRDHUP) != 0)
}

/// Which of the events have happened on a descriptor, and what is told unasked; none where it cannot be told.
fn happened(fd: &OwnedFd, events: i16) -> Option<i16> {
    happened_within(fd, events, Duration::ZERO)
}

fn happened_within(fd: &OwnedFd, events: i16, patience: Duration) -> Option<i16> {
    let mut request = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: poll(2) with one entry that lives across the call.
    let ready = unsafe { libc::poll(&raw mut request, 1, patience.as_millis() as i32) };
    (ready >= 0).then_some(request.revents)
}
