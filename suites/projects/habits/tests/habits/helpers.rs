//! Threads that the C library starts for itself.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{mem, ptr, thread};

use std::net::ToSocketAddrs as _;

const PATIENCE: Duration = Duration::from_secs(20);

/// Looks like a leaked thread: a read in the background (aio(7)) is done by a helper of glibc's, which
/// leaves when it had nothing to do for a second.
#[test]
fn a_read_in_the_background() {
    let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let mut text = [0u8; 9];
    // SAFETY: integers and pointers, for which zero is a value.
    let mut control: libc::aiocb = unsafe { mem::zeroed() };
    control.aio_fildes = file.as_raw_fd();
    control.aio_buf = text.as_mut_ptr().cast();
    control.aio_nbytes = text.len();
    control.aio_sigevent.sigev_notify = libc::SIGEV_NONE;
    // SAFETY: the request and its buffer live until it has ended, which is waited for below.
    unsafe {
        assert_eq!(libc::aio_read(&mut control), 0);
        let requests = [ptr::from_ref(&control)];
        while libc::aio_error(&control) == libc::EINPROGRESS {
            libc::aio_suspend(requests.as_ptr(), 1, ptr::null());
        }
        assert_eq!(libc::aio_return(&mut control), text.len() as isize);
    }
    assert_eq!(&text, b"[package]");
}

/// Looks like a leaked thread: a timer that calls a function (timer_create(2), SIGEV_THREAD) has a helper
/// of glibc's, which stays for the life of the process.
#[test]
fn a_timer_that_calls() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn call(_value: libc::sigval) {
        CALLS.fetch_add(1, Ordering::Release);
    }
    /// `struct sigevent` with the arm of its union that has the function (sigevent(3type)).
    #[repr(C)]
    struct Event {
        value: libc::sigval,
        signal: i32,
        notify: i32,
        function: extern "C" fn(libc::sigval),
        attributes: *const libc::c_void,
        _rest: [u64; 4],
    }
    const SIGEV_THREAD: i32 = 2;
    let mut event = Event {
        value: libc::sigval { sival_ptr: ptr::null_mut() },
        signal: 0,
        notify: SIGEV_THREAD,
        function: call,
        attributes: ptr::null(),
        _rest: [0; 4],
    };
    assert!(mem::size_of::<Event>() >= mem::size_of::<libc::sigevent>());
    let mut timer: libc::timer_t = ptr::null_mut();
    let soon = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let once = libc::itimerspec { it_interval: never, it_value: soon };
    // SAFETY: the structures live as long as the calls, and the layout is that of the C library's.
    unsafe {
        let event = ptr::from_mut(&mut event).cast();
        assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, event, &mut timer), 0);
        assert_eq!(libc::timer_settime(timer, 0, &once, ptr::null_mut()), 0);
    }
    let deadline = Instant::now() + PATIENCE;
    while CALLS.load(Ordering::Acquire) == 0 {
        assert!(Instant::now() < deadline, "the timer has not called");
        thread::yield_now();
    }
    // SAFETY: it was made above, and is not used afterwards.
    assert_eq!(unsafe { libc::timer_delete(timer) }, 0);
}

/// Looks like memory and descriptors that stay: the C library reads its configuration on the first name
/// that it resolves, and keeps what it has learnt.
#[test]
fn a_name_is_resolved() {
    assert!(("localhost", 80).to_socket_addrs().unwrap().count() > 0);
}
