//! Runtimes, and what tokio keeps for a process.

use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinSet, spawn_blocking};
use watertight::{Case, Context, Failed};

use super::{Future, async_trap, trap};

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("runtime_opened_once", runtime_opened_once),
        trap("runtime_opened_and_closed", |_cx| {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(children_and_signals())
        }),
        async_trap("children_and_signals", children_and_signals),
        async_trap("child_killed_when_it_is_dropped", || drop_child("cat")),
        async_trap("child_dropped_that_ends_by_itself", || drop_child("true")),
        async_trap("blocking_threads_that_stay_for_a_while", blocking_threads),
        async_trap("clients_on_a_runtime", clients),
        async_trap("task_that_ends_late", task_that_ends_late),
    ]
}

fn runtime_opened_once(_cx: &Context) -> Result<(), Failed> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    match RUNTIME.get_or_init(Runtime::new) {
        Ok(runtime) => runtime.block_on(clients()),
        Err(error) => Err(Failed::new(error.to_string())),
    }
}

/// Tokio installs its signal handler and opens its pair of sockets on first use, for good.
fn children_and_signals() -> Future {
    Box::pin(async {
        let mut hang_up = signal(SignalKind::user_defined1())?;
        let output =
            Command::new("sh").args(["-c", "kill -USR1 $PPID; echo done"]).output().await?;
        assert_eq!(output.stdout, b"done\n");
        hang_up.recv().await.ok_or(Failed::new("no signal"))
    })
}

/// Nobody waits for it: the runtime reaps it once it has ended.
fn drop_child(program: &'static str) -> Future {
    Box::pin(async move {
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).kill_on_drop(program == "cat");
        #[expect(clippy::disallowed_methods, reason = "killed, or ended by itself, and reaped")]
        drop(command.spawn()?);
        Ok(())
    })
}

/// They wait ten seconds for more work.
fn blocking_threads() -> Future {
    Box::pin(async {
        let mut works = JoinSet::new();
        for number in 0..3u64 {
            works.spawn(
                async move { spawn_blocking(move || (0..number * 1000).sum::<u64>()).await },
            );
        }
        while let Some(work) = works.join_next().await {
            work??;
        }
        tokio::fs::metadata("/").await?;
        Ok(())
    })
}

/// Nobody waits for it, and it ends 200 ms after the test.
fn task_that_ends_late() -> Future {
    const LATE: Duration = Duration::from_millis(200);
    Box::pin(async {
        #[expect(clippy::disallowed_methods, reason = "it ends by itself, as `LATE` says")]
        tokio::spawn(tokio::time::timeout(LATE, std::future::pending::<()>()));
        Ok(())
    })
}

/// A service and its clients, all at once, and all of them ended.
fn clients() -> Future {
    const CLIENTS: usize = 5;
    Box::pin(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            tasks.spawn(async move {
                let mut client = TcpStream::connect(address).await?;
                client.write_all(b"?").await?;
                client.read_u8().await
            });
            let (mut accepted, _) = listener.accept().await?;
            tasks.spawn(async move {
                let byte = accepted.read_u8().await?;
                accepted.write_u8(byte).await?;
                Ok(byte)
            });
        }
        while let Some(said) = tasks.join_next().await {
            assert_eq!(said??, b'?');
        }
        Ok(())
    })
}
