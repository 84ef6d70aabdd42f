//! Types as a person writes them: without the paths of their parts, and without parameters that nobody gives.

use std::borrow::Cow;

/// Parameters that have these values by default.
const DEFAULTS: [&str; 3] = ["Global", "RandomState", "DefaultHashBuilder"];

/// `alloc::vec::Vec<alloc::sync::Arc<app::Engine, alloc::alloc::Global>, alloc::alloc::Global>` as
/// `Vec<Arc<Engine>>`.
pub(super) fn short(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_alphanumeric() || matches!(letter, '_' | ':' | '#' | '{' | '}') {
            word.push(letter);
            continue;
        }
        push_word(&mut out, &word);
        word.clear();
        match letter {
            '>' | ',' => drop_default(&mut out),
            _ => {}
        }
        match letter {
            '>' => {
                // Nothing but defaults was left out of it.
                if out.ends_with('<') {
                    out.pop();
                } else {
                    out.push('>');
                }
            }
            ',' if out.ends_with('<') => {}
            ' ' if out.ends_with('<') => {}
            letter => out.push(letter),
        }
    }
    push_word(&mut out, &word);
    out
}

/// The last part of a path; a closure keeps what is around it.
fn push_word(out: &mut String, word: &str) {
    let kept = match word.find("::{") {
        Some(closure) => word[..closure].rfind("::").map_or(0, |at| at + 2),
        None => word.rfind("::").map_or(0, |at| at + 2),
    };
    // `T::Item` begins with no path of modules; `<T as X>::Item` begins with its colons.
    out.push_str(&word[kept..]);
}

/// Takes the last parameter away again where it is one that nobody writes.
fn drop_default(out: &mut String) {
    for default in DEFAULTS {
        if let Some(before) = out.strip_suffix(default)
            && (before.ends_with(", ") || before.ends_with('<') || before.ends_with(','))
        {
            let kept = before.trim_end_matches([' ', ',']).len();
            out.truncate(kept);
            return;
        }
    }
}

/// What a static that is made on first use holds, and a thread-local: the storage around it is the library's.
pub(super) fn without_storage(name: &str) -> Cow<'_, str> {
    /// Of the standard library, and of once_cell.
    const LAZY: [&str; 3] = ["LazyLock", "LazyCell", "Lazy"];
    const STORAGES: [&str; 3] = ["LazyStorage<", "EagerStorage<", "Storage<"];
    // What makes it is the second parameter of a static's.
    let made = name.split_once(", fn() -> ").filter(|(lazy, _)| {
        LAZY.iter().any(|name| lazy.strip_prefix(name).is_some_and(|it| it.starts_with('<')))
    });
    if let Some((made, _)) = made {
        return Cow::Owned(format!("{made}>"));
    }
    let inner = STORAGES.iter().find_map(|storage| name.strip_prefix(storage)?.strip_suffix('>'));
    // The state of its destructor is that of a thread-local's.
    let inner = inner.map(|it| it.strip_suffix(", ()").or(it.strip_suffix(", !")).unwrap_or(it));
    Cow::Borrowed(inner.unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_people_write_them() {
        for (full, written) in [
            ("usize", "usize"),
            ("alloc::sync::Arc<app::Engine, alloc::alloc::Global>", "Arc<Engine>"),
            (
                "std::sync::lazy_lock::LazyLock<std::sync::poison::mutex::Mutex<std::collections::hash::map::HashMap<usize, alloc::sync::Arc<a::Engine, alloc::alloc::Global>, std::hash::random::RandomState>>, fn() -> std::sync::poison::mutex::Mutex<()>>",
                "LazyLock<Mutex<HashMap<usize, Arc<Engine>>>, fn() -> Mutex<()>>",
            ),
            ("alloc::vec::Vec<u8, alloc::alloc::Global>", "Vec<u8>"),
            ("&mut [app::Row]", "&mut [Row]"),
            ("dyn core::ops::function::Fn<(), Output=()>", "dyn Fn<(), Output=()>"),
            ("app::run::{closure_env#0}", "run::{closure_env#0}"),
            (
                "alloc::boxed::Box<(dyn app::Tick + core::marker::Send), alloc::alloc::Global>",
                "Box<(dyn Tick + Send)>",
            ),
            ("struct node*", "struct node*"),
            ("", ""),
        ] {
            assert_eq!(short(full), written, "{full}");
        }
    }

    #[test]
    fn the_storage_of_a_thread_local_is_not_its_type() {
        assert_eq!(without_storage("LazyStorage<RefCell<Vec<u8>>, ()>"), "RefCell<Vec<u8>>");
        assert_eq!(without_storage("EagerStorage<RefCell<Vec<u8>>>"), "RefCell<Vec<u8>>");
        assert_eq!(without_storage("Storage<Cell<u8>, ()>"), "Cell<u8>");
        assert_eq!(without_storage("Mutex<Vec<u8>>"), "Mutex<Vec<u8>>");
        assert_eq!(
            without_storage("LazyLock<Mutex<u8>, fn() -> Mutex<u8>>"),
            "LazyLock<Mutex<u8>>"
        );
        assert_eq!(without_storage("Lazy<Vec<u8>, fn() -> Vec<u8>>"), "Lazy<Vec<u8>>");
        let other = "LazyDisk<Vec<u8>, fn() -> Vec<u8>>";
        assert_eq!(without_storage(other), other);
    }
}
