//! Taking hold of a process: which one it is, and whether it can be looked at.

use std::fs;
use std::io::ErrorKind;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::snapshot::Last;
use super::{Subject, Unavailable, image};
use crate::pidfd;
use crate::probe::{memory, process, thread};

/// A process cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing has this number.
    #[error("there is no process {pid}: `ps -e` lists those that run")]
    NoSuchProcess {
        /// The number.
        pid: u32,
    },
    /// It exists, but `/proc` does not show it.
    #[error(
        "process {pid} is another user's and /proc hides it (hidepid): run as that user or as root"
    )]
    Hidden {
        /// The number.
        pid: u32,
    },
    /// The number is a thread's.
    #[error("{pid} is a thread of process {process}: watch {process}")]
    Thread {
        /// The thread's number.
        pid: u32,
        /// The process that it belongs to.
        process: u32,
    },
    /// One of the kernel's own.
    #[error(
        "process {pid} ({name}) is a thread of the kernel: it holds nothing that could be watched"
    )]
    KernelThread {
        /// The number.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// It has ended, and its parent has not asked how.
    #[error(
        "process {pid} ({name}) has ended and is a zombie until its parent, process {parent}, waits for it: \
         watch {parent}"
    )]
    Zombie {
        /// The number.
        pid: u32,
        /// Its name.
        name: String,
        /// Whose child it is.
        parent: u32,
    },
    /// It is there, and could not be read.
    #[error("process {pid} cannot be looked at: {unavailable}")]
    Unreadable {
        /// The number.
        pid: u32,
        /// Why.
        unavailable: Unavailable,
    },
}

/// `is_child`: it is ours to wait for, and may have ended.
pub(super) fn open(pid: u32, is_child: bool) -> Result<Subject, OpenError> {
    // The descriptor comes first: if its process has not ended after the number was read, both are of one.
    let pidfd = pidfd::open(pid);
    let stat = process::stat(pid).map_err(|unavailable| absent(pid, unavailable))?;
    if stat.is_kernel {
        return Err(OpenError::KernelThread { pid, name: stat.name });
    }
    let status = memory::status(pid).map_err(|unavailable| absent(pid, unavailable))?;
    if let Some(process) = image::process_in(&status).filter(|process| *process != pid) {
        return Err(OpenError::Thread { pid, process });
    }
    let has_ended = pidfd.as_ref().map(pidfd::has_ended);
    let is_over = || has_ended.unwrap_or_else(|| thread::count(pid).unwrap_or(0) <= 1);
    match (stat.is_zombie(), has_ended) {
        (true, _) if !is_child && is_over() => {
            return Err(OpenError::Zombie { pid, name: stat.name, parent: stat.parent });
        }
        // Another process has the number now, and has had it for some microseconds.
        (false, Some(true)) => return Err(OpenError::NoSuchProcess { pid }),
        _ => {}
    }
    Ok(Subject {
        pid,
        started: stat.started,
        pidfd,
        barred: barred(pid, &status),
        last: Last::default(),
    })
}

/// Why `/proc` has nothing of this number.
fn absent(pid: u32, unavailable: Unavailable) -> OpenError {
    let number = i32::try_from(pid).ok().filter(|number| *number > 0);
    let signalled = number.map(|number| kill(Pid::from_raw(number), None));
    match signalled {
        None | Some(Err(Errno::ESRCH)) => OpenError::NoSuchProcess { pid },
        Some(Err(Errno::EPERM)) => OpenError::Hidden { pid },
        Some(_) => OpenError::Unreadable { pid, unavailable },
    }
}

/// Why most of it may not be read: descriptors stand for all that needs the same right (ptrace(2),
/// PTRACE_MODE_READ).
fn barred(pid: u32, status: &str) -> Option<Unavailable> {
    let error = fs::read_dir(format!("/proc/{pid}/fd")).err()?;
    let whose = image::user_in(status)
        .map_or_else(|| "another user".to_owned(), |user| format!("user {}", user.effective));
    (error.kind() == ErrorKind::PermissionDenied).then(|| {
        Unavailable::new(format!(
            "process {pid} runs as {whose} and is not ours to read: run as that user or as root"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_nobody_has_is_told_from_one_that_is_hidden() {
        let absent = |pid| absent(pid, Unavailable::new("not found"));
        assert!(matches!(absent(u32::MAX), OpenError::NoSuchProcess { pid: u32::MAX }));
        assert!(matches!(absent(0), OpenError::NoSuchProcess { pid: 0 }));
        assert!(matches!(absent(std::process::id()), OpenError::Unreadable { .. }));
    }

    #[test]
    fn every_error_says_what_to_do_or_why_nothing_can_be_done() {
        let zombie = OpenError::Zombie { pid: 7, name: "sh".to_owned(), parent: 6 };
        assert_eq!(
            zombie.to_string(),
            "process 7 (sh) has ended and is a zombie until its parent, process 6, waits for it: watch 6"
        );
        let thread = OpenError::Thread { pid: 7, process: 6 };
        assert_eq!(thread.to_string(), "7 is a thread of process 6: watch 6");
    }
}
