//! cargo as a child, and what becomes of it at Ctrl-C and SIGTERM.
//!
//! A terminal sends SIGINT to everyone in the foreground: cargo waits for its runner then, the runner ends
//! its trials and writes the ledger, and this process only has to stay. SIGTERM and SIGHUP come to this
//! process alone. nextest passes them on by itself; cargo would die of one and leave its runner behind, so
//! there the runners are told, and cargo only where it has none yet.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Tool;

/// Runs cargo to its end; gives its exit code, or 128 and the signal's number.
pub(super) fn run(mut command: Command, tool: Tool) -> io::Result<u8> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    #[expect(clippy::disallowed_methods, reason = "it is waited for below, and told of signals")]
    let mut child: Child = command.spawn()?;
    let handle = signals.handle();
    let cargo = child.id();
    let listener = std::thread::spawn(move || {
        let mut last = None;
        for number in signals.forever() {
            last = Some(number);
            if number != SIGINT
                && let Ok(signal) = Signal::try_from(number)
            {
                for pid in told(cargo, tool) {
                    // One that has just ended needs no signal.
                    let _ = kill(Pid::from_raw(pid), signal);
                }
            }
        }
        last
    });
    let status = child.wait()?;
    handle.close();
    let signalled = listener.join().ok().flatten();
    let code = match (signalled, status.signal(), status.code()) {
        (Some(number), ..) | (None, Some(number), _) => 128 + number,
        (None, None, code) => code.unwrap_or(1),
    };
    Ok(u8::try_from(code).unwrap_or(1))
}

/// Who is told of a signal: the runners below cargo, or where there are none cargo itself.
fn told(cargo: u32, tool: Tool) -> Vec<i32> {
    let cargo = cargo as i32;
    if tool == Tool::Nextest {
        return vec![cargo];
    }
    let own = std::env::current_exe().ok();
    let runners: Vec<i32> = children(cargo)
        .into_iter()
        .filter(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok() == own)
        .collect();
    if runners.is_empty() { vec![cargo] } else { runners }
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
