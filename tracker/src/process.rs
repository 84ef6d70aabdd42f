//! Child processes that always end: a deadline, an interrupt, and a reaper.
//!
//! A process is watched by its pidfd, so nothing here polls on a clock, and a pid that the kernel
//! has given to somebody else in the meantime is never mistaken for ours.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long a child may take to clean up (git its lock files) after it was asked to end.
const TERM_GRACE: Duration = Duration::from_secs(2);

/// A child's output is kept up to this size; the rest is read and dropped.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// A process, held by the kernel under a handle that cannot mean another one.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// The process that has `pid` now; `ESRCH` if there is none.
    pub fn open(pid: u32) -> io::Result<Self> {
        let pid = libc_pid(pid)?;
        // SAFETY: the call reads two integers and touches no memory of ours.
        let fd = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, pid, 0) };
        let fd = Errno::result(fd)?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// Sends a signal to exactly this process.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let (fd, signal) = (self.0.as_raw_fd(), signal as i32);
        // SAFETY: the third argument may be null, and then the kernel reads no memory of ours.
        let sent = unsafe {
            nix::libc::syscall(
                nix::libc::SYS_pidfd_send_signal,
                fd,
                signal,
                std::ptr::null::<nix::libc::siginfo_t>(),
                0,
            )
        };
        Errno::result(sent)?;
        Ok(())
    }

    /// Waits until the process has ended; `false` if the deadline came first.
    pub fn wait(&self, deadline: Instant) -> io::Result<bool> {
        Ok(wait_readable(&[self.0.as_fd()], deadline)?[0])
    }
}

/// Makes every descriptor above standard error close when this process executes another.
///
/// For a launcher, so that what it starts does not keep open what somebody left open in it.
pub fn close_inherited_on_exec() -> io::Result<()> {
    // SAFETY: with CLOEXEC the call closes nothing; it only sets a flag that owners do not look at.
    let set = unsafe {
        nix::libc::syscall(nix::libc::SYS_close_range, 3, u32::MAX, nix::libc::CLOSE_RANGE_CLOEXEC)
    };
    Errno::result(set)?;
    Ok(())
}

/// A flag that wakes whoever waits for a child.
#[derive(Debug)]
pub struct Interrupt(EventFd);

impl Interrupt {
    /// An interrupt that nobody has raised.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(EventFd::from_value_and_flags(0, flags)?))
    }

    /// Ends the wait of everybody, now and later.
    pub fn raise(&self) -> io::Result<()> {
        self.0.write(1)?;
        Ok(())
    }
}

/// How a child ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output and standard error, in the order it did.
    pub output: String,
}

/// How a child ended that was given something to read.
#[derive(Debug)]
pub struct Answer {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub output: Vec<u8>,
    /// What it wrote to standard error.
    pub errors: String,
}

/// Why a child did not end by itself. It is gone all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It could not be started or watched.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("no end after {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// Somebody raised the interrupt.
    #[error("interrupted")]
    Interrupted,
}

/// Runs a command to its end and returns what it wrote.
///
/// It gets a process group of its own and nothing to read.
/// After `timeout` or an interrupt the group is asked to end, then killed; it is always reaped.
pub fn run(
    command: &mut Command,
    timeout: Duration,
    interrupt: Option<&Interrupt>,
) -> Result<Ended, ProcessError> {
    let (output, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut output = Output::of(output);
    let status = attend(command, None, &mut [&mut output], timeout, interrupt)?;
    Ok(Ended { status, output: String::from_utf8_lossy(&output.text).into_owned() })
}

/// The same for a command that reads `input` and whose answer must not be mixed with its warnings.
///
/// A command that does not read all of `input` is no error: its status tells.
pub fn ask(
    command: &mut Command,
    input: &[u8],
    timeout: Duration,
    interrupt: Option<&Interrupt>,
) -> Result<Answer, ProcessError> {
    let (stdin, writer) = io::pipe()?;
    command.stdin(stdin);
    answer(command, Some(Input { pipe: writer, left: input }), timeout, interrupt)
}

/// The same for a command that reads nothing.
///
/// It has `held` open as its standard input for as long as it lives, also if it outlives us: a lock
/// on that file then lasts as long.
pub fn ask_holding(
    command: &mut Command,
    held: &File,
    timeout: Duration,
    interrupt: Option<&Interrupt>,
) -> Result<Answer, ProcessError> {
    command.stdin(held.try_clone()?);
    answer(command, None, timeout, interrupt)
}

/// Runs a command whose standard input is set, and keeps its answer and its warnings apart.
fn answer(
    command: &mut Command,
    input: Option<Input<'_>>,
    timeout: Duration,
    interrupt: Option<&Interrupt>,
) -> Result<Answer, ProcessError> {
    let (output, stdout) = io::pipe()?;
    let (errors, stderr) = io::pipe()?;
    command.stdout(stdout).stderr(stderr);
    let (mut output, mut errors) = (Output::of(output), Output::of(errors));
    let outputs = &mut [&mut output, &mut errors];
    let status = attend(command, input, outputs, timeout, interrupt)?;
    let errors = String::from_utf8_lossy(&errors.text).into_owned();
    Ok(Answer { status, output: output.text, errors })
}

/// Starts a command and serves its pipes until it has ended.
fn attend(
    command: &mut Command,
    input: Option<Input<'_>>,
    outputs: &mut [&mut Output],
    timeout: Duration,
    interrupt: Option<&Interrupt>,
) -> Result<ExitStatus, ProcessError> {
    command.process_group(0);
    #[expect(clippy::disallowed_methods, reason = "`Group` ends and reaps it on every way out")]
    let child = command.spawn()?;
    let mut group = Group { pidfd: PidFd::open(child.id())?, child, reaped: false };
    // The command holds the far ends of the pipes; without this nobody would see their end.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());

    let deadline = Instant::now() + timeout;
    // Nothing to write is an end of the input at once.
    let mut input = input.filter(|input| !input.left.is_empty());
    loop {
        let watched: Vec<_> = [
            Some((group.pidfd.0.as_fd(), PollFlags::POLLIN)),
            interrupt.map(|interrupt| (interrupt.0.as_fd(), PollFlags::POLLIN)),
            input.as_ref().map(|input| (input.pipe.as_fd(), PollFlags::POLLOUT)),
        ]
        .into_iter()
        // A closed pipe is readable for ever, so it is left out once it has ended.
        .chain(
            outputs
                .iter()
                .map(|output| output.pipe.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::POLLIN))),
        )
        .collect();
        let fds: Vec<_> = watched.iter().flatten().copied().collect();
        let mut ready = wait_ready(&fds, deadline)?.into_iter();
        let ready: Vec<_> =
            watched.iter().map(|fd| fd.is_some() && ready.next().unwrap_or(false)).collect();
        let (ended, interrupted, writable) = (ready[0], ready[1], ready[2]);
        let mut moved = writable;
        if writable {
            input = input.map(Input::write_some).transpose()?.flatten();
        }
        for (output, _) in outputs.iter_mut().zip(&ready[3..]).filter(|(_, ready)| **ready) {
            output.read_some()?;
            moved = true;
        }
        if ended && !moved {
            // Everything it wrote was in the pipes before it ended. What a stray grandchild may
            // still write to them is not waited for.
            return Ok(group.reap()?);
        } else if interrupted {
            return Err(ProcessError::Interrupted);
        } else if Instant::now() >= deadline {
            return Err(ProcessError::TimedOut(timeout));
        }
    }
}

/// What a child still has to be given.
struct Input<'a> {
    pipe: PipeWriter,
    left: &'a [u8],
}

impl Input<'_> {
    /// Writes what the pipe takes without a wait; `None`, and so closed, at the end.
    fn write_some(mut self) -> io::Result<Option<Self>> {
        // pipe(7): as much as `PIPE_BUF` is taken at once by a pipe that poll calls writable.
        let chunk = &self.left[..self.left.len().min(nix::libc::PIPE_BUF)];
        match self.pipe.write(chunk) {
            Ok(count) => self.left = &self.left[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(self).filter(|input| !input.left.is_empty()))
    }
}

/// What a child has written to one pipe so far; no pipe any more once it has ended.
struct Output {
    pipe: Option<PipeReader>,
    text: Vec<u8>,
}

impl Output {
    fn of(pipe: PipeReader) -> Self {
        Self { pipe: Some(pipe), text: Vec::new() }
    }

    /// Reads what is there, keeping its start.
    fn read_some(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        let mut chunk = [0; 4096];
        let count = pipe.read(&mut chunk)?;
        let room = OUTPUT_BYTES_MAX.saturating_sub(self.text.len());
        self.text.extend_from_slice(&chunk[..count.min(room)]);
        if count == 0 {
            self.pipe = None;
        }
        Ok(())
    }
}

/// A child and everything in its process group; ended and reaped when dropped.
struct Group {
    child: Child,
    pidfd: PidFd,
    reaped: bool,
}

impl Group {
    fn reap(&mut self) -> io::Result<ExitStatus> {
        self.reaped = true;
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        // The child is not reaped yet, so its number is still the group's and nobody else's.
        let group = Pid::from_raw(self.child.id() as i32);
        let _gone_already = killpg(group, Signal::SIGTERM);
        let _killed_below = self.pidfd.wait(Instant::now() + TERM_GRACE);
        let _gone_already = killpg(group, Signal::SIGKILL);
        let _reaped = self.reap();
    }
}

/// Waits until one of `fds` is readable or has ended; all `false` if the deadline came first.
pub(crate) fn wait_readable(fds: &[BorrowedFd<'_>], deadline: Instant) -> io::Result<Vec<bool>> {
    let fds: Vec<_> = fds.iter().map(|fd| (*fd, PollFlags::POLLIN)).collect();
    wait_ready(&fds, deadline)
}

/// Waits until one of `fds` is ready for what is asked of it, or has ended.
fn wait_ready(fds: &[(BorrowedFd<'_>, PollFlags)], deadline: Instant) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = fds.iter().map(|(fd, flags)| PollFd::new(*fd, *flags)).collect();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that the last millisecond is waited for and not spun through.
        let timeout = PollTimeout::try_from(left.as_micros().div_ceil(1000).min(i32::MAX as u128))
            .unwrap_or(PollTimeout::MAX);
        match nix::poll::poll(&mut polled, timeout) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(polled.iter().map(|fd| fd.any().unwrap_or(false)).collect()),
        }
    }
}

fn libc_pid(pid: u32) -> io::Result<i32> {
    i32::try_from(pid).map_err(|_| io::Error::from(Errno::ESRCH))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A shell that runs a script.
    pub(crate) fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_status_come_back() {
        let long = Duration::from_secs(60);
        let ended = run(&mut sh("echo out; echo err >&2; exit 3"), long, None).unwrap();
        assert_eq!((ended.output.as_str(), ended.status.code()), ("out\nerr\n", Some(3)));
    }

    #[test]
    fn a_child_that_hangs_is_ended() {
        let timeout = Duration::from_millis(50);
        let ended = run(&mut sh("sleep 1000"), timeout, None);
        assert!(matches!(ended, Err(ProcessError::TimedOut(_))), "{ended:?}");
    }

    #[test]
    fn an_interrupt_ends_the_wait() {
        let interrupt = Interrupt::new().unwrap();
        interrupt.raise().unwrap();
        let ended = run(&mut sh("sleep 1000"), Duration::from_secs(60), Some(&interrupt));
        assert!(matches!(ended, Err(ProcessError::Interrupted)), "{ended:?}");
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_is_not_waited_for() {
        let ended = run(&mut sh("sleep 5 & echo done"), Duration::from_secs(60), None).unwrap();
        assert_eq!(ended.output, "done\n");
    }
    #[test]
    fn what_is_written_comes_back_while_it_is_still_being_written() {
        // Far more than the pipes hold: whoever writes all of it first waits for ever.
        let input = vec![b'x'; 4_000_000];
        let mut count = sh("tee /dev/stderr | wc -c");
        let answer = ask(&mut count, &input, Duration::from_secs(60), None).unwrap();
        assert_eq!(answer.output.trim_ascii(), b"4000000");
        assert_eq!(answer.errors.len(), OUTPUT_BYTES_MAX);
    }

    #[test]
    fn answer_and_warnings_are_kept_apart() {
        let mut talk = sh("echo careful >&2; cat; exit 3");
        let answer = ask(&mut talk, b"in", Duration::from_secs(60), None).unwrap();
        assert_eq!((answer.output.as_slice(), answer.errors.as_str()), (&b"in"[..], "careful\n"));
        assert_eq!(answer.status.code(), Some(3));
    }

    #[test]
    fn a_child_without_input_sees_its_end() {
        let answer = ask(&mut sh("cat; echo end"), b"", Duration::from_secs(60), None).unwrap();
        assert_eq!(answer.output, b"end\n");
    }

    #[test]
    fn a_child_that_reads_nothing_ends_as_it_likes() {
        let input = vec![0; 1_000_000];
        let answer = ask(&mut sh("exec <&-; exit 4"), &input, Duration::from_secs(60), None);
        assert_eq!(answer.unwrap().status.code(), Some(4));
    }

    #[test]
    fn a_child_that_never_reads_is_ended() {
        let (input, timeout) = (vec![0; 1_000_000], Duration::from_millis(50));
        let ended = ask(&mut sh("sleep 1000"), &input, timeout, None);
        assert!(matches!(ended, Err(ProcessError::TimedOut(_))), "{ended:?}");
    }
}
