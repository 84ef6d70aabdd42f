//! The trial's main process: spawned, listened to, timed, and ended.
//!
//! A pump thread reads its output, notices its end and samples its descendants; the trial's own thread
//! talks to it through the control file and never blocks on a pipe.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::agent::Agent;
use crate::descendant::Descendants;
use crate::pidfd;
use crate::region::{self, ControlMap};
use crate::survivor;
use crate::table::ENV_TABLE;

/// How often descendants are sampled.
const SAMPLE: Duration = Duration::from_millis(25);
/// Output kept of one trial, from its beginning and from its end.
const OUTPUT_HEAD: usize = 64 * 1024;
const OUTPUT_TAIL: usize = 64 * 1024;
/// Reads from its pipes at most once it has ended: more than a pipe can hold.
const DRAIN_READS: usize = 1024;
/// How long a process that was killed may take to go.
const REAP: Duration = Duration::from_secs(10);

/// The running main process of a trial.
pub(crate) struct Subject {
    pub(crate) pid: u32,
    pidfd: Option<Arc<OwnedFd>>,
    shared: Arc<Shared>,
    pump: Option<JoinHandle<()>>,
}

/// What the pump and the trial's thread share.
struct Shared {
    control: Arc<ControlMap>,
    ended: AtomicBool,
    status: Mutex<Option<ExitStatus>>,
    output: Mutex<Output>,
    stop: AtomicBool,
}

/// What a process has printed: stdout and stderr as they came, and each by itself.
#[derive(Debug, Default)]
struct Output {
    both: Kept,
    each: [Kept; 2],
}

/// The beginning and the end of what came.
#[derive(Debug, Default)]
struct Kept {
    head: Vec<u8>,
    tail: std::collections::VecDeque<u8>,
    /// Bytes between the two that were dropped.
    dropped: u64,
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        let room = OUTPUT_HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend(&bytes[room..]);
        let excess = self.tail.len().saturating_sub(OUTPUT_TAIL);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
    }

    /// The text, with a mark where something is missing.
    fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.head).into_owned();
        if self.dropped > 0 {
            text.push_str(&format!("\n[... {} bytes of output left out ...]\n", self.dropped));
        }
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        text.push_str(&String::from_utf8_lossy(&tail));
        text
    }
}

/// How to start a main process.
pub(crate) struct Spawn<'a> {
    pub(crate) command: Command,
    pub(crate) agent: Option<&'a Agent>,
    pub(crate) directory: &'a Path,
    pub(crate) control: &'a Arc<ControlMap>,
    pub(crate) descendants: &'a Arc<Mutex<Descendants>>,
    /// Print the output as it comes as well.
    pub(crate) stream: bool,
    /// The main processes that run, where every other child of the supervisor is an orphan to be reaped.
    pub(crate) adopts: Option<Arc<Mutex<Vec<u32>>>>,
}

impl Subject {
    /// Starts the main process of a trial.
    ///
    /// # Errors
    /// What the operating system says.
    #[expect(
        clippy::disallowed_methods,
        reason = "the subject is ended and reaped by `end`, also on drop"
    )]
    pub(crate) fn spawn(spawn: Spawn<'_>) -> io::Result<Self> {
        let mut command = spawn.command;
        // A group of its own, so that what it starts in the background is ended with it.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env(ENV_TABLE, spawn.directory);
        if let Some(agent) = spawn.agent {
            command.envs(agent.environment(spawn.directory));
        }
        let mut child = command.spawn()?;
        // Tests read the end of their input at once.
        drop(child.stdin.take());
        let pid = child.id();
        let pidfd = pidfd::open(pid).map(Arc::new);
        let shared = Arc::new(Shared {
            control: Arc::clone(spawn.control),
            ended: AtomicBool::new(false),
            status: Mutex::new(None),
            output: Mutex::new(Output::default()),
            stop: AtomicBool::new(false),
        });
        let pipes =
            [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
        let pump = Pump {
            pid,
            pidfd: pidfd.clone(),
            pipes: pipes.map(|pipe| pipe.map(File::from)),
            shared: Arc::clone(&shared),
            descendants: Arc::clone(spawn.descendants),
            stream: spawn.stream,
            adopts: spawn.adopts,
        };
        let pump = std::thread::Builder::new()
            .name("pump".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || pump.run())?;
        Ok(Self { pid, pidfd, shared, pump: Some(pump) })
    }

    /// Whether the process has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.load(Acquire)
    }

    /// Waits until `reached` holds, the process ends or the deadline passes; true for the first.
    pub(crate) fn wait_until(&self, deadline: Instant, reached: impl Fn() -> bool) -> bool {
        let news = &self.shared.control.news;
        loop {
            let seen = news.load(Acquire);
            if reached() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.has_ended() || left.is_zero() {
                return reached();
            }
            region::futex_wait(news, seen, left);
        }
    }

    /// Ends the process and its group by a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if !self.has_ended() {
            pidfd::signal_group(self.pid, signal);
            match &self.pidfd {
                Some(pidfd) => pidfd::signal(pidfd, signal),
                None => pidfd::signal_process(self.pid, signal),
            }
        }
    }

    /// Waits until the process has gone, killing it at the deadline, and gives how it ended.
    pub(crate) fn end(&mut self, deadline: Instant) -> Option<ExitStatus> {
        if !self.wait_until(deadline, || self.has_ended()) {
            self.signal(Signal::SIGKILL);
            self.wait_until(Instant::now() + REAP, || self.has_ended());
        }
        self.shared.stop.store(true, Release);
        if let Some(pump) = self.pump.take() {
            // A pump that panicked has left its reason on stderr; what it had read is kept.
            let _ = pump.join();
        }
        *self.shared.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the process has printed so far.
    pub(crate) fn output(&self) -> String {
        self.shared.output.lock().unwrap_or_else(PoisonError::into_inner).both.text()
    }

    /// The same, stdout and stderr each by itself.
    pub(crate) fn outputs(&self) -> [String; 2] {
        let output = self.shared.output.lock().unwrap_or_else(PoisonError::into_inner);
        [output.each[0].text(), output.each[1].text()]
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if self.pump.is_some() {
            self.signal(Signal::SIGKILL);
            self.end(Instant::now() + REAP);
        }
    }
}

/// The thread that listens.
struct Pump {
    pid: u32,
    pidfd: Option<Arc<OwnedFd>>,
    pipes: [Option<File>; 2],
    shared: Arc<Shared>,
    descendants: Arc<Mutex<Descendants>>,
    stream: bool,
    adopts: Option<Arc<Mutex<Vec<u32>>>>,
}

impl Pump {
    fn run(mut self) {
        let mut sampled = Instant::now();
        loop {
            let ready = self.wait(SAMPLE);
            self.read_ready(ready);
            if self.reaped() || self.shared.stop.load(Acquire) {
                break;
            }
            if sampled.elapsed() >= SAMPLE {
                sampled = Instant::now();
                self.descendants.lock().unwrap_or_else(PoisonError::into_inner).sample();
                if let Some(running) = &self.adopts {
                    survivor::reap_orphans(running);
                }
            }
        }
        self.drain();
        self.shared.ended.store(true, Release);
        region::tell(&self.shared.control);
    }

    /// Which pipes can be read, after at most `timeout`; the process's end wakes as well.
    fn wait(&self, timeout: Duration) -> [bool; 2] {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(3);
        let mut index = [None; 2];
        for (at, pipe) in self.pipes.iter().enumerate() {
            if let Some(pipe) = pipe {
                index[at] = Some(fds.len());
                fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
            }
        }
        if let Some(pidfd) = &self.pidfd {
            fds.push(PollFd::new(pidfd.as_fd(), PollFlags::POLLIN));
        }
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO);
        // An interrupted poll looks like one that timed out.
        let _ = poll(&mut fds, timeout);
        index.map(|at| at.and_then(|at| fds.get(at)?.any()).unwrap_or(false))
    }

    fn read_ready(&mut self, ready: [bool; 2]) {
        for (index, _) in ready.iter().enumerate().filter(|(_, ready)| **ready) {
            self.read(index);
        }
    }

    /// Reads once from a pipe; closes it at its end.
    fn read(&mut self, index: usize) {
        let mut buffer = [0u8; 16 * 1024];
        let Some(pipe) = &mut self.pipes[index] else { return };
        match pipe.read(&mut buffer) {
            Ok(0) => self.pipes[index] = None,
            Ok(len) => {
                let mut output = self.shared.output.lock().unwrap_or_else(PoisonError::into_inner);
                output.both.push(&buffer[..len]);
                output.each[index].push(&buffer[..len]);
                drop(output);
                if self.stream {
                    // A closed terminal is no reason to stop measuring.
                    let _ = match index {
                        0 => io::stdout().write_all(&buffer[..len]),
                        _ => io::stderr().write_all(&buffer[..len]),
                    };
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.pipes[index] = None,
        }
    }

    /// Takes the exit status once the process has ended. While its pointers are followed it is told to have
    /// stopped as well, which is no end.
    fn reaped(&self) -> bool {
        let mut status = 0;
        // SAFETY: waitpid(2) on a child that nobody else waits for.
        let result =
            unsafe { libc::waitpid(self.pid as libc::pid_t, &raw mut status, libc::WNOHANG) };
        if result == 0 || result > 0 && libc::WIFSTOPPED(status) {
            return false;
        }
        if result > 0 {
            *self.shared.status.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(ExitStatus::from_raw(status));
        }
        true
    }

    /// Reads what is there already. A process that outlives the trial may hold the pipe open for
    /// ever, so its end is not waited for.
    fn drain(&mut self) {
        // A survivor may print for ever.
        for _ in 0..DRAIN_READS {
            let ready = self.wait(Duration::ZERO);
            if !ready.contains(&true) {
                return;
            }
            self.read_ready(ready);
        }
    }
}

/// Counts trials of this process, for their directories' names.
pub(crate) fn next_trial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Relaxed)
}
