//! The modules of a stopped process, and where each thread has their thread-local storage.
//!
//! The dynamic linker's list of modules is public (`<link.h>`, `struct r_debug`, found by the program's
//! `DT_DEBUG`). Which number a module's thread-local storage has, and where the C library keeps a thread's
//! table of them and its pthread keys, is told by what it exports for libthread_db
//! (`nptl_db/structs.def` of glibc: `_thread_db_*`): so no offset of one version is written down here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
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
    /// Of `struct link_map`.
    const DYNAMIC: u64 = 2 * WORD;
    let mut layout = None;
    let mut modules = Vec::new();
    for (bias, link) in linked(pid, memory, program)? {
        // By what is mapped, and not by the name that it was opened by: that may be relative, or may by now be
        // another file's. The kernel's own (`linux-vdso.so.1`) has no file.
        let Some((path, inode, first)) = memory.file(memory.word(link + DYNAMIC)?) else {
            continue;
        };
        let module = Module::read(memory, path, bias, first)?;
        if layout.is_none() && module.is_libc {
            layout = Bytes::of(&module.path)
                .filter(|_| is_inode(&module.path, inode))
                .and_then(|bytes| thread_layout(&ElfFile64::parse(&*bytes).ok()?));
        }
        modules.push((module, link));
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
    /// By its program headers, as they are in memory (System V gABI, chapters 4 and 5).
    fn read(memory: &Memory, path: PathBuf, bias: u64, first: u64) -> Result<Self, Unavailable> {
        const HEADERS_AT: usize = 32;
        const HEADER_BYTES: usize = 56;
        const HEADERS: usize = 56;
        let unlike =
            || Unavailable::new(format!("{} is not loaded as an ELF file is", path.display()));
        let mut header = [0; 64];
        memory.read(first, &mut header)?;
        let long = |bytes: &[u8], at: usize| {
            bytes[at..].first_chunk().map_or(0, |it| u64::from_ne_bytes(*it))
        };
        let short = |bytes: &[u8], at: usize| {
            bytes[at..].first_chunk().map_or(0, |it| u16::from_ne_bytes(*it))
        };
        let count = usize::from(short(&header, HEADERS));
        if !header.starts_with(b"\x7fELF")
            || usize::from(short(&header, HEADERS - 2)) != HEADER_BYTES
        {
            return Err(unlike());
        }
        let mut headers = vec![0; count * HEADER_BYTES];
        memory
            .read(first.checked_add(long(&header, HEADERS_AT)).ok_or_else(unlike)?, &mut headers)?;
        let mut module = Self {
            path,
            bias,
            data: Vec::new(),
            span: (u64::MAX, 0),
            tls: None,
            is_libc: false,
            is_linker: false,
        };
        for segment in headers.chunks_exact(HEADER_BYTES) {
            // Kind and flags, then the file's part, the address, and the sizes in the file and in memory.
            let (kind, flags) = (long(segment, 0) as u32, (long(segment, 0) >> 32) as u32);
            let start = long(segment, 16).wrapping_add(bias);
            let bytes = long(segment, 40);
            if kind == elf::PT_LOAD.0 {
                let end = start.saturating_add(bytes);
                module.span = (module.span.0.min(start), module.span.1.max(end));
                if flags & elf::PF_W.0 != 0 {
                    module.data.push((start, end));
                }
            } else if kind == elf::PT_TLS.0 {
                module.tls = Some((0, bytes));
            }
        }
        let name = module.path.file_name().unwrap_or_default().as_bytes().to_owned();
        let starts = |names: &[&str]| names.iter().any(|start| name.starts_with(start.as_bytes()));
        (module.is_libc, module.is_linker) =
            (starts(&["libc.so", "libc-2."]), starts(&["ld-linux", "ld-2."]));
        if module.is_agent() {
            // What it has noted is no pointer of the program's.
            module.data.clear();
        }
        Ok(module)
    }
}

/// Whether a path still names the file that is mapped.
fn is_inode(path: &Path, inode: u64) -> bool {
    path.metadata().is_ok_and(|data| data.ino() == inode)
}

impl Module {
    /// Whether it is our own sensor in the process.
    pub(super) fn is_agent(&self) -> bool {
        self.path.file_name() == Some(OsStr::new(AGENT))
    }
}

/// Bias and place in the linker's list of each module, in all of its namespaces (dlmopen(3)).
fn linked(pid: u32, memory: &Memory, program: &Path) -> Result<Vec<(u64, u64)>, Unavailable> {
    const LIST: u64 = WORD;
    const NEXT: u64 = 3 * WORD;
    /// `struct r_debug_extended`, from version 2 on (glibc 2.35).
    const NEXT_NAMESPACE: u64 = 5 * WORD;
    let mut modules = Vec::new();
    let mut namespace = debug(pid, memory, program)?;
    while namespace != 0 {
        let version = memory.word(namespace)? as u32;
        let mut at = memory.word(namespace + LIST)?;
        while at != 0 && modules.len() < MODULES_MAX {
            modules.push((memory.word(at)?, at));
            at = memory.word(at + NEXT)?;
        }
        namespace = if version >= 2 { memory.word(namespace + NEXT_NAMESPACE)? } else { 0 };
    }
    // The dynamic linker is in each of them.
    let mut known = Vec::new();
    modules.retain(|(bias, _)| {
        !known.contains(bias) && {
            known.push(*bias);
            true
        }
    });
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
