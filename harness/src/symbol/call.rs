//! Functions as a person writes the call: `Arc<Engine>::new`. A mangled name lacks the types (those of
//! rustc's legacy scheme do), debug information has them.

use gimli::{Dwarf, UnitOffset};

use super::debug::Indexed;
use super::image::Reader;
use super::type_name::short;

/// What debug information knows of a call's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Written(String),
    /// What an implementation is of is not told there, but what its parameters stand for is.
    Parameters(String),
}

/// A call by the names around its function, outermost first, each with whether it is a type.
pub(super) fn by_path(path: &[(String, bool)]) -> Option<Call> {
    let (full, around) = path.split_last().map(|((full, _), around)| (full, around))?;
    let function =
        full.split('<').next().filter(|name| !name.is_empty() && !name.starts_with('{'))?;
    match around.last() {
        Some((around, true)) => Some(Call::Written(format!("{}::{function}", short(around)))),
        Some((around, false)) if around.starts_with("{impl") => {
            let parameters = full.strip_prefix(function)?.strip_prefix('<')?.strip_suffix('>')?;
            Some(Call::Parameters(parameters.to_owned()))
        }
        _ => {
            let names = around.iter().map(|(name, _)| name.as_str()).chain([function]);
            Some(Call::Written(names.collect::<Vec<_>>().join("::")))
        }
    }
}

/// A call by its symbol, as far as debug information does not know better.
pub(super) fn written(function: &str, known: Option<Call>) -> String {
    match known {
        Some(Call::Written(written)) => written,
        Some(Call::Parameters(parameters)) => with_parameters(&by_symbol(function), &parameters),
        None => by_symbol(function),
    }
}

/// `Box<T>::new` with what `T` stands for: those of a type come first.
fn with_parameters(call: &str, parameters: &str) -> String {
    let is_letter = |name: &str| name.len() == 1 && name.chars().all(|it| it.is_ascii_uppercase());
    let open = call.find('<').zip(call.find('>')).filter(|(start, end)| start < end);
    let Some((start, end)) = open else { return call.to_owned() };
    let names: Vec<&str> = call[start + 1..end].split(',').map(str::trim).collect();
    let short = short(parameters);
    let known: Vec<&str> = parts(&short, b',').into_iter().map(str::trim).collect();
    if !names.iter().all(|name| is_letter(name)) || known.is_empty() {
        return call.to_owned();
    }
    let known = &known[..known.len().min(names.len())];
    format!("{}<{}>{}", &call[..start], known.join(", "), &call[end + 1..])
}

/// `alloc::sync::Arc<T>::new` as `Arc<T>::new`; a function of no type keeps its whole path.
fn by_symbol(function: &str) -> String {
    let parts: Vec<&str> =
        parts(function, b':').into_iter().filter(|part| !part.is_empty()).collect();
    // Generics of a function stand behind it as a part of their own.
    let is_generics =
        |part: &&str| part.starts_with('<') && part.ends_with('>') && !part.contains(" as ");
    let is_first = |at: usize| at == 0;
    let kept = parts.iter().enumerate().filter(|(at, part)| is_first(*at) || !is_generics(part));
    let parts: Vec<&str> = kept.map(|(_, part)| *part).collect();
    let is_type = |part: &&str| {
        part.contains('<') || part.starts_with(|first: char| first.is_ascii_uppercase())
    };
    let from = parts.iter().position(is_type).unwrap_or(0);
    parts[from..].iter().map(|part| shown(part)).collect::<Vec<_>>().join("::")
}

/// Cut at each `separator` that is in no brackets; colons come in pairs and leave empty parts.
fn parts(text: &str, separator: u8) -> Vec<&str> {
    let mut depth = 0i32;
    let mut start = 0;
    let mut parts = Vec::new();
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            // Not that of `->`.
            b'>' if at > 0 && bytes[at - 1] == b'-' => {}
            b'>' | b')' | b']' | b'}' => depth -= 1,
            byte if *byte == separator && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
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
    unit.each_at(dwarf, function, address, |entry| {
        if entry.tag() == gimli::DW_TAG_inlined_subroutine {
            found.push(entry.offset());
        }
    })?;
    found.reverse();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_written_as_in_the_source() {
        for (symbol, call) in [
            ("alloc::sync::Arc<T>::new", "Arc<T>::new"),
            ("std::collections::hash::map::HashMap<K,V,S>::insert", "HashMap<K,V,S>::insert"),
            ("<alloc::vec::Vec<T> as core::clone::Clone>::clone", "Vec<T>::clone"),
            ("std::fs::read", "std::fs::read"),
            ("std::thread::functions::spawn", "std::thread::functions::spawn"),
            ("sqlite3MemMalloc", "sqlite3MemMalloc"),
            ("app::run::{{closure}}", "app::run::{{closure}}"),
            ("<alloc::boxed::Box<app::Engine>>::new", "Box<Engine>::new"),
            ("alloc::boxed::Box::<[u8]>::new_uninit_slice", "Box::new_uninit_slice"),
            ("rusqlite::Connection::open_in_memory", "Connection::open_in_memory"),
            ("", ""),
        ] {
            assert_eq!(written(symbol, None), call, "{symbol}");
        }
    }

    #[test]
    fn types_come_from_what_is_around_a_function() {
        let call = |symbol: &str, names: &[(&str, bool)]| {
            let names: Vec<(String, bool)> =
                names.iter().map(|(name, is)| ((*name).to_owned(), *is)).collect();
            written(symbol, by_path(&names))
        };
        let arc = "Arc<app::Engine, alloc::alloc::Global>";
        let path = [("alloc", false), ("sync", false), (arc, true), ("new<app::Engine>", false)];
        assert_eq!(call("alloc::sync::Arc<T>::new", &path), "Arc<Engine>::new");
        let path = [("std", false), ("fs", false), ("read<&str>", false)];
        assert_eq!(call("std::fs::read", &path), "std::fs::read");
        let path = [
            ("alloc", false),
            ("boxed", false),
            ("{impl#0}", false),
            ("new<[app::Row; 64]>", false),
        ];
        assert_eq!(call("alloc::boxed::Box<T>::new", &path), "Box<[Row; 64]>::new");
        let path = [("alloc", false), ("{impl#3}", false), ("from", false)];
        assert_eq!(
            call("<alloc::vec::Vec<T> as core::convert::From<T>>::from", &path),
            "Vec<T>::from"
        );
        assert_eq!(call("malloc", &[("malloc", false)]), "malloc");
    }
}
