//! Process state that is put back, or is set once for all.

use std::env;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Looks like a changed working directory: it is put back. No other test here has a relative path.
#[test]
fn a_directory_for_a_while() {
    let here = env::current_dir().unwrap();
    env::set_current_dir("/").unwrap();
    env::set_current_dir(here).unwrap();
}

/// Looks like a changed environment: one variable is removed again, one has its old value.
#[test]
fn a_variable_for_a_while() {
    let before = env::var_os("HABITS_BEFORE");
    // SAFETY: no other test of this binary sets or reads these by other means than the standard library.
    unsafe {
        env::set_var("HABITS_FOR_A_WHILE", "1");
        env::remove_var("HABITS_FOR_A_WHILE");
        env::set_var("HABITS_BEFORE", "other");
        match before {
            Some(before) => env::set_var("HABITS_BEFORE", before),
            None => env::remove_var("HABITS_BEFORE"),
        }
    }
}

/// Looks like memory that stays: the logger is the process's, for ever.
#[test]
fn a_logger_is_installed() {
    let _ = env_logger::builder().is_test(true).try_init();
    log::error!("logged");
}

/// Looks like memory that stays: as above, and a thread's own state.
#[test]
fn a_subscriber_is_installed() {
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    tracing::error!("traced");
}

/// Looks like a changed handler, a pipe and a thread: whoever handles Ctrl-C does so until the end.
#[test]
fn ctrl_c_is_handled() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| ctrlc::set_handler(|| ()).unwrap());
}

/// Looks like a changed handler: unregistering takes the action away, and the handler stays on purpose.
#[test]
fn a_signal_is_handled_for_a_while() {
    let raised = Arc::new(AtomicBool::new(false));
    let id = signal_hook::flag::register(libc::SIGURG, Arc::clone(&raised)).unwrap();
    signal_hook::low_level::raise(libc::SIGURG).unwrap();
    assert!(raised.load(Ordering::SeqCst));
    assert!(signal_hook::low_level::unregister(id));
}
