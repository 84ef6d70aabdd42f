//! A thread that owns one store and does what it is asked, one job after the other.
//!
//! SQLite blocks, and the tasks of the daemon must not. A thread of our own and not the runtime's
//! pool, because this one can be joined: after [`Worker::close`] nothing of it is left.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::store::{Store, StoreError};

/// Jobs that may wait; whoever comes later waits to hand theirs in.
const QUEUE_MAX: usize = 64;

type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// How many stores the workers of one daemon have open.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenStores(Arc<()>);

impl OpenStores {
    pub(super) fn count(&self) -> usize {
        Arc::strong_count(&self.0).saturating_sub(1)
    }

    /// One more, until what is returned is dropped.
    fn add(&self) -> Arc<()> {
        Arc::clone(&self.0)
    }
}

/// The owner of the thread.
#[derive(Debug)]
pub(super) struct Worker {
    name: &'static str,
    handle: WorkerHandle,
    /// Set before the last job is sent. The end must not wait for other handles to go: a task
    /// that holds one may be waiting for the very thread that drops us.
    closing: Arc<AtomicBool>,
    ended: oneshot::Receiver<()>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
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
        let (ending, ended) = oneshot::channel();
        let closing = Arc::new(AtomicBool::new(false));
        let is_closing = Arc::clone(&closing);
        let counted = open.add();
        let thread = Builder::new().name(name.into()).spawn(move || {
            let _until_closed = counted;
            let closed = work(store, queue, &is_closing);
            // Nobody may be waiting any more, which is as good.
            let _unheard = ending.send(());
            closed
        })?;
        let handle = WorkerHandle { jobs };
        Ok(Self { name, handle, closing, ended, thread: Some(thread) })
    }

    /// A way to hand in jobs.
    pub(super) fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// Lets the running job end, drops those nobody waits for, closes the store, joins the thread.
    pub(super) async fn close(mut self, patience: Duration) -> Result<(), NotClosed> {
        self.hang_up();
        let thread = self.thread.take();
        if tokio::time::timeout(patience, &mut self.ended).await.is_err() {
            // The thread is in a call that cannot be cut short. It ends by itself, unjoined.
            return Err(NotClosed::StillBusy { name: self.name });
        }
        match thread.map(JoinHandle::join) {
            Some(Ok(closed)) => {
                closed.map_err(|source| NotClosed::Store { name: self.name, source })
            }
            // `work` contains the panics of its jobs, so there is no other.
            Some(Err(_)) | None => Ok(()),
        }
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
        if let Some(thread) = self.thread.take() {
            let _closed_or_reported_nowhere = thread.join();
        }
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
