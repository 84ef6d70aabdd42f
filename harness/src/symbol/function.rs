//! Function names as a person reads them, and what they tell about whose code it is.

/// Crates of the compiler's distribution.
const TOOLCHAIN_CRATES: [&str; 6] = ["std", "core", "alloc", "test", "proc_macro", "panic_unwind"];
/// Beginnings of the names that the compiler and the runtime give to functions of no module.
const TOOLCHAIN_NAMES: [&str; 4] = ["__rust_", "__rustc", "rust_begin_unwind", "rust_panic"];

/// The name without mangling (legacy and v0), without the hash that makes it unique, and without a
/// symbol version. Names of C functions stay as they are.
pub(super) fn demangle(name: &str) -> String {
    match rustc_demangle::try_demangle(name) {
        Ok(rust) => format!("{rust:#}"),
        Err(_) => name.split_once('@').map_or(name, |(name, _version)| name).to_owned(),
    }
}

/// Whether the name lacks its module path, as where debug info has no linkage name: `push<u8>`.
pub(super) fn is_bare(function: &str) -> bool {
    !function.starts_with('<') && !function.split('<').next().is_some_and(|it| it.contains("::"))
}

/// Whether the function belongs to this harness.
pub(super) fn is_harness(function: &str) -> bool {
    crate_of(function) == "watertight"
}

/// Whether the function is of the compiler's distribution.
pub(super) fn is_toolchain(function: &str) -> bool {
    TOOLCHAIN_CRATES.contains(&crate_of(function))
        || TOOLCHAIN_NAMES.iter().any(|name| function.starts_with(name))
}

/// Whether the function only passes a call on: the compiler writes those, and may give them the
/// place of the closure that they call.
pub(super) fn is_shim(function: &str) -> bool {
    let is_of_trait = function.starts_with("core::ops::function::")
        || function.starts_with('<') && function.contains(" as core::ops::function::");
    let last = without_generics(function).rsplit("::").next();
    // What the compiler writes around an allocator has the line of the `#[global_allocator]`.
    if last.is_some_and(|last| ["__rust_", "__rg_", "__rdl_"].iter().any(|it| last.starts_with(it)))
    {
        return true;
    }
    is_of_trait && matches!(last, Some("call_once" | "call_mut" | "call"))
        || function.contains("{shim:")
        || function.contains("shim}}")
}

/// The crate at the start of a path: of `<a::B as c::D>::e` it is `a`, of `[a::B]::e` too.
pub(super) fn crate_of(function: &str) -> &str {
    let path = function.trim_start_matches(['<', '&', '*', '[', '(']);
    let path = path.strip_prefix("mut ").or_else(|| path.strip_prefix("dyn ")).unwrap_or(path);
    path.split_once("::").map_or("", |(first, _rest)| first)
}

/// The name without the generic arguments at its end: `f` for `f::<T>`.
fn without_generics(function: &str) -> &str {
    let start = function.strip_suffix('>').and_then(|open| open.rfind("::<"));
    start.map_or(function, |start| &function[..start])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_mangling_hash_and_version() {
        for (mangled, plain) in [
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
            ("_ZN4main4work17h0123456789abcdefE.llvm.123456789", "main::work"),
            (
                "_ZN3app3run28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
                "app::run::{{closure}}",
            ),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("_RNCNvCs1234_7mycrate3foo0", "mycrate::foo::{closure#0}"),
            ("_RINvCs1234_7mycrate3fooyE", "mycrate::foo::<u64>"),
            ("sqlite3_open_v2", "sqlite3_open_v2"),
            ("memcpy@@GLIBC_2.14", "memcpy"),
            ("_ZNotMangled", "_ZNotMangled"),
            ("", ""),
        ] {
            assert_eq!(demangle(mangled), plain, "{mangled}");
        }
    }

    #[test]
    fn the_crate_is_at_the_start() {
        for (function, first) in [
            ("watertight::suite::run", "watertight"),
            ("<watertight::case::Case as core::fmt::Debug>::fmt", "watertight"),
            ("<&mut app::Store as app::Sink>::put", "app"),
            ("<[app::Row]>::sort", "app"),
            ("<dyn app::Sink>::close", "app"),
            ("watertight_suites::leaky::stores", "watertight_suites"),
            ("main", ""),
        ] {
            assert_eq!(crate_of(function), first, "{function}");
        }
        assert!(is_harness("<watertight::case::Case>::run"));
        assert!(!is_harness("watertight_suites::watertight::run"));
    }

    #[test]
    fn shims_and_the_toolchain_are_told_by_name() {
        for shim in [
            "core::ops::function::FnOnce::call_once",
            "core::ops::function::FnOnce::call_once::<app::main::{closure#0}, ()>",
            "<app::main::{closure#0} as core::ops::function::FnOnce<()>>::call_once",
            "<app::main::{closure#0} as app::Callback>::call::{shim:vtable#0}",
            "core::ops::function::FnOnce::call_once{{vtable.shim}}",
            "<&F as core::ops::function::Fn<A>>::call",
        ] {
            assert!(is_shim(shim), "{shim}");
        }
        for other in ["app::Client::call", "app::run::<dyn core::ops::function::Fn()>", "main"] {
            assert!(!is_shim(other), "{other}");
        }
        for name in ["std::fs::File::open", "__rust_alloc", "__rustc::__rust_dealloc"] {
            assert!(is_toolchain(name), "{name}");
        }
        for name in ["core_store::open", "app::std::open", "malloc"] {
            assert!(!is_toolchain(name), "{name}");
        }
    }

    #[test]
    fn a_bare_name_has_no_module() {
        for (name, bare) in [
            ("push<alloc::string::String>", true),
            ("main", true),
            ("{closure#0}", true),
            ("alloc::vec::Vec<T,A>::push", false),
            ("<alloc::vec::Vec<u8>>::push", false),
        ] {
            assert_eq!(is_bare(name), bare, "{name}");
        }
    }
}
