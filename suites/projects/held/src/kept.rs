//! What looks as if it were forgotten, and is not: somebody holds it when the test ends, or has freed it
//! by then.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicPtr, AtomicUsize};
use std::sync::{LazyLock, Mutex, OnceLock};

const LARGE: usize = 100 << 10;
const LITTLE: usize = 64;

#[test]
fn cache_in_a_lazy_lock() {
    static CACHE: LazyLock<Mutex<HashMap<usize, Vec<u8>>>> = LazyLock::new(Mutex::default);
    for size in [LITTLE, LARGE] {
        CACHE.lock().unwrap().insert(size, vec![1; size]);
    }
    assert_eq!(CACHE.lock().unwrap()[&LARGE].len(), LARGE);
}

#[test]
fn list_in_a_mutex() {
    static LIST: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    for size in [LITTLE, LARGE] {
        LIST.lock().unwrap().push(vec![1; size]);
    }
    assert_eq!(LIST.lock().unwrap().len(), 2);
}

#[test]
fn value_in_a_once_lock() {
    static VALUE: OnceLock<Box<[u8]>> = OnceLock::new();
    assert_eq!(VALUE.get_or_init(|| vec![1; LARGE].into()).len(), LARGE);
}

/// Goes with its thread.
#[test]
fn variable_of_the_thread() {
    thread_local! {
        static MEMO: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    }
    for size in [LITTLE, LARGE] {
        MEMO.with_borrow_mut(|memo| memo.push(vec![1; size]));
    }
    assert_eq!(MEMO.with_borrow(Vec::len), 2);
}

/// Looks like a leaked slice: it lives as long as the process by intent, and a static knows where it is.
#[test]
fn leaked_for_a_static() {
    static WORDS: Mutex<Vec<&'static [u8]>> = Mutex::new(Vec::new());
    for size in [LITTLE, LARGE] {
        WORDS.lock().unwrap().push(vec![1; size].leak());
    }
    assert_eq!(WORDS.lock().unwrap().len(), 2);
}

/// The static points into the middle of the block.
#[test]
fn leaked_and_known_by_its_middle() {
    static END: OnceLock<&'static [u8]> = OnceLock::new();
    let whole: &'static [u8] = vec![1; LARGE].leak();
    assert_eq!(END.get_or_init(|| &whole[LARGE / 2..]).len(), LARGE / 2);
}

#[test]
fn leaked_for_an_atomic() {
    static CURRENT: AtomicPtr<[u8; LITTLE]> = AtomicPtr::new(ptr::null_mut());
    CURRENT.store(Box::into_raw(Box::new([1; LITTLE])), Relaxed);
    assert!(!CURRENT.load(Relaxed).is_null());
}

/// A bit that no pointer uses says something else.
#[test]
fn leaked_and_tagged() {
    static TAGGED: AtomicUsize = AtomicUsize::new(0);
    let address = Box::into_raw(Box::new([1_u64; 8])).expose_provenance();
    TAGGED.store(address | 1, Relaxed);
    assert_eq!(TAGGED.load(Relaxed) & !1, address);
}

/// As of a buffer that was read to its end. Blocks of this size have not a byte to spare.
#[test]
fn leaked_and_known_by_its_end() {
    const FULL: usize = 24;
    static END: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
    let whole = vec![1_u8; FULL].leak();
    END.store(whole.as_mut_ptr_range().end, Relaxed);
    assert!(!END.load(Relaxed).is_null());
}
