//! System calls made directly: they touch neither errno nor the C library's hooks, ours included.
//!
//! x86_64 only, like `stack`; another architecture adds its `syscall` and `thread_pointer` here.

use core::arch::asm;
use core::ffi::CStr;
use core::sync::atomic::AtomicU32;

/// A system call with up to six arguments; the result is negative errno on failure (syscall(2)).
///
/// # Safety
/// The arguments must be valid for call `number`.
#[inline(always)]
pub(crate) unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel clobbers rcx and r11 only; the caller vouches for the arguments.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    result
}

/// The thread pointer: different for every live thread of a process (x86-64 psABI: `fs:0` holds it).
#[inline(always)]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: on x86_64 Linux `fs:0` is the thread control block's pointer to itself.
    unsafe { asm!("mov {}, fs:0", out(reg) pointer, options(nostack, pure, readonly)) };
    pointer
}

pub(crate) const CLOSE: usize = 3;
pub(crate) const FSTAT: usize = 5;
pub(crate) const MMAP: usize = 9;
pub(crate) const MUNMAP: usize = 11;
pub(crate) const MADVISE: usize = 28;
pub(crate) const GETPID: usize = 39;
pub(crate) const GETSOCKNAME: usize = 51;
pub(crate) const GETPEERNAME: usize = 52;
pub(crate) const GETSOCKOPT: usize = 55;
pub(crate) const KILL: usize = 62;
pub(crate) const PRCTL: usize = 157;
pub(crate) const SECCOMP: usize = 317;
pub(crate) const FTRUNCATE: usize = 77;
pub(crate) const UNLINK: usize = 87;
pub(crate) const FSTATFS: usize = 138;
pub(crate) const GETTID: usize = 186;
pub(crate) const FUTEX: usize = 202;
pub(crate) const TGKILL: usize = 234;
pub(crate) const OPENAT: usize = 257;
pub(crate) const PRLIMIT64: usize = 302;
pub(crate) const GETCWD: usize = 79;
pub(crate) const READLINKAT: usize = 267;
pub(crate) const NEWFSTATAT: usize = 262;
pub(crate) const STATX: usize = 332;

const O_RDWR: usize = 2;
const O_CREAT: usize = 0o100;
const O_EXCL: usize = 0o200;
const O_CLOEXEC: usize = 0o2000000;
const O_NOFOLLOW: usize = 0o400000;
pub(crate) const AT_FDCWD: i32 = -100;
const PROT_READ_WRITE: usize = 3;
const MAP_SHARED: usize = 1;
const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
const MADV_WIPEONFORK: usize = 18;
const FUTEX_WAIT: usize = 0;
const FUTEX_WAKE: usize = 1;

/// Most decimal digits of a number.
pub(crate) const DIGITS_MAX: usize = 20;

/// A number in decimal digits, written at the end of `digits`.
pub(crate) fn decimal(mut number: usize, digits: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut at = digits.len();
    while at > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    &digits[at..]
}

/// Ends the process at once.
pub(crate) fn abort() -> ! {
    loop {
        // SAFETY: an undefined instruction raises SIGILL; it touches nothing.
        unsafe { asm!("ud2", options(nostack)) };
    }
}

/// This process's id.
#[inline]
pub(crate) fn getpid() -> u32 {
    // SAFETY: takes no arguments.
    unsafe { syscall(GETPID, [0; 6]) as u32 }
}

/// This thread's id.
#[inline]
pub(crate) fn gettid() -> u32 {
    // SAFETY: takes no arguments.
    unsafe { syscall(GETTID, [0; 6]) as u32 }
}

/// Whether process `pid` exists, as far as we may see it.
pub(crate) fn alive(pid: u32) -> bool {
    const ESRCH: isize = -3;
    // SAFETY: signal 0 only checks.
    pid != 0 && unsafe { syscall(KILL, [pid as usize, 0, 0, 0, 0, 0]) } != ESRCH
}

/// Whether this process has a thread of that id.
pub(crate) fn thread_alive(tid: u32) -> bool {
    const ESRCH: isize = -3;
    // SAFETY: signal 0 only checks.
    unsafe { syscall(TGKILL, [getpid() as usize, tid as usize, 0, 0, 0, 0]) != ESRCH }
}

/// Maps the whole file at `path` (NUL-terminated), shared; creates it with `bytes` bytes if asked,
/// and then fails where it exists already. No descriptor stays open.
pub(crate) fn map_file(path: &[u8], bytes: usize, create: bool) -> Option<*mut u8> {
    if create && !may_write(bytes) {
        return None;
    }
    let flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | if create { O_CREAT | O_EXCL } else { 0 };
    // SAFETY: `path` ends with NUL and lives across the call.
    let fd = unsafe { syscall(OPENAT, [AT_FDCWD as usize, path.as_ptr() as usize, flags, 0o600, 0, 0]) };
    if fd < 0 {
        return None;
    }
    let fd = fd as usize;
    // SAFETY: `fd` is ours; the mapping is new, so nothing is overwritten; the path is as above.
    let address = unsafe {
        let sized = !create || has_room(fd) && syscall(FTRUNCATE, [fd, bytes, 0, 0, 0, 0]) == 0;
        let address = if sized {
            syscall(MMAP, [0, bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0])
        } else {
            -1
        };
        syscall(CLOSE, [fd, 0, 0, 0, 0, 0]);
        if create && address < 0 {
            syscall(UNLINK, [path.as_ptr() as usize, 0, 0, 0, 0, 0]);
        }
        address
    };
    (address > 0).then_some(address as *mut u8)
}

/// Whether a file of that size may be made: past RLIMIT_FSIZE the kernel sends SIGXFSZ, which ends the
/// program (setrlimit(2)).
fn may_write(bytes: usize) -> bool {
    const RLIMIT_FSIZE: usize = 1;
    let mut limit = [0usize; 2];
    // SAFETY: sets nothing; `limit` has room for the soft and the hard limit.
    let result =
        unsafe { syscall(PRLIMIT64, [0, RLIMIT_FSIZE, 0, limit.as_mut_ptr() as usize, 0, 0]) };
    result == 0 && limit[0] >= bytes
}

/// Whether the file system of `fd` has some room left: a page that it cannot give ends the program by
/// SIGBUS when it is first written (mmap(2)). A region without heap stacks writes less than this.
fn has_room(fd: usize) -> bool {
    const ROOM_BYTES: u64 = 16 << 20;
    // struct statfs of x86_64 has 15 words: f_bsize is the second, f_bavail the fifth (asm/statfs.h).
    let mut stat = [0u64; 15];
    // SAFETY: the buffer has the size of struct statfs.
    let result = unsafe { syscall(FSTATFS, [fd, stat.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    result == 0 && stat[4].saturating_mul(stat[1]) >= ROOM_BYTES
}

/// Fresh zeroed memory of this process alone.
pub(crate) fn map_private(bytes: usize) -> Option<*mut u8> {
    // SAFETY: a new anonymous mapping overwrites nothing.
    let address =
        unsafe { syscall(MMAP, [0, bytes, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, usize::MAX, 0]) };
    (address > 0).then_some(address as *mut u8)
}

/// Gives memory of [`map_private`] back.
///
/// # Safety
/// Nothing may use the mapping afterwards.
pub(crate) unsafe fn unmap(address: *mut u8, bytes: usize) {
    // SAFETY: the caller owns the mapping.
    unsafe { syscall(MUNMAP, [address as usize, bytes, 0, 0, 0, 0]) };
}

/// Asks the kernel to zero a page in the child of every fork (madvise(2), Linux 4.14).
pub(crate) fn wipe_on_fork(page: *mut u8, bytes: usize) -> bool {
    // SAFETY: `page` is anonymous memory of ours.
    unsafe { syscall(MADVISE, [page as usize, bytes, MADV_WIPEONFORK, 0, 0, 0]) == 0 }
}

/// Device and inode of `fd` folded into one word; 0 when it cannot be told.
#[inline]
pub(crate) fn inode(fd: i32) -> u64 {
    // struct stat of x86_64 is 144 bytes: st_dev at 0, st_ino at 8 (asm/stat.h).
    let mut stat = [0u64; 18];
    // SAFETY: the buffer has the size of struct stat.
    match unsafe { syscall(FSTAT, [fd as usize, stat.as_mut_ptr() as usize, 0, 0, 0, 0]) } {
        0 => folded(&stat),
        _ => 0,
    }
}

/// Device and inode, folded, of what a path leads to; 0 when it cannot be told.
pub(crate) fn inode_of(path: &CStr) -> u64 {
    let mut stat = [0u64; 18];
    // SAFETY: the path ends with NUL; the buffer has the size of struct stat.
    let result = unsafe {
        let (path, stat) = (path.as_ptr() as usize, stat.as_mut_ptr() as usize);
        syscall(NEWFSTATAT, [AT_FDCWD as usize, path, stat, 0, 0, 0])
    };
    if result == 0 { folded(&stat) } else { 0 }
}

/// Inode and birth of what a path that ends with NUL names, a link itself, folded (statx(2)): file systems
/// give an inode's number to the next file as soon as it is free. 0 when it cannot be told.
pub(crate) fn birth_at(path: &[u8]) -> u64 {
    const AT_SYMLINK_NOFOLLOW: usize = 0x100;
    const STATX_INO: usize = 0x100;
    const STATX_BTIME: usize = 0x800;
    // struct statx has 256 bytes: stx_mask at 0, stx_ino at 32, stx_btime at 80 (linux/stat.h).
    let mut stat = [0u64; 32];
    // SAFETY: the path ends with NUL; the buffer has the size of struct statx.
    let result = unsafe {
        let (path, to) = (path.as_ptr() as usize, stat.as_mut_ptr() as usize);
        let wants = STATX_INO | STATX_BTIME;
        syscall(STATX, [AT_FDCWD as usize, path, AT_SYMLINK_NOFOLLOW, wants, to, 0])
    };
    if result != 0 {
        return 0;
    }
    let is_born = stat[0] as usize & STATX_BTIME != 0;
    let (seconds, nanos) = if is_born { (stat[10], stat[11] & 0xffff_ffff) } else { (0, 0) };
    stat[4] ^ seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos).rotate_left(20)
}

/// Device and inode of a struct stat in one word.
fn folded(stat: &[u64; 18]) -> u64 {
    stat[1] ^ stat[0].rotate_left(40)
}

/// Whether something is there under a name, a dangling link included (newfstatat(2)). What cannot be
/// told is taken to be there.
pub(crate) fn exists(at: i32, path: *const u8) -> bool {
    const ENOENT: isize = -2;
    const AT_SYMLINK_NOFOLLOW: usize = 0x100;
    let mut stat = [0u64; 18];
    // SAFETY: the caller's path ends with NUL; the buffer has the size of struct stat.
    let result = unsafe {
        let stat = stat.as_mut_ptr() as usize;
        syscall(NEWFSTATAT, [at as usize, path as usize, stat, AT_SYMLINK_NOFOLLOW, 0, 0])
    };
    result != ENOENT
}

/// Whether this process may read a file (access(2), as the dynamic linker asks at each start of a program).
pub(crate) fn may_read(path: *const u8) -> bool {
    const ACCESS: usize = 21;
    const R_OK: usize = 4;
    // SAFETY: the path ends with NUL.
    unsafe { syscall(ACCESS, [path as usize, R_OK, 0, 0, 0, 0]) == 0 }
}

/// The working directory, without a NUL; none where it does not fit or cannot be told.
pub(crate) fn cwd(buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: the kernel writes at most the buffer's length and gives the length with its NUL.
    let len = unsafe { syscall(GETCWD, [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0, 0]) };
    // A directory outside of our root is told as "(unreachable)".
    (len > 1 && buffer[0] == b'/').then_some(len as usize - 1)
}

/// What the link at `path` (NUL-terminated) points to; none where it does not fit.
pub(crate) fn read_link(path: &[u8], buffer: &mut [u8]) -> Option<usize> {
    let (at, path, to) = (AT_FDCWD as usize, path.as_ptr() as usize, buffer.as_mut_ptr() as usize);
    // SAFETY: the path ends with NUL; the kernel writes at most the buffer's length.
    let len = unsafe { syscall(READLINKAT, [at, path, to, buffer.len(), 0, 0]) };
    (len > 0 && (len as usize) < buffer.len() && buffer[0] == b'/').then_some(len as usize)
}

/// Waits while `word` holds `value`, at most `seconds` (futex(2), shared between processes).
pub(crate) fn futex_wait(word: &AtomicU32, value: u32, seconds: u64) {
    let timeout = [seconds, 0];
    // SAFETY: the word and the timespec live across the call.
    unsafe {
        let timeout = timeout.as_ptr() as usize;
        syscall(FUTEX, [word.as_ptr() as usize, FUTEX_WAIT, value as usize, timeout, 0, 0])
    };
}

/// Wakes everyone who waits on `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word lives across the call.
    unsafe { syscall(FUTEX, [word.as_ptr() as usize, FUTEX_WAKE, i32::MAX as usize, 0, 0, 0]) };
}

/// Where the heap that grows by brk(2) ends now: asked for nothing, the kernel tells.
pub(crate) fn program_break() -> usize {
    const BRK: usize = 12;
    // SAFETY: an address below the heap's start changes nothing.
    unsafe { syscall(BRK, [0; 6]) as usize }
}
