//! Functions as a person writes the call: `Arc<Engine>::new`. A mangled name lacks the types (those of
//! rustc's legacy scheme do), debug information has them.

use gimli::{Dwarf, UnitOffset};

use super::debug::{Entry, Indexed};
use super::image::Reader;
use super::type_name::short;

/// What is known of a call's name by its debug information: names around it, outermost first, each with
/// whether it is a type.
pub(super) fn by_path(path: &[(String, bool)]) -> Option<String> {
    let [.., (around, is_type), (function, _)] = path else {
        return path.last().map(|(function, _)| function.clone());
    };
    let function = function.split('<').next().filter(|name| !name.is_empty())?;
    // What an implementation is of is not told there.
    if around.starts_with("{impl") || function.starts_with('{') {
        return None;
    }
    let around = if *is_type { short(around) } else { around.clone() };
    Some(format!("{around}::{function}"))
}

/// The same by its symbol: `alloc::sync::Arc<T>::new` as `Arc<T>::new`.
pub(super) fn by_symbol(function: &str) -> String {
    const KEPT: usize = 2;
    let mut depth = 0i32;
    let mut starts = vec![0];
    let bytes = function.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            // Not that of `->`.
            b'>' if at > 0 && bytes[at - 1] == b'-' => {}
            b'>' | b')' | b']' | b'}' => depth -= 1,
            b':' if depth == 0 && at > 0 && bytes[at - 1] == b':' => starts.push(at + 1),
            _ => {}
        }
    }
    let parts: Vec<&str> = starts
        .iter()
        .zip(starts.iter().skip(1).map(|next| next - 2).chain([function.len()]))
        .map(|(start, end)| &function[*start..end])
        .collect();
    // A closure says nothing without what it is in, and generics of the function are not written.
    let named = parts
        .iter()
        .filter(|part| !part.starts_with("{closure") && !part.starts_with("{{closure"))
        .count();
    let closures = parts.len() - named;
    let parts: Vec<&str> = parts
        .into_iter()
        .filter(|part| !part.starts_with('<') || !part.ends_with('>') || part.contains(" as "))
        .collect();
    let from = parts.len().saturating_sub(KEPT + closures);
    let shown: Vec<String> = parts[from..].iter().map(|part| shown(part)).collect();
    shown.join("::")
}

/// One part of a path; of `<Vec<T> as Clone>` the type.
fn shown(part: &str) -> String {
    match part.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')) {
        Some(inner) => short(inner.split(" as ").next().unwrap_or(inner)),
        None => short(part),
    }
}

/// The functions at an address, innermost first: the one that holds it, and those inlined there.
pub(super) fn functions(
    dwarf: &Dwarf<Reader>,
    unit: &Indexed,
    address: u64,
) -> Option<Vec<UnitOffset>> {
    let function = unit.function(address)?;
    let mut found = vec![function];
    let mut raw = unit.unit.entries_raw(Some(function)).ok()?;
    let mut entry = Entry::null();
    raw.read_entry(&mut entry).ok()?;
    // Everything deeper than this is passed over.
    let mut passed_over = isize::MAX;
    while raw.next_depth() > 0 {
        let (depth, offset) = (raw.next_depth(), raw.next_offset());
        if !raw.read_entry(&mut entry).ok()? || depth > passed_over {
            continue;
        }
        passed_over = isize::MAX;
        match entry.tag() {
            gimli::DW_TAG_inlined_subroutine | gimli::DW_TAG_lexical_block => {
                if !holds(dwarf, unit, &entry, address) {
                    passed_over = depth;
                } else if entry.tag() == gimli::DW_TAG_inlined_subroutine {
                    found.push(offset);
                }
            }
            _ => passed_over = depth,
        }
    }
    found.reverse();
    Some(found)
}

/// Whether an entry's code holds an address.
pub(super) fn holds(dwarf: &Dwarf<Reader>, unit: &Indexed, entry: &Entry, address: u64) -> bool {
    let Ok(mut ranges) = dwarf.die_ranges(&unit.unit, entry) else { return false };
    while let Ok(Some(range)) = ranges.next() {
        if (range.begin..range.end).contains(&address) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_written_as_in_the_source() {
        for (symbol, written) in [
            ("alloc::sync::Arc<T>::new", "Arc<T>::new"),
            ("std::collections::hash::map::HashMap<K,V,S>::insert", "HashMap<K,V,S>::insert"),
            ("<alloc::vec::Vec<T> as core::clone::Clone>::clone", "Vec<T>::clone"),
            ("std::fs::read", "fs::read"),
            ("sqlite3MemMalloc", "sqlite3MemMalloc"),
            ("app::run::{{closure}}", "app::run::{{closure}}"),
            ("<alloc::boxed::Box<app::Engine>>::new", "Box<Engine>::new"),
            ("alloc::boxed::Box::<[u8]>::new_uninit_slice", "Box::new_uninit_slice"),
            ("", ""),
        ] {
            assert_eq!(by_symbol(symbol), written, "{symbol}");
        }
    }

    #[test]
    fn types_come_from_what_is_around_a_function() {
        let path = |names: &[(&str, bool)]| {
            let names: Vec<(String, bool)> =
                names.iter().map(|(name, is)| ((*name).to_owned(), *is)).collect();
            by_path(&names)
        };
        let arc = "Arc<app::Engine, alloc::alloc::Global>";
        assert_eq!(
            path(&[("alloc", false), ("sync", false), (arc, true), ("new<app::Engine>", false)])
                .as_deref(),
            Some("Arc<Engine>::new")
        );
        assert_eq!(
            path(&[("std", false), ("fs", false), ("read<&str>", false)]).as_deref(),
            Some("fs::read")
        );
        assert_eq!(path(&[("alloc", false), ("{impl#3}", false), ("from", false)]), None);
        assert_eq!(path(&[("malloc", false)]).as_deref(), Some("malloc"));
    }
}
