//! Gauges: a program's own registries, counted like any resource.

use std::panic::Location;
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use watertight_report::model::Frame;

use crate::region::{read_place, read_text, write_place, write_text};
use crate::table::Control;

struct Declared {
    name: String,
    read: Box<dyn Fn() -> i64 + Send>,
    place: &'static Location<'static>,
}

static GAUGES: Mutex<Vec<Declared>> = Mutex::new(Vec::new());

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
#[track_caller]
pub fn gauge(name: &str, read: impl Fn() -> i64 + Send + 'static) {
    let mut gauges = GAUGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let new = Declared { name: name.to_owned(), read: Box::new(read), place: Location::caller() };
    match gauges.iter_mut().find(|known| known.name == name) {
        Some(old) => *old = new,
        None => gauges.push(new),
    }
}

/// Writes the gauges' values where the supervisor reads them.
pub(crate) fn publish(control: &Control) {
    let gauges = GAUGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (declared, slot) in gauges.iter().zip(&control.gauges) {
        slot.value.store((declared.read)(), Relaxed);
        if slot.name.len.load(Relaxed) == 0 {
            write_place(&slot.place, declared.place);
            write_text(&slot.name, &declared.name);
        }
    }
}

/// The gauges that have been published, by name.
pub(crate) fn read(control: &Control) -> Vec<(String, i64)> {
    let declared = control.gauges.iter().take_while(|gauge| gauge.name.len.load(Acquire) > 0);
    declared.map(|gauge| (read_text(&gauge.name), gauge.value.load(Relaxed))).collect()
}

/// Where a gauge was declared.
pub(crate) fn place(control: &Control, name: &str) -> Option<Frame> {
    let declared = control.gauges.iter().find(|gauge| read_text(&gauge.name) == name)?;
    read_place(&declared.place)
}
