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

/// An environment for a program about to start: the given one, and ours. Planned first, so that the caller
/// says where it is to lie.
pub(crate) struct Plan {
    given: Environment,
    count: usize,
    /// Bytes of what the given one preloads.
    preloads: usize,
}

/// A vector of environment strings that ends with a null; a null itself stands for an empty one.
pub(crate) type Environment = *const *mut c_char;

/// Our variables on top of `envp`; none where they do not belong: the process is not measured, the
/// program is left alone, or somebody has set a table of their own (a harness inside a harness).
///
/// # Safety
/// `path` and `envp` are what the program passed to an exec or spawn call.
pub(crate) unsafe fn plan(path: *const c_char, envp: Environment) -> Option<Plan> {
    local::control()?;
    if path.is_null() {
        return None;
    }
    let mut plan = Plan { given: envp, count: 0, preloads: 0 };
    // SAFETY: the caller passes strings that end with NUL and a vector that ends with a null.
    let name = unsafe {
        while let Some(entry) = plan.entry(plan.count) {
            let entry = bytes(entry);
            if table_value(entry).is_some() {
                return None;
            }
            plan.preloads += if entry.starts_with(PRELOAD) { entry.len() } else { 0 };
            plan.count += 1;
        }
        bytes(path).rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    };
    (!LEFT_ALONE.contains(&name) && is_reachable()).then_some(plan)
}

/// Whether the program about to start may load us: one that has given up its rights may not read our folder any
/// more, and the dynamic linker would complain on its stderr.
fn is_reachable() -> bool {
    let path = AGENT.load(Acquire);
    !path.is_null() && sys::may_read(path)
}

impl Plan {
    /// The given entry at `index`; none at the end.
    ///
    /// # Safety
    /// `index` is not past the end.
    unsafe fn entry(&self, index: usize) -> Option<*mut c_char> {
        if self.given.is_null() {
            return None;
        }
        // SAFETY: the vector has an entry or its end there.
        let entry = unsafe { *self.given.add(index) };
        (!entry.is_null()).then_some(entry)
    }

    /// Bytes of our strings, whole words.
    fn strings(&self) -> usize {
        let ours = AGENT_LEN.load(Acquire) + local::directory().len();
        let names = PRELOAD.len() + ENV_TABLE.len();
        // Two ends, an equals sign, and a colon for each preload: none is shorter than its name.
        (names + ours + 2 * self.preloads + 8).next_multiple_of(size_of::<usize>())
    }

    /// How much room [`Plan::write`] needs.
    pub(crate) fn bytes(&self) -> usize {
        self.strings() + (self.count + 3) * size_of::<*mut c_char>()
    }

    /// Writes our strings and, behind them, the vector; gives the vector. A vector that was written here
    /// before may still be read by another thread: every word of it is a string or a null at any time.
    ///
    /// # Safety
    /// `memory` is aligned to words, has room for [`Plan::bytes`], and the given environment is as it was
    /// planned.
    pub(crate) unsafe fn write(&self, memory: *mut u8) -> Environment {
        let mut writer = Writer { at: memory };
        // SAFETY: the sizes were summed over the same vector; the agent's path was written at load.
        unsafe {
            let entries: *const AtomicPtr<c_char> = memory.add(self.strings()).cast();
            let agent =
                core::slice::from_raw_parts(AGENT.load(Acquire), AGENT_LEN.load(Acquire));
            let preload = writer.at;
            writer.put(PRELOAD);
            writer.put(agent);
            let mut used = 0;
            for index in 0..self.count {
                let Some(entry) = self.entry(index) else { break };
                match bytes(entry).strip_prefix(PRELOAD) {
                    Some(foreign) if !foreign.is_empty() => {
                        writer.put(b":");
                        writer.put(foreign);
                    }
                    Some(_) => {}
                    None => {
                        (*entries.add(used)).store(entry, Relaxed);
                        used += 1;
                    }
                }
            }
            writer.put(b"\0");
            let table = writer.at;
            writer.put(ENV_TABLE.as_bytes());
            writer.put(b"=");
            writer.put(local::directory());
            writer.put(b"\0");
            (*entries.add(used)).store(preload.cast(), Relaxed);
            (*entries.add(used + 1)).store(table.cast(), Relaxed);
            (*entries.add(used + 2)).store(core::ptr::null_mut(), Release);
            entries.cast()
        }
    }
}

/// Calls `start` with an environment that has our variables, where they belong, else with the given one.
///
/// It lies on the stack where it has room there, as glibc's own execvpe has its path: what is mapped for it
/// would stay behind in the parent of a vfork, whose child takes the call along when it succeeds.
///
/// # Safety
/// As for [`plan`].
pub(crate) unsafe fn with<T>(path: *const c_char, envp: Environment, start: impl FnOnce(Environment) -> T) -> T {
    // SAFETY: the caller's promise.
    let Some(plan) = (unsafe { plan(path, envp) }) else { return start(envp) };
    if plan.bytes() <= STACK_BYTES {
        return on_stack(&plan, start);
    }
    let Some(memory) = sys::map_private(plan.bytes()) else { return start(envp) };
    // SAFETY: the mapping is fresh and has the room; nobody has it once the call has returned.
    unsafe {
        let result = start(plan.write(memory));
        sys::unmap(memory, plan.bytes());
        result
    }
}

/// Room for some four hundred variables, and little enough for the smallest stack of a thread (16 KiB).
const STACK_BYTES: usize = 4096;

#[inline(never)]
fn on_stack<T>(plan: &Plan, start: impl FnOnce(Environment) -> T) -> T {
    let mut memory = core::mem::MaybeUninit::<[usize; STACK_BYTES / size_of::<usize>()]>::uninit();
    // SAFETY: aligned to words, with room for the plan, and alive across the call.
    start(unsafe { plan.write(memory.as_mut_ptr().cast()) })
}

/// Appends to a buffer that was sized for it.
struct Writer {
    at: *mut u8,
}

impl Writer {
    fn put(&mut self, part: &[u8]) {
        // SAFETY: the plan has summed the parts.
        unsafe {
            core::ptr::copy_nonoverlapping(part.as_ptr(), self.at, part.len());
            self.at = self.at.add(part.len());
        }
    }
}
