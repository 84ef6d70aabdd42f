//! What the C library and the standard library keep for themselves.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::ffi::CStr;
use std::net::ToSocketAddrs as _;
use std::panic::catch_unwind;
use std::ptr;

use nix::libc;
use nix::unistd::{Uid, User};
use watertight::{Case, Context, Failed};

use super::trap;

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("freed_memory_that_the_allocator_keeps", freed_memory_that_the_allocator_keeps),
        trap("locale", locale),
        trap("library_loaded_and_unloaded", library_loaded_and_unloaded),
        trap("time_zone", time_zone),
        trap("names_of_hosts", |_cx| {
            assert!(("localhost", 80).to_socket_addrs()?.next().is_some());
            Ok(())
        }),
        trap("names_of_users", |_cx| {
            User::from_uid(Uid::current())?;
            Ok(())
        }),
        trap("environment_with_ever_new_values", environment_with_ever_new_values),
        trap("thread_local_with_a_destructor", thread_local_with_a_destructor),
        trap("backtrace", |_cx| {
            assert!(Backtrace::force_capture().to_string().contains("c_library"));
            Ok(())
        }),
        trap("panic_that_is_caught", |_cx| {
            assert!(catch_unwind(|| panic!("on purpose")).is_err());
            Ok(())
        }),
    ]
}

/// 32 MiB in small blocks: all of them freed, the pages stay for the next one who asks.
fn freed_memory_that_the_allocator_keeps(_cx: &Context) -> Result<(), Failed> {
    const BLOCK: usize = 256;
    const BLOCKS: usize = (32 << 20) / BLOCK;
    let blocks: Vec<Vec<u8>> = (0..BLOCKS).map(|_| vec![1; BLOCK]).collect();
    assert_eq!(blocks.len(), BLOCKS);
    Ok(())
}

fn locale(_cx: &Context) -> Result<(), Failed> {
    for name in [c"C.UTF-8", c"C"] {
        // SAFETY: the name ends with a zero, and no other thread of this process uses the locale.
        let set = unsafe { libc::setlocale(libc::LC_ALL, name.as_ptr()) };
        if set.is_null() {
            return Err(Failed::new(format!("there is no locale {name:?}")));
        }
        // SAFETY: it points to static storage, which no other thread changes meanwhile.
        let point = unsafe { CStr::from_ptr((*libc::localeconv()).decimal_point) };
        assert_eq!(point, c".");
    }
    Ok(())
}

fn library_loaded_and_unloaded(_cx: &Context) -> Result<(), Failed> {
    // SAFETY: the name ends with a zero, and the library's initialisers do nothing to us.
    let library = unsafe { libc::dlopen(c"libresolv.so.2".as_ptr(), libc::RTLD_NOW) };
    if library.is_null() {
        return Err(Failed::new("there is no libresolv.so.2"));
    }
    // SAFETY: it has just been opened, and nothing of it is in use.
    let closed = unsafe { libc::dlclose(library) };
    assert_eq!(closed, 0);
    Ok(())
}

fn time_zone(_cx: &Context) -> Result<(), Failed> {
    // SAFETY: a plain structure of integers and a pointer, for which zeroes are valid.
    let mut broken_down: libc::tm = unsafe { std::mem::zeroed() };
    let now = 1_000_000_000;
    // SAFETY: both are valid for the call.
    let told = unsafe { libc::localtime_r(&raw const now, &raw mut broken_down) };
    if ptr::eq(told, &raw const broken_down) { Ok(()) } else { Err(Failed::new("no local time")) }
}

/// The library keeps every value that there ever was; the variable itself is gone at the end.
fn environment_with_ever_new_values(cx: &Context) -> Result<(), Failed> {
    for number in 0..10 {
        let value = format!("value {number} of round {}", cx.round());
        // SAFETY: this process has no other thread.
        unsafe { std::env::set_var("TRAPS_VALUE", value) };
    }
    // SAFETY: as above.
    unsafe { std::env::remove_var("TRAPS_VALUE") };
    Ok(())
}

/// Runs its destructor with its thread, and in the main thread not before the end of the process.
fn thread_local_with_a_destructor(_cx: &Context) -> Result<(), Failed> {
    struct Names(Vec<String>);
    impl Drop for Names {
        fn drop(&mut self) {
            self.0.clear();
        }
    }
    thread_local! {
        static NAMES: RefCell<Names> = const { RefCell::new(Names(Vec::new())) };
    }
    let fill = || NAMES.with_borrow_mut(|names| names.0.resize(100, "a name".to_owned()));
    fill();
    std::thread::spawn(fill).join().map_err(|_| Failed::new("the thread panicked"))
}
