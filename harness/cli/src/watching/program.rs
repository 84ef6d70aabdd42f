//! A program that we start: its output goes through us, and it ends with us.
//!
//! It has a process group of its own, so that Ctrl-C comes to us alone: what it has is looked at a last time
//! before it is told. Its stdin is ours, unless that is the terminal, which such a group may not read.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use command_fds::{CommandFdExt as _, FdMapping};
use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use regex::bytes::Regex;

use super::ticks::Ticks;
use crate::exit::Usage;
use crate::talk::Talk;

/// How long a program may take to end after each of the signals: the one that came, SIGTERM, SIGKILL.
const PATIENCE: [Duration; 3] =
    [Duration::from_secs(10), Duration::from_secs(5), Duration::from_secs(5)];

/// How to start it.
pub(crate) struct Start<'a> {
    pub(crate) words: &'a [OsString],
    pub(crate) environment: Vec<(&'static str, OsString)>,
    pub(crate) tick: Option<&'a Regex>,
    pub(crate) tick_fd: Option<i32>,
    /// Whether our stdout is for something else, so that its goes to stderr.
    pub(crate) stdout_is_taken: bool,
}

/// The running program.
pub(crate) struct Program {
    pid: Pid,
    streams: Vec<Stream>,
    /// Whether somebody wants its ticks.
    has_ticks: bool,
    /// Its exit code, or 128 and the number of the signal that has ended it.
    code: Option<u8>,
    /// Whether a descendant of it is left, or it itself.
    is_anyone_left: bool,
}

/// Something that it writes to and we read from.
struct Stream {
    from: File,
    to: Option<Output>,
    ticks: Option<Ticks>,
}

/// Where its output goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Stdout,
    Stderr,
}

impl Program {
    /// Starts it.
    ///
    /// # Errors
    /// [`Usage`] where there is no such program; else what the system says.
    pub(crate) fn start(start: &Start<'_>) -> anyhow::Result<Self> {
        // Where it is refused, descendants whose parents have ended are not seen to the end.
        let _ = set_child_subreaper(true);
        let [program, arguments @ ..] = start.words else {
            return Err(Usage(
                "name a program: cargo watertight run -- my-daemon --port 0".to_owned(),
            )
            .into());
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(start.environment.iter().cloned()).process_group(0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if io::stdin().is_terminal() { Stdio::null() } else { Stdio::inherit() });
        let mut streams = Vec::new();
        if let Some(number) = start.tick_fd {
            let (from, to) = io::pipe().context("a pipe for the program's ticks")?;
            let mapping = FdMapping { parent_fd: OwnedFd::from(to), child_fd: number };
            command
                .fd_mappings(vec![mapping])
                .map_err(|error| Usage(format!("--tick-fd {number}: {error}")))?;
            let from = File::from(OwnedFd::from(from));
            streams.push(Stream { from, to: None, ticks: Some(Ticks::lines()) });
        }
        #[expect(clippy::disallowed_methods, reason = "it is reaped below, and ended with us")]
        let mut child = command.spawn().map_err(|error| refused(Path::new(program), error))?;
        // Our copies of what it writes to.
        drop(command);
        let stdout = if start.stdout_is_taken { Output::Stderr } else { Output::Stdout };
        let pipes = [
            (child.stdout.take().map(OwnedFd::from), stdout),
            (child.stderr.take().map(OwnedFd::from), Output::Stderr),
        ];
        for (pipe, to) in pipes {
            let ticks = start.tick.map(Ticks::matching);
            streams.extend(pipe.map(|pipe| Stream { from: File::from(pipe), to: Some(to), ticks }));
        }
        Ok(Self {
            pid: Pid::from_raw(child.id().cast_signed()),
            streams,
            has_ticks: start.tick.is_some() || start.tick_fd.is_some(),
            code: None,
            is_anyone_left: true,
        })
    }

    /// Whether it was to tell its ticks.
    pub(super) fn has_ticks(&self) -> bool {
        self.has_ticks
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// What can be waited for (poll(2)).
    pub(super) fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.streams.iter().map(|stream| stream.from.as_fd())
    }

    /// Reads once from those of [`Program::readable`] that are ready, hands what was printed to `print`, and
    /// counts ticks.
    pub(super) fn read(&mut self, ready: &[bool], mut print: impl FnMut(&dyn Fn())) -> u64 {
        let mut ticks = 0;
        let mut at = 0;
        self.streams.retain_mut(|stream| {
            let is_ready = ready.get(at).copied().unwrap_or(false);
            at += 1;
            !is_ready || stream.read(&mut ticks, &mut print)
        });
        ticks
    }

    /// Reads what is there already, at its end.
    pub(super) fn drain(&mut self, print: impl FnMut(&dyn Fn())) -> u64 {
        let mut print = print;
        let mut ticks = 0;
        // What it has left running may hold the pipe and print for ever.
        for _ in 0..DRAIN_READS {
            let ready = super::poll::ready(self.readable(), Duration::ZERO);
            if !ready.contains(&true) {
                break;
            }
            ticks += self.read(&ready, &mut print);
        }
        ticks
    }

    /// Takes the status of every child that has ended: the program, and orphans of its.
    pub(super) fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.pid => {
                    self.code = Some(code as u8);
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.pid => {
                    self.code = Some(128 + signal as u8);
                }
                Ok(WaitStatus::StillAlive) => return,
                Err(Errno::ECHILD) => {
                    self.is_anyone_left = false;
                    return;
                }
                // Of a real-time signal nix has no name: the child is reaped all the same.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Its exit code, or 128 and the number of the signal that has ended it; none while it runs.
    pub(super) fn code(&self) -> Option<u8> {
        self.code
    }

    /// Whether neither it nor a descendant is left, as they were reaped last.
    pub(super) fn is_gone(&self) -> bool {
        !self.is_anyone_left
    }

    /// Tells it and its descendants to end, ever more strongly, and waits; its output goes on meanwhile. `also` tells
    /// those whom its group does not reach; `hurry` says that all are to be killed at once.
    pub(super) fn end(
        &mut self,
        first: Signal,
        also: impl Fn(Signal),
        hurry: impl Fn() -> bool,
        talk: &Talk,
    ) {
        const STEP: Duration = Duration::from_millis(50);
        // What ends at once needs no word.
        const SILENCE: Duration = Duration::from_millis(500);
        let mut signals = vec![first, Signal::SIGTERM, Signal::SIGKILL];
        signals.dedup();
        for (signal, patience) in signals.into_iter().zip(PATIENCE) {
            self.reap();
            if !self.is_anyone_left {
                return;
            }
            // A group that has gone is no error to us.
            let _ = killpg(self.pid, signal);
            also(signal);
            if signal == Signal::SIGKILL {
                talk.warn("it does not end, and is killed");
            }
            let began = Instant::now();
            let mut is_told = false;
            while self.is_anyone_left && began.elapsed() < patience {
                if !is_told && began.elapsed() >= SILENCE {
                    let s = patience.as_secs();
                    talk.say(format_args!(
                        "told it to end by {signal}, and wait up to {s} s; Ctrl-C kills it"
                    ));
                    is_told = true;
                }
                if hurry() && signal != Signal::SIGKILL {
                    break;
                }
                let ready = super::poll::ready(self.readable(), STEP);
                self.read(&ready, |write| write());
                self.reap();
            }
        }
    }
}

impl Drop for Program {
    /// Where something else has ended the watch, nothing is left behind.
    fn drop(&mut self) {
        self.reap();
        if self.code.is_none() {
            let _ = killpg(self.pid, Signal::SIGKILL);
            // The kernel ends it at once, and it is ours to wait for.
            let _ = waitpid(self.pid, None);
        }
    }
}

/// More than a pipe can hold.
const DRAIN_READS: usize = 1024;

impl Stream {
    /// Reads once; false at its end.
    fn read(&mut self, ticks: &mut u64, print: &mut impl FnMut(&dyn Fn())) -> bool {
        let mut buffer = [0u8; 16 * 1024];
        let piece = match self.from.read(&mut buffer) {
            Ok(0) => return false,
            Ok(len) => &buffer[..len],
            Err(error) => return error.kind() == io::ErrorKind::Interrupted,
        };
        *ticks += self.ticks.as_mut().map_or(0, |ticks| ticks.count(piece));
        if let Some(to) = self.to {
            // Whoever read our output may have gone: that is no reason to end the program.
            print(&|| {
                let _ = match to {
                    Output::Stdout => {
                        io::stdout().write_all(piece).and_then(|()| io::stdout().flush())
                    }
                    Output::Stderr => io::stderr().write_all(piece),
                };
            });
        }
        true
    }
}

/// Why a program could not be started, and what to do.
fn refused(program: &Path, error: io::Error) -> anyhow::Error {
    let shown = program.display();
    if program.is_dir() {
        return Usage(format!("{shown} is a folder; name a program in it")).into();
    }
    if program.as_os_str().is_empty() {
        return Usage("the program has no name; see how the shell reads the command".to_owned())
            .into();
    }
    match error.kind() {
        io::ErrorKind::NotFound => {
            Usage(format!("there is no program {shown}; give its path, or see PATH")).into()
        }
        io::ErrorKind::PermissionDenied => {
            Usage(format!("{shown} may not be executed; see its permissions (chmod +x)")).into()
        }
        _ => anyhow::Error::new(error).context(format!("{shown} could not be started")),
    }
}
