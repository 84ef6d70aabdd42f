//! Descriptors that the program makes by system calls of its own (rustix), past the C library: seen in explain
//! runs of unedited programs.
//!
//! A seccomp filter (seccomp(2)) stops such a call where the instruction that makes it lies in the program
//! itself, or in the C library's `syscall`, and raises SIGSYS. The handler makes the call from here, which
//! the filter lets pass, notes what it has made with the stack of the caller, and hands back the result. All
//! else is not slowed down by more than the filter's look at the address.
//!
//! It stays for the life of the process and of its children, so it is for explain runs alone. Children that
//! exec lie elsewhere in memory, and the filter does not concern them.

use core::ffi::{c_int, c_void};

use crate::fd;
use crate::hold;
use crate::local;
use crate::net;
use crate::next::{self, forward};
use crate::sys;
use crate::table::{
    Control, FLAG_RAW, KIND_ANON, KIND_ANY, KIND_FILE, KIND_MEMFD, KIND_PIPE, KIND_SOCKET,
};

/// How a call hands over what it has made.
#[derive(Clone, Copy)]
enum Made {
    /// Its result is the descriptor.
    Result(u32),
    /// It writes two of them where this argument points to.
    Pair(usize, u32),
    /// It duplicates a descriptor for these commands.
    Duplicate,
    /// It may receive some with the message (SCM_RIGHTS).
    Message,
}

/// The calls that make descriptors, by number (x86_64).
const CALLS: [(usize, Made); 29] = [
    (2, Made::Result(KIND_FILE)),
    (22, Made::Pair(0, KIND_PIPE)),
    (32, Made::Result(KIND_ANY)),
    (33, Made::Result(KIND_ANY)),
    (41, Made::Result(KIND_SOCKET)),
    (43, Made::Result(KIND_SOCKET)),
    (47, Made::Message),
    (53, Made::Pair(3, KIND_SOCKET)),
    (72, Made::Duplicate),
    (85, Made::Result(KIND_FILE)),
    (213, Made::Result(KIND_ANON)),
    (253, Made::Result(KIND_ANON)),
    (257, Made::Result(KIND_FILE)),
    (282, Made::Result(KIND_ANON)),
    (283, Made::Result(KIND_ANON)),
    (284, Made::Result(KIND_ANON)),
    (288, Made::Result(KIND_SOCKET)),
    (289, Made::Result(KIND_ANON)),
    (290, Made::Result(KIND_ANON)),
    (291, Made::Result(KIND_ANON)),
    (292, Made::Result(KIND_ANY)),
    (293, Made::Pair(0, KIND_PIPE)),
    (294, Made::Result(KIND_ANON)),
    (298, Made::Result(KIND_ANON)),
    (319, Made::Result(KIND_MEMFD)),
    (323, Made::Result(KIND_ANON)),
    (425, Made::Result(KIND_ANON)),
    (434, Made::Result(KIND_ANON)),
    (437, Made::Result(KIND_FILE)),
];

/// Watches this process, where it is the main one of an unedited trial and its control file asks for it.
pub(crate) fn watch() {
    let is_asked = |control: &&Control| {
        control.flags.load(core::sync::atomic::Ordering::Relaxed) & FLAG_RAW != 0
            && hold::is_unedited_main(control)
    };
    if local::control().filter(is_asked).is_none() {
        return;
    }
    let Some(program) = Range::of_program() else { return };
    // The handler first: with the filter alone the first such call would end the process.
    if handle() {
        filter(&[program, Range::of_syscall()]);
    }
}

/// Addresses of code whose system calls are stopped; empty for none.
#[derive(Clone, Copy)]
struct Range {
    start: usize,
    end: usize,
}

impl Range {
    const EMPTY: Self = Self { start: 0, end: 0 };

    /// The program's own code: its executable segments.
    fn of_program() -> Option<Self> {
        type Callback = unsafe extern "C" fn(*const PhdrInfo, usize, *mut c_void) -> c_int;
        type Iterate = unsafe extern "C" fn(Callback, *mut c_void) -> c_int;
        let mut range = Self::EMPTY;
        let to: *mut c_void = (&raw mut range).cast();
        forward!(DL_ITERATE_PHDR as Iterate, (first_module, to), else 0);
        (range.start < range.end).then_some(range)
    }

    /// The C library's `syscall`, a short function.
    fn of_syscall() -> Self {
        const BYTES: usize = 64;
        let start = next::get(&next::SYSCALL) as usize;
        if start == 0 { Self::EMPTY } else { Self { start, end: start + BYTES } }
    }
}

/// `struct dl_phdr_info` (dl_iterate_phdr(3)), as far as it is used.
#[repr(C)]
struct PhdrInfo {
    base: usize,
    name: *const u8,
    headers: *const ProgramHeader,
    count: u16,
}

/// `Elf64_Phdr` (elf(5)).
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    file_bytes: u64,
    memory_bytes: u64,
    align: u64,
}

/// The first module is the program; the others are not asked for.
unsafe extern "C" fn first_module(info: *const PhdrInfo, _: usize, to: *mut c_void) -> c_int {
    const PT_LOAD: u32 = 1;
    const PF_X: u32 = 1;
    // SAFETY: the linker passes a module that stays; `to` is the range of `of_program`.
    unsafe {
        let (info, range) = (&*info, &mut *to.cast::<Range>());
        let headers = core::slice::from_raw_parts(info.headers, info.count as usize);
        for header in headers.iter().filter(|it| it.kind == PT_LOAD && it.flags & PF_X != 0) {
            let start = info.base.wrapping_add(header.address as usize);
            let end = start.wrapping_add(header.memory_bytes as usize);
            range.start = if range.end == 0 { start } else { range.start.min(start) };
            range.end = range.end.max(end);
        }
    }
    1
}

/// `struct sock_filter` (linux/filter.h).
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u16,
    on_true: u8,
    on_false: u8,
    operand: u32,
}

/// A filter as it is put together; its jumps are relative and go forward.
struct Filter {
    instructions: [Instruction; Self::MOST],
    len: usize,
}

impl Filter {
    const MOST: usize = 64;

    fn push(&mut self, code: u16, operand: u32, on_true: u8, on_false: u8) {
        if let Some(slot) = self.instructions.get_mut(self.len) {
            *slot = Instruction { code, on_true, on_false, operand };
            self.len += 1;
        }
    }
}

/// Stops the calls of [`CALLS`] that come from one of the ranges. Where that is refused they go unseen.
fn filter(ranges: &[Range]) {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const IF_NOT_BELOW: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const ALLOW: u32 = 0x7fff_0000; // SECCOMP_RET_ALLOW
    const TRAP: u32 = 0x0003_0000; // SECCOMP_RET_TRAP
    const PR_SET_NO_NEW_PRIVS: usize = 38;
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    // Offsets in struct seccomp_data: the number, the instruction's address in two halves.
    const NUMBER: u32 = 0;
    const ADDRESS_LOW: u32 = 8;
    const ADDRESS_HIGH: u32 = 12;
    let none = Instruction { code: 0, on_true: 0, on_false: 0, operand: 0 };
    let mut filter = Filter { instructions: [none; Filter::MOST], len: 0 };
    filter.push(LOAD, NUMBER, 0, 0);
    let calls = CALLS.len() as u8;
    for (at, (number, _)) in CALLS.iter().enumerate() {
        // Past the rest of the list and the way out.
        filter.push(IF_EQUAL, *number as u32, calls - at as u8, 0);
    }
    filter.push(RETURN, ALLOW, 0, 0);
    for range in ranges {
        let (high, low) = ((range.start >> 32) as u32, range.start as u32);
        let is_within = range.start < range.end && (range.end >> 32) as u32 == high;
        if !is_within {
            continue;
        }
        filter.push(LOAD, ADDRESS_HIGH, 0, 0);
        filter.push(IF_EQUAL, high, 0, 4);
        filter.push(LOAD, ADDRESS_LOW, 0, 0);
        filter.push(IF_NOT_BELOW, low, 0, 2);
        filter.push(IF_NOT_BELOW, range.end as u32, 1, 0);
        filter.push(RETURN, TRAP, 0, 0);
    }
    filter.push(RETURN, ALLOW, 0, 0);
    let program = (filter.len as u64, filter.instructions.as_ptr());
    // SAFETY: `struct sock_fprog` is a length and a pointer; the filter lives across the call.
    unsafe {
        sys::syscall(sys::PRCTL, [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0]);
        let program = (&raw const program) as usize;
        sys::syscall(sys::SECCOMP, [SECCOMP_SET_MODE_FILTER, 0, program, 0, 0, 0]);
    }
}

/// `struct sigaction` of the C library on x86_64.
#[repr(C)]
struct Action {
    handler: unsafe extern "C" fn(c_int, *const Info, *mut Context),
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}

/// `siginfo_t` of SIGSYS.
#[repr(C)]
pub(crate) struct Info {
    signal: c_int,
    errno: c_int,
    code: c_int,
    pad: c_int,
    address: usize,
    number: c_int,
    arch: u32,
}

/// `ucontext_t` of x86_64, up to the registers (sys/ucontext.h).
#[repr(C)]
pub(crate) struct Context {
    head: [u64; 5],
    registers: [u64; 23],
}

const R8: usize = 0;
const R9: usize = 1;
const R10: usize = 2;
const RDI: usize = 8;
const RSI: usize = 9;
const RDX: usize = 12;
const RAX: usize = 13;

/// Installs the handler; true where that worked.
fn handle() -> bool {
    type Sigaction = unsafe extern "C" fn(c_int, *const Action, *mut c_void) -> c_int;
    const SIGSYS: c_int = 31;
    // Another handler may interrupt ours and make such a call itself. On the thread's own stack: the
    // caller's frames lie above it.
    const SA_SIGINFO: c_int = 4;
    const SA_NODEFER: c_int = 0x4000_0000;
    const SA_RESTART: c_int = 0x1000_0000;
    let flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
    let action = Action { handler: stopped, mask: [0; 16], flags, restorer: 0 };
    forward!(SIGACTION as Sigaction, (SIGSYS, &raw const action, core::ptr::null_mut()), else return false) == 0
}

/// A call was stopped: it is made from here.
unsafe extern "C" fn stopped(_: c_int, info: *const Info, context: *mut Context) {
    // SAFETY: the kernel passes both; the registers are those of the stopped call, its number in RAX.
    let (number, registers) = unsafe { ((*info).number as usize, &mut (*context).registers) };
    let arguments = [RDI, RSI, RDX, R10, R8, R9].map(|at| registers[at] as usize);
    // SAFETY: exactly what the program has asked for.
    let result = unsafe { sys::syscall(number, arguments) };
    registers[RAX] = result as u64;
    if result >= 0 {
        // SAFETY: the kernel has just used these arguments.
        unsafe { note(number, arguments, result) };
    }
}

/// Notes what a call has made.
///
/// # Safety
/// The call was made with these arguments and has succeeded.
unsafe fn note(number: usize, arguments: [usize; 6], result: isize) {
    const F_DUPFD: usize = 0;
    const F_DUPFD_CLOEXEC: usize = 1030;
    let Some((_, made)) = CALLS.iter().find(|(known, _)| *known == number) else { return };
    match *made {
        Made::Result(kind) => {
            fd::born(result as c_int, kind);
        }
        Made::Pair(at, kind) => {
            // SAFETY: the kernel has written two descriptors there.
            let pair = unsafe { (arguments[at] as *const [c_int; 2]).read_unaligned() };
            for made in pair {
                fd::born(made, kind);
            }
        }
        Made::Duplicate if matches!(arguments[1], F_DUPFD | F_DUPFD_CLOEXEC) => {
            fd::born(result as c_int, KIND_ANY);
        }
        Made::Duplicate => {}
        // SAFETY: the kernel has filled the header.
        Made::Message => unsafe { net::received(&*(arguments[1] as *const net::MessageHeader)) },
    }
}
