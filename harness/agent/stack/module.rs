//! Which loaded module holds an address, and where its unwind table is. Runs on cache misses only.
//!
//! Two sources:
//! - `_dl_find_object` (glibc 2.35 and later; glibc manual, "Dynamic Linker Introspection"):
//!   lock-free, async-signal-safe, sees a module as soon as its constructors run. Of a module with
//!   holes it tells the one segment asked for.
//! - a copy of what `dl_iterate_phdr` says, taken at load and after each `dlopen` and `dlclose`,
//!   and never from a hook: that function takes the loader's lock, which some other thread may hold
//!   while it waits for the one we stand in.
//!
//! The first says which module, the second adds its true extent and program headers.
//! Without the first, code of a module that is not in the copy ends a stack early, nothing worse.

use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use core::{mem, ptr, slice};

use super::arch::{self, WORD};
use super::cfi::{Image, Segment};
use super::module_copy as copy;

pub(crate) const PAGE: usize = 4096;
/// Program header types and flags, System V gABI, chapter 5.
pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PF_W: u32 = 2;
const PF_R: u32 = 4;

/// What the agent tells the supervisor, so that an address can be symbolised after the process is
/// gone.
/// `name` is the loader's: empty for the program itself, and gone with the module.
pub(crate) type Hook =
    fn(module_start: usize, module_end: usize, load_bias: usize, name: *const c_char);

/// A loaded module.
#[derive(Clone, Copy)]
pub(crate) struct Module {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) load_bias: usize,
    pub(crate) name: *const c_char,
    /// Address of `.eh_frame_hdr`.
    pub(crate) unwind_header: usize,
    /// Address and number of the program headers, if the copy has them.
    pub(crate) headers: Option<(usize, usize)>,
}

/// `struct dl_find_object` of `<dlfcn.h>` where there is no `dlfo_eh_dbase`: all but 32-bit x86 and
/// the like.
#[repr(C)]
struct FoundObject {
    flags: u64,
    map_start: usize,
    map_end: usize,
    link_map: *const LinkMap,
    eh_frame: usize,
    reserved: [u64; 7],
}

/// The public head of `struct link_map` of `<link.h>`.
#[repr(C)]
struct LinkMap {
    load_bias: usize,
    name: *const c_char,
}

type FindObject = unsafe extern "C" fn(pc: *const c_void, result: *mut FoundObject) -> c_int;
pub(crate) type Visitor =
    unsafe extern "C" fn(info: *const PhdrInfo, size: usize, data: *mut c_void) -> c_int;
pub(crate) type IteratePhdr = unsafe extern "C" fn(visitor: Visitor, data: *mut c_void) -> c_int;

static FIND_OBJECT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static ITERATE_PHDR: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Remembers the two optional symbols and takes the first copy.
///
/// # Safety
/// Each is null or the function of that name of this process's C library.
pub(crate) unsafe fn init(dl_find_object: *const c_void, dl_iterate_phdr: *const c_void) {
    ITERATE_PHDR.store(dl_iterate_phdr.cast_mut(), Relaxed);
    FIND_OBJECT.store(dl_find_object.cast_mut(), Release);
    refresh();
}

/// Takes the copy again.
pub(crate) fn refresh() {
    let iterate = ITERATE_PHDR.load(Relaxed);
    if !iterate.is_null() {
        // SAFETY: `init` was given the C library's function of this name, and this is its type.
        copy::take(unsafe { mem::transmute::<*mut c_void, IteratePhdr>(iterate) });
    }
}

/// The module that holds `pc`, if it has an unwind table.
pub(crate) fn find(pc: usize) -> Option<Module> {
    let find_object = FIND_OBJECT.load(Acquire);
    if find_object.is_null() {
        return copy::find(|module| (module.start..module.end).contains(&pc));
    }
    // SAFETY: `init` was given the C library's function of this name, and this is its type.
    let find_object = unsafe { mem::transmute::<*mut c_void, FindObject>(find_object) };
    let mut found = FoundObject {
        flags: 0,
        map_start: 0,
        map_end: 0,
        link_map: ptr::null(),
        eh_frame: 0,
        reserved: [0; 7],
    };
    // SAFETY: takes any address, fills the struct on success; it has no lock and does not allocate.
    let status = unsafe { find_object(pc as *const c_void, &mut found) };
    if status != 0 || found.eh_frame == 0 || found.link_map.is_null() {
        return None;
    }
    if let Some(module) = copy::find(|module| module.unwind_header == found.eh_frame) {
        return Some(module);
    }
    // SAFETY: a live module's link map; `pc` is on this thread's stack, so the module may not be
    // closed meanwhile.
    let link_map = unsafe { &*found.link_map };
    Some(Module {
        start: found.map_start,
        end: found.map_end,
        load_bias: link_map.load_bias,
        name: link_map.name,
        unwind_header: found.eh_frame,
        headers: None,
    })
}

impl Module {
    /// The bytes that may be read for unwinding: the read-only segments, by the module's own
    /// program headers.
    /// (A linker script that makes `.eh_frame` writable, or leaves the headers out of memory, costs
    /// the rules.)
    pub(crate) fn unwind_image(&self) -> Option<Image<'static>> {
        let headers = self.program_headers()?;
        let mut image = Image::default();
        for header in headers {
            let address = self.load_bias.wrapping_add(header.vaddr as usize);
            let length = header.filesz as usize;
            let is_inside = address >= self.start && address.checked_add(length)? <= self.end;
            if header.kind == PT_LOAD && header.flags & (PF_R | PF_W) == PF_R && is_inside {
                // SAFETY: a readable, unwritable segment of a module that is executing: mapped, and
                // not changing.
                let bytes = unsafe { slice::from_raw_parts(address as *const u8, length) };
                if !image.add(Segment { bytes, address }) {
                    break;
                }
            }
        }
        Some(image)
    }

    /// From the copy, else by the ELF header, which is at the start of the mapping.
    /// Either may be out of date or mistaken, so they are believed only if they name our unwind
    /// table.
    fn program_headers(&self) -> Option<&'static [ProgramHeader]> {
        let (first, count) = self.headers.or_else(|| self.headers_by_elf())?;
        let length = count.checked_mul(size_of::<ProgramHeader>())?;
        // At most a page long, so its two ends are in all the pages it touches.
        let is_plausible =
            (1..=PAGE).contains(&length) && first.is_multiple_of(align_of::<ProgramHeader>());
        if !is_plausible
            || !arch::is_readable(first)
            || !arch::is_readable(first.checked_add(length - WORD)?)
        {
            return None;
        }
        // SAFETY: aligned, plain integers, and just seen to be readable.
        let headers = unsafe { slice::from_raw_parts(first as *const ProgramHeader, count) };
        let names_our_table = |header: &ProgramHeader| {
            header.kind == PT_GNU_EH_FRAME
                && self.load_bias.wrapping_add(header.vaddr as usize) == self.unwind_header
        };
        headers.iter().any(names_our_table).then_some(headers)
    }

    /// BOLT moves the program headers far from the first page, to the same offset in file and
    /// memory.
    fn headers_by_elf(&self) -> Option<(usize, usize)> {
        if !self.start.is_multiple_of(PAGE) || !arch::is_readable(self.start) {
            return None;
        }
        // SAFETY: the first page of a mapped module, just seen to be readable; `ElfHeader` is plain
        // integers.
        let elf = unsafe { &*(self.start as *const ElfHeader) };
        let is_elf =
            elf.magic == *b"\x7fELF" && usize::from(elf.phentsize) == size_of::<ProgramHeader>();
        let first = self.start.checked_add(elf.phoff as usize)?;
        is_elf.then_some((first, usize::from(elf.phnum)))
    }
}

/// `Elf64_Ehdr`, System V gABI, chapter 4.
#[repr(C)]
struct ElfHeader {
    magic: [u8; 4],
    ident: [u8; 12],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    phoff: u64,
    shoff: u64,
    flags: u32,
    ehsize: u16,
    phentsize: u16,
    phnum: u16,
    shentsize: u16,
    shnum: u16,
    shstrndx: u16,
}

/// `Elf64_Phdr`, System V gABI, chapter 5.
#[repr(C)]
pub(crate) struct ProgramHeader {
    pub(crate) kind: u32,
    flags: u32,
    offset: u64,
    pub(crate) vaddr: u64,
    paddr: u64,
    filesz: u64,
    pub(crate) memsz: u64,
    align: u64,
}

/// The head of `struct dl_phdr_info` of `<link.h>`.
#[repr(C)]
pub(crate) struct PhdrInfo {
    pub(crate) load_bias: usize,
    pub(crate) name: *const c_char,
    pub(crate) headers: *const ProgramHeader,
    pub(crate) header_count: u16,
}

/// The modules already told to the hook, by start address. Open addressing, claimed by
/// compare-and-swap.
/// When it is full a module is told again at each miss: rare, and the hook keeps its list by start
/// address anyway.
static TOLD: [AtomicUsize; TOLD_MAX] = [const { AtomicUsize::new(0) }; TOLD_MAX];
const TOLD_MAX: usize = 512;

/// True for one caller per module, until [`forget_told`].
pub(crate) fn is_first_meeting(module: &Module) -> bool {
    let hash = module.start / PAGE;
    for probe in 0..TOLD_MAX {
        let slot = &TOLD[hash.wrapping_add(probe) % TOLD_MAX];
        let mut seen = slot.load(Relaxed);
        if seen == 0 {
            match slot.compare_exchange(0, module.start, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(winner) => seen = winner,
            }
        }
        if seen == module.start {
            return false;
        }
    }
    true
}

/// After a `dlclose` another module may take the same address.
pub(crate) fn forget_told() {
    for slot in &TOLD {
        slot.store(0, Relaxed);
    }
}
