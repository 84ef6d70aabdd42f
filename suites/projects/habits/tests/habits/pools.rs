//! Threads that leave by themselves when there is no work, or stay on purpose.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rayon::prelude::*;

/// Looks like a leaked thread for each CPU: the global pool is made on first use and stays.
#[test]
fn the_global_pool_of_rayon() {
    assert_eq!((1..=1000u64).into_par_iter().sum::<u64>(), 500_500);
}

/// Looks like leaked threads with their semaphores: joined when the pool is dropped, a moment later.
#[test]
fn a_pool_of_rayon_that_is_dropped() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(pool.install(|| (1..=10u64).into_par_iter().sum::<u64>()), 55);
}

/// Looks like a leaked thread: the worker of the crate `blocking` leaves after half a second without work.
#[test]
fn a_worker_that_leaves_after_half_a_second() {
    assert_eq!(smol::block_on(smol::unblock(|| 6 * 7)), 42);
}

type Job = Box<dyn FnOnce() + Send>;

/// Looks like a leaked thread: a worker that waits for its next job, and leaves after five seconds.
#[test]
fn a_worker_that_leaves_after_five_seconds() {
    const IDLE: Duration = Duration::from_secs(5);
    static WORKER: Mutex<Option<Sender<Job>>> = Mutex::new(None);
    let submit = |job: Job| {
        let mut worker = WORKER.lock().unwrap();
        let job = match worker.as_ref() {
            Some(jobs) => match jobs.send(job) {
                Ok(()) => return,
                // It has left in the meantime.
                Err(mpsc::SendError(job)) => job,
            },
            None => job,
        };
        let (jobs, queue) = channel::<Job>();
        jobs.send(job).unwrap();
        thread::Builder::new()
            .name("idle-5s".to_owned())
            .spawn(move || {
                while let Ok(job) = queue.recv_timeout(IDLE) {
                    job();
                }
            })
            .unwrap();
        *worker = Some(jobs);
    };
    let (done, is_done) = channel();
    for number in 0..3 {
        let done = done.clone();
        submit(Box::new(move || done.send(number).unwrap()));
    }
    assert_eq!(is_done.iter().take(3).sum::<i32>(), 3);
}

/// Looks like a leaked thread: as above, with a condition variable and half a minute.
#[test]
fn a_worker_that_leaves_after_half_a_minute() {
    const IDLE: Duration = Duration::from_secs(30);
    struct Pool {
        queue: Mutex<(VecDeque<Job>, usize)>,
        changed: Condvar,
    }
    static POOL: Pool = Pool { queue: Mutex::new((VecDeque::new(), 0)), changed: Condvar::new() };
    fn work() {
        let mut queue = POOL.queue.lock().unwrap();
        loop {
            if let Some(job) = queue.0.pop_front() {
                drop(queue);
                job();
                queue = POOL.queue.lock().unwrap();
                continue;
            }
            let (back, waited) = POOL.changed.wait_timeout(queue, IDLE).unwrap();
            queue = back;
            if waited.timed_out() && queue.0.is_empty() {
                queue.1 -= 1;
                return;
            }
        }
    }
    let submit = |job: Job| {
        let mut queue = POOL.queue.lock().unwrap();
        queue.0.push_back(job);
        if queue.1 == 0 {
            queue.1 += 1;
            thread::Builder::new().name("idle-30s".to_owned()).spawn(work).unwrap();
        }
        POOL.changed.notify_one();
    };
    let (done, is_done) = channel();
    for number in 0..3 {
        let done = done.clone();
        submit(Box::new(move || done.send(number).unwrap()));
    }
    assert_eq!(is_done.iter().take(3).sum::<i32>(), 3);
}
