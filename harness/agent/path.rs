//! Paths that are created: directories, files, links, sockets. Whether they are still there at the end
//! the supervisor asks the file system, so removing needs no hook.
//!
//! What lies below a directory that was created as well has no entry: the directory speaks for it. With a path
//! goes its birth: in a shared directory another process may make the same path again once this one is gone.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::sync::atomic::Ordering::*;

use crate::entry::{self, Facts};
use crate::next::forward;
use crate::note;
use crate::sys::{self, AT_FDCWD};
use crate::table::{ENTRY_PATH, ENTRY_TEXT, Entry, TEXT_HASH, text_hash};

pub(crate) const O_CREAT: c_int = 0o100;
const SHM: &[u8] = b"/dev/shm/";

/// A path that a call is about to create, seen before the call.
pub(crate) struct Coming {
    at: c_int,
    path: *const c_char,
    is_new: bool,
    /// Whether what is there already would be replaced.
    replaces: bool,
}

impl Coming {
    /// `path` relative to `at`; nothing where it is there already or this process is not measured.
    pub(crate) fn new(at: c_int, path: *const c_char) -> Self {
        let is_new = !path.is_null() && entry::table().is_some() && !sys::exists(at, path.cast());
        Self { at, path, is_new, replaces: false }
    }

    /// The same for a call that creates only with `O_CREAT`.
    #[inline]
    pub(crate) fn open(at: c_int, path: *const c_char, flags: c_int) -> Self {
        if flags & O_CREAT == 0 {
            return Self { at, path, is_new: false, replaces: false };
        }
        Self::new(at, path)
    }

    /// The same for a call that puts something in the place of what is there.
    fn rename(at: c_int, path: *const c_char) -> Self {
        Self { replaces: true, ..Self::new(at, path) }
    }

    /// Enters the path if the call has created it; gives the call's result back.
    pub(crate) fn came(self, result: c_int) -> c_int {
        if result >= 0 && !self.is_new && self.replaces && !self.path.is_null() {
            // SAFETY: as below.
            replaced(self.at, unsafe { CStr::from_ptr(self.path) }.to_bytes());
        }
        if result >= 0 && self.is_new {
            // SAFETY: the caller's path ends with NUL, and the kernel has just read it.
            created(self.at, unsafe { CStr::from_ptr(self.path) }.to_bytes());
        }
        result
    }
}

/// Enters a path that was created, relative to `at`.
#[cold]
pub(crate) fn created(at: c_int, path: &[u8]) {
    let Some((region, control)) = entry::table() else { return };
    // The last byte stays NUL.
    let mut absolute = [0u8; ENTRY_TEXT + 1];
    let Some(len) = resolve(at, path, &mut absolute[..ENTRY_TEXT]) else { return };
    let birth = sys::birth_at(&absolute);
    let path = &absolute[..len];
    let mut hash = TEXT_HASH;
    let mut from = 0;
    while let Some(slash) = path[from + 1..].iter().position(|byte| *byte == b'/') {
        let to = from + 1 + slash;
        hash = text_hash(hash, &path[from..to]);
        if entry::find(region, ENTRY_PATH, hash).is_some() {
            return;
        }
        from = to;
    }
    let hash = text_hash(hash, &path[from..]);
    if !entry::has_room(region, ENTRY_PATH, hash) {
        // Removing a path needs no hook, so the entries of what has gone are still there.
        entry::forget_over(region, ENTRY_PATH, hash, has_gone);
    }
    let facts = Facts { text: path, value: birth, ..Facts::default() };
    entry::put(region, control, ENTRY_PATH, hash, note::stack_id(region, control), facts);
}

/// A path that may have an entry leads to something else now.
#[cold]
fn replaced(at: c_int, path: &[u8]) {
    let Some((region, _)) = entry::table() else { return };
    let mut absolute = [0u8; ENTRY_TEXT + 1];
    let Some(len) = resolve(at, path, &mut absolute[..ENTRY_TEXT]) else { return };
    let parts = absolute[1..len].split(|byte| *byte == b'/');
    // As `created` has it: each part with the slash before it.
    let hash = parts.fold(TEXT_HASH, |hash, part| text_hash(text_hash(hash, b"/"), part));
    if let Some(entry) = entry::find(region, ENTRY_PATH, hash) {
        entry.value.store(sys::birth_at(&absolute), Release);
    }
}

/// Whether the path of an entry is no longer there.
fn has_gone(entry: &Entry) -> bool {
    let mut path = [0u8; ENTRY_TEXT + 1];
    let len = (entry.text.len.load(Relaxed) as usize).min(ENTRY_TEXT);
    for (to, from) in path[..len].iter_mut().zip(&entry.text.bytes) {
        *to = from.load(Relaxed);
    }
    !sys::exists(AT_FDCWD, path.as_ptr())
}

/// The absolute form of a path, without a slash at its end; none where it does not fit.
fn resolve(at: c_int, path: &[u8], to: &mut [u8]) -> Option<usize> {
    let path = match path {
        [rest @ .., b'/'] if !rest.is_empty() => rest,
        path => path,
    };
    let mut len = match path.first()? {
        b'/' => 0,
        _ if at == AT_FDCWD => sys::cwd(to)?,
        _ => descriptor(at, to)?,
    };
    if len > 0 && to[len - 1] != b'/' {
        *to.get_mut(len)? = b'/';
        len += 1;
    }
    to.get_mut(len..len + path.len())?.copy_from_slice(path);
    Some(len + path.len())
}

/// The path of an open directory.
fn descriptor(fd: c_int, to: &mut [u8]) -> Option<usize> {
    const LINKS: &[u8] = b"/proc/self/fd/";
    // One byte stays for the NUL.
    let mut link = [0u8; LINKS.len() + sys::DIGITS_MAX + 1];
    let (directory, number) = link.split_at_mut(LINKS.len());
    directory.copy_from_slice(LINKS);
    let mut digits = [0; sys::DIGITS_MAX];
    let digits = sys::decimal(usize::try_from(fd).ok()?, &mut digits);
    number[..digits.len()].copy_from_slice(digits);
    sys::read_link(&link, to)
}

/// Enters the file behind a name of shm_open(3) or sem_open(3), below `/dev/shm` on Linux.
pub(crate) fn created_shm(prefix: &[u8], name: *const c_char) {
    let mut path = [0u8; ENTRY_TEXT];
    // SAFETY: the caller's name ends with NUL.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    let name = name.strip_prefix(b"/").unwrap_or(name);
    let mut len = 0;
    for part in [SHM, prefix, name] {
        let Some(room) = path.get_mut(len..len + part.len()) else { return };
        room.copy_from_slice(part);
        len += part.len();
    }
    created(AT_FDCWD, &path[..len]);
}

/// Hooks that create the path among their arguments.
macro_rules! creates {
    ($coming:ident: $($(#[$doc:meta])* $name:ident = $slot:ident ($($argument:ident: $type:ty),*) at $at:expr, $path:ident;)*) => {
        $($(#[$doc])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            let coming = Coming::$coming($at, $path);
            coming.came(forward!($slot as unsafe extern "C" fn($($type),*) -> c_int, ($($argument),*), else -1))
        })*
    };
}

creates! {
    new:
    /// mkdir(2).
    mkdir = MKDIR(path: *const c_char, mode: c_uint) at AT_FDCWD, path;
    /// mkdirat(2).
    mkdirat = MKDIRAT(at: c_int, path: *const c_char, mode: c_uint) at at, path;
    /// mkfifo(3).
    mkfifo = MKFIFO(path: *const c_char, mode: c_uint) at AT_FDCWD, path;
    /// link(2).
    link = LINK(old: *const c_char, new: *const c_char) at AT_FDCWD, new;
    /// linkat(2).
    linkat = LINKAT(old_at: c_int, old: *const c_char, at: c_int, new: *const c_char, flags: c_int) at at, new;
    /// symlink(2).
    symlink = SYMLINK(target: *const c_char, new: *const c_char) at AT_FDCWD, new;
    /// symlinkat(2).
    symlinkat = SYMLINKAT(target: *const c_char, at: c_int, new: *const c_char) at at, new;
}

creates! {
    rename:
    /// rename(2): the new name.
    rename = RENAME(old: *const c_char, new: *const c_char) at AT_FDCWD, new;
    /// renameat(2).
    renameat = RENAMEAT(old_at: c_int, old: *const c_char, at: c_int, new: *const c_char) at at, new;
    /// renameat2(2).
    renameat2 = RENAMEAT2(old_at: c_int, old: *const c_char, at: c_int, new: *const c_char, flags: c_uint) at at, new;
}

/// mkdtemp(3): the template has become the name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdtemp(template: *mut c_char) -> *mut c_char {
    let made = forward!(MKDTEMP as unsafe extern "C" fn(*mut c_char) -> *mut c_char, (template), else core::ptr::null_mut());
    if !made.is_null() {
        // SAFETY: on success it is the template, which ends with NUL.
        created(AT_FDCWD, unsafe { CStr::from_ptr(made) }.to_bytes());
    }
    made
}

/// bind(2): a Unix socket's name is a file (unix(7)).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bind(socket: c_int, address: *const c_void, len: c_uint) -> c_int {
    type Bind = unsafe extern "C" fn(c_int, *const c_void, c_uint) -> c_int;
    const AF_UNIX: u16 = 1;
    const FAMILY: usize = 2;
    let result = forward!(BIND as Bind, (socket, address, len), else -1);
    if result == 0 && len as usize > FAMILY {
        // SAFETY: the kernel has just read an address of `len` bytes there.
        let bytes = unsafe { core::slice::from_raw_parts(address.cast::<u8>(), len as usize) };
        let path = bytes[FAMILY..].split(|byte| *byte == 0).next().unwrap_or_default();
        // An abstract name starts with NUL and is no file.
        if u16::from_ne_bytes([bytes[0], bytes[1]]) == AF_UNIX && !path.is_empty() {
            created(AT_FDCWD, path);
        }
    }
    result
}

/// sem_open(3), variadic: its file is `/dev/shm/sem.NAME`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sem_open(name: *const c_char, flags: c_int, mode: c_uint, value: c_uint) -> *mut c_void {
    type SemOpen = unsafe extern "C" fn(*const c_char, c_int, c_uint, c_uint) -> *mut c_void;
    let made = forward!(SEM_OPEN as SemOpen, (name, flags, mode, value), else core::ptr::null_mut());
    if !made.is_null() && flags & O_CREAT != 0 {
        created_shm(b"sem.", name);
    }
    made
}
