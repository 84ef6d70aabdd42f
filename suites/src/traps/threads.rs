//! Threads that end, sooner or later.

use std::fs::File;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use watertight::{Case, Context, Failed};

use super::trap;

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("first_thread", |_cx| {
            thread::spawn(|| ()).join().map_err(|_| Failed::new("the thread panicked"))
        }),
        trap("thread_that_ends_late", thread_that_ends_late),
        trap("thread_that_ends_late_beside_a_pool_that_fills", |cx| {
            static POOL: Mutex<Vec<File>> = Mutex::new(Vec::new());
            let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
            if pool.len() < 3 {
                pool.push(File::open("/dev/null")?);
            }
            thread_that_ends_late(cx)
        }),
        trap("idle_pool_that_shrinks", idle_pool_that_shrinks),
        trap("pool_opened_once", pool_opened_once),
        trap("pool_opened_and_closed", |_cx| {
            let pool = Pool::open();
            pool.add_up()?;
            pool.close()
        }),
        trap("pool_whose_workers_warm_up", pool_whose_workers_warm_up),
        trap("thread_replaced", thread_replaced),
        trap("background_thread_that_works", background_thread_that_works),
        trap("scoped_threads", scoped_threads),
        trap("heavy_load", heavy_load),
    ]
}

/// Nobody joins it, and it ends 300 ms after the test.
fn thread_that_ends_late(_cx: &Context) -> Result<(), Failed> {
    const LATE: Duration = Duration::from_millis(300);
    let (stop, stopped) = sync_channel::<()>(0);
    thread::spawn(move || {
        let timed_out = stopped.recv_timeout(LATE) == Err(RecvTimeoutError::Timeout);
        drop(stop);
        timed_out
    });
    Ok(())
}

/// Threads that go when there was nothing to do for half a second.
fn idle_pool_that_shrinks(_cx: &Context) -> Result<(), Failed> {
    const IDLE: Duration = Duration::from_millis(500);
    const THREADS: usize = 3;
    let (done, results) = channel();
    let (give, jobs) = channel::<u32>();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..THREADS {
        let (jobs, done) = (Arc::clone(&jobs), done.clone());
        thread::spawn(move || {
            let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(IDLE);
            while let Ok(job) = next() {
                if done.send(job + 1).is_err() {
                    break;
                }
            }
        });
    }
    for job in 0..THREADS as u32 {
        give.send(job)?;
    }
    assert_eq!(results.iter().take(THREADS).sum::<u32>(), 1 + 2 + 3);
    // The pool keeps its queue until its threads have gone.
    thread::spawn(move || {
        let _idle = give;
        while Arc::strong_count(&jobs) > 1 {
            thread::yield_now();
        }
    });
    Ok(())
}

fn pool_opened_once(_cx: &Context) -> Result<(), Failed> {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(Pool::open).add_up()
}

/// Each worker has a cache of its own, which it fills with its first job; in each round it is another
/// worker's turn.
fn pool_whose_workers_warm_up(cx: &Context) -> Result<(), Failed> {
    const WORKERS: u32 = 4;
    type Worker = (SyncSender<u32>, Mutex<Receiver<usize>>);
    static POOL: OnceLock<Vec<Worker>> = OnceLock::new();
    let worker = |_| {
        let (give, jobs) = sync_channel::<u32>(0);
        let (done, results) = sync_channel(1);
        thread::spawn(move || {
            let mut cache = Vec::new();
            for job in jobs {
                cache.resize(10_000, job);
                if done.send(cache.len()).is_err() {
                    return;
                }
            }
        });
        (give, Mutex::new(results))
    };
    let pool = POOL.get_or_init(|| (0..WORKERS).map(worker).collect());
    let (give, results) = &pool[(cx.round() % WORKERS) as usize];
    give.send(cx.round())?;
    assert_eq!(results.lock().unwrap_or_else(PoisonError::into_inner).recv()?, 10_000);
    Ok(())
}

/// One thread at a time: the next one is there before the one before has gone.
fn thread_replaced(_cx: &Context) -> Result<(), Failed> {
    static CURRENT: Mutex<Option<Sender<()>>> = Mutex::new(None);
    let (stop, stopped) = channel::<()>();
    thread::spawn(move || stopped.recv().is_err());
    let before = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).replace(stop);
    drop(before);
    Ok(())
}

/// It was started once, and at any moment it may have something open and something allocated.
fn background_thread_that_works(_cx: &Context) -> Result<(), Failed> {
    const OFTEN: Duration = Duration::from_micros(300);
    static STARTED: OnceLock<Sender<()>> = OnceLock::new();
    STARTED.get_or_init(|| {
        let (stop, stopped) = channel::<()>();
        thread::spawn(move || {
            let mut blocks = Vec::new();
            while stopped.recv_timeout(OFTEN) == Err(RecvTimeoutError::Timeout) {
                let file = std::fs::File::open("/dev/null");
                blocks.push((vec![1u8; 500], file));
                if blocks.len() == 7 {
                    blocks.clear();
                }
            }
        });
        stop
    });
    Ok(())
}

fn scoped_threads(_cx: &Context) -> Result<(), Failed> {
    let numbers = [1, 2, 3, 4];
    let sum: u32 = thread::scope(|scope| {
        let halves = numbers.chunks(2).map(|half| scope.spawn(move || half.iter().sum::<u32>()));
        let halves: Vec<_> = halves.collect();
        halves.into_iter().filter_map(|half| half.join().ok()).sum()
    });
    assert_eq!(sum, 10);
    Ok(())
}

/// Keeps every processor busy for a while.
fn heavy_load(_cx: &Context) -> Result<(), Failed> {
    const BUSY: Duration = Duration::from_millis(150);
    let count = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                let until = Instant::now() + BUSY;
                while Instant::now() < until {
                    drop(std::hint::black_box(vec![1u8; 100]));
                }
            });
        }
    });
    Ok(())
}

/// A small pool of workers with one queue.
struct Pool {
    give: SyncSender<u32>,
    results: Mutex<Receiver<u32>>,
    workers: Vec<thread::JoinHandle<()>>,
}

impl Pool {
    const WORKERS: usize = 3;
    const JOBS: u32 = 50;

    fn open() -> Self {
        let (give, jobs) = sync_channel::<u32>(Self::WORKERS);
        let (done, results) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        let worker = |jobs: Arc<Mutex<Receiver<u32>>>, done: Sender<u32>| {
            move || loop {
                let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(job) = job else { return };
                if done.send(job * 2).is_err() {
                    return;
                }
            }
        };
        let workers = (0..Self::WORKERS)
            .map(|_| thread::spawn(worker(Arc::clone(&jobs), done.clone())))
            .collect();
        Self { give, results: Mutex::new(results), workers }
    }

    fn add_up(&self) -> Result<(), Failed> {
        for job in 0..Self::JOBS {
            self.give.send(job)?;
        }
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let sum: u32 = results.iter().take(Self::JOBS as usize).sum();
        assert_eq!(sum, Self::JOBS * (Self::JOBS - 1));
        Ok(())
    }

    fn close(self) -> Result<(), Failed> {
        let Self { give, results, workers } = self;
        drop((give, results));
        for worker in workers {
            worker.join().map_err(|_| Failed::new("a worker panicked"))?;
        }
        Ok(())
    }
}
