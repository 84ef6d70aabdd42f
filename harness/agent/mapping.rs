//! Mappings that the program makes by itself. The C library's own (stacks, arenas) do not pass here.
//!
//! An entry is known by its first address. A part that is unmapped elsewhere than at the front leaves
//! it as it was: the supervisor takes what the kernel has (`/proc/PID/maps`).

use core::ffi::{c_int, c_long, c_void};
use core::sync::atomic::Ordering::*;

use crate::entry::{self, Facts};
use crate::next::forward;
use crate::note;
use crate::table::ENTRY_MAPPING;

type Mmap = unsafe extern "C" fn(*mut c_void, usize, c_int, c_int, c_int, c_long) -> *mut c_void;

const MAP_FAILED: *mut c_void = -1isize as *mut c_void;

/// mmap(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(address: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: c_long) -> *mut c_void {
    born(forward!(MMAP as Mmap, (address, len, prot, flags, fd, offset), else MAP_FAILED), len)
}

/// mmap(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(address: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: c_long) -> *mut c_void {
    born(forward!(MMAP64 as Mmap, (address, len, prot, flags, fd, offset), else MAP_FAILED), len)
}

/// munmap(2). Forgotten before: afterwards another thread may be given the same address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn munmap(address: *mut c_void, len: usize) -> c_int {
    dies(address, len);
    forward!(MUNMAP as unsafe extern "C" fn(*mut c_void, usize) -> c_int, (address, len), else -1)
}

/// mremap(2), variadic: a fifth argument is there with MREMAP_FIXED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mremap(old: *mut c_void, old_len: usize, len: usize, flags: c_int, to: *mut c_void) -> *mut c_void {
    type Mremap = unsafe extern "C" fn(*mut c_void, usize, usize, c_int, *mut c_void) -> *mut c_void;
    let new = forward!(MREMAP as Mremap, (old, old_len, len, flags, to), else MAP_FAILED);
    // With an old length of 0 it makes a second mapping and leaves the first.
    if new != MAP_FAILED && old_len > 0 {
        dies(old, old_len);
    }
    born(new, len)
}

fn born(address: *mut c_void, len: usize) -> *mut c_void {
    if address != MAP_FAILED
        && let Some((region, control)) = entry::table()
    {
        let facts = Facts { value: len as u64, before: region.sequence.fetch_add(1, Relaxed), text: b"" };
        // One that took the place of another is a new one.
        entry::forget(region, ENTRY_MAPPING, address as u64);
        let stack = note::stack_id(region, control);
        entry::put(region, control, ENTRY_MAPPING, address as u64, stack, facts);
    }
    address
}

/// Forgets a mapping, or cuts its front off.
fn dies(address: *mut c_void, len: usize) {
    const PAGE: usize = 4096;
    let Some((region, control)) = entry::table() else { return };
    let Some(known) = entry::find(region, ENTRY_MAPPING, address as u64) else { return };
    let len = len.next_multiple_of(PAGE);
    let rest = (known.value.load(Relaxed) as usize).saturating_sub(len);
    let (stack, before) = (known.stack.load(Relaxed), known.before.load(Relaxed));
    entry::forget(region, ENTRY_MAPPING, address as u64);
    if rest > 0 {
        let facts = Facts { value: rest as u64, before, text: b"" };
        entry::put(region, control, ENTRY_MAPPING, (address as usize + len) as u64, stack, facts);
    }
}
