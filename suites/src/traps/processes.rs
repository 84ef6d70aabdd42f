//! Children, and children of children, all of them ended.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use watertight::{Case, Context, Failed};
use watertight_tracker::process::PidFd;

use super::trap;
use crate::PATIENCE;

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("output_of_a_shell", |_cx| {
            let output = Command::new("sh").args(["-c", "echo out; echo err >&2"]).output()?;
            assert_eq!(
                (output.stdout.as_slice(), output.stderr.as_slice()),
                (&b"out\n"[..], &b"err\n"[..])
            );
            Ok(())
        }),
        trap("child_that_is_written_to", child_that_is_written_to),
        trap("many_short_children", |_cx| {
            for _ in 0..10 {
                assert!(Command::new("true").status()?.success());
            }
            Ok(())
        }),
        trap("orphan_that_is_ended", orphan_that_is_ended),
        trap("child_waited_for_in_a_thread", child_waited_for_in_a_thread),
        trap("child_waited_for_late", child_waited_for_late),
        trap("grandchild_that_ends_late", |_cx| {
            // A helper that the shell does not wait for; it ends by itself, after the test.
            let script = "sleep 0.3 </dev/null >/dev/null 2>&1 &";
            assert!(Command::new("sh").args(["-c", script]).status()?.success());
            Ok(())
        }),
        trap("fork_that_is_waited_for", fork_that_is_waited_for),
    ]
}

#[expect(clippy::disallowed_methods, reason = "it ends with its input and is waited for")]
fn child_that_is_written_to(_cx: &Context) -> Result<(), Failed> {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(b"text")?;
    }
    let output = child.wait_with_output()?;
    assert_eq!(output.stdout, b"text");
    Ok(())
}

/// A shell leaves a process behind and ends; the test knows it, and ends it.
fn orphan_that_is_ended(_cx: &Context) -> Result<(), Failed> {
    let script = "sleep 1003 </dev/null >/dev/null 2>&1 & echo $!";
    let output = Command::new("sh").args(["-c", script]).output()?;
    let pid: u32 = String::from_utf8(output.stdout)?.trim().parse()?;
    let orphan = PidFd::open(pid)?;
    orphan.signal(Signal::SIGTERM)?;
    match orphan.wait(Instant::now() + PATIENCE)? {
        true => Ok(()),
        false => Err(Failed::new("it does not end")),
    }
}

/// It has ended long before somebody asks.
#[expect(clippy::disallowed_methods, reason = "it ends at once and is waited for by the thread")]
fn child_waited_for_late(_cx: &Context) -> Result<(), Failed> {
    const LATE: Duration = Duration::from_millis(200);
    let mut child = Command::new("true").spawn()?;
    let (stop, stopped) = sync_channel::<()>(0);
    std::thread::spawn(move || {
        let timed_out = stopped.recv_timeout(LATE).is_err();
        drop(stop);
        timed_out && child.wait().is_ok()
    });
    Ok(())
}

fn fork_that_is_waited_for(_cx: &Context) -> Result<(), Failed> {
    // SAFETY: the child only ends itself.
    match unsafe { fork()? } {
        // SAFETY: it ends the process and runs nothing.
        ForkResult::Child => unsafe { nix::libc::_exit(7) },
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 7));
            Ok(())
        }
    }
}

/// As supervisors do it: the waiter is another thread than the one that starts and ends it.
#[expect(clippy::disallowed_methods, reason = "ended by the test and waited for by its thread")]
fn child_waited_for_in_a_thread(_cx: &Context) -> Result<(), Failed> {
    let mut child = Command::new("sh")
        .args(["-c", "echo ready; exec sleep 1004"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let process = PidFd::open(child.id())?;
    let mut ready = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut ready)?;
    }
    let waiter = std::thread::spawn(move || child.wait());
    process.signal(Signal::SIGKILL)?;
    let status = waiter.join().map_err(|_| Failed::new("the waiter panicked"))??;
    if status.code().is_none() { Ok(()) } else { Err(Failed::new("it ended by itself")) }
}
