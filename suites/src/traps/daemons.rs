//! Daemons that hold much, and hold no more than they must. The binary `traps-daemon` runs them.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use watertight::{Case, Failed};

use super::trap;

/// The time between two steps of a start, and between two ticks afterwards.
const TICK: Duration = Duration::from_millis(20);
/// What a start opens, one thing at each step.
const FILES: usize = 30;
/// Ticks that a test waits for; the start is the smaller part of them.
const TICKS: usize = 75;
/// Clients at the same time.
const CLIENTS: usize = 20;

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("daemon_that_starts_slowly", |_cx| watch_ticks("slow-start")),
        trap("daemon_that_fills_its_cache_and_serves", |_cx| watch_ticks("fills-cache")),
        trap("daemon_that_opens_its_log_again", |_cx| watch_ticks("rotates")),
        trap("daemon_with_many_clients_at_once", |_cx| {
            let directory = tempfile::tempdir()?;
            let (child, socket) = serving(directory.path())?;
            let connected = many_clients(&socket);
            ended(child)?;
            connected
        }),
        trap("daemon_with_many_clients_at_once_watched", |cx| {
            let directory = tempfile::tempdir()?;
            let (child, socket) = serving(directory.path())?;
            cx.watch(&child);
            let connected = cx.steady(6, || many_clients(&socket));
            ended(child)?;
            connected
        }),
    ]
}

/// The daemon's command: its binary lies beside the one that is running.
#[expect(clippy::disallowed_methods, reason = "it ends with its input and is waited for")]
fn start(arguments: &[&str]) -> Result<Child, Failed> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name("traps-daemon"));
    Ok(command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

/// Hangs up and waits for its end.
fn ended(mut child: Child) -> Result<(), Failed> {
    drop(child.stdin.take());
    let status = child.wait()?;
    match status.success() {
        true => Ok(()),
        false => Err(Failed::new(format!("the daemon ended with {status}"))),
    }
}

fn watch_ticks(verb: &str) -> Result<(), Failed> {
    let mut child = start(&[verb])?;
    let ticks = child.stdout.take().map(BufReader::new).into_iter().flat_map(|out| out.lines());
    let seen = ticks.take(TICKS).filter(Result::is_ok).count();
    ended(child)?;
    assert_eq!(seen, TICKS);
    Ok(())
}

/// A daemon that answers on a socket in a directory.
fn serving(directory: &Path) -> Result<(Child, String), Failed> {
    let socket = directory.join("socket").to_string_lossy().into_owned();
    let mut child = start(&["serve", &socket])?;
    let mut ready = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut ready)?;
    }
    Ok((child, socket))
}

/// All of them are connected before the first one leaves.
fn many_clients(socket: &str) -> Result<(), Failed> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = UnixStream::connect(socket)?;
        client.write_all(b"?")?;
        client.read_exact(&mut [0])?;
        clients.push(client);
    }
    for mut client in clients {
        client.shutdown(std::net::Shutdown::Write)?;
        // The daemon has closed its end.
        assert_eq!(client.read(&mut [0])?, 0);
    }
    Ok(())
}

/// A daemon: `slow-start`, `fills-cache`, `rotates` or `serve SOCKET`.
///
/// # Errors
/// What the command line or the system says.
pub fn serve(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    match arguments.next().context("which daemon?")?.as_str() {
        "slow-start" => {
            let mut files = Vec::new();
            tick(|number| {
                if number < FILES {
                    files.push(File::open("/dev/null")?);
                }
                Ok(())
            })
        }
        "fills-cache" => {
            let mut cache = Vec::new();
            tick(|number| {
                if number < FILES {
                    cache.push(vec![1u8; 1000]);
                }
                Ok(())
            })
        }
        "rotates" => {
            let mut log = File::open("/dev/null")?;
            tick(|number| {
                if number.is_multiple_of(5) {
                    log = File::open("/dev/zero")?;
                }
                Ok(log.read_exact(&mut [0; 0])?)
            })
        }
        "serve" => answer(Path::new(&arguments.next().context("on which socket?")?)),
        other => bail!("no daemon is called {other:?}"),
    }
}

/// Ticks until its input ends.
fn tick(mut work: impl FnMut(usize) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let input = std::io::stdin();
    for number in 0.. {
        let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::try_from(TICK)?)? > 0 {
            break;
        }
        work(number)?;
        // Nobody may be listening any more: the test has seen enough.
        let _ = writeln!(std::io::stdout(), "tick");
    }
    Ok(())
}

/// Answers every client until it leaves, and all of them until the input ends.
fn answer(socket: &Path) -> anyhow::Result<()> {
    let listener = UnixListener::bind(socket)?;
    writeln!(std::io::stdout(), "ready")?;
    let input = std::io::stdin();
    let mut clients: Vec<UnixStream> = Vec::new();
    loop {
        let mut fds = vec![
            PollFd::new(input.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(clients.iter().map(|client| PollFd::new(client.as_fd(), PollFlags::POLLIN)));
        poll(&mut fds, PollTimeout::NONE)?;
        let is_ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        drop(fds);
        if is_ready[0] {
            return Ok(());
        }
        let mut number = 1;
        clients.retain_mut(|client| {
            number += 1;
            !is_ready[number] || answer_one(client)
        });
        if is_ready[1] {
            clients.push(listener.accept()?.0);
        }
    }
}

/// Answers a request; false where the client has left.
fn answer_one(client: &mut UnixStream) -> bool {
    let mut request = [0];
    client.read(&mut request).is_ok_and(|bytes| bytes == 1) && client.write_all(b"!").is_ok()
}
