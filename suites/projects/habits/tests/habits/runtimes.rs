//! Asynchronous runtimes, and what they keep for the life of the process.

use std::io;
use std::time::Duration;

use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

/// Looks like two leaked sockets: the first runtime with all drivers makes the pair for signals, which
/// stays for ever.
#[tokio::test]
async fn a_runtime_on_one_thread() {
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (mut one, mut two) = UnixStream::pair().unwrap();
    one.write_all(b"!").await.unwrap();
    assert_eq!(two.read_u8().await.unwrap(), b'!');
}

/// Looks like leaked threads and tasks: workers and a task that waits for ever are ended with the runtime.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_runtime_on_three_threads() {
    drop(tokio::spawn(std::future::pending::<()>()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await?;
        client.write_all(b"hello").await?;
        client.shutdown().await
    });
    let mut text = String::new();
    TcpStream::connect(address).await.unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
    server.await.unwrap().unwrap();
}

/// Looks like a leaked thread: one for blocking work waits ten seconds for more, and is joined before when
/// the runtime is dropped.
#[tokio::test]
async fn blocking_work() {
    let text = tokio::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).await.unwrap();
    assert!(text.starts_with(b"[package]"));
    assert_eq!(tokio::task::spawn_blocking(|| 1).await.unwrap(), 1);
}

/// Looks like a changed handler: tokio installs it once for each signal, and never takes it back.
#[tokio::test]
async fn a_signal_is_listened_to() {
    let mut signals = signal(SignalKind::window_change()).unwrap();
    // SAFETY: the signal is handled since the line above.
    assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGWINCH) }, 0);
    signals.recv().await.unwrap();
}

/// Looks like a zombie and a changed handler of SIGCHLD, which is tokio's for ever.
#[tokio::test]
async fn a_child_of_the_runtime() {
    let status = tokio::process::Command::new("true").status().await.unwrap();
    assert!(status.success());
}

/// Looks like three leaked descriptors and a thread: the reactor of async-io (epoll, eventfd and timerfd,
/// made by raw system calls) is made on first use, and its thread runs for ever.
#[test]
fn the_reactor_of_smol() {
    smol::block_on(smol::Timer::after(Duration::from_millis(1)));
}

/// Looks like leaked threads: the global executor is made on first use and stays, with the reactor.
#[test]
fn the_executor_of_smol() -> io::Result<()> {
    smol::block_on(async {
        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = smol::spawn(async move {
            let (mut client, _) = listener.accept().await?;
            client.write_all(b"hello").await?;
            client.close().await
        });
        let mut text = String::new();
        smol::net::TcpStream::connect(address).await?.read_to_string(&mut text).await?;
        assert_eq!(text, "hello");
        server.await
    })
}
