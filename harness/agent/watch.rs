//! Inotify watches: what each watches, and which call added it. The kernel tells which are there.

use core::ffi::{CStr, c_char, c_int, c_uint};

use crate::entry::{self, Facts};
use crate::next::forward;
use crate::table::ENTRY_WATCH;

/// inotify_add_watch(2). For a path that is watched already it gives the same number again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inotify_add_watch(fd: c_int, path: *const c_char, mask: c_uint) -> c_int {
    type Add = unsafe extern "C" fn(c_int, *const c_char, c_uint) -> c_int;
    let watch = forward!(INOTIFY_ADD_WATCH as Add, (fd, path, mask), else -1);
    if watch >= 0 {
        // SAFETY: the kernel has just read a path that ends with NUL.
        let text = unsafe { CStr::from_ptr(path) }.to_bytes();
        let identity = (fd as u64) << 32 | watch as u64;
        entry::change(ENTRY_WATCH, identity, Facts { value: fd as u64, before: watch as u64, text });
    }
    watch
}
