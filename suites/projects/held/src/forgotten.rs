//! What nothing points to any more when the test ends.

use std::cell::RefCell;
use std::ffi::CString;
use std::hint::black_box;
use std::mem::forget;
use std::rc::Rc;

const LARGE: usize = 100 << 10;

#[test]
fn box_of_64_bytes() {
    let block = Box::new([1_u8; 64]); // leaks here: box_of_64_bytes
    forget(black_box(block));
}

#[test]
fn box_of_64_bytes_released() {
    let block = Box::new([1_u8; 64]);
    drop(black_box(block));
}

#[test]
fn box_of_100_kib() {
    let block = vec![1_u8; LARGE].into_boxed_slice(); // leaks here: box_of_100_kib
    forget(black_box(block));
}

#[test]
fn box_of_100_kib_released() {
    let block = vec![1_u8; LARGE].into_boxed_slice();
    drop(black_box(block));
}

#[test]
fn leaked_string() {
    let text = "all that is left of it ".repeat(9); // leaks here: leaked_string
    assert!(black_box(text.leak()).ends_with("it "));
}

#[test]
fn leaked_string_released() {
    let text = "all that is left of it ".repeat(9);
    assert!(black_box(text).ends_with("it "));
}

#[test]
fn c_string_into_raw() {
    let text = CString::new("x".repeat(100)).unwrap(); // leaks here: c_string_into_raw
    assert!(!black_box(text.into_raw()).is_null());
}

#[test]
fn c_string_into_raw_released() {
    let text = CString::new("x".repeat(100)).unwrap();
    // SAFETY: it was made by `CString::into_raw`, and its length is what it was.
    let text = unsafe { CString::from_raw(black_box(text.into_raw())) };
    assert_eq!(text.as_bytes().len(), 100);
}

struct Node {
    next: RefCell<Option<Rc<Node>>>,
    load: [u8; 200],
}

impl Node {
    fn points_to(&self, other: &Rc<Node>) {
        *self.next.borrow_mut() = Some(black_box(Rc::clone(other)));
    }
}

#[test]
fn rc_cycle() {
    let [first, second] =
        [1, 2].map(|byte| Rc::new(Node { next: RefCell::default(), load: [byte; 200] })); // leaks here: rc_cycle
    first.points_to(&second);
    second.points_to(&first);
    assert_ne!(first.load, second.load);
}

#[test]
fn rc_cycle_released() {
    let [first, second] =
        [1, 2].map(|byte| Rc::new(Node { next: RefCell::default(), load: [byte; 200] }));
    first.points_to(&second);
    second.points_to(&first);
    assert_ne!(first.load, second.load);
    // Somebody has to open the cycle.
    first.next.take();
}
