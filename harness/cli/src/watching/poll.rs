//! Waiting for the first of several descriptors (poll(2)).

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Which of them can be read, or have come to their end, after at most `timeout`.
pub(super) fn ready<'fd>(
    fds: impl Iterator<Item = BorrowedFd<'fd>>,
    timeout: Duration,
) -> Vec<bool> {
    let mut polled: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    // Rounded up, so that nobody comes back before the time and turns around.
    let timeout = timeout + Duration::from_micros(999);
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    // An interrupted poll looks like one that timed out.
    let _ = poll(&mut polled, timeout);
    polled.iter().map(|fd| fd.any().unwrap_or(false)).collect()
}
