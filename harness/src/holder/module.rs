//! The modules of a stopped process, and where each thread has their thread-local storage.
//!
//! The dynamic linker's list of modules is public (`<link.h>`, `struct r_debug`, found by the program's
//! `DT_DEBUG`). Which number a module's thread-local storage has, and where the C library keeps a thread's
//! table of them and its pthread keys, is told by what it exports for libthread_db
//! (`nptl_db/structs.def` of glibc: `_thread_db_*`): so no offset of one version is written down here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{Endianness, Object as _, ObjectSymbol as _, elf};

use super::memory::{Memory, WORD};
use crate::probe::Unavailable;
use crate::symbol::{AGENT, Bytes};

/// A list that is longer is no list.
const MODULES_MAX: usize = 4096;

/// A loaded module.
#[derive(Debug, Clone)]
pub(super) struct Module {
    pub(super) path: PathBuf,
    /// What to subtract from an address for the one in the file.
    pub(super) bias: u64,
    /// Its segments that can be written, as they are in memory; none of the agent's.
    pub(super) data: Vec<(u64, u64)>,
    /// All of it, as it is in memory.
    pub(super) span: (u64, u64),
    /// The number of its thread-local storage, and its size in bytes.
    pub(super) tls: Option<(u64, u64)>,
    /// Whether it is the C library.
    pub(super) is_libc: bool,
    /// Whether it is the dynamic linker.
    pub(super) is_linker: bool,
}

/// Where the C library keeps what of a thread, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct ThreadLayout {
    /// Size of a thread's control block.
    pub(super) block_bytes: u64,
    /// Where in it the table of thread-local storage is named.
    vector: u64,
    /// Where in it the first pthread keys are, and how many with their words.
    pub(super) keys: u64,
    /// Number in the linker's module of its thread-local storage.
    module_number: u64,
}

/// Keys whose values lie in the control block (glibc, `PTHREAD_KEY_2NDLEVEL_SIZE`), each two words.
pub(super) const KEYS: u64 = 32;
pub(super) const KEY_BYTES: u64 = 2 * WORD;

/// Reads the modules of a process that runs `program`.
pub(super) fn modules(
    pid: u32,
    memory: &Memory,
    program: &Path,
) -> Result<(Vec<Module>, ThreadLayout), Unavailable> {
    let listed = linked(pid, memory, program)?;
    let mut layout = None;
    let mut modules = Vec::new();
    for (path, bias, link) in listed {
        let bytes = Bytes::of(&path).ok_or_else(|| unreadable(&path))?;
        let elf = ElfFile64::<Endianness>::parse(&*bytes).map_err(|_| unreadable(&path))?;
        if layout.is_none() {
            layout = thread_layout(&elf);
        }
        modules.push((Module::of(path, bias, &elf), link));
    }
    let layout = layout.ok_or_else(|| {
        Unavailable::new(
            "its C library does not tell how it keeps threads (`_thread_db_*` of glibc)",
        )
    })?;
    let numbered = |(mut module, link): (Module, u64)| {
        let number = memory.word(link + layout.module_number)?;
        module.tls = module.tls.map(|(_, bytes)| (number, bytes)).filter(|_| number != 0);
        Ok(module)
    };
    let modules = modules.into_iter().map(numbered).collect::<Result<_, Unavailable>>()?;
    Ok((modules, layout))
}

impl Module {
    fn of(path: PathBuf, bias: u64, elf: &ElfFile64<'_, Endianness>) -> Self {
        let endian = elf.endian();
        let mut data = Vec::new();
        let mut tls = None;
        let mut span = (u64::MAX, 0);
        for segment in elf.elf_program_headers() {
            let start = segment.p_vaddr(endian).wrapping_add(bias);
            let end = start.saturating_add(segment.p_memsz(endian));
            match segment.p_type(endian) {
                elf::PT_LOAD => {
                    span = (span.0.min(start), span.1.max(end));
                    if segment.p_flags(endian).contains(elf::PF_W) {
                        data.push((start, end));
                    }
                }
                elf::PT_TLS => tls = Some((0, segment.p_memsz(endian))),
                _ => {}
            }
        }
        let name = path.file_name().unwrap_or_default().as_bytes();
        let starts = |names: &[&str]| names.iter().any(|start| name.starts_with(start.as_bytes()));
        let (is_libc, is_linker) =
            (starts(&["libc.so", "libc-2."]), starts(&["ld-linux", "ld-2."]));
        let mut module = Self { path, bias, data, span, tls, is_libc, is_linker };
        if module.is_agent() {
            // What it has noted is no pointer of the program's.
            module.data.clear();
        }
        module
    }
}

impl Module {
    /// Whether it is our own sensor in the process.
    pub(super) fn is_agent(&self) -> bool {
        self.path.file_name() == Some(OsStr::new(AGENT))
    }
}

/// Path, bias and place in the linker's list of each module.
fn linked(
    pid: u32,
    memory: &Memory,
    program: &Path,
) -> Result<Vec<(PathBuf, u64, u64)>, Unavailable> {
    const DEBUG_LIST: u64 = WORD;
    const NAME: u64 = WORD;
    const NEXT: u64 = 3 * WORD;
    let list = memory.word(debug(pid, memory, program)? + DEBUG_LIST)?;
    let mut modules = Vec::new();
    let mut at = list;
    while at != 0 && modules.len() < MODULES_MAX {
        let bias = memory.word(at)?;
        let name = memory.text(memory.word(at + NAME)?)?;
        let path =
            if at == list { program.to_owned() } else { PathBuf::from(OsStr::from_bytes(&name)) };
        // The kernel's own (`linux-vdso.so.1`) has no file.
        if path.is_absolute() {
            modules.push((path, bias, at));
        }
        at = memory.word(at + NEXT)?;
    }
    Ok(modules)
}

/// Address of the linker's `struct r_debug`.
fn debug(pid: u32, memory: &Memory, program: &Path) -> Result<u64, Unavailable> {
    let unknown = || Unavailable::new("the list of its modules was not found (`DT_DEBUG`)");
    let bytes = Bytes::of(program).ok_or_else(|| unreadable(program))?;
    let elf = ElfFile64::<Endianness>::parse(&*bytes).map_err(|_| unknown())?;
    let endian = elf.endian();
    let entry = elf.elf_header().e_entry(endian);
    let bias = auxiliary(pid, libc::AT_ENTRY).ok_or_else(unknown)?.wrapping_sub(entry);
    let headers = elf.elf_program_headers().iter();
    let dynamic = headers.clone().find(|header| header.p_type(endian) == elf::PT_DYNAMIC);
    let dynamic = dynamic.ok_or_else(|| Unavailable::new("it is linked statically"))?;
    let start = dynamic.p_vaddr(endian).wrapping_add(bias);
    for at in (start..start.saturating_add(dynamic.p_memsz(endian))).step_by(2 * WORD as usize) {
        match memory.word(at)? {
            0 => break,
            tag if tag == elf::DT_DEBUG.0 as u64 => return memory.word(at + WORD),
            _ => {}
        }
    }
    Err(unknown())
}

fn unreadable(path: &Path) -> Unavailable {
    Unavailable::new(format!("{} is no ELF file that can be read", path.display()))
}

/// A value that the kernel has given the program (getauxval(3)), by `/proc/PID/auxv`.
fn auxiliary(pid: u32, kind: u64) -> Option<u64> {
    let bytes = std::fs::read(format!("/proc/{pid}/auxv")).ok()?;
    let words: Vec<u64> = super::memory::words_of(&bytes).collect();
    words.chunks_exact(2).find(|pair| pair[0] == kind).map(|pair| pair[1])
}

/// How the C library keeps a thread, where this file is the C library.
fn thread_layout(elf: &ElfFile64<'_, Endianness>) -> Option<ThreadLayout> {
    const FIELD: &str = "_thread_db_";
    let bytes = |name: &str, len: u64| {
        let full = format!("{FIELD}{name}");
        let symbol = elf.dynamic_symbols().find(|symbol| symbol.name() == Ok(&full))?;
        read_file(elf, symbol.address(), len)
    };
    let number = |bytes: &[u8], at: usize| {
        let part = bytes.get(4 * at..4 * at + 4)?;
        Some(u64::from(u32::from_ne_bytes(part.try_into().ok()?)))
    };
    // Bits of one element, number of them, offset in bytes.
    let offset = |name: &str| number(bytes(name, 12)?, 2);
    Some(ThreadLayout {
        block_bytes: number(bytes("sizeof_pthread", 4)?, 0)?,
        vector: offset("pthread_dtvp")?,
        // The first ones stand before the pointers to the rest.
        keys: offset("pthread_specific")?.checked_sub(KEYS * KEY_BYTES)?,
        module_number: offset("link_map_l_tls_modid")?,
    })
}

/// Bytes of a file by their address in memory.
fn read_file<'a>(elf: &ElfFile64<'a, Endianness>, address: u64, len: u64) -> Option<&'a [u8]> {
    let endian = elf.endian();
    let headers = elf.elf_program_headers().iter();
    headers.filter(|header| header.p_type(endian) == elf::PT_LOAD).find_map(|header| {
        let at = address.checked_sub(header.p_vaddr(endian))?;
        let bytes = header.data(endian, elf.data()).ok()?;
        bytes.get(at as usize..(at + len) as usize)
    })
}

/// Where a thread has the thread-local storage of a module; none where it has not used it yet.
pub(super) fn tls_block(
    memory: &Memory,
    layout: &ThreadLayout,
    thread_pointer: u64,
    number: u64,
) -> Result<Option<u64>, Unavailable> {
    /// Its length stands in the entry before the first; an entry is two words (glibc, `dtv_t`).
    const ENTRY: u64 = 2 * WORD;
    const UNALLOCATED: u64 = u64::MAX;
    let vector = memory.word(thread_pointer + layout.vector)?;
    let length = memory.word(vector - ENTRY)?;
    if number > length {
        return Ok(None);
    }
    let block = memory.word(vector + number * ENTRY)?;
    Ok(Some(block).filter(|block| *block != UNALLOCATED && *block != 0))
}
