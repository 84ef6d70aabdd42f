//! Ctrl-C and SIGTERM: end everything that was started, still write the ledger, leave with the usual code.

use std::process::ExitCode;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, PoisonError};

use nix::sys::signal::{SigSet, Signal};

use crate::pidfd::signal_group;
use crate::run::Run;

/// The signal that cancelled the run, 0 for none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Takes both signals out of the hands of their default, before any other thread exists, and waits
/// for them on a thread of its own. Children start with an empty mask.
pub(crate) fn watch(run: &Arc<Run>) {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    if signals.thread_block().is_err() {
        return;
    }
    let run = Arc::clone(run);
    // The thread lives as long as the process; it owns nothing.
    let _ = std::thread::Builder::new().name("signals".to_owned()).stack_size(64 * 1024).spawn(
        move || {
            while let Ok(signal) = signals.wait() {
                SIGNAL.store(signal as i32, Release);
                run.cancelled.store(true, Release);
                eprintln!("\nwatertight: {signal}: ending what was started, writing the ledger");
                for pid in run.running.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    signal_group(*pid, Signal::SIGKILL);
                }
            }
        },
    );
}

/// 128 and the signal's number, where a signal has cancelled the run.
pub(crate) fn exit_code(run: &Run) -> Option<ExitCode> {
    let signal = SIGNAL.load(Acquire);
    (run.cancelled.load(Acquire) && signal != 0).then(|| ExitCode::from(128 + signal as u8))
}
