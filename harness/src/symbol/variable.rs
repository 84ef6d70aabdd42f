//! Static and thread-local variables: their names, and where and as what they are declared.

use super::debug::Place;
use super::function::{self, crate_of, demangle};
use super::index::Found;
use super::type_name::{short, without_storage};
use super::value::Value;
use super::{LoadedModule, Origin, Symbolizer, origin};
use std::path::{Path, PathBuf};

/// A variable that holds an address, or a place in the thread-local storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Its path, as it is written in the source.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) origin: Origin,
    place: Place,
    linkage: String,
}

impl Variable {
    /// How far into it a place in the module is, or one in the thread-local storage.
    pub(crate) fn distance(&self, module: &LoadedModule, at: u64) -> i64 {
        let start = match self.place {
            Place::Address(address) => address.wrapping_add(module.bias),
            Place::Local(offset) => offset,
        };
        at.wrapping_sub(start) as i64
    }
}

/// Where a variable is declared, and its type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Declaration {
    pub(crate) file: Option<PathBuf>,
    pub(crate) line: u32,
    pub(crate) type_name: Option<String>,
    /// What it is, to be looked into.
    pub(crate) value: Option<Value>,
}

impl Symbolizer {
    /// The static variable at an address.
    pub(crate) fn static_at(&mut self, module: &LoadedModule, address: u64) -> Option<Variable> {
        if !self.open(module) {
            return None;
        }
        let image = self.files.get(&module.path)?.image.as_ref()?;
        let found = image.static_at(address.wrapping_sub(module.bias))?;
        let place = Place::Address(found.address);
        Some(self.variable(module, found, place))
    }

    /// The thread-local variable at a place in a module's thread-local storage.
    pub(crate) fn thread_local_at(
        &mut self,
        module: &LoadedModule,
        offset: u64,
    ) -> Option<Variable> {
        if !self.open(module) {
            return None;
        }
        let found = self.files.get(&module.path)?.image.as_ref()?.thread_local_at(offset)?;
        let place = Place::Local(found.address);
        Some(self.variable(module, found, place))
    }

    fn variable(&mut self, module: &LoadedModule, found: Found, place: Place) -> Variable {
        let name = demangle(&found.name);
        let origin = self.origin_of(&module.path, &name);
        Variable { name: written(&name).to_owned(), origin, place, linkage: found.name }
    }

    /// Whose a variable is, by the crate in its name.
    fn origin_of(&mut self, module: &Path, name: &str) -> Origin {
        let crate_name = crate_of(name);
        match self.origin_of_crate(module, crate_name) {
            Some(origin) => origin,
            None if function::is_toolchain(name) => Origin::Toolchain,
            // Nothing tells a dependency from the user's own; C has no crates.
            None if crate_name.is_empty() => Origin::System,
            None => self.origins.of(module, Some(Path::new("src")), name),
        }
    }

    /// Whose a crate is, where a unit says that it is of this crate: those of an incremental build do not.
    pub(super) fn origin_of_crate(&mut self, module: &Path, name: &str) -> Option<Origin> {
        let file = self.files.get_mut(module)?;
        let crates = file.crates.get_or_insert_with(|| {
            let units = file.image.as_ref().and_then(|image| image.units());
            units.map(|units| units.crates()).unwrap_or_default()
        });
        let root = origin::normalise(crates.get(name)?);
        Some(self.origins.of(module, Some(&root), name))
    }

    /// Where a variable is declared; nothing where the file has no debug information about it.
    pub(crate) fn declaration(
        &mut self,
        module: &LoadedModule,
        variable: &Variable,
    ) -> Declaration {
        let declared = || {
            let units = self.files.get(&module.path)?.image.as_ref()?.units()?;
            let same = plain(&variable.linkage);
            units.declared(variable.place, |linkage| plain(linkage) == same)
        };
        let declared = declared().unwrap_or_default();
        let type_name = declared.type_name.map(|name| short(&name));
        let value = declared.kind.map(|(unit, kind)| Value::of(module, unit, kind));
        Declaration {
            file: declared.file,
            line: declared.line,
            type_name: type_name.map(|name| without_storage(&name).into_owned()),
            value,
        }
    }
}

/// A symbol's name without what a linker adds: `HEAD.0`, `HEAD.llvm.1234`.
fn plain(linkage: &str) -> &str {
    let end = linkage.find('.').filter(|at| *at > 0).unwrap_or(linkage.len());
    &linkage[..end]
}

/// A variable's path without what macros and the compiler put around it.
fn written(name: &str) -> &str {
    // `thread_local!` declares a constant of this name, `lazy_static!` a type.
    const INSIDES: [&str; 3] = ["::{{constant}}", "::{constant#", "::__getit"];
    let end = INSIDES.iter().filter_map(|inside| name.find(inside)).min().unwrap_or(name.len());
    let mut name = &name[..end];
    if let Some(outer) = name.strip_prefix('<')
        && let Some((path, _)) = outer.split_once(" as core::ops::deref::Deref>")
        && outer.contains("::__stability::LAZY")
    {
        name = path;
    }
    // What link-time optimisation has split.
    let number =
        name.rsplit_once('.').filter(|(_, end)| end.bytes().all(|byte| byte.is_ascii_digit()));
    number.map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_the_name_that_somebody_has_written() {
        for (symbol, name) in [
            ("app::REGISTRY", "app::REGISTRY"),
            ("app::open::REGISTRY", "app::open::REGISTRY"),
            ("app::HEAD.0", "app::HEAD"),
            ("app::CACHE::{{constant}}::{{closure}}::__RUST_STD_INTERNAL_VAL", "app::CACHE"),
            ("app::CACHE::{constant#0}::{closure#0}::VAL", "app::CACHE"),
            ("<app::POOL as core::ops::deref::Deref>::deref::__stability::LAZY", "app::POOL"),
            ("pcache1_g", "pcache1_g"),
        ] {
            assert_eq!(written(symbol), name, "{symbol}");
        }
    }

    #[test]
    fn what_a_linker_adds_is_no_part_of_a_name() {
        assert_eq!(plain("_ZN3app4HEAD17hE.0"), "_ZN3app4HEAD17hE");
        assert_eq!(plain("_ZN3app4HEAD17hE.llvm.77"), "_ZN3app4HEAD17hE");
        assert_eq!(plain("pcache1_g"), "pcache1_g");
    }
}
