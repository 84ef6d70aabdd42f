//! cargo as a child, and what becomes of it at Ctrl-C and SIGTERM.
//!
//! A terminal sends SIGINT to everyone in the foreground: cargo is ended by it, and the runner, which ends its
//! trials and writes the ledger, comes to this process and is waited for. SIGTERM and SIGHUP come to this
//! process alone, which passes them on: to cargo and whatever it has started, down to the runners, who know
//! best about what is below them. nextest passes them on by itself.

use std::io;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::Pid;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::Tool;

/// Runs cargo to its end; gives its exit code, or 128 and the signal's number.
pub(super) fn run(mut command: Command, tool: Tool) -> io::Result<u8> {
    let mut signals = Signals::new(watertight::signals::ending())?;
    // Where it is refused a runner may write its last lines after our end.
    let _ = set_child_subreaper(true);
    #[expect(clippy::disallowed_methods, reason = "it is waited for below, and told of signals")]
    let cargo = command.spawn()?.id();
    let handle = signals.handle();
    let listener = std::thread::spawn(move || {
        let mut last = None;
        for number in signals.forever() {
            last = Some(number);
            if number != SIGINT
                && let Ok(signal) = Signal::try_from(number)
            {
                for pid in told(tool) {
                    // One that has just ended needs no signal.
                    let _ = kill(Pid::from_raw(pid), signal);
                }
            }
        }
        last
    });
    let code = wait_for(cargo.cast_signed())?;
    handle.close();
    let signalled = listener.join().ok().flatten();
    let code = signalled.map_or(code, |number| 128 + number);
    Ok(u8::try_from(code).unwrap_or(1))
}

/// Waits for cargo, and for runners that it has left behind; reaps whoever else is left to us. Gives cargo's
/// exit code, or 128 and the number of the signal that has ended it.
fn wait_for(cargo: i32) -> io::Result<i32> {
    let mut code = None;
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, its)) if pid.as_raw() == cargo => code = Some(its),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw() == cargo => {
                code = Some(128 + signal as i32);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            // Nobody is left.
            Err(errno) => return code.ok_or(errno.into()),
        }
        if let Some(code) = code
            && !children(own()).iter().any(is_runner)
        {
            return Ok(code);
        }
    }
}

/// Who is told of a signal.
fn told(tool: Tool) -> Vec<i32> {
    let mut told = children(own());
    let mut at = 0;
    while let Some(pid) = told.get(at).filter(|_| tool == Tool::Cargo) {
        if !is_runner(pid) {
            told.extend(children(*pid));
        }
        at += 1;
    }
    told
}

fn own() -> i32 {
    std::process::id().cast_signed()
}

/// Whether a process is this program, and so one of our runners.
fn is_runner(pid: &i32) -> bool {
    let program = |pid: &str| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    program("self").is_some_and(|own| program(&pid.to_string()) == Some(own))
}

/// The children of a process (proc(5): /proc/PID/task/TID/children).
fn children(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids = |text: String| -> Vec<i32> {
        text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    };
    texts.flat_map(pids).collect()
}
