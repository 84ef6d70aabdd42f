//! What a word of a value is: the field that it lies in and, where it is a pointer, what it points to.
//!
//! Which variant of an enumeration a value is, is not looked at. Of what may lie in one place the pointers
//! count, since the word is one; where several differ, nothing is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gimli::{Dwarf, UnitOffset};

use super::debug::Indexed;
use super::image::Reader;
use super::member::{Leaf, Repeats, Types, same};
use super::type_name::short;
use super::{LoadedModule, Origin, Symbolizer, call, origin};

/// What lies in a place: a value of a type, or several next to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// The module's file that has its type.
    path: PathBuf,
    /// Where the unit of its type begins.
    unit: usize,
    kind: UnitOffset,
    repeats: Repeats,
}

/// What is known of a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// The fields that lead to it, without those that nobody of the project has named: `.inner.db`.
    pub(crate) field: Option<String>,
    /// What it points to.
    pub(crate) target: Option<Value>,
}

impl Value {
    pub(super) fn of(module: &LoadedModule, unit: usize, kind: UnitOffset) -> Self {
        Self { path: module.path.clone(), unit, kind, repeats: Repeats::Once }
    }
}

impl Symbolizer {
    /// What the word is that lies `distance` bytes behind where a value is pointed to; none where nothing tells.
    pub(crate) fn word(&mut self, value: &Value, distance: i64) -> Option<Word> {
        let (dwarf, unit) = self.unit(value)?;
        let types = Types { dwarf: &dwarf, unit: &unit };
        let bytes = unit.bytes(value.kind)?;
        let leaves = match value.repeats.within(distance, bytes) {
            Some(at) => types.leaves(value.kind, at),
            None => types.leaves(types.inner_node(value.kind)?, u64::try_from(distance).ok()?),
        };
        let points = leaves.iter().any(|leaf| leaf.is_pointer);
        let leaves = || leaves.iter().filter(|leaf| leaf.is_pointer == points);
        let target = same(leaves().map(|leaf| leaf.target)).flatten();
        let field = same(leaves().map(|leaf| self.field(&types, value, leaf))).flatten();
        let target = target.map(|(kind, repeats)| Value { kind, repeats, ..value.clone() });
        Some(Word { field, target })
    }

    /// What a smart pointer's constructor has made: the frame `nth` at a return address, innermost first, is its
    /// call.
    pub(crate) fn constructed(
        &mut self,
        modules: &[LoadedModule],
        address: u64,
        nth: usize,
    ) -> Option<Value> {
        let call = address.checked_sub(1)?;
        let module = modules.iter().find(|module| module.holds(call)).filter(|it| self.open(it))?;
        let call = call.wrapping_sub(module.bias);
        let (units, unit) = self.files.get(&module.path)?.image.as_ref()?.unit_of(call)?;
        let types = Types { dwarf: units.dwarf(), unit: &unit };
        let function = *call::functions(types.dwarf, &unit, call)?.get(nth)?;
        let name = types.name(function)?;
        let pointer = unit.type_of(&unit.unit.entry(function).ok()?)?;
        let is_constructor = ["new", "new_cyclic"].contains(&name.split('<').next()?);
        let (kind, repeats) = same(types.leaves(pointer, 0).into_iter().map(|leaf| leaf.target))??;
        let value = Value { path: module.path.clone(), unit: unit.start()?, kind, repeats };
        (is_constructor && types.is_owner(pointer)).then_some(value)
    }

    /// The type of a value that has a block of `room` bytes for itself, as a person writes it; none where the block
    /// is no such value: it may be the first of many, or the head of something larger.
    pub(crate) fn value_name(&mut self, value: &Value, room: u64) -> Option<String> {
        /// A block may be so much larger than what was asked for (glibc's chunks).
        const SLACK: u64 = 24;
        let (dwarf, unit) = self.unit(value)?;
        let bytes = unit.bytes(value.kind)?;
        if value.repeats == Repeats::Once && !(bytes..=bytes + SLACK).contains(&room) {
            return None;
        }
        let name = short(&unit.type_name(&dwarf, value.kind)?);
        Some(match value.repeats {
            Repeats::Once => name,
            Repeats::Upwards => format!("[{name}]"),
            Repeats::Downwards => format!("table of {name}"),
        })
    }

    fn unit(&self, value: &Value) -> Option<(Arc<Dwarf<Reader>>, Arc<Indexed>)> {
        let units = self.files.get(&value.path)?.image.as_ref()?.units()?;
        Some((Arc::clone(units.dwarf()), units.unit_at(value.unit)?))
    }

    /// The fields to a leaf that somebody of the project has named, if any.
    fn field(&mut self, types: &Types<'_>, value: &Value, leaf: &Leaf) -> Option<String> {
        let mut text = String::new();
        for (owner, name) in &leaf.fields {
            let is_entry = value.repeats == Repeats::Downwards && *owner == value.kind;
            let path = types.unit.path(types.dwarf, *owner).unwrap_or_default();
            let is_named = match path.as_slice() {
                [] => false,
                // Tuples and the types of C have no crate; nor have pointers with a length or a table of methods.
                [(name, _)] if name.starts_with('(') => !is_entry,
                [(name, _)] => {
                    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                }
                [(name, _), ..] => self.is_users(value, name),
            };
            if is_named {
                // Fields without a name have numbers.
                text.extend([".", name.strip_prefix("__").unwrap_or(name)]);
            }
        }
        (!text.is_empty()).then_some(text)
    }

    /// Whether the types of a crate are the project's. A type does not say where it is declared; where no unit
    /// is known to be of its crate, functions are.
    fn is_users(&mut self, value: &Value, crate_name: &str) -> bool {
        if let Some(known) = self.origin_of_crate(&value.path, crate_name) {
            return known == Origin::User;
        }
        let Some(file) = self.files.get_mut(&value.path) else { return false };
        if let Some(known) = file.users.get(crate_name) {
            return *known;
        }
        let files = file.image.as_ref().map(|image| image.files_of_crate(crate_name));
        let is_users = files.unwrap_or_default().iter().any(|file| {
            let file = origin::normalise(Path::new(file));
            self.origins.of(&value.path, Some(&file), crate_name) == Origin::User
        });
        file.users.insert(crate_name.to_owned(), is_users);
        is_users
    }
}

#[cfg(test)]
mod tests;
