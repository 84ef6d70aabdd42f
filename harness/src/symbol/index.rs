//! The symbol table: the function or variable that holds an address.

use object::read::NativeFile;
use object::{Object, ObjectSymbol, ObjectSymbolTable as _, SymbolKind};

use super::bytes::Bytes;
use super::function::{crate_of, demangle};

/// Symbols looked back over for one that holds the address: functions may overlap (aliases,
/// assembler labels of length 0), rarely by more than a few.
const LOOK_BACK: usize = 8;

/// The symbols of one kind in one file, by address. Names stay in the file until they are asked for.
pub(super) struct SymbolIndex {
    file: Bytes,
    is_dynamic: bool,
    kind: SymbolKind,
    symbols: Vec<Symbol>,
}

/// One function's or variable's symbol.
struct Symbol {
    address: u64,
    bytes: u32,
    symbol: object::SymbolIndex,
}

/// A symbol that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// As it is in the file.
    pub(super) name: String,
    pub(super) address: u64,
}

impl SymbolIndex {
    /// Reads the first table that has symbols of a kind: the full one of any of the files, else the
    /// dynamic one of the first, which a stripped file keeps for its exports. Thread-local variables have
    /// their place in their storage for an address.
    pub(super) fn new(files: &[&Bytes], kind: SymbolKind) -> Option<Self> {
        let full = files.iter().map(|file| (*file, false));
        let dynamic = files.first().map(|file| (*file, true));
        full.chain(dynamic).find_map(|(file, is_dynamic)| Self::read(file, is_dynamic, kind))
    }

    fn read(file: &Bytes, is_dynamic: bool, kind: SymbolKind) -> Option<Self> {
        let elf = NativeFile::parse(&**file).ok()?;
        let symbols = if is_dynamic { elf.dynamic_symbols() } else { elf.symbols() };
        let mut symbols: Vec<Symbol> = symbols
            .filter(|symbol| symbol.kind() == kind && is_defined(symbol))
            .map(|symbol| Symbol {
                address: symbol.address(),
                bytes: u32::try_from(symbol.size()).unwrap_or(u32::MAX),
                symbol: symbol.index(),
            })
            .collect();
        if symbols.is_empty() {
            return None;
        }
        // The longest of several at one address comes last: it is looked at first.
        symbols.sort_unstable_by_key(|symbol| (symbol.address, symbol.bytes));
        symbols.shrink_to_fit();
        Some(Self { file: file.clone(), is_dynamic, kind, symbols })
    }

    /// The name of the function that holds an address.
    pub(super) fn name(&self, address: u64) -> Option<String> {
        self.find(address).map(|found| demangle(&found.name))
    }

    /// The symbol that holds an address.
    pub(super) fn find(&self, address: u64) -> Option<Found> {
        let after = self.symbols.partition_point(|symbol| symbol.address <= address);
        let before = &self.symbols[after.saturating_sub(LOOK_BACK)..after];
        let holds = |f: &&Symbol| address - f.address < u64::from(f.bytes);
        // A label of length 0 is assembler; it reaches to the next symbol.
        let is_code = self.kind == SymbolKind::Text;
        let label = before.last().filter(|symbol| is_code && symbol.bytes == 0);
        let found = before.iter().rev().find(holds).or(label)?;
        let elf = NativeFile::parse(&*self.file).ok()?;
        let table = if self.is_dynamic { elf.dynamic_symbol_table() } else { elf.symbol_table() };
        let symbol = table?.symbol_by_index(found.symbol).ok()?;
        let name = symbol.name().ok().filter(|name| !name.is_empty())?;
        Some(Found { name: name.to_owned(), address: found.address })
    }

    /// Addresses of functions of a crate, `most` of them or all that there are.
    pub(super) fn of_crate(&self, name: &str, most: usize) -> Vec<u64> {
        let Ok(elf) = NativeFile::parse(&*self.file) else { return Vec::new() };
        let table = if self.is_dynamic { elf.dynamic_symbol_table() } else { elf.symbol_table() };
        let Some(table) = table else { return Vec::new() };
        let own = self.symbols.iter().filter(|symbol| {
            let symbol = table.symbol_by_index(symbol.symbol).ok();
            let mangled = symbol.as_ref().and_then(|symbol| symbol.name().ok()).unwrap_or_default();
            // Most names need not be written out.
            mangled.contains(name) && crate_of(&demangle(mangled)) == name
        });
        own.take(most).map(|symbol| symbol.address).collect()
    }
}

/// Whether the symbol is of this file (`is_definition` of `object` knows only functions and data as such).
fn is_defined<'data>(symbol: &impl ObjectSymbol<'data>) -> bool {
    !symbol.is_undefined() && symbol.size() > 0 || symbol.is_definition()
}
