//! Whose code a frame is, told by the path of its source.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::function;

/// Directories of the system: modules in them, and headers from them, are nobody's under test.
/// Not all of `/usr/src`: images of the Rust project put applications there.
const SYSTEM_DIRS: [&str; 13] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr/include",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/libx32",
    "/usr/src/debug",
    "/nix/store",
    "/gnu/store",
];
/// Where distributions built their C library and compiler: parts of both are linked into programs.
const SYSTEM_BUILDS: [&str; 3] = ["/build/glibc-", "/build/gcc-", "/build/musl-"];
/// What cargo puts into each vendored crate.
const VENDOR_MARK: &str = ".cargo-checksum.json";
/// Directories remembered; a large project has some hundreds.
const DIRECTORIES_MAX: usize = 16_384;
/// Length of the hash at the end of the directories that cargo makes.
const CARGO_HASH_LEN: usize = 16;

/// Whose code a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// Source of the project that is worked on.
    User,
    /// A crate from a registry, a git checkout or a vendor directory, and C code that it brings.
    Dependency,
    /// The standard library and what the compiler generates.
    Toolchain,
    /// A module of the system, or code that does not say where it comes from.
    System,
}

/// Tells origins, and remembers which directories are vendored crates.
#[derive(Default)]
pub(super) struct Origins {
    is_vendored: HashMap<PathBuf, bool>,
}

impl Origins {
    /// The origin of a frame in `module` whose source is `file`, normalised.
    pub(super) fn of(&mut self, module: &Path, file: Option<&Path>, function: &str) -> Origin {
        if is_in_system(module) {
            return Origin::System;
        }
        let Some(file) = file else {
            let is_toolchain = function::is_toolchain(function);
            return if is_toolchain { Origin::Toolchain } else { Origin::System };
        };
        match of_path(file) {
            Origin::User if file.is_absolute() && self.is_vendored(file) => Origin::Dependency,
            origin => origin,
        }
    }

    /// Whether a directory above the file holds cargo's mark.
    fn is_vendored(&mut self, file: &Path) -> bool {
        let Some(directory) = file.parent() else { return false };
        if let Some(&known) = self.is_vendored.get(directory) {
            return known;
        }
        if self.is_vendored.len() >= DIRECTORIES_MAX {
            self.is_vendored.clear();
        }
        let is_vendored = directory.join(VENDOR_MARK).is_file() || self.is_vendored(directory);
        self.is_vendored.insert(directory.to_owned(), is_vendored);
        is_vendored
    }
}

/// The origin that a path itself tells.
pub(super) fn of_path(file: &Path) -> Origin {
    let names: Vec<&str> = file.iter().map(|name| name.to_str().unwrap_or_default()).collect();
    if is_of_toolchain(file, &names) {
        Origin::Toolchain
    } else if is_of_cargo(file, &names) {
        Origin::Dependency
    } else if is_in_system(file) {
        Origin::System
    } else {
        Origin::User
    }
}

/// Whether a build script wrote the file: it lies in `build/<package>-<hash>/out`, or in
/// `build/<package>/<hash>/out`.
pub(super) fn is_generated(file: &Path) -> bool {
    let names: Vec<&str> = file.iter().map(|name| name.to_str().unwrap_or_default()).collect();
    generator(&names).is_some()
}

/// The path without `.`, without doubled slashes, and with `..` resolved by name: the directories
/// may no longer be there to ask.
pub(super) fn normalise(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match normal.components().next_back() {
                Some(Component::Normal(_)) => {
                    normal.pop();
                }
                Some(Component::RootDir) => {}
                _ => normal.push(".."),
            },
            other => normal.push(other),
        }
    }
    normal
}

/// `/rustc/<commit>/library/...`, or `/rust/deps/<crate>-<version>/...` for what the standard library
/// is built from; the `rust-src` component; or a name in angle brackets, which the compiler gives to
/// code that is in no file.
fn is_of_toolchain(file: &Path, names: &[&str]) -> bool {
    file.starts_with("/rustc")
        || matches!(names, ["/", "rust", "deps", package, ..] if is_versioned(package))
        || contains(names, &["rustlib", "src"])
        || contains(names, &[".rustup", "toolchains"])
        || names.iter().any(|name| name.starts_with('<') && name.ends_with('>'))
}

/// Below cargo's home, wherever that is or was remapped to; or copied by a build script from there.
fn is_of_cargo(file: &Path, names: &[&str]) -> bool {
    let is_registry = |at: &[&str]| at[0] == "registry" && at[1] == "src" && is_hashed(at[2]);
    let is_git = |at: &[&str]| at[0] == "git" && at[1] == "checkouts" && is_hashed(at[2]);
    // With paths trimmed, what is left of a registry's crate is `<index>-<hash>/<crate>-<version>`
    // or less, and a package of the workspace starts at the workspace.
    let is_trimmed = file.is_relative()
        && match names {
            [first, second, ..] if is_hashed(first) => is_versioned(second),
            [first, _, ..] => is_versioned(first),
            _ => false,
        };
    // Rust that a build script writes is generated for the package; other sources there are copies
    // of a library that the package bundles.
    let is_bundled = generator(names).is_some_and(|package| {
        package.ends_with("-sys") || file.extension() != Some(OsStr::new("rs"))
    });
    names.windows(3).any(|at| is_registry(at) || is_git(at)) || is_trimmed || is_bundled
}

fn is_in_system(path: &Path) -> bool {
    SYSTEM_DIRS.iter().any(|directory| path.starts_with(directory))
        || SYSTEM_BUILDS.iter().any(|start| path.to_str().is_some_and(|it| it.starts_with(start)))
}

/// The package whose build script wrote a file.
fn generator<'a>(names: &[&'a str]) -> Option<&'a str> {
    names.windows(4).find_map(|at| match at {
        ["build", package, hash, "out"] if is_hash(hash) => Some(*package),
        [_, "build", package, "out"] if is_hashed(package) => {
            Some(&package[..package.len() - CARGO_HASH_LEN - 1])
        }
        _ => None,
    })
}

fn contains(names: &[&str], sequence: &[&str]) -> bool {
    names.windows(sequence.len()).any(|window| window == sequence)
}

/// `<name>-<hash>`.
fn is_hashed(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(name, hash)| !name.is_empty() && is_hash(hash))
}

fn is_hash(name: &str) -> bool {
    name.len() == CARGO_HASH_LEN && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `<name>-<major>.<minor>.<patch>`.
fn is_versioned(name: &str) -> bool {
    name.match_indices('-').any(|(at, _)| {
        let mut numbers = name[at + 1..].splitn(3, '.');
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        numbers.next().is_some_and(is_number)
            && numbers.next().is_some_and(is_number)
            && numbers.next().is_some_and(|patch| patch.starts_with(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_its_origin() {
        use Origin::{Dependency, System, Toolchain, User};
        let registry = "/home/me/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f";
        for (path, origin) in [
            ("/home/me/app/src/main.rs", User),
            ("/home/me/registry/src/lib.rs", User),
            ("/home/me/git/checkouts/src/lib.rs", User),
            ("/home/me/toolchains/build/src/lib.rs", User),
            ("/home/me/app/native/db.c", User),
            ("/usr/src/app/src/main.rs", User),
            ("/rust/deps/src/main.rs", User),
            ("src/main.rs", User),
            ("suites/tests/story.rs", User),
            ("app-v2/src/main.rs", User),
            (&format!("{registry}/libsqlite3-sys-0.39.1/sqlite3/sqlite3.c"), Dependency),
            ("/cargo/registry/src/index.crates.io-1949cf8c6b5b557f/mio-1.0.0/src/x.rs", Dependency),
            ("/home/me/.cargo/git/checkouts/mio-0123456789abcdef/abc1234/src/lib.rs", Dependency),
            ("index.crates.io-1949cf8c6b5b557f/mio-1.0.0/src/lib.rs", Dependency),
            ("toml-1.2.1+spec-1.1.0/src/lib.rs", Dependency),
            ("/home/me/app/target/debug/build/jemalloc-sys-0123456789abcdef/out/a.rs", Dependency),
            ("/home/me/app/target/debug/build/alloc-0123456789abcdef/out/src/a.c", Dependency),
            ("/home/me/app/target/debug/build/app-0123456789abcdef/out/proto.rs", User),
            ("/home/me/app/target/debug/build/app/0123456789abcdef/out/proto.rs", User),
            ("/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/std/src/fs.rs", Toolchain),
            ("/rust/deps/hashbrown-0.16.1/src/raw.rs", Toolchain),
            ("/home/me/.rustup/toolchains/stable/lib/rustlib/src/rust/library/a.rs", Toolchain),
            ("/usr/lib/rustlib/src/rust/library/core/src/a.rs", Toolchain),
            ("/home/me/app/<anon>", Toolchain),
            ("/usr/include/c++/12/bits/alloc.h", System),
            ("/build/glibc-6iIyft/glibc-2.36/csu/libc-start.c", System),
        ] {
            assert_eq!(of_path(Path::new(path)), origin, "{path}");
        }
    }

    #[test]
    fn a_module_of_the_system_is_system_and_code_without_source_is_too() {
        let mut origins = Origins::default();
        let app = Path::new("/home/me/app/target/debug/app");
        let source = Path::new("/home/me/app/src/main.rs");
        let libc = Path::new("/lib/x86_64-linux-gnu/libc.so.6");
        assert_eq!(origins.of(app, Some(source), "app::main"), Origin::User);
        assert_eq!(origins.of(libc, Some(source), "malloc"), Origin::System);
        assert_eq!(origins.of(app, None, "app::main"), Origin::System);
        assert_eq!(origins.of(app, None, "std::fs::File::open"), Origin::Toolchain);
    }

    #[test]
    fn a_vendored_crate_is_a_dependency() {
        let root = tempfile::tempdir().unwrap();
        let vendored = root.path().join("vendor/libsqlite3-sys");
        std::fs::create_dir_all(vendored.join("sqlite3")).unwrap();
        std::fs::write(vendored.join(VENDOR_MARK), "{}").unwrap();
        let mut origins = Origins::default();
        let app = Path::new("/home/me/app/target/debug/app");
        for (file, origin) in [
            ("vendor/libsqlite3-sys/sqlite3/sqlite3.c", Origin::Dependency),
            ("vendor/libsqlite3-sys/src/gone/lib.rs", Origin::Dependency),
            ("vendor/README.rs", Origin::User),
            ("src/lib.rs", Origin::User),
        ] {
            let path = root.path().join(file);
            // Twice: found, and remembered.
            assert_eq!(origins.of(app, Some(&path), "f"), origin, "{file}");
            assert_eq!(origins.of(app, Some(&path), "f"), origin, "{file}");
        }
    }

    #[test]
    fn paths_are_normalised() {
        for (path, normal) in [
            ("/a/./b//c.rs", "/a/b/c.rs"),
            ("/a/b/../c.rs", "/a/c.rs"),
            ("/../a.rs", "/a.rs"),
            ("./src/a.rs", "src/a.rs"),
            ("../a/../../b.rs", "../../b.rs"),
            ("a/../b.rs", "b.rs"),
        ] {
            assert_eq!(normalise(Path::new(path)), Path::new(normal), "{path}");
        }
    }
}
