//! The environment: our variables are taken out at load and put back for a program that is started.
//!
//! So a test that prints, compares or clears its environment sees nothing of us, and yet every
//! process it starts is measured, also after `env_clear`.

use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::*};

use crate::local;
use crate::sys;
use crate::table::ENV_TABLE;

const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// File name by which we know our own entry in LD_PRELOAD.
const AGENT_NAME: &[u8] = b"watertight-agent.so";
/// Programs that get no agent: they compile, they are not under test, and there are many of them.
const LEFT_ALONE: [&[u8]; 6] = [b"cargo", b"rustc", b"rustdoc", b"rustup", b"clippy-driver", b"rustfmt"];

/// Our own path as it stood in LD_PRELOAD; the environment strings of a process stay where they are.
static AGENT: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static AGENT_LEN: AtomicUsize = AtomicUsize::new(0);

/// An environment string as bytes.
///
/// # Safety
/// `entry` ends with NUL and stays where it is.
unsafe fn bytes<'a>(entry: *const c_char) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(entry) }.to_bytes()
}

/// The value of `entry` if its name is that of our table variable.
fn table_value(entry: &[u8]) -> Option<&[u8]> {
    entry.strip_prefix(ENV_TABLE.as_bytes())?.strip_prefix(b"=")
}

/// Takes our variables out of the process's environment; true where this process is to be measured.
///
/// # Safety
/// `envp` is the process's own environment vector, before anything else has read it.
pub(crate) unsafe fn take(envp: *mut *mut c_char) -> bool {
    let mut measured = false;
    let (mut from, mut to) = (envp, envp);
    // SAFETY: the vector ends with a null, and `to` never passes `from`.
    unsafe {
        while !(*from).is_null() {
            let entry = *from;
            from = from.add(1);
            if let Some(directory) = table_value(bytes(entry)) {
                measured = local::set_directory(directory);
                continue;
            }
            if bytes(entry).starts_with(PRELOAD) && take_preload(entry.cast()) {
                continue;
            }
            *to = entry;
            to = to.add(1);
        }
        *to = core::ptr::null_mut();
    }
    measured && AGENT_LEN.load(Relaxed) != 0
}

/// Takes our entry out of `LD_PRELOAD=...`, in place; true where nothing else is left of it.
///
/// # Safety
/// `entry` is a writable string of the process's own environment.
unsafe fn take_preload(entry: *mut u8) -> bool {
    // SAFETY: as above.
    let len = unsafe { bytes(entry.cast()) }.len();
    let mut start = PRELOAD.len();
    while start < len {
        // SAFETY: `start < len`.
        let rest = unsafe { core::slice::from_raw_parts(entry.add(start), len - start) };
        let item = rest.iter().position(|byte| matches!(byte, b':' | b' ')).unwrap_or(rest.len());
        if rest[..item].ends_with(AGENT_NAME) {
            // The path is kept aside: removing it from the string overwrites it.
            let Some(copy) = sys::map_private(4096) else { return false };
            if item >= 4096 {
                return false;
            }
            // SAFETY: the copy has room; the tail moves down inside the string, its NUL included.
            unsafe {
                core::ptr::copy_nonoverlapping(entry.add(start), copy, item);
                let tail = start + item + usize::from(item < rest.len());
                core::ptr::copy(entry.add(tail), entry.add(start), len - tail + 1);
            }
            AGENT.store(copy, Relaxed);
            AGENT_LEN.store(item, Release);
            // SAFETY: the string still ends with NUL.
            return unsafe { bytes(entry.cast()) }.len() == PRELOAD.len();
        }
        start += item + 1;
    }
    false
}

/// An environment for a program about to start: the given one, and ours.
pub(crate) struct Merged {
    memory: *mut u8,
    len: usize,
}

impl Merged {
    /// The vector to pass on.
    pub(crate) fn vector(&self) -> *const *mut c_char {
        self.memory.cast()
    }

    /// Gives the memory back after a call that returned.
    pub(crate) fn release(self) {
        // SAFETY: nobody else has the mapping, and the call that read it is over.
        unsafe { sys::unmap(self.memory, self.len) };
    }
}

/// Our variables on top of `envp`; none where they do not belong: the process is not measured, the
/// program is left alone, or somebody has set a table of their own (a harness inside a harness).
///
/// # Safety
/// `path` and `envp` are what the program passed to an exec or spawn call.
pub(crate) unsafe fn merge(path: *const c_char, envp: *const *mut c_char) -> Option<Merged> {
    local::control()?;
    if path.is_null() || envp.is_null() {
        return None;
    }
    // SAFETY: the caller passes strings that end with NUL and a vector that ends with a null.
    let (name, count, text) = unsafe {
        let name = bytes(path).rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let mut count = 0;
        let mut text = 0;
        while let Some(entry) = (*envp.add(count)).as_ref() {
            let entry = bytes(entry);
            if table_value(entry).is_some() {
                return None;
            }
            text += if entry.starts_with(PRELOAD) { entry.len() } else { 0 };
            count += 1;
        }
        (name, count, text)
    };
    if LEFT_ALONE.contains(&name) {
        return None;
    }
    let directory = local::directory();
    // SAFETY: written once at load.
    let agent = unsafe { core::slice::from_raw_parts(AGENT.load(Acquire), AGENT_LEN.load(Acquire)) };
    let vector = (count + 3) * size_of::<*mut c_char>();
    let strings = PRELOAD.len() + agent.len() + text + ENV_TABLE.len() + directory.len() + 8;
    let len = vector + strings;
    let memory = sys::map_private(len)?;
    let entries: *mut *mut c_char = memory.cast();
    let mut writer = Writer { at: unsafe { memory.add(vector) } };
    let mut used = 0;
    let preload = writer.at;
    writer.put(PRELOAD);
    writer.put(agent);
    // SAFETY: the sizes were summed above over the same vector.
    unsafe {
        for index in 0..count {
            let entry = *envp.add(index);
            match bytes(entry).strip_prefix(PRELOAD) {
                Some(foreign) if !foreign.is_empty() => {
                    writer.put(b":");
                    writer.put(foreign);
                }
                Some(_) => {}
                None => {
                    *entries.add(used) = entry;
                    used += 1;
                }
            }
        }
        writer.put(b"\0");
        *entries.add(used) = preload.cast();
        *entries.add(used + 1) = writer.at.cast();
        *entries.add(used + 2) = core::ptr::null_mut();
    }
    writer.put(ENV_TABLE.as_bytes());
    writer.put(b"=");
    writer.put(directory);
    writer.put(b"\0");
    Some(Merged { memory, len })
}

/// Appends to a buffer that was sized for it.
struct Writer {
    at: *mut u8,
}

impl Writer {
    fn put(&mut self, part: &[u8]) {
        // SAFETY: `merge` has summed the parts before it mapped the buffer.
        unsafe {
            core::ptr::copy_nonoverlapping(part.as_ptr(), self.at, part.len());
            self.at = self.at.add(part.len());
        }
    }
}
