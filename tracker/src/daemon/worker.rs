//! A thread that owns one store and does what it is asked, one job after the other.
//!
//! SQLite blocks, and the tasks of the daemon must not. A thread of our own and not the runtime's
//! pool, because this one can be joined: after [`Worker::close`] nothing of it is left.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

/// Jobs that may wait; whoever comes later waits to hand theirs in.
const QUEUE_MAX: usize = 64;

type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// How many stores the threads of one daemon have open.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenStores(Arc<AtomicUsize>);

/// One of them, until it is dropped.
struct Counted(OpenStores);

impl OpenStores {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A thread with a store, which ends when it is told to, and is joined then.
#[derive(Debug)]
pub(super) struct StoreThread {
    name: &'static str,
    /// Cancelled when the thread is about to end, however it does.
    ended: CancellationToken,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl StoreThread {
    /// Starts it; `body` closes the store at its end.
    pub(super) fn start(
        name: &'static str,
        open: &OpenStores,
        body: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let ended = CancellationToken::new();
        let (counted, ending) = (open.add(), ended.clone().drop_guard());
        let thread = Builder::new().name(name.into()).spawn(move || {
            let _until_closed = (counted, ending);
            body()
        })?;
        Ok(Self { name, ended, thread: Some(thread) })
    }

    /// Cancelled when the thread is about to end.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Joins it, after it was told to end.
    pub(super) async fn join_within(&mut self, patience: Duration) -> Result<(), NotClosed> {
        let name = self.name;
        let thread = self.thread.take();
        if tokio::time::timeout(patience, self.ended.cancelled()).await.is_err() {
            // The thread is in a call that cannot be cut short. It ends by itself, unjoined.
            return Err(NotClosed::StillBusy { name });
        }
        match thread.map(JoinHandle::join) {
            Some(Ok(closed)) => closed.map_err(|source| NotClosed::Store { name, source }),
            Some(Err(_)) => Err(NotClosed::Panicked { name }),
            None => Ok(()),
        }
    }

    /// The same, however long it takes.
    pub(super) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _closed_or_reported_nowhere = thread.join();
        }
    }
}

/// The owner of a thread that does jobs.
#[derive(Debug)]
pub(super) struct Worker {
    handle: WorkerHandle,
    /// Set before the last job is sent. The end must not wait for other handles to go: a task
    /// that holds one may be waiting for the very thread that drops us.
    closing: Arc<AtomicBool>,
    thread: StoreThread,
}

/// A way to hand in jobs.
#[derive(Debug, Clone)]
pub(super) struct WorkerHandle {
    jobs: mpsc::Sender<Job>,
}

/// The job ended without a result: it panicked, or the worker is gone.
#[derive(Debug, thiserror::Error)]
#[error("the job did not finish")]
pub(super) struct JobLost;

/// Why a worker did not close.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotClosed {
    /// Its job is still running.
    #[error("{name}: still busy, left behind")]
    StillBusy { name: &'static str },
    /// It has panicked outside of its jobs.
    #[error("{name}: panicked")]
    Panicked { name: &'static str },
    /// The store would not close.
    #[error("{name}: {source}")]
    Store { name: &'static str, source: StoreError },
}

impl Worker {
    /// Gives the store to a new thread.
    pub(super) fn start(
        name: &'static str,
        store: Store,
        open: &OpenStores,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let closing = Arc::new(AtomicBool::new(false));
        let is_closing = Arc::clone(&closing);
        let thread = StoreThread::start(name, open, move || work(store, queue, &is_closing))?;
        Ok(Self { handle: WorkerHandle { jobs }, closing, thread })
    }

    /// A way to hand in jobs.
    pub(super) fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// Lets the running job end, drops those nobody waits for, closes the store, joins the thread.
    pub(super) async fn close(mut self, patience: Duration) -> Result<(), NotClosed> {
        self.hang_up();
        self.thread.join_within(patience).await
    }

    fn hang_up(&self) {
        self.closing.store(true, Ordering::Release);
        // Wakes a thread that waits for work. With a full queue it does not wait.
        let _awake_anyway = self.handle.jobs.try_send(Box::new(|_| ()));
    }
}

impl Drop for Worker {
    /// For a daemon that never ran, or whose future was dropped: the thread must not outlive it.
    fn drop(&mut self) {
        self.hang_up();
        self.thread.join();
    }
}

impl WorkerHandle {
    /// Runs `job` on the worker's thread. If the caller goes away, the job still runs to its end.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Result<T, JobLost> {
        let (result, answer) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            // Nobody may be waiting any more; the work is done all the same.
            let _unheard = result.send(job(store));
        });
        self.jobs.send(job).await.map_err(|_| JobLost)?;
        answer.await.map_err(|_| JobLost)
    }
}

fn work(
    mut store: Store,
    mut queue: mpsc::Receiver<Job>,
    closing: &AtomicBool,
) -> Result<(), StoreError> {
    while let Some(job) = queue.blocking_recv() {
        if closing.load(Ordering::Acquire) {
            break;
        }
        // A panic rolls its transaction back and loses its answer; the next job is not its fault.
        if catch_unwind(AssertUnwindSafe(|| job(&mut store))).is_err() {
            tracing::error!(store = %store.path().display(), "a job panicked");
        }
    }
    store.close()
}

/// Opens the store a worker is to own.
pub(super) fn open(path: &Path, busy_timeout: Duration) -> Result<Store, StoreError> {
    let store = Store::open_existing(path)?;
    store.set_busy_timeout(busy_timeout)?;
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_util::task::TaskTracker;

    #[tokio::test]
    async fn a_panic_costs_one_job_and_close_joins() {
        let worker =
            Worker::start("test", Store::open_in_memory().unwrap(), &OpenStores::default())
                .unwrap();
        let handle = worker.handle();
        assert!(handle.call(|_| panic!("on purpose")).await.map(|(): ()| ()).is_err());
        assert_eq!(handle.call(|store| store.count().unwrap()).await.unwrap(), 0);
        drop(handle);
        worker.close(Duration::from_secs(60)).await.unwrap();
    }

    #[tokio::test]
    async fn a_worker_that_is_stuck_is_said() {
        let worker =
            Worker::start("test", Store::open_in_memory().unwrap(), &OpenStores::default())
                .unwrap();
        let (begin, begun) = oneshot::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let handle = worker.handle();
        let stuck = TaskTracker::new().spawn(async move {
            let job = move |_: &mut Store| begin.send(()).is_ok() && wait.recv().is_ok();
            handle.call(job).await
        });
        begun.await.unwrap();
        let closed = worker.close(Duration::from_millis(20)).await;
        assert!(matches!(closed, Err(NotClosed::StillBusy { name: "test" })));
        drop(go);
        let _ended = stuck.await;
    }
}
