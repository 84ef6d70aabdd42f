//! Ctrl-C and SIGTERM: end everything that was started, still write the ledger, leave with the usual code.
//!
//! By handlers, not by a blocked mask: a mask is inherited by every child, and a daemon that a test starts
//! would be deaf to SIGTERM. Handlers end with exec.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::IntoRawFd as _;
use std::process::ExitCode;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, PoisonError};

use nix::fcntl::OFlag;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::pidfd::signal_group;
use crate::run::Run;
use crate::signals;

/// The signal that cancelled the run, 0 for none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// Where the handler tells of it: the writing end of a pipe.
static TELL: AtomicI32 = AtomicI32::new(-1);

extern "C" fn tell(signal: libc::c_int) {
    SIGNAL.store(signal, Relaxed);
    let byte = 0u8;
    // SAFETY: write(2) is async-signal-safe; the pipe stays open as long as the process. A full pipe
    // has told enough already.
    unsafe { libc::write(TELL.load(Relaxed), (&raw const byte).cast(), 1) };
}

/// Waits for the signals on a thread of its own that lives as long as the process.
pub(crate) fn watch(run: &Arc<Run>) {
    let Ok((listen, speak)) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK) else {
        return;
    };
    // The reader blocks; only the handler must never do.
    let _ = nix::fcntl::fcntl(&listen, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty()));
    TELL.store(speak.into_raw_fd(), Release);
    let action = SigAction::new(SigHandler::Handler(tell), SaFlags::SA_RESTART, SigSet::empty());
    for signal in signals::ending().into_iter().filter_map(|it| Signal::try_from(it).ok()) {
        // SAFETY: the handler only stores an integer and writes to a pipe.
        if unsafe { sigaction(signal, &action) }.is_err() {
            return;
        }
    }
    let run = Arc::clone(run);
    let wait = move || {
        let mut listen = File::from(listen);
        let mut byte = [0u8];
        while listen.read_exact(&mut byte).is_ok() {
            run.cancelled.store(true, Release);
            let signal = Signal::try_from(SIGNAL.load(Acquire));
            let name = signal.map_or("a signal", Signal::as_str);
            eprintln!("\nwatertight: {name}: ending what was started, writing the ledger");
            for pid in run.running.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                signal_group(*pid, Signal::SIGKILL);
            }
        }
    };
    // Without the thread the handlers only keep the process from being ended half-way.
    let _ =
        std::thread::Builder::new().name("signals".to_owned()).stack_size(128 * 1024).spawn(wait);
}

/// 128 and the signal's number, where a signal has cancelled the run.
pub(crate) fn exit_code(run: &Run) -> Option<ExitCode> {
    let signal = SIGNAL.load(Acquire);
    (run.cancelled.load(Acquire) && signal != 0).then(|| ExitCode::from(128 + signal as u8))
}
