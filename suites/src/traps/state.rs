//! Process state that is changed and put back.

use std::env;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::thread;

use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use nix::sys::stat::{Mode, umask};
use watertight::{Case, Context, Failed};

use super::trap;

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("working_directory_put_back", |_cx| {
            let here = env::current_dir()?;
            let directory = tempfile::tempdir()?;
            env::set_current_dir(directory.path())?;
            Ok(env::set_current_dir(here)?)
        }),
        trap("umask_put_back", |_cx| {
            let before = umask(Mode::S_IRWXO);
            umask(before);
            Ok(())
        }),
        trap("limit_put_back", |_cx| {
            let (soft, hard) = getrlimit(RLIMIT_NOFILE)?;
            setrlimit(RLIMIT_NOFILE, soft / 2, hard)?;
            Ok(setrlimit(RLIMIT_NOFILE, soft, hard)?)
        }),
        trap("variable_put_back", variable_put_back),
        trap("signal_handler_put_back", signal_handler_put_back),
        trap("variable_set_once", variable_set_once),
        trap("limit_changed_once", limit_changed_once),
        trap("signal_blocked_in_a_worker", signal_blocked_in_a_worker),
        trap("signal_blocked_for_a_while", |_cx| {
            let signal = SigSet::from_iter([Signal::SIGUSR2]);
            signal.thread_block()?;
            raise(Signal::SIGUSR2)?;
            // Taken while it is blocked, it does not end the process.
            assert_eq!(signal.wait()?, Signal::SIGUSR2);
            Ok(signal.thread_unblock()?)
        }),
    ]
}

/// One that was there, with another value for a while.
fn variable_put_back(_cx: &Context) -> Result<(), Failed> {
    let before = env::var_os("PATH").ok_or(Failed::new("there is no PATH"))?;
    // SAFETY: this process has no other thread.
    unsafe { env::set_var("PATH", "/nowhere") };
    // SAFETY: as above.
    unsafe { env::set_var("PATH", before) };
    Ok(())
}

/// As tests do that want a certain log level.
fn variable_set_once(_cx: &Context) -> Result<(), Failed> {
    static SET: Once = Once::new();
    // SAFETY: this process has no other thread.
    SET.call_once(|| unsafe { env::set_var("TRAPS_LOG", "debug") });
    assert_eq!(env::var("TRAPS_LOG").as_deref(), Ok("debug"));
    Ok(())
}

/// As servers do that want as many descriptors as they may have.
fn limit_changed_once(_cx: &Context) -> Result<(), Failed> {
    static CHANGED: OnceLock<nix::Result<()>> = OnceLock::new();
    let change = || {
        let (soft, hard) = getrlimit(RLIMIT_NOFILE)?;
        setrlimit(RLIMIT_NOFILE, soft / 2, hard)
    };
    Ok((*CHANGED.get_or_init(change))?)
}

/// A thread of a library's own that wants no signals; the test's thread still gets them.
fn signal_blocked_in_a_worker(_cx: &Context) -> Result<(), Failed> {
    static WORKER: OnceLock<Mutex<Sender<()>>> = OnceLock::new();
    let worker = WORKER.get_or_init(|| {
        let (give, jobs) = channel();
        thread::spawn(move || {
            let blocked = SigSet::from_iter([Signal::SIGUSR2]).thread_block();
            blocked.map(|()| jobs.into_iter().count())
        });
        Mutex::new(give)
    });
    worker.lock().unwrap_or_else(PoisonError::into_inner).send(())?;
    assert!(!SigSet::thread_get_mask()?.contains(Signal::SIGUSR2));
    Ok(())
}

fn signal_handler_put_back(_cx: &Context) -> Result<(), Failed> {
    let ignoring = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed, the signal is ignored.
    let before = unsafe { sigaction(Signal::SIGUSR1, &ignoring)? };
    raise(Signal::SIGUSR1)?;
    // SAFETY: what was there before.
    unsafe { sigaction(Signal::SIGUSR1, &before)? };
    Ok(())
}
