//! The next definition of each hooked call: what the program would have reached without us.
//!
//! Looked up once at load with `dlsym(RTLD_NEXT)` (dlsym(3)). A call that comes before that, from
//! another object's constructor or from dlsym itself, resolves the table first.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering::*};

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

const RTLD_NEXT: *mut c_void = -1isize as *mut c_void;
const RTLD_DEFAULT: *mut c_void = core::ptr::null_mut();

/// Declares one slot for each call, and the function that fills them all.
macro_rules! next {
    ($($slot:ident = $name:literal;)*) => {
        $(pub(crate) static $slot: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());)*

        fn resolve_all() {
            $($slot.store(lookup($name), Release);)*
        }
    };
}

next! {
    MALLOC = c"malloc";
    FREE = c"free";
    CALLOC = c"calloc";
    REALLOC = c"realloc";
    REALLOCARRAY = c"reallocarray";
    MEMALIGN = c"memalign";
    POSIX_MEMALIGN = c"posix_memalign";
    ALIGNED_ALLOC = c"aligned_alloc";
    VALLOC = c"valloc";
    PVALLOC = c"pvalloc";
    USABLE_SIZE = c"malloc_usable_size";

    OPEN = c"open";
    OPEN64 = c"open64";
    OPEN_2 = c"__open_2";
    OPEN64_2 = c"__open64_2";
    OPENAT = c"openat";
    OPENAT64 = c"openat64";
    OPENAT_2 = c"__openat_2";
    OPENAT64_2 = c"__openat64_2";
    CREAT = c"creat";
    CREAT64 = c"creat64";
    SOCKET = c"socket";
    SOCKETPAIR = c"socketpair";
    ACCEPT = c"accept";
    ACCEPT4 = c"accept4";
    CONNECT = c"connect";
    SHUTDOWN = c"shutdown";
    PIPE = c"pipe";
    PIPE2 = c"pipe2";
    DUP = c"dup";
    DUP2 = c"dup2";
    DUP3 = c"dup3";
    FCNTL = c"fcntl";
    FCNTL64 = c"fcntl64";
    EPOLL_CREATE = c"epoll_create";
    EPOLL_CREATE1 = c"epoll_create1";
    EVENTFD = c"eventfd";
    TIMERFD_CREATE = c"timerfd_create";
    SIGNALFD = c"signalfd";
    INOTIFY_INIT = c"inotify_init";
    INOTIFY_INIT1 = c"inotify_init1";
    MEMFD_CREATE = c"memfd_create";
    PIDFD_OPEN = c"pidfd_open";
    SHM_OPEN = c"shm_open";
    MKSTEMP = c"mkstemp";
    MKSTEMP64 = c"mkstemp64";
    MKOSTEMP = c"mkostemp";
    MKOSTEMP64 = c"mkostemp64";
    MKSTEMPS = c"mkstemps";
    MKOSTEMPS = c"mkostemps";
    POSIX_OPENPT = c"posix_openpt";
    RECVMSG = c"recvmsg";
    OPENDIR = c"opendir";
    FDOPENDIR = c"fdopendir";
    CLOSEDIR = c"closedir";
    DIRFD = c"dirfd";
    FOPEN = c"fopen";
    FOPEN64 = c"fopen64";
    TMPFILE = c"tmpfile";
    TMPFILE64 = c"tmpfile64";
    FCLOSE = c"fclose";
    FILENO = c"fileno";
    CLOSE = c"close";
    CLOSE_RANGE = c"close_range";

    PTHREAD_CREATE = c"pthread_create";

    MMAP = c"mmap";
    MMAP64 = c"mmap64";
    MUNMAP = c"munmap";
    MREMAP = c"mremap";

    MKDIR = c"mkdir";
    MKDIRAT = c"mkdirat";
    MKDTEMP = c"mkdtemp";
    MKFIFO = c"mkfifo";
    RENAME = c"rename";
    RENAMEAT = c"renameat";
    RENAMEAT2 = c"renameat2";
    LINK = c"link";
    LINKAT = c"linkat";
    SYMLINK = c"symlink";
    SYMLINKAT = c"symlinkat";
    BIND = c"bind";

    FLOCK = c"flock";
    LOCKF = c"lockf";
    LOCKF64 = c"lockf64";
    INOTIFY_ADD_WATCH = c"inotify_add_watch";
    SHMGET = c"shmget";
    SEM_OPEN = c"sem_open";

    SETENV = c"setenv";
    UNSETENV = c"unsetenv";
    CLEARENV = c"clearenv";
    PUTENV = c"putenv";
    GETENV = c"getenv";
    CHDIR = c"chdir";
    FCHDIR = c"fchdir";
    UMASK = c"umask";
    SETRLIMIT = c"setrlimit";
    SETRLIMIT64 = c"setrlimit64";
    PRLIMIT = c"prlimit";
    PRLIMIT64 = c"prlimit64";
    SIGACTION = c"sigaction";
    SIGNAL = c"signal";
    SIGPROCMASK = c"sigprocmask";
    PTHREAD_SIGMASK = c"pthread_sigmask";

    FORK = c"fork";
    POSIX_SPAWN = c"posix_spawn";
    POSIX_SPAWNP = c"posix_spawnp";
    EXECV = c"execv";
    EXECVE = c"execve";
    EXECVP = c"execvp";
    EXECVPE = c"execvpe";
    SYSTEM = c"system";
    POPEN = c"popen";

    ON_EXIT = c"on_exit";
    SYSCALL = c"syscall";
    ERRNO_LOCATION = c"__errno_location";
    DLADDR = c"dladdr";
    DLCLOSE = c"dlclose";
    DL_FIND_OBJECT = c"_dl_find_object";
    DL_ITERATE_PHDR = c"dl_iterate_phdr";
}

/// Calls the next definition as a function of the given type, or gives `$missing` where there is none.
macro_rules! forward {
    ($slot:ident as $type:ty, ($($argument:expr),*), else $missing:expr) => {{
        let pointer = $crate::next::get(&$crate::next::$slot);
        if pointer.is_null() {
            $missing
        } else {
            // SAFETY: the C library defines the symbol with this signature (its man page), and the
            // arguments are the caller's own.
            let function = unsafe { core::mem::transmute::<*mut core::ffi::c_void, $type>(pointer) };
            // SAFETY: as above.
            unsafe { function($($argument),*) }
        }
    }};
}
pub(crate) use forward;

/// Set by whoever resolves first. A call that finds it set and its slot still empty comes from
/// dlsym itself, or has no next definition.
static STARTED: AtomicBool = AtomicBool::new(false);

/// The variable `environ`. A program that names it may have it in its own data (a copy relocation), and
/// libc then uses that one: so the first definition is asked for, not the next.
static ENVIRON: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// libc's variable `environ` (environ(7)).
pub(crate) fn environ() -> Option<&'static AtomicPtr<*mut c_char>> {
    // SAFETY: a variable of pointer type that lives as long as the process.
    unsafe { get(&ENVIRON).cast::<AtomicPtr<*mut c_char>>().as_ref() }
}

/// The calling thread's errno (LSB core specification, `__errno_location`).
pub(crate) fn errno() -> Option<&'static AtomicI32> {
    type Location = unsafe extern "C" fn() -> *const AtomicI32;
    let place = forward!(ERRNO_LOCATION as Location, (), else core::ptr::null());
    // SAFETY: this thread's own integer; nobody keeps the reference.
    unsafe { place.as_ref() }
}

fn lookup(name: &CStr) -> *mut c_void {
    // SAFETY: dlsym is in every dynamically linked process; the name ends with NUL.
    unsafe { dlsym(RTLD_NEXT, name.as_ptr()) }
}

/// Fills the table, once. Loading is single-threaded, so whoever finds it half-filled is dlsym
/// itself, further up this very stack.
#[cold]
pub(crate) fn resolve() {
    if STARTED.swap(true, AcqRel) {
        return;
    }
    resolve_all();
    // SAFETY: as in `lookup`.
    ENVIRON.store(unsafe { dlsym(RTLD_DEFAULT, c"environ".as_ptr()) }, Release);
    // SAFETY: both were just looked up under their names.
    unsafe { crate::stack::init(DL_FIND_OBJECT.load(Relaxed), DL_ITERATE_PHDR.load(Relaxed)) };
    crate::stack::set_module_hook(crate::note::module);
    keep_one_allocator();
    crate::heap::probe_headers();
}

/// The definition after ours, resolving on first use; null where the C library has none.
#[inline(always)]
pub(crate) fn get(slot: &AtomicPtr<c_void>) -> *mut c_void {
    let pointer = slot.load(Relaxed);
    if pointer.is_null() { resolve_late(slot) } else { pointer }
}

#[cold]
#[inline(never)]
fn resolve_late(slot: &AtomicPtr<c_void>) -> *mut c_void {
    resolve();
    slot.load(Acquire)
}

/// The next definition as a function of type `F`, without asking whether there is one.
///
/// # Safety
/// The slot was filled with a definition of that type.
#[inline(always)]
pub(crate) unsafe fn ready<F: Copy>(slot: &AtomicPtr<c_void>) -> F {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    let pointer = slot.load(Relaxed);
    // SAFETY: the caller's promise.
    unsafe { core::mem::transmute_copy(&pointer) }
}

/// `struct Dl_info` of dladdr(3).
#[repr(C)]
struct DlInfo {
    file_name: *const c_char,
    base: *mut c_void,
    symbol_name: *const c_char,
    symbol: *mut c_void,
}

/// Another preloaded allocator may define malloc and leave `malloc_usable_size` to the C library,
/// which would read its headers where there are none. Sizes are asked of malloc's own object or
/// not at all.
fn keep_one_allocator() {
    let (malloc, usable_size) = (MALLOC.load(Relaxed), USABLE_SIZE.load(Relaxed));
    let mark = |pointer: *mut c_void| crate::stack::module_mark(pointer as usize);
    if let (Some(one), Some(other)) = (mark(malloc), mark(usable_size)) {
        if one != other {
            USABLE_SIZE.store(core::ptr::null_mut(), Release);
        }
        return;
    }
    // Forty microseconds: it looks through the symbols of the C library for the nearest.
    let base = |pointer: *mut c_void| {
        let dladdr = DLADDR.load(Relaxed);
        if dladdr.is_null() || pointer.is_null() {
            return core::ptr::null_mut();
        }
        let mut info = DlInfo {
            file_name: core::ptr::null(),
            base: core::ptr::null_mut(),
            symbol_name: core::ptr::null(),
            symbol: core::ptr::null_mut(),
        };
        // SAFETY: dladdr(3) takes any address and fills the structure.
        let found = unsafe {
            let dladdr: unsafe extern "C" fn(*const c_void, *mut DlInfo) -> c_int =
                core::mem::transmute(dladdr);
            dladdr(pointer, &mut info)
        };
        if found == 0 { core::ptr::null_mut() } else { info.base }
    };
    let malloc = base(malloc);
    if malloc.is_null() || malloc != base(usable_size) {
        USABLE_SIZE.store(core::ptr::null_mut(), Release);
    }
}
