//! Descriptors: who made each number, and from where.
//!
//! `open` and `fcntl` are variadic; a definition with a fixed third argument reads the same register
//! on every Linux calling convention we build for, whether the caller passed it or not.
//! Descriptors that are made or closed without a hook (raw system calls, libc's inside) leave a slot
//! stale. The supervisor therefore believes a slot only where its inode is the kernel's.

use core::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use core::sync::atomic::Ordering::*;

use crate::local;
use crate::lock;
use crate::net;
use crate::next::{self, forward};
use crate::note;
use crate::path::{self, Coming, O_CREAT};
use crate::sys::{self, AT_FDCWD};
use crate::table::{
    FD_SLOTS, Fd, KIND_ANON, KIND_ANY, KIND_FILE, KIND_MEMFD, KIND_PIPE, KIND_SOCKET, Region,
};

/// Enters a descriptor that has just been made; gives it back.
#[inline]
pub(crate) fn born(fd: c_int, kind: u32) -> c_int {
    if fd >= 0
        && let Some(region) = local::region()
        && let Some(control) = local::control()
        && let Some(slot) = region.fds.get(fd as usize)
    {
        let stack = if local::wants_fd_stacks(control) { note::stack_id(region, control) } else { 0 };
        // The inode is there for the stack to be believed by, and costs a system call.
        let inode = if stack == 0 { 0 } else { sys::inode(fd) };
        slot.inode.store(inode, Relaxed);
        slot.stack.store(stack, Relaxed);
        slot.round.store(control.round.load(Relaxed), Relaxed);
        slot.sample.store(control.sample.load(Relaxed), Relaxed);
        slot.role.store(0, Relaxed);
        slot.role_stack.store(0, Relaxed);
        slot.kind.store(kind, Release);
        if stack != 0 {
            region.stacks[stack as usize].fds_made.fetch_add(1, Relaxed);
        }
        if region.fd_top.load(Relaxed) <= fd as u32 {
            region.fd_top.fetch_max(fd as u32 + 1, Relaxed);
        }
    }
    fd
}

/// Forgets a descriptor that is about to be closed. It must happen before: afterwards another
/// thread may be given the same number.
#[inline]
pub(crate) fn dies(fd: c_int) {
    if let Some((region, slot)) = slot(fd)
        && slot.kind.load(Relaxed) != 0
    {
        if slot.role.load(Relaxed) != 0 {
            net::closes(region, slot, fd);
        }
        slot.kind.store(0, Relaxed);
        let stack = slot.stack.load(Relaxed) as usize;
        if let Some(stack) = region.stacks.get(stack).filter(|_| stack != 0) {
            stack.fds_closed.fetch_add(1, Relaxed);
        }
    }
}

/// The slot of a descriptor number in this process's region.
#[inline]
pub(crate) fn slot(fd: c_int) -> Option<(&'static Region, &'static Fd)> {
    let region = local::region()?;
    region.fds.get(usize::try_from(fd).ok()?).map(|slot| (region, slot))
}

/// Hooks whose result is a descriptor of one kind.
macro_rules! makes_fd {
    ($($(#[$doc:meta])* $name:ident = $slot:ident ($($argument:ident: $type:ty),*) => $kind:expr;)*) => {
        $($(#[$doc])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            born(forward!($slot as unsafe extern "C" fn($($type),*) -> c_int, ($($argument),*), else -1), $kind)
        })*
    };
}

makes_fd! {
    /// posix_openpt(3).
    posix_openpt = POSIX_OPENPT(flags: c_int) => KIND_FILE;
    /// socket(2).
    socket = SOCKET(domain: c_int, kind: c_int, protocol: c_int) => KIND_SOCKET;
    /// dup(2).
    dup = DUP(fd: c_int) => KIND_ANY;
    /// epoll_create(2).
    epoll_create = EPOLL_CREATE(size: c_int) => KIND_ANON;
    /// epoll_create1(2).
    epoll_create1 = EPOLL_CREATE1(flags: c_int) => KIND_ANON;
    /// eventfd(2).
    eventfd = EVENTFD(initial: c_uint, flags: c_int) => KIND_ANON;
    /// timerfd_create(2).
    timerfd_create = TIMERFD_CREATE(clock: c_int, flags: c_int) => KIND_ANON;
    /// inotify_init(2).
    inotify_init = INOTIFY_INIT() => KIND_ANON;
    /// inotify_init1(2).
    inotify_init1 = INOTIFY_INIT1(flags: c_int) => KIND_ANON;
    /// memfd_create(2).
    memfd_create = MEMFD_CREATE(name: *const c_char, flags: c_uint) => KIND_MEMFD;
    /// pidfd_open(2).
    pidfd_open = PIDFD_OPEN(pid: c_int, flags: c_uint) => KIND_ANON;
}

/// Hooks that open a path, and may create it.
macro_rules! opens {
    ($($(#[$doc:meta])* $name:ident = $slot:ident ($($argument:ident: $type:ty),*) at $at:expr, $path:ident, $flags:expr;)*) => {
        $($(#[$doc])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            let coming = Coming::open($at, $path, $flags);
            coming.came(born(forward!($slot as unsafe extern "C" fn($($type),*) -> c_int, ($($argument),*), else -1), KIND_FILE))
        })*
    };
}

opens! {
    /// open(2).
    open = OPEN(path: *const c_char, flags: c_int, mode: c_uint) at AT_FDCWD, path, flags;
    /// open(2).
    open64 = OPEN64(path: *const c_char, flags: c_int, mode: c_uint) at AT_FDCWD, path, flags;
    /// The fortified open.
    __open_2 = OPEN_2(path: *const c_char, flags: c_int) at AT_FDCWD, path, flags;
    /// The fortified open.
    __open64_2 = OPEN64_2(path: *const c_char, flags: c_int) at AT_FDCWD, path, flags;
    /// openat(2).
    openat = OPENAT(at: c_int, path: *const c_char, flags: c_int, mode: c_uint) at at, path, flags;
    /// openat(2).
    openat64 = OPENAT64(at: c_int, path: *const c_char, flags: c_int, mode: c_uint) at at, path, flags;
    /// The fortified openat.
    __openat_2 = OPENAT_2(at: c_int, path: *const c_char, flags: c_int) at at, path, flags;
    /// The fortified openat.
    __openat64_2 = OPENAT64_2(at: c_int, path: *const c_char, flags: c_int) at at, path, flags;
    /// creat(2).
    creat = CREAT(path: *const c_char, mode: c_uint) at AT_FDCWD, path, O_CREAT;
    /// creat(2).
    creat64 = CREAT64(path: *const c_char, mode: c_uint) at AT_FDCWD, path, O_CREAT;
}

/// Hooks that make a file from a template, which becomes its name.
macro_rules! makes_temporary {
    ($($(#[$doc:meta])* $name:ident = $slot:ident (template: *mut c_char $(, $argument:ident: $type:ty)*);)*) => {
        $($(#[$doc])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(template: *mut c_char $(, $argument: $type)*) -> c_int {
            let fd = forward!($slot as unsafe extern "C" fn(*mut c_char $(, $type)*) -> c_int, (template $(, $argument)*), else -1);
            if fd >= 0 {
                // SAFETY: on success the template is the name, and ends with NUL.
                path::created(AT_FDCWD, unsafe { CStr::from_ptr(template) }.to_bytes());
            }
            born(fd, KIND_FILE)
        })*
    };
}

makes_temporary! {
    /// mkstemp(3).
    mkstemp = MKSTEMP(template: *mut c_char);
    /// mkstemp(3).
    mkstemp64 = MKSTEMP64(template: *mut c_char);
    /// mkostemp(3).
    mkostemp = MKOSTEMP(template: *mut c_char, flags: c_int);
    /// mkostemp(3).
    mkostemp64 = MKOSTEMP64(template: *mut c_char, flags: c_int);
    /// mkstemps(3).
    mkstemps = MKSTEMPS(template: *mut c_char, suffix: c_int);
    /// mkostemps(3).
    mkostemps = MKOSTEMPS(template: *mut c_char, suffix: c_int, flags: c_int);
}

/// shm_open(3): the file that it creates is below `/dev/shm`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_open(name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    type ShmOpen = unsafe extern "C" fn(*const c_char, c_int, c_uint) -> c_int;
    let fd = born(forward!(SHM_OPEN as ShmOpen, (name, flags, mode), else -1), KIND_FILE);
    if fd >= 0 && flags & O_CREAT != 0 {
        path::created_shm(b"", name);
    }
    fd
}

/// signalfd(2): with a descriptor given, it changes that one and makes none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn signalfd(fd: c_int, mask: *const c_void, flags: c_int) -> c_int {
    type Signalfd = unsafe extern "C" fn(c_int, *const c_void, c_int) -> c_int;
    let result = forward!(SIGNALFD as Signalfd, (fd, mask, flags), else -1);
    if fd < 0 { born(result, KIND_ANON) } else { result }
}

/// Whether this is the child of a vfork, which puts its descriptors in order before it execs: the table is
/// its parent's. A single close is not asked about, because that would cost each of them a system call.
fn is_elsewhere() -> bool {
    local::region().is_some_and(|region| !local::is_own(region))
}

/// dup2(2): what the target number referred to is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup2(from: c_int, to: c_int) -> c_int {
    type Dup2 = unsafe extern "C" fn(c_int, c_int) -> c_int;
    if from == to || is_elsewhere() {
        return forward!(DUP2 as Dup2, (from, to), else -1);
    }
    dies(to);
    born(forward!(DUP2 as Dup2, (from, to), else -1), KIND_ANY)
}

/// dup3(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int {
    type Dup3 = unsafe extern "C" fn(c_int, c_int, c_int) -> c_int;
    if is_elsewhere() {
        return forward!(DUP3 as Dup3, (from, to, flags), else -1);
    }
    if from != to {
        dies(to);
    }
    born(forward!(DUP3 as Dup3, (from, to, flags), else -1), KIND_ANY)
}

type Fcntl = unsafe extern "C" fn(c_int, c_int, c_long) -> c_int;
const F_DUPFD: c_int = 0;
const F_DUPFD_CLOEXEC: c_int = 1030;

/// fcntl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: c_long) -> c_int {
    controlled(fd, command, argument, forward!(FCNTL as Fcntl, (fd, command, argument), else -1))
}

/// fcntl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: c_long) -> c_int {
    controlled(fd, command, argument, forward!(FCNTL64 as Fcntl, (fd, command, argument), else -1))
}

/// Enters what a command of fcntl(2) has made or taken: only the duplicating ones make a descriptor, others
/// take locks.
#[inline]
fn controlled(fd: c_int, command: c_int, argument: c_long, result: c_int) -> c_int {
    if result == 0 {
        lock::controlled(fd, command, argument);
    }
    if matches!(command, F_DUPFD | F_DUPFD_CLOEXEC) { born(result, KIND_ANY) } else { result }
}

/// Enters both ends that a successful call has written.
fn born_pair(result: c_int, ends: *const c_int, kind: u32) -> c_int {
    if result == 0 && !ends.is_null() {
        // SAFETY: on success the kernel has written two descriptors there.
        unsafe {
            born(*ends, kind);
            born(*ends.add(1), kind);
        }
    }
    result
}

/// pipe(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pipe(ends: *mut c_int) -> c_int {
    type Pipe = unsafe extern "C" fn(*mut c_int) -> c_int;
    born_pair(forward!(PIPE as Pipe, (ends), else -1), ends, KIND_PIPE)
}

/// pipe2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pipe2(ends: *mut c_int, flags: c_int) -> c_int {
    type Pipe2 = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
    born_pair(forward!(PIPE2 as Pipe2, (ends, flags), else -1), ends, KIND_PIPE)
}

/// socketpair(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socketpair(domain: c_int, kind: c_int, protocol: c_int, ends: *mut c_int) -> c_int {
    type Socketpair = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_int) -> c_int;
    born_pair(forward!(SOCKETPAIR as Socketpair, (domain, kind, protocol, ends), else -1), ends, KIND_SOCKET)
}

type Fopen = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut c_void;

/// Enters the descriptor behind a stream or directory that a call has just made.
fn born_behind(handle: *mut c_void, number: fn(*mut c_void) -> c_int) -> *mut c_void {
    if !handle.is_null() {
        born(number(handle), KIND_FILE);
    }
    handle
}

fn fileno(stream: *mut c_void) -> c_int {
    forward!(FILENO as unsafe extern "C" fn(*mut c_void) -> c_int, (stream), else -1)
}

/// The flags of open(2) that matter here: all modes of fopen(3) but those that begin with `r` create.
fn open_flags(mode: *const c_char) -> c_int {
    // SAFETY: the caller's mode ends with NUL.
    let first = if mode.is_null() { 0 } else { (unsafe { *mode }) as u8 };
    if matches!(first, b'w' | b'a') { O_CREAT } else { 0 }
}

fn dirfd(directory: *mut c_void) -> c_int {
    forward!(DIRFD as unsafe extern "C" fn(*mut c_void) -> c_int, (directory), else -1)
}

/// fopen(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen(path: *const c_char, mode: *const c_char) -> *mut c_void {
    opened(path, mode, || forward!(FOPEN as Fopen, (path, mode), else core::ptr::null_mut()))
}

/// fopen(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut c_void {
    opened(path, mode, || forward!(FOPEN64 as Fopen, (path, mode), else core::ptr::null_mut()))
}

/// Enters the stream that a call opens, and its path where it is new.
fn opened(path: *const c_char, mode: *const c_char, open: impl FnOnce() -> *mut c_void) -> *mut c_void {
    let coming = Coming::open(AT_FDCWD, path, open_flags(mode));
    let stream = born_behind(open(), fileno);
    coming.came(if stream.is_null() { -1 } else { 0 });
    stream
}

/// tmpfile(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tmpfile() -> *mut c_void {
    type Tmpfile = unsafe extern "C" fn() -> *mut c_void;
    born_behind(forward!(TMPFILE as Tmpfile, (), else core::ptr::null_mut()), fileno)
}

/// tmpfile(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tmpfile64() -> *mut c_void {
    type Tmpfile = unsafe extern "C" fn() -> *mut c_void;
    born_behind(forward!(TMPFILE64 as Tmpfile, (), else core::ptr::null_mut()), fileno)
}

/// fclose(3): closes its descriptor inside the C library, where no hook sees it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fclose(stream: *mut c_void) -> c_int {
    if !stream.is_null() {
        // A stream in memory has no descriptor, and fileno says so.
        let errno = next::errno().map(|errno| (errno, errno.load(Relaxed)));
        dies(fileno(stream));
        if let Some((errno, before)) = errno {
            errno.store(before, Relaxed);
        }
    }
    forward!(FCLOSE as unsafe extern "C" fn(*mut c_void) -> c_int, (stream), else -1)
}

/// opendir(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opendir(path: *const c_char) -> *mut c_void {
    type Opendir = unsafe extern "C" fn(*const c_char) -> *mut c_void;
    born_behind(forward!(OPENDIR as Opendir, (path), else core::ptr::null_mut()), dirfd)
}

/// closedir(3): like fclose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn closedir(directory: *mut c_void) -> c_int {
    if !directory.is_null() {
        dies(dirfd(directory));
    }
    forward!(CLOSEDIR as unsafe extern "C" fn(*mut c_void) -> c_int, (directory), else -1)
}

/// close(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    dies(fd);
    forward!(CLOSE as unsafe extern "C" fn(c_int) -> c_int, (fd), else -1)
}

/// close_range(2), Linux 5.9: with CLOSE_RANGE_CLOEXEC it closes nothing yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    const CLOSE_RANGE_CLOEXEC: c_int = 4;
    if flags & CLOSE_RANGE_CLOEXEC == 0
        && let Some(region) = local::region()
        && local::is_own(region)
    {
        let top = (region.fd_top.load(Relaxed)).min(FD_SLOTS as u32);
        for fd in first..last.saturating_add(1).min(top) {
            dies(fd as c_int);
        }
    }
    type CloseRange = unsafe extern "C" fn(c_uint, c_uint, c_int) -> c_int;
    forward!(CLOSE_RANGE as CloseRange, (first, last, flags), else -1)
}
