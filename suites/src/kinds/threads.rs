//! Threads, runtimes and tasks that nobody ends.

use std::fs::File;
use std::future::pending;
use std::sync::Barrier;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::{JoinSet, spawn_blocking};
use watertight::Resource::{Fd, Heap, Socket, Task, Thread};

use super::{Kind, Source, lose, source};

const SOURCE: Source = source!("threads.rs");
/// A thread takes its name when it runs, and the test does not end before.
static RUNS: Barrier = Barrier::new(2);
/// The kernel keeps 15 bytes of a thread's name.
const PARKED: &str = "kinds-parked";

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("thread_parked", SOURCE, &[Thread], PARKED)
            .leaky(|_cx| {
                thread::Builder::new().name(PARKED.into()).spawn(park)?; // LEAK thread_parked
                RUNS.wait();
                Ok(())
            })
            .clean(|_cx| {
                let (wake, woken) = sync_channel::<()>(0);
                let parked = move || woken.recv().is_err();
                let thread = thread::Builder::new().name(PARKED.into()).spawn(parked)?;
                drop(wake);
                let hung_up = thread.join();
                assert!(hung_up.is_ok_and(|hung_up| hung_up));
                Ok(())
            }),
        // The descriptor stays and the thread ends: neither must hide what the other does.
        Kind::new("fd_of_late_thread", SOURCE, &[Fd], "/dev/null")
            .leaky(|_cx| {
                at_leisure(|| File::open("/dev/null").map(lose).is_ok()); // LEAK fd_of_late_thread
                Ok(())
            })
            .clean(|_cx| {
                at_leisure(|| File::open("/dev/null").map(drop).is_ok());
                Ok(())
            }),
        Kind::new("endless_blocking_task", SOURCE, &[Thread, Heap], "tokio-rt-worker").futures(
            || {
                Box::pin(async {
                    spawn_blocking(park_for_ever); // LEAK endless_blocking_task
                    Ok(())
                })
            },
            || Box::pin(async { Ok(spawn_blocking(|| ()).await?) }),
        ),
        Kind::new("tokio_runtime", SOURCE, &[Fd, Socket, Thread, Heap], "anon_inode:")
            .leaky(|_cx| {
                lose(Runtime::new()?); // LEAK tokio_runtime
                Ok(())
            })
            .clean(|_cx| {
                drop(Runtime::new()?);
                Ok(())
            }),
        Kind::new("endless_task", SOURCE, &[Task, Heap], "task").futures(
            || {
                Box::pin(async {
                    #[expect(clippy::disallowed_methods, reason = "the leak that must be caught")]
                    tokio::spawn(pending::<()>()); // LEAK endless_task
                    Ok(())
                })
            },
            || {
                Box::pin(async {
                    let mut tasks = JoinSet::new();
                    tasks.spawn(pending::<()>());
                    tasks.shutdown().await;
                    Ok(())
                })
            },
        ),
    ]
}

/// Works in a thread that nobody waits for, a little later.
fn at_leisure(work: fn() -> bool) {
    const LATE: Duration = Duration::from_millis(30);
    let (stop, stopped) = sync_channel::<()>(0);
    thread::spawn(move || {
        let timed_out = stopped.recv_timeout(LATE).is_err();
        drop(stop);
        timed_out && work()
    });
}

fn park() {
    RUNS.wait();
    park_for_ever();
}

fn park_for_ever() {
    loop {
        thread::park();
    }
}
