//! Names for return addresses: the function, file and line behind each frame of a creation stack.
//!
//! ```text
//! address ─► module ─► image: debug info, else symbol table ─► frames ─► origin ─► site
//! ```
//!
//! The measured process records bare addresses and the modules they lie in. Everything here happens
//! later, in the supervisor, from the files on disk: debug info is opened when a stack is first to be
//! named, and kept for every trial after it.
//!
//! A wrong name is worse than none. What cannot be read, or has been rebuilt since the process
//! loaded it, becomes `module+0x1234`; no error leaves this module.

mod bytes;
mod call;
mod debug;
mod function;
mod image;
mod index;
mod local;
mod member;
mod origin;
mod site;
mod type_name;
mod unwind;
mod value;
mod variable;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(crate) use bytes::Bytes;
use image::Image;
pub(crate) use local::{Local, StackFrame};
pub(crate) use origin::Origin;
use origin::Origins;
pub(crate) use site::{Project, package_of, workspace};
pub(crate) use unwind::Registers;
pub(crate) use value::{Value, Word};
pub(crate) use variable::Variable;

/// File name of the preloaded agent: the frames of its hooks are nobody's code.
pub(crate) const AGENT: &str = "watertight-agent.so";
/// What the kernel appends to the path of a mapped file that has been unlinked.
const DELETED: &[u8] = b" (deleted)";
/// Files kept open, enough for every module of a large run. More means that something rebuilds
/// binaries in a loop, and then all are let go.
const IMAGES_MAX: usize = 1024;
/// Named addresses kept for one file, about 10 MB of text; then they are named again.
const ADDRESSES_MAX: usize = 32_768;

/// A module of the measured process (executable or shared object) as the agent saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadedModule {
    /// The file, absolute.
    pub(crate) path: PathBuf,
    /// First mapped address.
    pub(crate) start: u64,
    /// One past the last.
    pub(crate) end: u64,
    /// What to subtract from an address for the one in the file.
    pub(crate) bias: u64,
    /// A moment at which the process had it loaded. A file written later is another program, and
    /// its names are not used. `None`: the file is believed as it is.
    pub(crate) seen: Option<SystemTime>,
}

/// One named frame. An address can give several (inlining), innermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Symbol {
    /// Demangled and without its hash; `module+0x1234` where the function is unknown.
    pub(crate) function: String,
    /// The source file: normalised, and absolute unless the compiler was told to remap it.
    pub(crate) file: Option<PathBuf>,
    /// The line, 0 where the compiler gave none.
    pub(crate) line: u32,
    /// Whose code it is.
    pub(crate) origin: Origin,
}

/// Names addresses, and remembers what it has read for as long as the supervisor lives.
#[derive(Default)]
pub(crate) struct Symbolizer {
    files: HashMap<PathBuf, ModuleFile>,
    origins: Origins,
}

/// A module's file, in the version that was read.
struct ModuleFile {
    version: Version,
    /// `None` where it is no ELF file of this machine.
    image: Option<Image>,
    /// The crates in it, each with its root: read when a variable is first to be named.
    crates: Option<HashMap<String, PathBuf>>,
    /// Whether the types of a crate are the project's.
    users: HashMap<String, bool>,
    /// By address in the file, so that all processes that load it share them.
    names: HashMap<u64, Vec<Symbol>>,
}

/// Which content a path had: a linker replaces the file or writes it anew, and either shows here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Symbolizer {
    /// Knows nothing and has read nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The frames of a stack, innermost first, without those of the agent.
    /// `addresses` are return addresses: each is one past the call that it stands for.
    pub(crate) fn name(&mut self, modules: &[LoadedModule], addresses: &[u64]) -> Vec<Symbol> {
        let mut stack = Vec::with_capacity(addresses.len());
        let mut is_readable: Vec<Option<bool>> = vec![None; modules.len()];
        for &address in addresses.iter().filter(|&&address| address != 0) {
            // The instruction after a call may belong to the next line, or to the next function.
            let call = address - 1;
            let Some(at) = modules.iter().position(|module| module.holds(call)) else {
                stack.push(Symbol::unknown(format!("{call:#x}")));
                continue;
            };
            let module = &modules[at];
            if module.is_agent() {
                continue;
            }
            // Once in a call: a stack is named in much less time than a build takes.
            if *is_readable[at].get_or_insert_with(|| self.open(module)) {
                self.name_in_file(module, call, &mut stack);
            } else {
                stack.push(Symbol::unknown(module.offset_name(call)));
            }
        }
        stack
    }

    /// How the call is written that the frame `nth` of [`Self::name`] at one return address stands for.
    pub(crate) fn call(
        &mut self,
        modules: &[LoadedModule],
        address: u64,
        nth: usize,
    ) -> Option<String> {
        let frames = self.name(modules, &[address]);
        let call = address.checked_sub(1)?;
        let module = modules.iter().find(|module| module.holds(call));
        let file = module.and_then(|module| Some((module, self.files.get(&module.path)?)));
        let typed = file.and_then(|(module, file)| {
            Some(file.image.as_ref()?.calls(call.wrapping_sub(module.bias)))
        });
        let typed = typed.filter(|typed| typed.len() == frames.len());
        let known = typed.and_then(|typed| typed.into_iter().nth(nth)?);
        Some(call::written(&frames.get(nth)?.function, known))
    }

    /// The function that holds a return address, by its symbol alone: inlined ones are not told, and no
    /// debug information is read.
    pub(crate) fn function(&mut self, modules: &[LoadedModule], address: u64) -> Option<String> {
        let call = address.checked_sub(1)?;
        let module = modules.iter().find(|module| module.holds(call) && !module.is_agent())?;
        if !self.open(module) {
            return None;
        }
        self.files.get(&module.path)?.image.as_ref()?.symbol(call.wrapping_sub(module.bias))
    }

    /// Whether the call with a return address is in a function of this harness.
    pub(crate) fn is_harness(&mut self, modules: &[LoadedModule], address: u64) -> bool {
        let named = self.name(modules, &[address]);
        named.last().is_some_and(|symbol| function::is_harness(&symbol.function))
    }

    /// Whether the module's file is there and in the version that the process loaded. If so it is
    /// in `files`, in that version.
    fn open(&mut self, module: &LoadedModule) -> bool {
        // A relative path is relative to a directory of the other process.
        if !module.path.is_absolute() || module.path.as_os_str().as_bytes().ends_with(DELETED) {
            return false;
        }
        let Ok(metadata) = module.path.metadata() else { return false };
        let is_later = |seen| metadata.modified().is_ok_and(|modified| modified > seen);
        if !metadata.is_file() || module.seen.is_some_and(is_later) {
            return false;
        }
        let version = Version::of(&metadata);
        if self.files.get(&module.path).is_some_and(|file| file.version == version) {
            return true;
        }
        if self.files.len() >= IMAGES_MAX {
            self.files.clear();
        }
        let image = Image::open(&module.path, version);
        let file = ModuleFile {
            version,
            image,
            crates: None,
            users: HashMap::new(),
            names: HashMap::new(),
        };
        self.files.insert(module.path.clone(), file);
        true
    }

    /// Appends the frames of one call in a file that was opened.
    fn name_in_file(&mut self, module: &LoadedModule, call: u64, stack: &mut Vec<Symbol>) {
        let Some(file) = self.files.get_mut(&module.path) else { return };
        let address = call.wrapping_sub(module.bias);
        if let Some(names) = file.names.get(&address) {
            stack.extend_from_slice(names);
            return;
        }
        let frames = file.image.as_ref().map(|image| image.frames(address)).unwrap_or_default();
        let mut names: Vec<Symbol> = Vec::with_capacity(frames.len().max(1));
        for frame in frames {
            let function = frame.function.unwrap_or_else(|| module.offset_name(call));
            let path = frame.file.map(|file| origin::normalise(Path::new(&file)));
            let origin = self.origins.of(&module.path, path.as_deref(), &function);
            names.push(Symbol { function, file: path, line: frame.line, origin });
        }
        if names.is_empty() {
            names.push(Symbol::unknown(module.offset_name(call)));
        }
        stack.extend_from_slice(&names);
        if file.names.len() >= ADDRESSES_MAX {
            file.names.clear();
        }
        file.names.insert(address, names);
    }
}

impl LoadedModule {
    pub(crate) fn holds(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    fn is_agent(&self) -> bool {
        self.path.file_name() == Some(OsStr::new(AGENT))
    }

    /// What is left to say without a symbol; `addr2line -e FILE OFFSET` understands the number.
    pub(crate) fn offset_name(&self, address: u64) -> String {
        format!("{}+{:#x}", self.file_name(), address.wrapping_sub(self.bias))
    }

    /// The name of its file.
    pub(crate) fn file_name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy();
        name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
    }
}

impl Symbol {
    /// Whether the function only passes a call on.
    pub(crate) fn is_passage(&self) -> bool {
        function::is_shim(&self.function) || self.function.contains("ptr::drop_in_place")
    }

    /// A frame of which nothing is known but where it is.
    fn unknown(function: String) -> Self {
        Self { function, file: None, line: 0, origin: Origin::System }
    }
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests;
