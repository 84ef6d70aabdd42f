//! The signals that end a run: Ctrl-C, and what a service manager or a terminal that is closed sends.
//!
//! nohup(1) starts programs that are to ignore some of them, and so does a shell without job control for what
//! it runs in the background. Whoever does that wants the run to go on; to catch such a signal would end it,
//! and would take the wish from every program that the run starts.

use nix::sys::signal::Signal;

use crate::probe::state::{self, Disposition};

const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The numbers of SIGINT, SIGTERM and SIGHUP, without those that this process was started to ignore.
pub fn ending() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let state = state::state(std::process::id(), &status);
    let is_ignored = |number: i32| state.disposition(number as u64) == Disposition::Ignored;
    ENDING.into_iter().map(|signal| signal as i32).filter(|number| !is_ignored(*number)).collect()
}
