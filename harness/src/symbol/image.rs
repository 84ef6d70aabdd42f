//! One module's file: what its debug info, or else its symbol table, says about an address.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use addr2line::Context;
use gimli::{DW_LANG_Rust, Dwarf, EndianReader, NativeEndian, SectionId, UnitOffset};
use object::read::NativeFile;
use object::{CompressionFormat, Object, ObjectSection, SymbolKind};

use super::Version;
use super::bytes::Bytes;
use super::call::{self, Call};
use super::debug::{Debug, Indexed};
use super::function::{demangle, is_bare};
use super::index::{Found, SymbolIndex};
use super::unwind::Unwind;

/// Where distributions put debug info that they have split off.
const DEBUG_ROOT: &str = "/usr/lib/debug";
/// Frames taken of one address: inlining is nested a few dozen deep at most.
const INLINED_MAX: usize = 128;

pub(super) type Reader = EndianReader<NativeEndian, Bytes>;

/// A mapped ELF file. Nothing in it is parsed before it is needed.
pub(super) struct Image {
    file: Bytes,
    /// The file's debug info, split off by the distribution.
    split: Option<Bytes>,
    debug: OnceCell<Option<Context<Reader>>>,
    units: OnceCell<Option<Debug>>,
    functions: OnceCell<Option<SymbolIndex>>,
    statics: OnceCell<Option<SymbolIndex>>,
    thread_locals: OnceCell<Option<SymbolIndex>>,
    unwind: OnceCell<Option<Unwind>>,
}

/// A frame as the file names it.
pub(super) struct Frame {
    pub(super) function: Option<String>,
    pub(super) file: Option<String>,
    pub(super) line: u32,
}

impl Image {
    /// Maps a file, in the version that is expected. `None` if it cannot be read, is another version
    /// by now, or is no ELF file of this machine.
    pub(super) fn open(path: &Path, version: Version) -> Option<Self> {
        let file = File::open(path).ok()?;
        if Version::of(&file.metadata().ok()?) != version {
            return None;
        }
        let file = Bytes::map(&file)?;
        let elf = parse(&file)?;
        let has_debug_info = elf.section_by_name(".debug_info").is_some();
        let split = if has_debug_info { None } else { split_debug_file(&elf, path) };
        Some(Self {
            file,
            split,
            debug: OnceCell::new(),
            units: OnceCell::new(),
            functions: OnceCell::new(),
            statics: OnceCell::new(),
            thread_locals: OnceCell::new(),
            unwind: OnceCell::new(),
        })
    }

    /// The frames at an address of the file, innermost first; empty where nothing is known.
    pub(super) fn frames(&self, address: u64) -> Vec<Frame> {
        let mut is_rust = false;
        let mut frames = Vec::new();
        let found = self.lines().map(|debug| debug.find_frames(address).skip_all_loads());
        if let Some(Ok(mut found)) = found {
            while let Ok(Some(frame)) = found.next() {
                let function = frame.function.as_ref();
                let raw = function.and_then(|function| function.raw_name().ok());
                is_rust = function.is_some_and(|it| it.language == Some(DW_LANG_Rust));
                let (file, line) = frame.location.map_or((None, None), |it| (it.file, it.line));
                frames.push(Frame {
                    function: raw.map(|raw| demangle(&raw)),
                    file: file.map(str::to_owned),
                    line: line.unwrap_or(0),
                });
                if frames.len() == INLINED_MAX {
                    break;
                }
            }
        }
        // Only the outermost frame has a symbol: the others were inlined into it.
        match frames.last_mut() {
            None => {
                let function = self.symbol(address);
                let frame = function.map(|it| Frame { function: Some(it), file: None, line: 0 });
                frames.extend(frame);
            }
            Some(outermost) => {
                let name = outermost.function.as_deref();
                if name.is_none_or(|name| is_rust && is_bare(name)) {
                    outermost.function = self.symbol(address).or(outermost.function.take());
                }
            }
        }
        frames
    }

    /// How the calls are written whose frames are at an address, innermost first: none where its debug
    /// info does not tell.
    pub(super) fn calls(&self, address: u64) -> Vec<Option<Call>> {
        let calls = || {
            let (units, unit) = self.unit_of(address)?;
            let found = call::functions(units.dwarf(), &unit, address)?;
            let name = |at: UnitOffset| call::by_path(&unit.path(units.dwarf(), at)?);
            Some(found.into_iter().map(name).collect())
        };
        calls().unwrap_or_default()
    }

    /// The unit whose code holds an address.
    pub(super) fn unit_of(&self, address: u64) -> Option<(&Debug, Arc<Indexed>)> {
        let (units, lines) = (self.units()?, self.lines()?);
        let unit = lines.find_dwarf_and_unit(address).skip_all_loads()?;
        let unit = units.unit_at(unit.header.debug_info_offset()?.0)?;
        Some((units, unit))
    }

    /// The file's unwind tables.
    pub(super) fn unwind(&self) -> Option<&Unwind> {
        self.unwind.get_or_init(|| Unwind::of(&self.file)).as_ref()
    }

    fn lines(&self) -> Option<&Context<Reader>> {
        let load = || Context::from_arc_dwarf(Arc::clone(self.units()?.dwarf())).ok();
        self.debug.get_or_init(load).as_ref()
    }

    /// The file's debug info.
    pub(super) fn units(&self) -> Option<&Debug> {
        let load = || load(self.split.as_ref().unwrap_or(&self.file)).map(Debug::new);
        self.units.get_or_init(load).as_ref()
    }

    /// The static variable at an address of the file, by the symbol table.
    pub(super) fn static_at(&self, address: u64) -> Option<Found> {
        let files = self.files();
        self.statics
            .get_or_init(|| SymbolIndex::new(&files, SymbolKind::Data))
            .as_ref()?
            .find(address)
    }

    /// The thread-local variable at a place in the file's thread-local storage, likewise.
    pub(super) fn thread_local_at(&self, offset: u64) -> Option<Found> {
        let files = self.files();
        let read = || SymbolIndex::new(&files, SymbolKind::Tls);
        self.thread_locals.get_or_init(read).as_ref()?.find(offset)
    }

    fn files(&self) -> Vec<&Bytes> {
        [&self.file].into_iter().chain(&self.split).collect()
    }

    /// The name of the function at an address of the file, by the symbol table.
    pub(super) fn symbol(&self, address: u64) -> Option<String> {
        self.functions()?.name(address)
    }

    /// The source files of some functions of a crate.
    pub(super) fn files_of_crate(&self, name: &str) -> Vec<String> {
        /// What a macro of another crate has written may be said to be of that crate's file.
        const FUNCTIONS_MAX: usize = 32;
        let functions = self.functions().map(|index| index.of_crate(name, FUNCTIONS_MAX));
        let frames = functions.unwrap_or_default().into_iter().map(|address| self.frames(address));
        frames.filter_map(|mut frames| frames.pop()?.file).collect()
    }

    fn functions(&self) -> Option<&SymbolIndex> {
        let read = || SymbolIndex::new(&self.files(), SymbolKind::Text);
        self.functions.get_or_init(read).as_ref()
    }
}

/// An ELF file of this machine's word size and byte order.
fn parse(file: &Bytes) -> Option<NativeFile<'_>> {
    let elf = NativeFile::parse(&**file).ok()?;
    (elf.is_little_endian() == cfg!(target_endian = "little")).then_some(elf)
}

/// Finds a file's sections of debug info; their contents are parsed as they are asked for.
fn load(file: &Bytes) -> Option<Dwarf<Reader>> {
    let elf = parse(file)?;
    elf.section_by_name(".debug_info")?;
    let whole = Reader::new(file.clone(), NativeEndian);
    Dwarf::load(|id| section(&elf, &whole, id).ok_or(())).ok()
}

/// A section of debug info, empty if the file lacks it. `None` if it cannot be read, as a compressed
/// one where `object` is built without decompression.
fn section(elf: &NativeFile<'_>, whole: &Reader, id: SectionId) -> Option<Reader> {
    let Some(section) = elf.section_by_name(id.name()) else {
        return Some(whole.range(0..0));
    };
    let range = section.compressed_file_range().ok()?;
    if range.format != CompressionFormat::None {
        let bytes = section.uncompressed_data().ok()?.into_owned();
        return Some(Reader::new(Bytes::from(bytes), NativeEndian));
    }
    let start = usize::try_from(range.offset).ok()?;
    let end = start.checked_add(usize::try_from(range.uncompressed_size).ok()?)?;
    (end <= whole.bytes().len()).then(|| whole.range(start..end))
}

/// The debug info that was split off a file: found by build id or by `.gnu_debuglink`, and believed
/// if its build id is the same.
fn split_debug_file(elf: &NativeFile<'_>, path: &Path) -> Option<Bytes> {
    let id = elf.build_id().ok()??;
    candidates(elf, id, path).into_iter().find_map(|candidate| {
        let file = Bytes::map(&File::open(candidate).ok()?)?;
        let is_same = parse(&file)?.build_id().ok()? == Some(id);
        is_same.then_some(file)
    })
}

/// Where such a file may be, in the order in which gdb looks (its manual, "Separate Debug Files").
fn candidates(elf: &NativeFile<'_>, id: &[u8], path: &Path) -> Vec<PathBuf> {
    let mut candidates = Vec::new();
    if let [first, rest @ ..] = id {
        let mut name = String::new();
        for byte in rest {
            // Writing to a string does not fail.
            let _ = write!(name, "{byte:02x}");
        }
        candidates.push(PathBuf::from(format!("{DEBUG_ROOT}/.build-id/{first:02x}/{name}.debug")));
    }
    if let (Ok(Some((name, _crc))), Some(dir)) = (elf.gnu_debuglink(), path.parent()) {
        let name = OsStr::from_bytes(name);
        let below_root = Path::new(DEBUG_ROOT).join(dir.strip_prefix("/").unwrap_or(dir));
        candidates.extend([dir.join(name), dir.join(".debug").join(name), below_root.join(name)]);
    }
    candidates
}
