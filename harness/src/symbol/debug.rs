//! Debug information beyond lines: where a static variable is declared and what its type is, which
//! functions hold an address, and how all of them are called in full, generics included.
//!
//! Nothing is parsed but the units that are asked for, and each of those once. A variable's unit is found
//! by its address, which stands in `.debug_info` as it is (DWARF 4), or in `.debug_addr` (DWARF 5).

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gimli::{
    Abbreviation, AttributeValue, DW_AT_abstract_origin, DW_AT_decl_file, DW_AT_decl_line,
    DW_AT_location, DW_AT_name, DW_AT_specification, DW_AT_type, DebuggingInformationEntry, DwTag,
    Dwarf, Reader as _, Section as _, Unit, UnitHeader, UnitOffset,
};
use memchr::memmem;

use super::image::Reader;

/// Matches of an address that are looked at: one is the variable, others are chance.
const MATCHES_MAX: usize = 64;
/// References from one entry to the next that are followed: three are the most that is meant.
const REFERENCES_MAX: usize = 8;

pub(super) type Entry = DebuggingInformationEntry<Reader>;

/// The debug information of one file.
pub(super) struct Debug {
    dwarf: Arc<Dwarf<Reader>>,
    headers: OnceCell<Vec<UnitHeader<Reader>>>,
    units: RefCell<HashMap<usize, Option<Arc<Indexed>>>>,
}

/// One unit, and what in it is where.
pub(super) struct Indexed {
    pub(super) unit: Unit<Reader>,
    /// Entries that names are looked up in, by their offset.
    scopes: Vec<Scope>,
    statics: Vec<(Place, UnitOffset)>,
    /// First address, end and entry of each function's code.
    functions: Vec<(u64, u64, UnitOffset)>,
}

struct Scope {
    offset: UnitOffset,
    tag: DwTag,
    /// The scope around it.
    parent: Option<u32>,
}

/// Where a variable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Address(u64),
    /// In the thread-local storage.
    Local(u64),
}

/// What is known of a variable besides its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) file: Option<PathBuf>,
    pub(super) line: u32,
    pub(super) type_name: Option<String>,
    /// Where its unit begins, and its type.
    pub(super) kind: Option<(usize, UnitOffset)>,
}

impl Debug {
    pub(super) fn new(dwarf: Dwarf<Reader>) -> Self {
        Self { dwarf: Arc::new(dwarf), headers: OnceCell::new(), units: RefCell::default() }
    }

    pub(super) fn dwarf(&self) -> &Arc<Dwarf<Reader>> {
        &self.dwarf
    }

    /// Where a static or thread-local variable is declared; none where nothing tells.
    pub(super) fn declared(&self, place: Place, is_it: impl Fn(&str) -> bool) -> Option<Declared> {
        let pattern = match place {
            // DW_OP_addr, after the length of the expression.
            Place::Address(address) => [&[9, 3], &address.to_le_bytes()[..]].concat(),
            // DW_OP_const8u, before DW_OP_GNU_push_tls_address.
            Place::Local(offset) => [&[10, 0x0e], &offset.to_le_bytes()[..], &[0xe0]].concat(),
        };
        let declared = |unit: Arc<Indexed>| unit.declared(&self.dwarf, place, &is_it);
        let info = self.dwarf.debug_info.reader();
        let mut found = memmem::find_iter(info.bytes(), &pattern).take(MATCHES_MAX);
        let here = found.find_map(|at| declared(self.unit_around(at)?));
        here.or_else(|| {
            let Place::Address(address) = place else { return None };
            let table = self.dwarf.debug_addr.reader();
            let address = address.to_le_bytes();
            let mut found = memmem::find_iter(table.bytes(), &address).take(MATCHES_MAX);
            found.find_map(|at| declared(self.unit_of_address(at)?))
        })
    }

    fn headers(&self) -> &[UnitHeader<Reader>] {
        self.headers.get_or_init(|| {
            let mut headers = Vec::new();
            let mut units = self.dwarf.units();
            while let Ok(Some(header)) = units.next() {
                headers.push(header);
            }
            headers
        })
    }

    /// The unit that a place in `.debug_info` lies in.
    fn unit_around(&self, at: usize) -> Option<Arc<Indexed>> {
        let headers = self.headers();
        let start = |header: &UnitHeader<Reader>| header.debug_info_offset().map_or(0, |it| it.0);
        let after = headers.partition_point(|header| start(header) <= at);
        self.indexed(headers.get(after.checked_sub(1)?)?)
    }

    /// The unit whose part of `.debug_addr` a place in that lies in.
    fn unit_of_address(&self, at: usize) -> Option<Arc<Indexed>> {
        let based =
            self.headers().iter().filter(|header| header.version() >= 5).filter_map(|header| {
                let unit = self.dwarf.unit(header.clone()).ok()?;
                (unit.addr_base.0 <= at).then_some((unit.addr_base.0, header))
            });
        self.indexed(based.max_by_key(|(base, _)| *base)?.1)
    }

    /// The unit that begins at an offset of `.debug_info`.
    pub(super) fn unit_at(&self, offset: usize) -> Option<Arc<Indexed>> {
        let header = self.dwarf.unit_header(gimli::DebugInfoOffset(offset)).ok()?;
        self.indexed(&header)
    }

    fn indexed(&self, header: &UnitHeader<Reader>) -> Option<Arc<Indexed>> {
        let at = header.debug_info_offset()?.0;
        if let Some(known) = self.units.borrow().get(&at) {
            return known.clone();
        }
        let unit = self.dwarf.unit(header.clone()).ok();
        let indexed = unit.and_then(|unit| Indexed::of(&self.dwarf, unit).ok()).map(Arc::new);
        self.units.borrow_mut().insert(at, indexed.clone());
        indexed
    }

    /// The crates whose code is in the file, each with the path of its root: rustc names a unit
    /// `src/lib.rs/@/my_crate.0123456789abcdef-cgu.0`.
    pub(super) fn crates(&self) -> HashMap<String, PathBuf> {
        let mut crates = HashMap::new();
        for header in self.headers() {
            let Ok(unit) = self.dwarf.unit(header.clone()) else { continue };
            let Some(name) = unit.name.as_ref().and_then(|name| name.to_string_lossy().ok()) else {
                continue;
            };
            let Some((path, unit_name)) = name.split_once("/@/") else { continue };
            let Some((crate_name, _)) = unit_name.split_once('.') else { continue };
            if !crates.contains_key(crate_name) {
                let directory = unit.comp_dir.as_ref().and_then(|it| it.to_string_lossy().ok());
                let directory = directory.as_deref().map(Path::new).unwrap_or(Path::new(""));
                crates.insert(crate_name.to_owned(), directory.join(path));
            }
        }
        crates
    }
}

impl Indexed {
    /// Walks the whole unit once.
    fn of(dwarf: &Dwarf<Reader>, unit: Unit<Reader>) -> gimli::Result<Self> {
        let mut scopes: Vec<Scope> = Vec::new();
        let mut statics = Vec::new();
        let mut functions = Vec::new();
        // The scopes around the next entry, each with the depth of what is in it.
        let mut around: Vec<(isize, u32)> = Vec::new();
        let mut raw = unit.entries_raw(None)?;
        let mut attributes = Vec::new();
        while !raw.is_empty() {
            let (depth, offset) = (raw.next_depth(), raw.next_offset());
            let Some(abbreviation) = raw.read_abbreviation()? else { continue };
            around.retain(|(inside, _)| *inside <= depth);
            let tag = abbreviation.tag();
            if !is_scope(tag) && tag != gimli::DW_TAG_variable {
                raw.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            if tag == gimli::DW_TAG_variable || tag == gimli::DW_TAG_subprogram {
                raw.read_attributes(abbreviation.attributes(), &mut attributes)?;
                let entry = entry(abbreviation, &mut attributes, offset);
                if tag == gimli::DW_TAG_variable {
                    statics.extend(static_place(dwarf, &unit, &entry).map(|place| (place, offset)));
                } else {
                    let mut ranges = dwarf.die_ranges(&unit, &entry)?;
                    while let Some(range) = ranges.next()? {
                        functions.push((range.begin, range.end, offset));
                    }
                }
            } else {
                raw.skip_attributes(abbreviation.attributes())?;
            }
            if is_scope(tag) {
                let parent = around.last().map(|(_, scope)| *scope);
                if abbreviation.has_children() {
                    around.push((depth + 1, scopes.len() as u32));
                }
                scopes.push(Scope { offset, tag, parent });
            }
        }
        functions.sort_unstable_by_key(|(start, end, _)| (*start, *end));
        Ok(Self { unit, scopes, statics, functions })
    }

    /// Where it begins in `.debug_info`.
    pub(super) fn start(&self) -> Option<usize> {
        Some(self.unit.header.debug_info_offset()?.0)
    }

    /// The function whose code holds an address.
    pub(super) fn function(&self, address: u64) -> Option<UnitOffset> {
        let after = self.functions.partition_point(|(start, _, _)| *start <= address);
        let (_, end, offset) = self.functions.get(after.checked_sub(1)?)?;
        (address < *end).then_some(*offset)
    }

    /// Gives the entries in a function that are there at an address, outermost first: blocks and inlined
    /// functions whose code holds it, and the variables in them.
    pub(super) fn each_at(
        &self,
        dwarf: &Dwarf<Reader>,
        function: UnitOffset,
        address: u64,
        mut each: impl FnMut(&Entry),
    ) -> Option<()> {
        let mut raw = self.unit.entries_raw(Some(function)).ok()?;
        let mut entry = Entry::null();
        raw.read_entry(&mut entry).ok()?;
        // Everything deeper than this is passed over.
        let mut passed_over = isize::MAX;
        while raw.next_depth() > 0 {
            let depth = raw.next_depth();
            if !raw.read_entry(&mut entry).ok()? || depth > passed_over {
                continue;
            }
            let is_around = matches!(
                entry.tag(),
                gimli::DW_TAG_inlined_subroutine | gimli::DW_TAG_lexical_block
            );
            let is_open = is_around && self.holds(dwarf, &entry, address);
            passed_over = if is_open { isize::MAX } else { depth };
            if is_open || !is_around {
                each(&entry);
            }
        }
        Some(())
    }

    /// Whether an entry's code holds an address.
    fn holds(&self, dwarf: &Dwarf<Reader>, entry: &Entry, address: u64) -> bool {
        let Ok(mut ranges) = dwarf.die_ranges(&self.unit, entry) else { return false };
        while let Ok(Some(range)) = ranges.next() {
            if (range.begin..range.end).contains(&address) {
                return true;
            }
        }
        false
    }

    fn declared(
        &self,
        dwarf: &Dwarf<Reader>,
        place: Place,
        is_it: impl Fn(&str) -> bool,
    ) -> Option<Declared> {
        let here = self.statics.iter().filter(|(found, _)| *found == place);
        here.filter_map(|(_, offset)| {
            let entry = self.unit.entry(*offset).ok()?;
            // Of a variable that was left out only the entry is there, and a place that means nothing.
            let linkage = self.text(dwarf, &entry, gimli::DW_AT_linkage_name);
            if !linkage
                .or_else(|| self.text(dwarf, &entry, DW_AT_name))
                .is_some_and(|it| is_it(&it))
            {
                return None;
            }
            Some(self.declaration(dwarf, &entry))
        })
        .next()
    }

    /// What an entry of a variable says.
    pub(super) fn declaration(&self, dwarf: &Dwarf<Reader>, entry: &Entry) -> Declared {
        let line = self.attribute(entry, DW_AT_decl_line).and_then(|line| line.udata_value());
        let kind = self.type_of(entry);
        Declared {
            file: self.attribute(entry, DW_AT_decl_file).and_then(|file| self.file(dwarf, &file)),
            line: line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0),
            type_name: kind.and_then(|it| self.type_name(dwarf, it)),
            kind: self.start().zip(kind),
        }
    }

    /// An attribute of an entry, or of the one that it completes.
    pub(super) fn attribute(
        &self,
        entry: &Entry,
        name: gimli::DwAt,
    ) -> Option<AttributeValue<Reader>> {
        if let Some(value) = entry.attr_value(name) {
            return Some(value);
        }
        let mut offset = completes(entry)?;
        for _ in 0..REFERENCES_MAX {
            let other = self.unit.entry(offset).ok()?;
            match other.attr_value(name) {
                Some(value) => return Some(value),
                None => offset = completes(&other)?,
            }
        }
        None
    }

    pub(super) fn text(
        &self,
        dwarf: &Dwarf<Reader>,
        entry: &Entry,
        name: gimli::DwAt,
    ) -> Option<String> {
        let value = self.attribute(entry, name)?;
        let text = dwarf.attr_string(&self.unit, value).ok()?;
        Some(text.to_string_lossy().ok()?.into_owned())
    }

    pub(super) fn type_of(&self, entry: &Entry) -> Option<UnitOffset> {
        match self.attribute(entry, DW_AT_type)? {
            AttributeValue::UnitRef(offset) => Some(offset),
            _ => None,
        }
    }

    /// A type's name as its compiler writes it; of what has none, what it is made of.
    pub(super) fn type_name(&self, dwarf: &Dwarf<Reader>, offset: UnitOffset) -> Option<String> {
        let mut suffix = String::new();
        let mut at = offset;
        for _ in 0..REFERENCES_MAX {
            let entry = self.unit.entry(at).ok()?;
            if let Some(name) = self.text(dwarf, &entry, DW_AT_name) {
                return Some(name + &suffix);
            }
            // C has pointers, constants and arrays without names.
            match entry.tag() {
                gimli::DW_TAG_pointer_type => suffix.insert(0, '*'),
                gimli::DW_TAG_array_type => suffix.insert_str(0, "[]"),
                _ => {}
            }
            match self.type_of(&entry) {
                Some(next) => at = next,
                None => return (!suffix.is_empty()).then(|| format!("void{suffix}")),
            }
        }
        None
    }

    /// The path of a file that an entry names.
    fn file(&self, dwarf: &Dwarf<Reader>, value: &AttributeValue<Reader>) -> Option<PathBuf> {
        let AttributeValue::FileIndex(index) = *value else { return None };
        let header = self.unit.line_program.as_ref()?.header();
        let file = header.file(index)?;
        let text = |value| {
            Some(dwarf.attr_string(&self.unit, value).ok()?.to_string_lossy().ok()?.into_owned())
        };
        let mut path = PathBuf::new();
        if let Some(directory) = &self.unit.comp_dir {
            path.push(directory.to_string_lossy().ok()?.as_ref());
        }
        if let Some(directory) = file.directory(header).and_then(text) {
            path.push(directory);
        }
        path.push(text(file.path_name())?);
        Some(super::origin::normalise(&path))
    }

    /// The names around an entry and its own, outermost first, each with whether it is a type.
    pub(super) fn path(
        &self,
        dwarf: &Dwarf<Reader>,
        offset: UnitOffset,
    ) -> Option<Vec<(String, bool)>> {
        // Where it is declared tells what it belongs to, not where it is completed.
        let mut declared = offset;
        for _ in 0..REFERENCES_MAX {
            match completes(&self.unit.entry(declared).ok()?) {
                Some(next) => declared = next,
                None => break,
            }
        }
        let mut path = Vec::new();
        let mut at = Some(self.scope(declared)?);
        while let Some(scope) = at {
            let scope = self.scopes.get(scope as usize)?;
            let entry = self.unit.entry(scope.offset).ok()?;
            let is_type =
                scope.tag != gimli::DW_TAG_namespace && scope.tag != gimli::DW_TAG_subprogram;
            path.push((self.text(dwarf, &entry, DW_AT_name)?, is_type));
            at = scope.parent;
        }
        path.reverse();
        Some(path)
    }

    fn scope(&self, offset: UnitOffset) -> Option<u32> {
        let at = self.scopes.binary_search_by_key(&offset, |scope| scope.offset).ok()?;
        u32::try_from(at).ok()
    }
}

fn is_scope(tag: DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_namespace
            | gimli::DW_TAG_structure_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_enumeration_type
            | gimli::DW_TAG_subprogram
    )
}

/// The entry that this one completes.
fn completes(entry: &Entry) -> Option<UnitOffset> {
    let origin = entry.attr_value(DW_AT_abstract_origin);
    match origin.or_else(|| entry.attr_value(DW_AT_specification))? {
        AttributeValue::UnitRef(offset) => Some(offset),
        _ => None,
    }
}

fn entry(
    abbreviation: &Abbreviation,
    attributes: &mut Vec<gimli::Attribute<Reader>>,
    offset: UnitOffset,
) -> Entry {
    let attributes = std::mem::take(attributes);
    Entry::new(abbreviation.tag(), abbreviation.has_children(), attributes, offset)
}

/// The place of a variable that has one for good.
fn static_place(dwarf: &Dwarf<Reader>, unit: &Unit<Reader>, entry: &Entry) -> Option<Place> {
    let expression = entry.attr_value(DW_AT_location)?.exprloc_value()?;
    let bytes = expression.0.bytes();
    match bytes {
        [3, address @ ..] => Some(Place::Address(u64::from_le_bytes(address.try_into().ok()?))),
        [0x0e, offset @ .., 0xe0 | 0x9b] => {
            Some(Place::Local(u64::from_le_bytes(offset.try_into().ok()?)))
        }
        // DW_OP_addrx.
        [0xa1, ..] => {
            let mut index = expression.0.clone();
            index.skip(1).ok()?;
            let index = usize::try_from(index.read_uleb128().ok()?).ok()?;
            dwarf.address(unit, gimli::DebugAddrIndex(index)).ok().map(Place::Address)
        }
        _ => None,
    }
}
