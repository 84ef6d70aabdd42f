//! The copy of the module list: written by one thread at a time, read by any.
//!
//! There are two buffers. The generation says which is current; the next copy is written to the
//! other and the generation raised, so there is always one to read, also in a process forked in the
//! middle of it.
//! Invariant: the buffer of generation `g` is not written before the generation is `g + 1`, so what
//! was read is good if the generation is still the same afterwards.
//! Every field is an atomic word: a reader that is overtaken sees a mixture, never undefined
//! behaviour, and looks again.

use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};
use core::{ptr, slice};

use super::module::{IteratePhdr, Module, PAGE, PT_GNU_EH_FRAME, PT_LOAD, PhdrInfo};

/// Further modules have no copy, and lose little where `_dl_find_object` is (see
/// [`super::module`]).
const MODULES_MAX: usize = 512;
/// Only two copies taken during one look make it look again.
const READ_TRIES_MAX: usize = 8;

struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    load_bias: AtomicUsize,
    name: AtomicPtr<c_char>,
    unwind_header: AtomicUsize,
    headers: AtomicUsize,
    header_count: AtomicUsize,
}

struct Buffer {
    slots: [Slot; MODULES_MAX],
    count: AtomicUsize,
}

static BUFFERS: [Buffer; 2] = [const {
    Buffer {
        slots: [const {
            Slot {
                start: AtomicUsize::new(0),
                end: AtomicUsize::new(0),
                load_bias: AtomicUsize::new(0),
                name: AtomicPtr::new(ptr::null_mut()),
                unwind_header: AtomicUsize::new(0),
                headers: AtomicUsize::new(0),
                header_count: AtomicUsize::new(0),
            }
        }; MODULES_MAX],
        count: AtomicUsize::new(0),
    }
}; 2];
static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// The buffer of this generation.
fn buffer(generation: usize) -> &'static Buffer {
    &BUFFERS[generation % 2]
}

/// How often the copy was asked for since it was last complete. Who raises it from 0 is the writer.
static ASKED: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn take(iterate: IteratePhdr) {
    let mut asked = ASKED.fetch_add(1, AcqRel) + 1;
    if asked != 1 {
        return; // the writer will see that it was asked again
    }
    loop {
        let next = GENERATION.load(Relaxed).wrapping_add(1);
        // No write below is seen before the generation that retired this buffer.
        fence(Release);
        buffer(next).count.store(0, Relaxed);
        // SAFETY: the C library's own iterator with a visitor of its type; we are not in a hook.
        unsafe { iterate(visit, ptr::from_ref(buffer(next)).cast_mut().cast()) };
        GENERATION.store(next, Release);
        match ASKED.compare_exchange(asked, 0, AcqRel, Acquire) {
            Ok(_) => break,
            Err(more) => asked = more,
        }
    }
}

/// A thread that was writing when the process forked is not in the child, which may write again.
pub(crate) fn after_fork() {
    ASKED.store(0, Release);
}

unsafe extern "C" fn visit(info: *const PhdrInfo, _size: usize, data: *mut c_void) -> c_int {
    // SAFETY: the iterator passes a valid struct whose headers live as long as the module.
    let (info, headers) = unsafe {
        let info = &*info;
        (info, slice::from_raw_parts(info.headers, usize::from(info.header_count)))
    };
    let (mut start, mut end, mut unwind_header) = (usize::MAX, 0, 0);
    for header in headers {
        let begin = info.load_bias.wrapping_add(header.vaddr as usize);
        match header.kind {
            PT_LOAD => {
                start = start.min(begin & !(PAGE - 1));
                end = end.max(begin.wrapping_add(header.memsz as usize));
            }
            PT_GNU_EH_FRAME => unwind_header = begin,
            _ => {}
        }
    }
    // SAFETY: `take` passes a buffer, and those are static.
    let buffer = unsafe { &*data.cast::<Buffer>().cast_const() };
    let count = buffer.count.load(Relaxed);
    let Some(slot) = buffer.slots.get(count) else { return 1 };
    if unwind_header != 0 {
        slot.start.store(start, Relaxed);
        slot.end.store(end, Relaxed);
        slot.load_bias.store(info.load_bias, Relaxed);
        slot.name.store(info.name.cast_mut(), Relaxed);
        slot.unwind_header.store(unwind_header, Relaxed);
        slot.headers.store(info.headers as usize, Relaxed);
        slot.header_count.store(headers.len(), Relaxed);
        buffer.count.store(count + 1, Relaxed);
    }
    0
}

pub(crate) fn find(is_wanted: impl Fn(&Module) -> bool) -> Option<Module> {
    for _ in 0..READ_TRIES_MAX {
        let generation = GENERATION.load(Acquire);
        let buffer = buffer(generation);
        let found = buffer.slots.iter().take(buffer.count.load(Relaxed)).find_map(|slot| {
            let module = Module {
                start: slot.start.load(Relaxed),
                end: slot.end.load(Relaxed),
                load_bias: slot.load_bias.load(Relaxed),
                name: slot.name.load(Relaxed),
                unwind_header: slot.unwind_header.load(Relaxed),
                headers: Some((slot.headers.load(Relaxed), slot.header_count.load(Relaxed))),
            };
            is_wanted(&module).then_some(module)
        });
        fence(Acquire);
        if GENERATION.load(Relaxed) == generation {
            return found;
        }
    }
    None
}
