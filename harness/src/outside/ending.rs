//! How a process ended.

use std::fs;
use std::os::fd::AsFd as _;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::{Reading, State, Subject, Unavailable};
use crate::pidfd;
use crate::probe::process;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl Ending {
    /// Of a status as wait(2) gives it.
    fn of_status(status: i32) -> Self {
        match libc::WIFSIGNALED(status) {
            true => Self::Killed(libc::WTERMSIG(status)),
            false => Self::Exited(libc::WEXITSTATUS(status)),
        }
    }
}

/// How it ended; none while it lives. Nothing is reaped: a child of ours stays for whoever waits for it.
pub(super) fn of(subject: &Subject) -> Option<Reading<Ending>> {
    let state = match subject.state() {
        Ok(state) if !state.is_over() => return None,
        Ok(state) => state,
        Err(unavailable) => return Some(Err(unavailable)),
    };
    let status = match state {
        State::Zombie => zombies_status(subject),
        _ => subject.pidfd.as_ref().and_then(pidfd::reaped_status),
    };
    // It may have been reaped between two looks.
    let status = status.or_else(|| subject.pidfd.as_ref().and_then(pidfd::reaped_status));
    let untold = || {
        let pid = subject.pid;
        Unavailable::new(format!(
            "how process {pid} ended only its parent is told before Linux 6.15"
        ))
    };
    Some(status.map(Ending::of_status).or_else(|| of_child(subject)).ok_or_else(untold))
}

/// A zombie's status. Who may not read the process is shown a zero, and may not read this link either.
fn zombies_status(subject: &Subject) -> Option<i32> {
    fs::read_link(format!("/proc/{}/ns/user", subject.pid)).ok()?;
    let stat = process::stat(subject.pid).ok()?;
    (stat.started == subject.started && stat.is_zombie()).then_some(stat.status)
}

/// A child's, without reaping it.
fn of_child(subject: &Subject) -> Option<Ending> {
    let pidfd = subject.pidfd.as_ref()?;
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::PIDFd(pidfd.as_fd()), flags).ok()? {
        WaitStatus::Exited(_, code) => Some(Ending::Exited(code)),
        WaitStatus::Signaled(_, signal, _) => Some(Ending::Killed(signal as i32)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_code_or_a_signal() {
        assert_eq!(Ending::of_status(7 << 8), Ending::Exited(7));
        assert_eq!(Ending::of_status(9), Ending::Killed(9));
        assert_eq!(Ending::of_status(0x80 | 6), Ending::Killed(6), "with a core");
    }
}
