//! The tokio runtime of an asynchronous case: owned by the harness, so that its tasks can be counted.
//!
//! One runtime serves all rounds, and is never shut down between them: a shutdown would cancel leaked
//! tasks and so hide them.

use std::cell::Cell;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use crate::failed::Failed;

/// Longest wait for tasks that are about to end.
const DRAIN: Duration = Duration::from_secs(2);
/// The wait once waiting has not helped: what did not end in two seconds will not end in the next round either.
const DRAIN_AGAIN: Duration = Duration::from_millis(20);
/// What a runtime has to end its threads in.
const CLOSE: Duration = Duration::from_secs(1);
/// Back-off between looks.
const LOOK_FIRST: Duration = Duration::from_micros(200);
const LOOK_LAST: Duration = Duration::from_millis(20);

/// A runtime and how many tasks it had when it was last quiet.
pub(crate) struct Runtime {
    runtime: tokio::runtime::Runtime,
    quiet: Cell<usize>,
    waiting_helps: Cell<bool>,
    reaping_helps: Cell<bool>,
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
        Ok(Self {
            runtime,
            quiet: Cell::new(0),
            waiting_helps: Cell::new(true),
            reaping_helps: Cell::new(true),
        })
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

    /// Drives the runtime until no more tasks are alive than when it was last quiet and no child is left
    /// to be reaped, or the deadline. One that is not patient knows already that waiting does not help.
    pub(crate) fn drain(&self, patient: bool) {
        let tasks_end = || self.alive() <= self.quiet.get();
        self.drive_until(patient && self.waiting_helps.get(), tasks_end);
        self.waiting_helps.set(tasks_end());
        self.quiet.set(self.alive());
        // A dropped `tokio::process::Child` is reaped by the runtime, and by nothing else.
        self.drive_until(patient && self.reaping_helps.get(), is_childless);
        self.reaping_helps.set(is_childless());
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "settling: the sleep drives the runtime between two looks, with a deadline"
    )]
    fn drive_until(&self, patient: bool, is_quiet: impl Fn() -> bool) {
        let deadline = Instant::now() + if patient { DRAIN } else { DRAIN_AGAIN };
        let mut pause = LOOK_FIRST;
        while !is_quiet() && Instant::now() < deadline {
            self.runtime.block_on(async { tokio::time::sleep(pause).await });
            pause = (pause * 2).min(LOOK_LAST);
        }
    }

    /// Ends it. To drop it would wait for blocking threads that may never end.
    pub(crate) fn close(self) {
        self.runtime.shutdown_timeout(CLOSE);
    }
}

/// Whether this process has no child, neither one that runs nor one that has ended and was not waited for.
fn is_childless() -> bool {
    // It takes nothing away from whoever waits for the child.
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, look) == Err(Errno::ECHILD)
}
