//! What a person calls the thing that leaked: `Engine` of an `Arc<Engine>::new`.

use crate::model::Holder;

/// Types that only carry another, and what debug information calls the block that they make.
const CARRIERS: [&str; 7] = ["Arc", "Rc", "Box", "Pin", "ArcInner", "RcInner", "RcBox"];

/// Functions that make what their type is called: what `HashMap::insert` or `Sender::send` allocate is a part
/// of something else.
const MAKERS: [&str; 8] =
    ["new", "new_in", "new_cyclic", "pin", "from", "default", "clone", "with_capacity"];

/// A longer name is told without its parameters.
const CHARS_MAX: usize = 40;

/// The name of the thing that is last on the way from the holder, where it has one.
pub(super) fn noun(holder: &Holder) -> Option<String> {
    let last = holder.hops.last()?;
    let of_type = last.type_name.as_deref().and_then(thing);
    of_type.or_else(|| {
        let (maker, function) = last.made_by.rsplit_once("::")?;
        MAKERS.contains(&function).then(|| thing(maker)).flatten()
    })
}

/// A type without its modules and what carries it; none where it has no name of its own.
fn thing(of_type: &str) -> Option<String> {
    let short = without_modules(of_type);
    let mut inner = short.as_str();
    while let Some((carrier, parameters)) = parameters(inner) {
        if !CARRIERS.contains(&carrier) {
            break;
        }
        inner = first(parameters);
    }
    let (base, _) = parameters(inner).unwrap_or((inner, ""));
    let is_name = base.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && base.chars().all(|c| c.is_alphanumeric() || c == '_');
    // A carrier that is left says nothing of what it carries.
    if !is_name || CARRIERS.contains(&base) {
        return None;
    }
    Some(if inner.chars().count() > CHARS_MAX { base } else { inner }.to_owned())
}

/// `app::Engine<alloc::string::String>` as `Engine<String>`.
fn without_modules(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    // Where the last name in `out` begins.
    let mut begins = 0;
    let mut rest = path.trim();
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("::") {
            out.truncate(begins);
            rest = after;
            continue;
        }
        out.push(c);
        if !(c.is_alphanumeric() || c == '_') {
            begins = out.len();
        }
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// `Arc` and `Engine` of `Arc<Engine>`.
fn parameters(of_type: &str) -> Option<(&str, &str)> {
    of_type.strip_suffix('>')?.split_once('<')
}

/// The first of several parameters.
fn first(parameters: &str) -> &str {
    let mut depth = 0_u32;
    for (at, c) in parameters.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => return parameters[..at].trim(),
            _ => {}
        }
    }
    parameters.trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Confidence, HolderClass, Hop};

    fn of(made_by: &str, type_name: Option<&str>) -> Option<String> {
        let mut holder = Holder::new(HolderClass::Static, Confidence::Sure);
        let mut hop = Hop::new(made_by, 56);
        hop.type_name = type_name.map(str::to_owned);
        holder.hops = vec![Hop::new("Arc<Wrong>::new", 8), hop];
        noun(&holder)
    }

    #[test]
    fn what_was_made_has_the_name_of_its_type() {
        let table = [
            ("Arc<Engine>::new", Some("Engine")),
            ("alloc::sync::Arc<app::engine::Engine>::new", Some("Engine")),
            ("Box<core::pin::Pin<app::Task<u8>>, alloc::alloc::Global>::new", Some("Task<u8>")),
            ("Vec<alloc::string::String>::with_capacity", Some("Vec<String>")),
            ("String::from", Some("String")),
            ("Rc<(u8, u8)>::new", None),
            ("Arc<[u8]>::from", None),
            ("Box<dyn core::ops::Fn()>::new", None),
            ("Box<app::start::{closure#0}>::new", None),
            ("Arc::new", None),
            // Not the thing itself.
            ("HashMap<usize, Arc<Engine>>::insert", None),
            ("Sender<Vec<u8>>::send", None),
            ("sqlite3MemMalloc", None),
            ("", None),
            ("::new", None),
            ("<>::new", None),
            (">::new", None),
            ("Arc<>::new", None),
            ("Arc<Arc<Arc<é>>>::new", Some("é")),
        ];
        for (made_by, wanted) in table {
            assert_eq!(of(made_by, None).as_deref(), wanted, "{made_by}");
        }
    }

    #[test]
    fn the_type_says_more_than_the_call() {
        let said = of("sqlite3MemMalloc", Some("alloc::sync::ArcInner<app::Engine>"));
        assert_eq!(said.as_deref(), Some("Engine"));
        assert_eq!(of("Arc<Engine>::new", Some("[u8; 64]")).as_deref(), Some("Engine"));
    }

    #[test]
    fn a_long_name_loses_its_parameters() {
        let long = format!("Box<Tree<{}>>::new", "Key".repeat(20));
        assert_eq!(of(&long, None).as_deref(), Some("Tree"));
        assert_eq!(of("Box<Tree<Key>>::new", None).as_deref(), Some("Tree<Key>"));
    }

    #[test]
    fn without_a_way_there_is_no_name() {
        assert_eq!(noun(&Holder::new(HolderClass::Static, Confidence::Sure)), None);
    }
}
