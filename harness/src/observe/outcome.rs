//! What became of the body, and of the clean-ups it declared.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

use nix::sys::signal::Signal;
use watertight_report::model::{Cleanup, CleanupStatus, Outcome};

use super::Ended;
use crate::judge::Creation;
use crate::region::{ControlMap, read_place, read_text};
use crate::table::{BODY_FAILED, BODY_PASSED, CLEANUP_FAILED, CLEANUP_RAN, NET_REFUSED};

/// What became of the body, from what it said and how the process ended.
pub(super) fn outcome(
    control: &ControlMap,
    ended: &Ended,
    status: Option<ExitStatus>,
    spent: Duration,
) -> (Outcome, Option<String>) {
    let text = |message: &str| Some(message.to_owned()).filter(|message| !message.is_empty());
    match ended.body {
        // A body that has ended counts only with its first boundary: what comes between is the test's too.
        BODY_PASSED if ended.rounds > 0 => return (Outcome::Passed, None),
        BODY_FAILED => return (Outcome::Failed, text(&ended.message)),
        _ => {}
    }
    let said = if ended.message.is_empty() {
        String::new()
    } else {
        format!("; it said: {}", ended.message)
    };
    if ended.timed_out {
        return (
            Outcome::TimedOut,
            Some(format!("its process was killed after {:.1} s{said}", spent.as_secs_f64())),
        );
    }
    if control.net.load(Acquire) == NET_REFUSED && !ended.entered {
        return (Outcome::Crashed, Some(format!("it ended before the test began{said}")));
    }
    let Some(status) = status else {
        return (
            Outcome::Crashed,
            Some(format!("it ended and its status could not be read{said}")),
        );
    };
    match status.signal() {
        Some(signal) => by_signal(signal, &said),
        None => {
            let code = status.code().unwrap_or(-1);
            (
                Outcome::Crashed,
                Some(format!(
                    "its process exited with code {code} before the test had ended{said}"
                )),
            )
        }
    }
}

/// What became of a test in a program of its own: its exit code says it. `why` is what was printed of it.
pub(super) fn of_program(
    ended: &Ended,
    status: Option<ExitStatus>,
    spent: Duration,
    why: &str,
) -> (Outcome, Option<String>) {
    let why = Some(why).filter(|why| !why.is_empty());
    let said = why.map_or_else(String::new, |why| format!("; it said: {why}"));
    if ended.timed_out {
        let text = format!("its process was killed after {:.1} s{said}", spent.as_secs_f64());
        return (Outcome::TimedOut, Some(text));
    }
    let Some(status) = status else {
        let text = format!("it ended and its status could not be read{said}");
        return (Outcome::Crashed, Some(text));
    };
    /// What libtest exits with where a test has failed.
    const TESTS_FAILED: i32 = 101;
    match (status.signal(), status.code()) {
        (Some(signal), _) => by_signal(signal, &said),
        (None, Some(0)) => (Outcome::Passed, None),
        (None, Some(TESTS_FAILED)) => (Outcome::Failed, why.map(str::to_owned)),
        (None, code) => {
            let code = code.unwrap_or(-1);
            (Outcome::Failed, Some(format!("its process exited with code {code}{said}")))
        }
    }
}

/// A process that was ended by a signal: its own doing, or somebody else's.
fn by_signal(number: i32, said: &str) -> (Outcome, Option<String>) {
    let signal = Signal::try_from(number);
    let name = signal.map_or_else(|_| format!("signal {number}"), |it| it.as_str().to_owned());
    let by_itself = matches!(
        signal,
        Ok(Signal::SIGABRT
            | Signal::SIGSEGV
            | Signal::SIGBUS
            | Signal::SIGILL
            | Signal::SIGFPE
            | Signal::SIGTRAP
            | Signal::SIGSYS)
    );
    let outcome = if by_itself { Outcome::Crashed } else { Outcome::Killed };
    (outcome, Some(format!("its process was ended by {name}{said}")))
}

pub(super) fn read_cleanups(control: &ControlMap) -> Vec<(Cleanup, Option<Creation>)> {
    control
        .cleanups
        .iter()
        .filter(|cleanup| cleanup.status.load(Acquire) != 0)
        .map(|cleanup| {
            let error = Some(read_text(&cleanup.error)).filter(|error| !error.is_empty());
            let status = match cleanup.status.load(Acquire) {
                CLEANUP_RAN => CleanupStatus::Ran,
                CLEANUP_FAILED => CleanupStatus::Failed,
                _ => CleanupStatus::NeverReached,
            };
            let declared = read_place(&cleanup.place).map(Creation::at);
            (Cleanup::new(read_text(&cleanup.name), status, error), declared)
        })
        .collect()
}
