//! What belongs to one thread: its thread-local variables, and what it has stored under a key.

use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::libc;
use watertight_report::model::HolderClass::{PthreadKey, ThreadLocal};

use super::{Desk, Held, PAGE, Source, Worker, source};

const SOURCE: Source = source!("threads.rs");

pub(super) fn held() -> Vec<Held> {
    vec![
        Held::new("thread_local_of_worker", SOURCE, &[ThreadLocal], |_cx| HOARDER.once())
            .named(&["threads::HOARD"])
            .typed(&["RefCell<", "Vec<"])
            .of_thread("held-hoarder")
            .declared()
            .clean(|_cx| TIDY.once()),
        Held::new("thread_local_of_test", SOURCE, &[ThreadLocal], |_cx| {
            let page = vec![1; PAGE]; // MADE thread_local_of_test
            MEMO.with_borrow_mut(|memo| memo.push(page));
            Ok(())
        })
        .named(&["threads::MEMO"])
        .typed(&["RefCell<", "Vec<"])
        .declared()
        .clean(|_cx| {
            let page = vec![1; PAGE];
            MEMO.with_borrow_mut(|memo| memo.push(page));
            MEMO.take();
            Ok(())
        }),
        // Not made by the compiler but when it is first asked for: another wrapper around it.
        Held::new("lazy_thread_local", SOURCE, &[ThreadLocal], |_cx| {
            let page = vec![1; PAGE]; // MADE lazy_thread_local
            LATE.with_borrow_mut(|late| late.push(page));
            Ok(())
        })
        .named(&["threads::LATE"])
        .typed(&["RefCell<", "Vec<"])
        .declared()
        .clean(|_cx| {
            let page = vec![1; PAGE];
            LATE.with_borrow_mut(|late| late.push(page));
            LATE.take();
            Ok(())
        }),
        Held::new("pthread_key", SOURCE, &[PthreadKey], |_cx| STORER.once())
            .of_thread("held-storer")
            .clean(|_cx| RESTORER.once()),
    ]
}

type Pages = RefCell<Vec<Vec<u8>>>;

thread_local!(static HOARD: Pages = const { RefCell::new(Vec::new()) }); // HELD thread_local_of_worker
thread_local!(static MEMO: Pages = const { RefCell::new(Vec::new()) }); // HELD thread_local_of_test
thread_local!(static LATE: Pages = RefCell::new(Vec::with_capacity(1))); // HELD lazy_thread_local

static HOARDER: Worker = Worker::new("held-hoarder", hoard);
static TIDY: Worker = Worker::new("held-tidy", hoard_for_a_moment);
static STORER: Worker = Worker::new("held-storer", store);
static RESTORER: Worker = Worker::new("held-restorer", store_for_a_moment);

fn hoard(mut desk: Desk) {
    while desk.next() {
        let page = vec![1; PAGE]; // MADE thread_local_of_worker
        HOARD.with_borrow_mut(|hoard| hoard.push(page));
    }
}

fn hoard_for_a_moment(mut desk: Desk) {
    while desk.next() {
        let page = vec![1; PAGE];
        HOARD.with_borrow_mut(|hoard| hoard.push(page));
        HOARD.take();
    }
}

/// What lies under the key: the newest, which leads to the older ones.
struct Stored {
    _older: *mut Stored,
    _load: [u8; PAGE],
}

fn store(mut desk: Desk) {
    while desk.next() {
        let _older = stored();
        let newest = Box::new(Stored { _older, _load: [1; PAGE] }); // MADE pthread_key
        set(Box::into_raw(newest));
    }
}

fn store_for_a_moment(mut desk: Desk) {
    while desk.next() {
        let _older = stored();
        let newest = Box::new(Stored { _older, _load: [1; PAGE] });
        set(Box::into_raw(newest));
        // SAFETY: it was made by `Box::into_raw` above, and is this thread's.
        drop(unsafe { Box::from_raw(stored()) });
        set(_older);
    }
}

/// The key, one for the process. It has no destructor: its threads do not end.
fn key() -> libc::pthread_key_t {
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the key is written to a variable that lives as long as the call.
        checked(unsafe { libc::pthread_key_create(&mut key, None) });
        key
    })
}

fn stored() -> *mut Stored {
    // SAFETY: the key has been made; what lies under it is null or what `set` has put there.
    unsafe { libc::pthread_getspecific(key()) }.cast()
}

fn set(value: *mut Stored) {
    let value: *const c_void = value.cast();
    // SAFETY: the key has been made, and takes any pointer.
    checked(unsafe { libc::pthread_setspecific(key(), value) });
}

/// These calls give their error back.
fn checked(error: i32) {
    assert_eq!(error, 0, "{}", Errno::from_raw(error));
}
