//! Which region is mine: found with two loads, and renewed by itself in the child of a fork.
//!
//! The pointer to the region lies on a page that the kernel wipes in the child of every fork
//! (MADV_WIPEONFORK). So the child finds a null where the parent's pointer was, whatever made it
//! (fork, clone, a raw system call), and opens a region of its own at its first note.

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering::*};

use crate::heap;
use crate::sys;
use crate::table::{
    CONTROL_FILE, Control, FLAG_FD_STACKS, FLAG_HOLDERS, MAGIC, Region, SHARDS, STAGE_START, Shard,
};

/// A page of its own, so that wiping it takes nothing else along.
#[repr(C, align(4096))]
struct Page {
    region: AtomicPtr<Region>,
    /// The region's shards where heap notes may go the short way (`heap.rs`), else null.
    counting: AtomicPtr<[Shard; SHARDS + 1]>,
    /// The region where heap notes may go the short way past what is not sampled, else null.
    sampling: AtomicPtr<Region>,
    /// 1 once the child has tried to open its region.
    entered: AtomicU32,
}

const PATH_BYTES: usize = 512;

/// Lies in .bss, past what the file backs: anonymous memory, as MADV_WIPEONFORK asks for.
static PAGE: Page = Page {
    region: AtomicPtr::new(core::ptr::null_mut()),
    counting: AtomicPtr::new(core::ptr::null_mut()),
    sampling: AtomicPtr::new(core::ptr::null_mut()),
    entered: AtomicU32::new(0),
};
static CONTROL: AtomicPtr<Control> = AtomicPtr::new(core::ptr::null_mut());

/// The trial's directory, without a slash at the end; written once, before there are threads.
struct Directory(UnsafeCell<[u8; PATH_BYTES]>);
// SAFETY: written by the constructor alone, read afterwards.
unsafe impl Sync for Directory {}
static DIRECTORY: Directory = Directory(UnsafeCell::new([0; PATH_BYTES]));
static DIRECTORY_LEN: AtomicUsize = AtomicUsize::new(0);

/// Remembers the trial's directory; false where it is too long to be one of ours.
pub(crate) fn set_directory(path: &[u8]) -> bool {
    if path.is_empty() || path.len() + 64 > PATH_BYTES {
        return false;
    }
    // SAFETY: only the constructor calls this, before any other thread exists.
    unsafe { (&mut (*DIRECTORY.0.get()))[..path.len()].copy_from_slice(path) };
    DIRECTORY_LEN.store(path.len(), Release);
    true
}

/// The trial's directory.
pub(crate) fn directory() -> &'static [u8] {
    // SAFETY: written before `DIRECTORY_LEN`, never again.
    unsafe { (&(*DIRECTORY.0.get())).get_unchecked(..DIRECTORY_LEN.load(Acquire)) }
}

/// Maps the trial's control file and opens this process's region. Where either fails the process
/// stays unmeasured, and the supervisor knows it by the missing region.
pub(crate) fn enter() {
    let mut path = Path::new();
    path.push(b"/").push(CONTROL_FILE.as_bytes());
    let Some(control) = sys::map_file(path.terminated(), size_of::<Control>(), false) else { return };
    let control: *mut Control = control.cast();
    // SAFETY: the mapping has the size of a Control, and all-atomic zeroes are a valid one.
    if unsafe { (*control).magic.load(Acquire) } != MAGIC {
        return;
    }
    if !sys::wipe_on_fork((&raw const PAGE).cast_mut().cast(), size_of::<Page>()) {
        return;
    }
    CONTROL.store(control, Release);
    // SAFETY: as above; the mapping lives as long as the process.
    crate::hold::claim(unsafe { &*control });
    PAGE.entered.store(1, Release);
    renew(0);
}

/// The region of this process, if it has one.
#[inline(always)]
pub(crate) fn region() -> Option<&'static Region> {
    let region = PAGE.region.load(Relaxed);
    if region.is_null() {
        return forked();
    }
    // SAFETY: a region stays mapped for the life of the process.
    Some(unsafe { &*region })
}

/// Whether `region` is that of the calling process. The child of a vfork writes in its parent's memory, but
/// its descriptors and its state are its own: the kernel is asked who this is.
pub(crate) fn is_own(region: &Region) -> bool {
    sys::getpid() == region.pid.load(Relaxed)
}

/// The shards of this process's region, if it has one and only counts its heap, the short way.
#[inline(always)]
pub(crate) fn counting() -> Option<&'static [Shard; SHARDS + 1]> {
    // SAFETY: as for `region`.
    unsafe { PAGE.counting.load(Relaxed).as_ref() }
}

/// The region of this process, if it has one and samples its heap, the short way past most blocks.
#[inline(always)]
pub(crate) fn sampling() -> Option<&'static Region> {
    // SAFETY: as for `region`.
    unsafe { PAGE.sampling.load(Relaxed).as_ref() }
}

/// The trial's control file, if this process is measured.
#[inline(always)]
pub(crate) fn control() -> Option<&'static Control> {
    // SAFETY: the control file stays mapped for the life of the process.
    unsafe { CONTROL.load(Acquire).as_ref() }
}

/// The control file for those outside.
pub(crate) fn control_ptr() -> *const Control {
    CONTROL.load(Acquire)
}

/// Whether descriptors get a stack: not while the main process is still entering, where all that is
/// made is the harness's own.
#[inline(always)]
pub(crate) fn wants_fd_stacks(control: &Control) -> bool {
    control.flags.load(Relaxed) & FLAG_FD_STACKS != 0 && control.stage.load(Relaxed) != STAGE_START
}

#[cold]
#[inline(never)]
fn forked() -> Option<&'static Region> {
    // One try for each process: the child of a fork has one thread, and a signal handler in it may
    // come in between.
    if CONTROL.load(Acquire).is_null() || PAGE.entered.swap(1, AcqRel) != 0 {
        return None;
    }
    // The new region must hear of every module again.
    crate::stack::after_fork();
    renew(1);
    // SAFETY: a region stays mapped for the life of the process.
    unsafe { PAGE.region.load(Acquire).as_ref() }
}

/// Opens a new region for this process. `forked` is 1 in the child of a fork.
fn renew(forked: u32) {
    const IMAGES: usize = 1000;
    let pid = sys::getpid();
    for image in 0..IMAGES {
        let mut path = Path::new();
        path.push(b"/").number(pid as usize).push(b"-").number(image);
        path.push(crate::table::REGION_ENDING.as_bytes());
        let Some(region) = sys::map_file(path.terminated(), size_of::<Region>(), true) else {
            if path.exists() {
                continue;
            }
            return;
        };
        let region: *mut Region = region.cast();
        // SAFETY: the mapping has the size of a Region, and zeroes are a valid one.
        let shared = unsafe { &*region };
        shared.pid.store(pid, Relaxed);
        shared.forked_from.store(forked, Relaxed);
        if forked == 0 {
            shared.early_end.store(sys::program_break(), Relaxed);
        }
        if let Some(control) = control() {
            shared.born_sample.store(control.sample.load(Relaxed), Relaxed);
            let interval = heap::interval(control);
            let holders = control.flags.load(Relaxed) & FLAG_HOLDERS != 0;
            shared.heap_interval.store(interval, Relaxed);
            shared.wipes.store((holders && interval == 1).into(), Relaxed);
        }
        shared.magic.store(MAGIC, Release);
        PAGE.region.store(region, Release);
        if heap::has_short_way() {
            match shared.heap_interval.load(Relaxed) {
                0 => PAGE.counting.store((&raw const shared.shards).cast_mut(), Release),
                1 => {}
                _ => PAGE.sampling.store(region, Release),
            }
        }
        return;
    }
}

/// A path below the trial's directory, built without an allocator.
struct Path {
    bytes: [u8; PATH_BYTES],
    len: usize,
}

impl Path {
    fn new() -> Self {
        let mut path = Self { bytes: [0; PATH_BYTES], len: 0 };
        path.push(directory());
        path
    }

    fn push(&mut self, part: &[u8]) -> &mut Self {
        for &byte in part {
            // One byte stays for the NUL.
            if self.len + 1 < PATH_BYTES {
                self.bytes[self.len] = byte;
                self.len += 1;
            }
        }
        self
    }

    fn number(&mut self, number: usize) -> &mut Self {
        self.push(sys::decimal(number, &mut [0; sys::DIGITS_MAX]))
    }

    fn terminated(&self) -> &[u8] {
        &self.bytes[..self.len + 1]
    }

    /// Whether the file is there: tells a taken name from a directory that cannot be written.
    fn exists(&self) -> bool {
        const ACCESS: usize = 21;
        let Ok(path) = CStr::from_bytes_until_nul(&self.bytes) else { return false };
        // SAFETY: the path ends with NUL.
        unsafe { sys::syscall(ACCESS, [path.as_ptr() as usize, 0, 0, 0, 0, 0]) == 0 }
    }
}
