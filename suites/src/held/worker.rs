//! Threads that are started in the first round, do one thing in each, and wait for the next.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock};
use std::thread;

use watertight::Failed;

use super::lock;

/// A thread with a name, which lives as long as the process does.
pub(super) struct Worker {
    /// The kernel keeps 15 bytes of it.
    name: &'static str,
    work: fn(Desk),
    started: OnceLock<io::Result<Counter>>,
}

/// The side of those who ask.
struct Counter {
    ask: SyncSender<()>,
    done: Mutex<Receiver<()>>,
}

/// The thread's own side.
pub(super) struct Desk {
    asked: Receiver<()>,
    done: SyncSender<()>,
    has_done_something: bool,
}

impl Worker {
    /// One that does this; it is not started yet.
    pub(super) const fn new(name: &'static str, work: fn(Desk)) -> Self {
        Self { name, work, started: OnceLock::new() }
    }

    /// Has it do its thing once. It then waits again, or is about to.
    pub(super) fn once(&self) -> Result<(), Failed> {
        match self.started.get_or_init(|| self.start()) {
            Ok(counter) => {
                counter.ask.send(())?;
                Ok(lock(&counter.done).recv()?)
            }
            Err(error) => Err(Failed::new(error.to_string())),
        }
    }

    fn start(&self) -> io::Result<Counter> {
        let (ask, asked) = sync_channel(1);
        let (done, is_done) = sync_channel(1);
        let desk = Desk { asked, done, has_done_something: false };
        let work = self.work;
        thread::Builder::new().name(self.name.into()).spawn(move || work(desk))?;
        Ok(Counter { ask, done: Mutex::new(is_done) })
    }
}

impl Desk {
    /// Says that the last thing is done and waits for the next. Both in one call: whoever has been told
    /// finds the thread in it.
    pub(super) fn next(&mut self) -> bool {
        let is_heard = !self.has_done_something || self.done.send(()).is_ok();
        self.has_done_something = true;
        is_heard && self.asked.recv().is_ok()
    }
}
