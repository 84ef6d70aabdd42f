//! Ctrl-C, SIGTERM and SIGHUP end a watch, with its verdict.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use nix::sys::signal::Signal;

/// Whether somebody wants it to end.
pub(super) struct Stop {
    woken: UnixStream,
    last: Arc<AtomicUsize>,
}

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn listen() -> io::Result<Self> {
        let (woken, wakes) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let last = Arc::new(AtomicUsize::new(0));
        for number in watertight::signals::ending() {
            // In this order: whoever is woken finds the number.
            signal_hook::flag::register_usize(number, Arc::clone(&last), number as usize)?;
            signal_hook::low_level::pipe::register(number, wakes.try_clone()?)?;
        }
        Ok(Self { woken, last })
    }

    /// Becomes readable with the first signal, and stays so.
    pub(super) fn woken(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }

    /// The signal that came last.
    pub(super) fn signal(&self) -> Option<Signal> {
        let number = i32::try_from(self.last.load(SeqCst)).ok()?;
        Signal::try_from(number).ok()
    }

    /// Forgets it, so that another one is noticed.
    pub(super) fn forget(&self) {
        self.last.store(0, SeqCst);
    }
}
