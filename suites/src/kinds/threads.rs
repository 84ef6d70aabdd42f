//! Threads, runtimes and tasks that nobody ends.

use std::future::pending;
use std::sync::Barrier;
use std::sync::mpsc::sync_channel;
use std::thread;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
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

fn park() {
    RUNS.wait();
    loop {
        thread::park();
    }
}
