//! Child processes that always end: a deadline, an interrupt, and a reaper.
//!
//! A process is watched by its pidfd, so nothing here polls on a clock, and a pid that the kernel
//! has given to somebody else in the meantime is never mistaken for ours.

use std::io::{self, Read};
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
    let (mut output, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    #[expect(clippy::disallowed_methods, reason = "`Group` ends and reaps it on every way out")]
    let child = command.spawn()?;
    let mut group = Group { pidfd: PidFd::open(child.id())?, child, reaped: false };
    // The command holds the write end; without this the read end would never see its end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let deadline = Instant::now() + timeout;
    let mut text = Vec::new();
    let mut open = true;
    loop {
        // A closed pipe is readable for ever, so it is left out once it has ended.
        let interrupt_fd = interrupt.map(|interrupt| interrupt.0.as_fd());
        let watched: Vec<_> = [Some(group.pidfd.0.as_fd()), interrupt_fd]
            .into_iter()
            .chain([open.then(|| output.as_fd())])
            .collect();
        let fds: Vec<_> = watched.iter().flatten().copied().collect();
        let mut ready = wait_readable(&fds, deadline)?.into_iter();
        let mut is_ready = |index: usize| watched[index].is_some() && ready.next().unwrap_or(false);
        let (ended, interrupted, readable) = (is_ready(0), is_ready(1), is_ready(2));
        if readable {
            open = read_some(&mut output, &mut text)?;
        } else if ended {
            // Everything it wrote was in the pipe before it ended. What a stray grandchild may
            // still write to it is not waited for.
            let status = group.reap()?;
            return Ok(Ended { status, output: String::from_utf8_lossy(&text).into_owned() });
        } else if interrupted {
            return Err(ProcessError::Interrupted);
        } else if Instant::now() >= deadline {
            return Err(ProcessError::TimedOut(timeout));
        }
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
    let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
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

/// Reads what is there, keeping its start; `false` at the end.
fn read_some(input: &mut impl Read, text: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    let count = input.read(&mut chunk)?;
    let room = OUTPUT_BYTES_MAX.saturating_sub(text.len());
    text.extend_from_slice(&chunk[..count.min(room)]);
    Ok(count > 0)
}

fn libc_pid(pid: u32) -> io::Result<i32> {
    i32::try_from(pid).map_err(|_| io::Error::from(Errno::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
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
}
