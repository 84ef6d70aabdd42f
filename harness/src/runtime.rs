//! The tokio runtime of an asynchronous case: owned by the harness, so that its tasks can be counted.
//!
//! One runtime serves all rounds, and is never shut down between them: a shutdown would cancel leaked
//! tasks and so hide them.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::failed::Failed;

/// Longest wait for tasks that are about to end.
const DRAIN: Duration = Duration::from_secs(2);
/// The wait once waiting has not helped: what did not end in two seconds will not end in the next round either.
const DRAIN_AGAIN: Duration = Duration::from_millis(20);
/// Back-off between looks.
const LOOK_FIRST: Duration = Duration::from_micros(200);
const LOOK_LAST: Duration = Duration::from_millis(20);

/// A runtime and how many tasks it had when it was last quiet.
pub(crate) struct Runtime {
    runtime: tokio::runtime::Runtime,
    quiet: Cell<usize>,
    waiting_helps: Cell<bool>,
}

impl Runtime {
    pub(crate) fn new(workers: usize) -> Result<Self, Failed> {
        let mut builder = match workers {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        if workers > 0 {
            builder.worker_threads(workers);
        }
        let runtime = builder.enable_all().build()?;
        Ok(Self { runtime, quiet: Cell::new(0), waiting_helps: Cell::new(true) })
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> i64 {
        self.alive() as i64
    }

    fn alive(&self) -> usize {
        self.runtime.handle().metrics().num_alive_tasks()
    }

    /// Drives the runtime until no more tasks are alive than when it was last quiet, or the deadline.
    #[expect(
        clippy::disallowed_methods,
        reason = "settling: the sleep drives the runtime between two looks, with a deadline"
    )]
    /// One that is not patient knows already that waiting does not help.
    pub(crate) fn drain(&self, patient: bool) {
        let helps = patient && self.waiting_helps.get();
        let longest = if helps { DRAIN } else { DRAIN_AGAIN };
        let deadline = Instant::now() + longest;
        let mut pause = LOOK_FIRST;
        while self.alive() > self.quiet.get() && Instant::now() < deadline {
            self.runtime.block_on(async { tokio::time::sleep(pause).await });
            pause = (pause * 2).min(LOOK_LAST);
        }
        self.waiting_helps.set(self.alive() <= self.quiet.get());
        self.quiet.set(self.alive());
    }
}
