//! Gauges: a program's own registries, counted like any resource.

use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::region::{read_text, write_text};
use crate::table::Control;

type Read = Box<dyn Fn() -> i64 + Send>;

static GAUGES: Mutex<Vec<(String, Read)>> = Mutex::new(Vec::new());

/// Declares a count that must not grow from round to round, like `open_stores` or `sessions`.
///
/// `read` is called between rounds, on the test's thread, and must not block. Declaring a name again
/// replaces it, so a body may declare its gauges itself.
///
/// ```
/// use std::sync::atomic::{AtomicI64, Ordering};
/// static OPEN: AtomicI64 = AtomicI64::new(0);
/// watertight::gauge("open_stores", || OPEN.load(Ordering::Relaxed));
/// ```
pub fn gauge(name: &str, read: impl Fn() -> i64 + Send + 'static) {
    let mut gauges = GAUGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match gauges.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = Box::new(read),
        None => gauges.push((name.to_owned(), Box::new(read))),
    }
}

/// Writes the gauges' values where the supervisor reads them.
pub(crate) fn publish(control: &Control) {
    let gauges = GAUGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for ((name, read), slot) in gauges.iter().zip(&control.gauges) {
        slot.value.store(read(), Relaxed);
        if slot.name.len.load(Relaxed) == 0 {
            write_text(&slot.name, name);
        }
    }
}

/// The gauges that have been published, by name.
pub(crate) fn read(control: &Control) -> Vec<(String, i64)> {
    let declared = control.gauges.iter().take_while(|gauge| gauge.name.len.load(Acquire) > 0);
    declared.map(|gauge| (read_text(&gauge.name), gauge.value.load(Relaxed))).collect()
}
