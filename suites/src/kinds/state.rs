//! Process state that a test changes and does not put back.

use std::env;

use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::stat::{Mode, umask};
use watertight::Resource::State;
use watertight::{Context, Failed};

use super::{Kind, Source, source};

const SOURCE: Source = source!("state.rs");
const VARIABLE: &str = "KINDS_LEFT_BEHIND";
const STRICT: Mode = Mode::S_IRWXG.union(Mode::S_IRWXO);

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("env_var", SOURCE, &[State], VARIABLE).leaky(leave_a_variable).clean(|_cx| {
            // SAFETY: this process has no other thread.
            unsafe { env::set_var(VARIABLE, "set") };
            // SAFETY: as above.
            unsafe { env::remove_var(VARIABLE) };
            Ok(())
        }),
        Kind::new("cwd", SOURCE, &[State], "working directory")
            .leaky(|_cx| {
                env::set_current_dir("/")?; // LEAK cwd
                Ok(())
            })
            .clean(|_cx| {
                let here = env::current_dir()?;
                env::set_current_dir("/")?;
                Ok(env::set_current_dir(here)?)
            }),
        Kind::new("umask", SOURCE, &[State], "umask")
            .leaky(|_cx| {
                umask(STRICT); // LEAK umask
                Ok(())
            })
            .clean(|_cx| {
                let before = umask(STRICT);
                umask(before);
                Ok(())
            }),
        Kind::new("rlimit", SOURCE, &[State], "RLIMIT_NOFILE")
            .leaky(|_cx| {
                let (_, hard) = getrlimit(RLIMIT_NOFILE)?;
                setrlimit(RLIMIT_NOFILE, 128, hard)?; // LEAK rlimit
                Ok(())
            })
            .clean(|_cx| {
                let (soft, hard) = getrlimit(RLIMIT_NOFILE)?;
                setrlimit(RLIMIT_NOFILE, 128, hard)?;
                Ok(setrlimit(RLIMIT_NOFILE, soft, hard)?)
            }),
        Kind::new("signal_handler", SOURCE, &[State], "SIGUSR1").leaky(leave_a_handler).clean(
            |_cx| {
                // SAFETY: the handler does nothing.
                let before = unsafe { sigaction(Signal::SIGUSR1, &handler())? };
                // SAFETY: the handler that was there.
                unsafe { sigaction(Signal::SIGUSR1, &before)? };
                Ok(())
            },
        ),
        Kind::new("signal_mask", SOURCE, &[State], "SIGUSR2")
            .leaky(|_cx| {
                SigSet::from_iter([Signal::SIGUSR2]).thread_block()?; // LEAK signal_mask
                Ok(())
            })
            .clean(|_cx| {
                let before = SigSet::thread_get_mask()?;
                SigSet::from_iter([Signal::SIGUSR2]).thread_block()?;
                Ok(before.thread_set_mask()?)
            }),
    ]
}

fn leave_a_variable(_cx: &Context) -> Result<(), Failed> {
    // SAFETY: this process has no other thread.
    unsafe { env::set_var(VARIABLE, "set") }; // LEAK env_var
    Ok(())
}

fn leave_a_handler(_cx: &Context) -> Result<(), Failed> {
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &handler())? }; // LEAK signal_handler
    Ok(())
}

fn handler() -> SigAction {
    extern "C" fn nothing(_signal: i32) {}
    SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty())
}
