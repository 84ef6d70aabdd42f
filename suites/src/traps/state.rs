//! Process state that is changed and put back.

use std::env;

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

fn signal_handler_put_back(_cx: &Context) -> Result<(), Failed> {
    let ignoring = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed, the signal is ignored.
    let before = unsafe { sigaction(Signal::SIGUSR1, &ignoring)? };
    raise(Signal::SIGUSR1)?;
    // SAFETY: what was there before.
    unsafe { sigaction(Signal::SIGUSR1, &before)? };
    Ok(())
}
