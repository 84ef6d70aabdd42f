//! Daemons that keep something at each tick, or for each request. The binary `kinds-daemon` runs them.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use watertight::Resource::{Fd, Heap};
use watertight::{Context, Failed};

use super::{Kind, Source, source};

const SOURCE: Source = source!("daemons.rs");
const NULL: &str = "/dev/null";
/// Bytes that a tick or a request allocates.
const BYTES: usize = 768;
/// The time between two ticks.
const TICK: Duration = Duration::from_millis(20);
/// Ticks that a test waits for.
const TICKS: usize = 45;
/// Requests that a test makes.
const REQUESTS: u32 = 12;
/// The request after which the daemon ends.
const QUIT: u8 = b'q';

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("daemon_fd_per_tick", SOURCE, &[Fd], NULL)
            .in_descendant("kinds-daemon fd-per-tick keeps")
            .leaky(|_cx| watch_ticks("fd-per-tick", "keeps"))
            .clean(|_cx| watch_ticks("fd-per-tick", "releases")),
        Kind::new("daemon_heap_per_tick", SOURCE, &[Heap], "block")
            .in_descendant("kinds-daemon heap-per-tick keeps")
            .leaky(|_cx| watch_ticks("heap-per-tick", "keeps"))
            .clean(|_cx| watch_ticks("heap-per-tick", "releases")),
        // It gives everything back as it ends in good order: that it grew is the leak.
        Kind::new("daemon_owned_heap_per_tick", SOURCE, &[Heap], "block")
            .in_descendant("kinds-daemon owned-heap-per-tick keeps")
            .leaky(|_cx| watch_ticks("owned-heap-per-tick", "keeps"))
            .clean(|_cx| watch_ticks("owned-heap-per-tick", "releases")),
        Kind::new("daemon_fd_per_request", SOURCE, &[Fd], NULL)
            .in_descendant("kinds-daemon fd-per-request keeps")
            .leaky(|cx| make_requests(cx, "fd-per-request", "keeps"))
            .clean(|cx| make_requests(cx, "fd-per-request", "releases")),
        Kind::new("daemon_heap_per_request", SOURCE, &[Heap], "block")
            .in_descendant("kinds-daemon heap-per-request keeps")
            .leaky(|cx| make_requests(cx, "heap-per-request", "keeps"))
            .clean(|cx| make_requests(cx, "heap-per-request", "releases")),
    ]
}

/// The daemon's command: its binary lies beside the one that is running.
fn daemon(verb: &str, habit: &str) -> Result<Command, Failed> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name("kinds-daemon"));
    command.args([verb, habit]).stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command)
}

/// Runs the daemon until it has reported enough ticks, then hangs up and waits for its end.
fn watch_ticks(verb: &str, habit: &str) -> Result<(), Failed> {
    #[expect(clippy::disallowed_methods, reason = "it ends with its input and is waited for below")]
    let mut child = daemon(verb, habit)?.spawn()?;
    let ticks = child.stdout.take().map(BufReader::new).into_iter().flat_map(|out| out.lines());
    let seen = ticks.take(TICKS).filter(Result::is_ok).count();
    drop(child.stdin.take());
    ended(child)?;
    match seen {
        TICKS => Ok(()),
        _ => Err(Failed::new(format!("only {seen} ticks"))),
    }
}

/// Has the daemon answer requests, each on a connection of its own, and measured after each.
fn make_requests(cx: &Context, verb: &str, habit: &str) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("socket");
    #[expect(clippy::disallowed_methods, reason = "asked to end and waited for below")]
    let mut child = daemon(verb, habit)?.arg(&socket).spawn()?;
    cx.watch(&child);
    let mut ready = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut ready)?;
    }
    let answered = cx.steady(REQUESTS, || ask(&socket, b'?'));
    if ask(&socket, QUIT).is_err() {
        child.kill()?;
    }
    ended(child)?;
    answered
}

fn ask(socket: &Path, request: u8) -> Result<(), Failed> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(&[request])?;
    Ok(stream.read_exact(&mut [0])?)
}

fn ended(mut child: Child) -> Result<(), Failed> {
    let status = child.wait()?;
    match status.success() {
        true => Ok(()),
        false => Err(Failed::new(format!("the daemon ended with {status}"))),
    }
}

/// Whether a daemon keeps what it makes: in a registry that is there until the process ends.
#[derive(Clone, Copy)]
struct Habit {
    keeps: bool,
}

impl Habit {
    fn file(self, file: File) {
        static FILES: Mutex<Vec<File>> = Mutex::new(Vec::new());
        if self.keeps {
            FILES.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        }
    }

    fn block(self, block: Vec<u8>) {
        static BLOCKS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
        if self.keeps {
            BLOCKS.lock().unwrap_or_else(PoisonError::into_inner).push(block);
        }
    }
}

/// A daemon: `fd-per-tick keeps`, `heap-per-request releases SOCKET`, and the like.
///
/// # Errors
/// What the command line or the system says.
pub fn serve(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let (verb, habit) = (arguments.next(), arguments.next());
    let habit = Habit { keeps: habit.as_deref() == Some("keeps") };
    match (verb.as_deref(), arguments.next().map(PathBuf::from)) {
        (Some("fd-per-tick"), None) => tick(habit, Fd),
        (Some("heap-per-tick"), None) => tick(habit, Heap),
        (Some("owned-heap-per-tick"), None) => gather(habit),
        (Some("fd-per-request"), Some(socket)) => answer(habit, Fd, &socket),
        (Some("heap-per-request"), Some(socket)) => answer(habit, Heap, &socket),
        (verb, _) => bail!("no daemon is called {verb:?}"),
    }
}

/// Waits for the next tick; false once the input has ended.
fn next_tick() -> anyhow::Result<bool> {
    let input = std::io::stdin();
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut fds, PollTimeout::try_from(TICK)?)? == 0)
}

/// Gathers blocks until its input ends.
fn gather(habit: Habit) -> anyhow::Result<()> {
    let mut gathered = Vec::new();
    while next_tick()? {
        gathered.push(vec![1; BYTES]); // LEAK daemon_owned_heap_per_tick
        if !habit.keeps {
            gathered.clear();
        }
        let _ = writeln!(std::io::stdout(), "tick");
    }
    Ok(())
}

/// Does a little at every tick until its input ends.
fn tick(habit: Habit, resource: watertight::Resource) -> anyhow::Result<()> {
    loop {
        if !next_tick()? {
            return Ok(());
        }
        if resource == Fd {
            habit.file(File::open(NULL)?); // LEAK daemon_fd_per_tick
        } else {
            habit.block(vec![1; BYTES]); // LEAK daemon_heap_per_tick
        }
        // Nobody may be listening any more: the test has seen enough.
        let _ = writeln!(std::io::stdout(), "tick");
    }
}

/// Answers requests until it is asked to end.
fn answer(habit: Habit, resource: watertight::Resource, socket: &Path) -> anyhow::Result<()> {
    let listener = UnixListener::bind(socket)?;
    writeln!(std::io::stdout(), "ready")?;
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut request = [0];
        stream.read_exact(&mut request)?;
        if request[0] != QUIT && resource == Fd {
            habit.file(File::open(NULL)?); // LEAK daemon_fd_per_request
        } else if request[0] != QUIT {
            habit.block(vec![1; BYTES]); // LEAK daemon_heap_per_request
        }
        stream.write_all(b"!")?;
        if request[0] == QUIT {
            return Ok(());
        }
    }
}
