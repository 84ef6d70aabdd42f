//! Any process, seen from outside: what it holds, what it may still take, and what becomes of it.
//!
//! ```
//! use watertight::outside::{self, Subject};
//!
//! let mut subject = Subject::open(std::process::id())?;
//! let before = subject.snapshot();
//! println!("{:?} descriptors, {:?}", before.descriptors, before.held.value);
//! let after = subject.snapshot();
//! for event in outside::events(&before, &after) {
//!     println!("{event:?}");
//! }
//! # Ok::<(), watertight::outside::OpenError>(())
//! ```
//!
//! Nothing of ours is in the process, so there are no sites; it holds nothing for us, and is not stopped.
//! What could not be looked at is [`Unavailable`] in its place, and the rest is read all the same.
//! What is dear to read is read less often ([`Paced`]). No history is kept here.

mod ending;
mod event;
mod family;
mod held;
mod image;
mod limit;
mod opening;
mod pace;
mod snapshot;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

pub use crate::probe::Unavailable;
pub use crate::probe::cgroup::GroupUse;
pub use ending::Ending;
pub use event::{Event, events};
pub use family::{Family, Relative};
pub use held::{Descriptor, Held, Kind, SocketKind};
pub use image::{Image, State, User};
pub use limit::Limits;
pub use opening::OpenError;
pub use pace::Paced;
pub(crate) use pace::{Part, cpu_time};
pub use snapshot::{Memory, Snapshot};

use nix::sys::signal::Signal;

use crate::pidfd;
use crate::probe::{process, thread};

/// What was read, or why it could not be.
pub type Reading<T> = Result<T, Unavailable>;

/// One process that is looked at.
///
/// It is named by its number, its start and a descriptor (pidfd_open(2)), so another process that is given
/// the same number later is never taken for it.
#[derive(Debug)]
pub struct Subject {
    pid: u32,
    started: u64,
    /// None before Linux 5.3.
    pidfd: Option<OwnedFd>,
    barred: Option<Unavailable>,
    last: snapshot::Last,
}

impl Subject {
    /// Takes hold of a running process.
    ///
    /// One that is not ours to read is no error: what everyone may read is read, and [`Subject::barred`]
    /// says why the rest is not.
    ///
    /// # Errors
    /// There is no such process, it is over, or it is none that could be looked at: see [`OpenError`].
    pub fn open(pid: u32) -> Result<Self, OpenError> {
        opening::open(pid, false)
    }

    /// The same for a child of ours that nobody has waited for: it may have ended already.
    ///
    /// # Errors
    /// As [`Subject::open`].
    pub(crate) fn open_child(pid: u32) -> Result<Self, OpenError> {
        opening::open(pid, true)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Start in clock ticks since boot: with the id it names the process for good.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Why most of the process may not be read; none where it is ours.
    pub fn barred(&self) -> Option<&Unavailable> {
        self.barred.as_ref()
    }

    /// Becomes readable (poll(2)) when the process ends; none before Linux 5.3.
    pub fn ends(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(OwnedFd::as_fd)
    }

    /// Reads everything once; what is dear only where it is due, else as it was last read.
    ///
    /// For a process with 100 descriptors 0.2 ms, and up to 1 ms more where TCP sockets are among them, whose
    /// table the kernel walks; 0.04 ms where nothing dear is due.
    pub fn snapshot(&mut self) -> Snapshot {
        snapshot::read(self, false)
    }

    /// Reads everything once, due or not.
    pub fn snapshot_whole(&mut self) -> Snapshot {
        snapshot::read(self, true)
    }

    /// Every open descriptor by number, with its file, or its addresses for a socket: to name what grew.
    ///
    /// # Errors
    /// The process is over, or not ours to read.
    pub fn descriptors(&self) -> Reading<Vec<Descriptor>> {
        let listed = held::list(self.reader());
        match self.state()? {
            state if state.is_over() => {
                Err(Unavailable::new(format!("process {} has ended", self.pid)))
            }
            _ => listed,
        }
    }

    /// Signals exactly this process, also if its number was given away since.
    pub(crate) fn signal(&self, signal: Signal) {
        match &self.pidfd {
            Some(pidfd) => pidfd::signal(pidfd, signal),
            None if self.state().is_ok_and(|state| !state.is_over()) => {
                pidfd::signal_process(self.pid, signal);
            }
            None => {}
        }
    }

    /// How the process ended; none while it lives.
    pub fn ending(&self) -> Option<Reading<Ending>> {
        ending::of(self)
    }

    /// What the process does.
    ///
    /// # Errors
    /// `/proc` could not be read: this process has too many files open itself, or `/proc` is not mounted.
    pub fn state(&self) -> Reading<State> {
        let ended = self.pidfd.as_ref().map(pidfd::has_ended);
        let stat = match process::stat(self.pid) {
            Ok(stat) if stat.started == self.started => stat,
            // The number is another one's by now.
            Ok(_) => return Ok(State::Gone),
            Err(_) if ended == Some(true) => return Ok(State::Gone),
            Err(_) if ended.is_none() && process::stat(std::process::id()).is_ok() => {
                return Ok(State::Gone);
            }
            Err(unavailable) => return Err(unavailable),
        };
        let is_over = || ended.unwrap_or_else(|| thread::count(self.pid).unwrap_or(0) <= 1);
        match stat.is_zombie() {
            true if is_over() => Ok(State::Zombie),
            // The first thread has ended, others have not.
            true => {
                Ok(process::stat(self.reader()).map_or(State::Gone, |stat| State::of(stat.state)))
            }
            false => Ok(State::of(stat.state)),
        }
    }

    /// The thread that the process is read by. The first one's entries are empty once it has ended, which
    /// the process may survive.
    fn reader(&self) -> u32 {
        let is_live = |tid: &u32| process::stat(*tid).is_ok_and(|stat| !stat.is_zombie());
        if is_live(&self.pid) {
            return self.pid;
        }
        let mut threads = thread::ids(self.pid).unwrap_or_default().into_iter();
        threads.find(is_live).unwrap_or(self.pid)
    }
}

/// Running processes of this name: that of the command, at most 15 bytes of it, or of the executable's file.
/// For one that was started again.
pub fn named(name: &str) -> Vec<u32> {
    let is_named = |stat: &process::Stat| {
        let executable = || process::executable(stat.pid);
        stat.name == name
            || executable().is_some_and(|path| path.file_name() == Some(name.as_ref()))
    };
    let running = process::all().into_iter().filter(|stat| !stat.is_zombie() && !stat.is_kernel);
    running.filter(is_named).map(|stat| stat.pid).collect()
}

/// All descendants of this process, orphans that were given to it among them.
pub(crate) fn own_descendants() -> Vec<Relative> {
    let own = std::process::id();
    family::read(own, Some(own), &[]).map(|family| family.descendants).unwrap_or_default()
}

/// The parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    process::stat(pid).ok().map(|stat| stat.parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_with_the_same_number_is_never_taken_for_it() {
        let mut subject = Subject::open(std::process::id()).unwrap();
        assert!(subject.snapshot().descriptors.is_ok());
        // As if it had ended, and this one had been given its number.
        subject.started -= 1;
        let seen = subject.snapshot();
        assert_eq!(seen.state, Ok(State::Gone));
        assert!(seen.descriptors.is_err() && seen.held.value.is_err() && seen.image.is_err());
        assert!(subject.descriptors().is_err());
    }
}
