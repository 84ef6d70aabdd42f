//! What a body can ask of the harness while it runs.

use std::fmt;
use std::panic::Location;
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::failed::Failed;
use crate::region::{read_text, write_place, write_text};
use crate::table::{
    CLEANUP_FAILED, CLEANUP_PENDING, CLEANUP_RAN, CLEANUPS, Control, GO_LEAVE, STAGE_BODY,
    STAGE_STEADY,
};

/// Handed to every body.
pub struct Context {
    name: String,
    control: Option<&'static Control>,
    cleanups: Mutex<Vec<PendingCleanup>>,
}

struct PendingCleanup {
    slot: usize,
    run: Box<dyn FnOnce() -> Result<(), Failed> + Send>,
}

impl Context {
    pub(crate) fn new(name: &str, control: Option<&'static Control>) -> Self {
        Self { name: name.to_owned(), control, cleanups: Mutex::new(Vec::new()) }
    }

    /// The case's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The current round, from 1; 1 where nothing is measured.
    pub fn round(&self) -> u32 {
        self.control.map_or(1, |control| control.round.load(Acquire).max(1))
    }

    /// Has a process that the body started measured closely: at every repetition of [`Context::steady`],
    /// beside the test's own process. A process is watched until it ends.
    pub fn watch(&self, process: &impl ProcessId) {
        let Some(control) = self.control else { return };
        let pid = process.process_id();
        for slot in &control.watched {
            if slot.load(Acquire) == pid || slot.compare_exchange(0, pid, Release, Relaxed).is_ok()
            {
                return;
            }
        }
    }

    /// Runs `body` up to `repetitions` times and has every watched process, and the test's own,
    /// measured after each one: what grows with each repetition is a leak "per request". The first
    /// repetition warms up.
    ///
    /// # Errors
    /// The first error of `body`; the repetitions after it do not run.
    pub fn steady(
        &self,
        repetitions: u32,
        mut body: impl FnMut() -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let Some(control) = self.control else {
            return body();
        };
        control.steady.store(repetitions, Release);
        control.steady_round.store(0, Release);
        let mut ending = Ok(());
        for repetition in 0..=repetitions {
            // Boundary 0 lies before the first repetition.
            if repetition > 0 {
                ending = body();
                control.steady_round.store(repetition, Release);
            }
            if ending.is_err() || crate::child::boundary(control, STAGE_STEADY) == GO_LEAVE {
                break;
            }
        }
        control.steady.store(0, Release);
        control.stage.store(STAGE_BODY, Release);
        ending
    }

    /// Declares a clean-up: it runs after the body, also after one that failed, last declared first.
    /// Whether it ran, failed or was never reached is in the record, and the last two fail the test.
    #[track_caller]
    pub fn cleanup(&self, name: &str, run: impl FnOnce() -> Result<(), Failed> + Send + 'static) {
        let slot = self.declare(name, Location::caller()).unwrap_or(CLEANUPS);
        let mut cleanups = self.cleanups.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cleanups.push(PendingCleanup { slot, run: Box::new(run) });
    }

    /// Enters a clean-up in the control file, so that one that is never reached is known.
    fn declare(&self, name: &str, place: &Location<'_>) -> Option<usize> {
        let control = self.control?;
        let free = control.cleanups.iter().position(|cleanup| {
            let status = cleanup.status.load(Acquire);
            // In a later round the same clean-up takes its own slot again.
            status == 0 || status != CLEANUP_PENDING && read_text(&cleanup.name) == name
        })?;
        let cleanup = &control.cleanups[free];
        write_text(&cleanup.name, name);
        write_place(&cleanup.place, place);
        cleanup.status.store(CLEANUP_PENDING, Release);
        Some(free)
    }

    /// Runs what was declared. The first failure is the result; all run.
    pub(crate) fn run_cleanups(&self) -> Result<(), Failed> {
        let mut ending = Ok(());
        loop {
            let next =
                self.cleanups.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
            let Some(PendingCleanup { slot, run }) = next else { return ending };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
                .unwrap_or_else(|payload| Err(Failed::new(crate::child::panic_message(&*payload))));
            let Some(cleanup) = self.control.and_then(|control| control.cleanups.get(slot)) else {
                continue;
            };
            match result {
                Ok(()) => cleanup.status.store(CLEANUP_RAN, Release),
                Err(failed) => {
                    write_text(&cleanup.error, failed.message());
                    cleanup.status.store(CLEANUP_FAILED, Release);
                    ending = ending.and(Err(failed));
                }
            }
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whatever has a process id.
pub trait ProcessId {
    /// The id; 0 for a process that has ended already.
    fn process_id(&self) -> u32;
}

impl ProcessId for u32 {
    fn process_id(&self) -> u32 {
        *self
    }
}

impl ProcessId for std::process::Child {
    fn process_id(&self) -> u32 {
        self.id()
    }
}

#[cfg(feature = "tokio")]
impl ProcessId for tokio::process::Child {
    fn process_id(&self) -> u32 {
        self.id().unwrap_or(0)
    }
}
