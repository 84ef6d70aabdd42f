//! The agent: one shared object, preloaded into a process, that writes down what the process makes.
//!
//! It interposes the C library's creating and releasing calls, forwards each to the next definition
//! in the process, and keeps its notes in a table that the supervisor reads from outside
//! (`table.rs`). It decides nothing, names nothing and prints nothing.
//!
//! What it never does, whatever the program: allocate, lock, use thread-local storage, change errno,
//! hold a descriptor or a thread, or need a library (it has no `DT_NEEDED`; every C symbol is bound
//! at run time).
//!
//! ```text
//! hook (heap, fd, net, thread, process, shell, mapping, path, lock, watch, shm, state)
//!      ├── forward to `next` ──► the C library
//!      └── note into the region (local.rs: which one is mine, also after a fork; entry.rs)
//!             ├── creation stack (stack.rs), interned (note.rs)
//!             └── which heap blocks get one (sample.rs), and which have one (track.rs)
//! ```

#![no_std]

#[path = "../src/table.rs"]
#[expect(dead_code, reason = "the harness uses the rest")]
mod table;

mod sys;
mod next;
mod local;
mod stack;
mod note;
mod heap;
mod sample;
mod track;
mod fd;
mod net;
mod thread;
mod process;
mod raw;
mod entry;
mod mapping;
mod path;
mod lock;
mod watch;
mod shm;
mod state;
mod environment;
mod shell;
mod hold;

use core::ffi::{c_char, c_int};

/// Runs when the dynamic linker initialises the object: before `main`, and after the constructors of the
/// libraries that the program is linked with. glibc passes the program's arguments to constructors.
extern "C" fn load(_argc: c_int, _argv: *mut *mut c_char, envp: *mut *mut c_char) {
    next::resolve();
    // SAFETY: glibc calls constructors with the process's own argument and environment vectors.
    if unsafe { environment::take(envp) } {
        local::enter();
        hold::register();
        hold::begin();
        raw::watch();
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static LOAD: extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) = load;

/// The trial's control file as this process maps it, null where the process is not measured.
/// The harness finds it by name, because the agent has taken the variable out of the environment.
#[unsafe(no_mangle)]
extern "C" fn watertight_agent_control() -> *const table::Control {
    local::control_ptr()
}

/// An abort in the measured program would be worse than a missing note: nothing here panics by
/// intent, and a bug ends the process visibly.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::abort()
}

/// The precompiled `core` refers to it; with `panic=abort` it is never called.
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}
