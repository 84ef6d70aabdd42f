//! The symbol table: the function that holds an address, for code without debug info.

use object::read::NativeFile;
use object::{Object, ObjectSymbol, SymbolKind};

use super::bytes::Bytes;
use super::function::demangle;

/// Symbols looked back over for one that holds the address: functions may overlap (aliases,
/// assembler labels of length 0), rarely by more than a few.
const LOOK_BACK: usize = 8;

/// The functions of one file, by address. Names stay in the file until they are asked for.
pub(super) struct SymbolIndex {
    file: Bytes,
    is_dynamic: bool,
    functions: Vec<Function>,
}

/// One function's symbol.
struct Function {
    address: u64,
    bytes: u32,
    symbol: object::SymbolIndex,
}

impl SymbolIndex {
    /// Reads the first table that has functions: the full one of any of the files, else the dynamic
    /// one of the first, which a stripped file keeps for its exports.
    pub(super) fn new(files: &[&Bytes]) -> Option<Self> {
        let full = files.iter().map(|file| (*file, false));
        let dynamic = files.first().map(|file| (*file, true));
        full.chain(dynamic).find_map(|(file, is_dynamic)| Self::read(file, is_dynamic))
    }

    fn read(file: &Bytes, is_dynamic: bool) -> Option<Self> {
        let elf = NativeFile::parse(&**file).ok()?;
        let symbols = if is_dynamic { elf.dynamic_symbols() } else { elf.symbols() };
        let mut functions: Vec<Function> = symbols
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
            .map(|symbol| Function {
                address: symbol.address(),
                bytes: u32::try_from(symbol.size()).unwrap_or(u32::MAX),
                symbol: symbol.index(),
            })
            .collect();
        if functions.is_empty() {
            return None;
        }
        // The longest of several at one address comes last: it is looked at first.
        functions.sort_unstable_by_key(|function| (function.address, function.bytes));
        functions.shrink_to_fit();
        Some(Self { file: file.clone(), is_dynamic, functions })
    }

    /// The name of the function that holds an address.
    pub(super) fn name(&self, address: u64) -> Option<String> {
        let after = self.functions.partition_point(|function| function.address <= address);
        let before = &self.functions[after.saturating_sub(LOOK_BACK)..after];
        let holds = |f: &&Function| address - f.address < u64::from(f.bytes);
        // A label of length 0 is assembler; it reaches to the next symbol.
        let label = before.last().filter(|function| function.bytes == 0);
        let function = before.iter().rev().find(holds).or(label)?;
        let elf = NativeFile::parse(&*self.file).ok()?;
        let table = if self.is_dynamic { elf.dynamic_symbol_table() } else { elf.symbol_table() };
        let symbol = object::ObjectSymbolTable::symbol_by_index(&table?, function.symbol).ok()?;
        symbol.name().ok().filter(|name| !name.is_empty()).map(demangle)
    }
}
