//! Which frame of a stack is the *site*: the line of the user's that created the thing.

use std::path::{Path, PathBuf};

use super::Symbol;
use super::function::{crate_of, is_harness, is_shim};
use super::origin::{self, Origin};

/// The harness's own sources, where it was built.
const HARNESS_SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
/// The harness's directory in a registry, up to its version.
const HARNESS_PACKAGE: &str = "watertight-";

/// The project that stacks are looked at for: the package under test and its workspace.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// The package's directory, as given and without symbolic links: cargo and the compiler may
    /// have been told different ones.
    packages: [PathBuf; 2],
    /// The workspace's directory, likewise.
    roots: [PathBuf; 2],
    /// Whether the package itself lies where dependencies do.
    is_dependency: bool,
    /// The names of the crates under test, for stacks without lines.
    crates: Vec<String>,
}

/// Where a stack was created, as indices into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Site {
    /// The innermost frame inside the package, else the innermost of the user's.
    pub(crate) site: Option<usize>,
    /// The innermost frame of the user's where it is not the site: it is deeper, in another package
    /// of the workspace.
    pub(crate) via: Option<usize>,
}

impl Project {
    /// The project of a package, by its absolute directory.
    pub(crate) fn of(package: &Path) -> Self {
        let given = origin::normalise(package);
        let real = given.canonicalize().unwrap_or_else(|_| given.clone());
        let is_dependency = origin::of_path(&given.join("src")) == Origin::Dependency;
        let roots = [workspace(&given), workspace(&real)];
        Self { packages: [given, real], roots, is_dependency, crates: Vec::new() }
    }

    /// With the crates of a test binary, `target/debug/deps/my_tests-0123456789abcdef`, and of its package.
    pub(crate) fn tested_by(mut self, program: &Path) -> Self {
        let stem = program.file_name().unwrap_or_default().to_string_lossy();
        let name = stem.rsplit_once('-').map_or(&*stem, |(name, _hash)| name);
        let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
        self.crates = [name, &package].map(|name| name.replace('-', "_")).to_vec();
        self.crates.retain(|name| !name.is_empty());
        self
    }

    /// The site of a stack, which is innermost first.
    pub(crate) fn site(&self, stack: &[Symbol]) -> Site {
        let position = |is_it: &dyn Fn(&Symbol) -> bool| {
            stack.iter().position(|symbol| can_be_site(symbol) && is_it(symbol))
        };
        // A program's `main` calls into what it is about; its line says nothing of what that makes.
        let inside = position(&|symbol| self.owns(symbol) && !is_main(&symbol.function));
        let user = position(&|symbol| symbol.origin == Origin::User);
        // Without line tables the innermost function of the crate is all that can be said.
        let by_name = || {
            stack.iter().position(|symbol| {
                symbol.file.is_none()
                    && !is_main(&symbol.function)
                    && !is_shim(&symbol.function)
                    && self.crates.iter().any(|name| name == crate_of(&symbol.function))
            })
        };
        let site = inside.or(user).or_else(by_name);
        Site { site, via: user.filter(|_| user != site) }
    }

    /// A path as a person wants it: relative to the workspace where it lies inside, as the compiler
    /// prints it; else as it is.
    pub(crate) fn shown<'a>(&self, file: &'a Path) -> &'a Path {
        self.roots.iter().find_map(|root| file.strip_prefix(root).ok()).unwrap_or(file)
    }

    /// Whether the frame's source is the package's own, written by a person.
    fn owns(&self, symbol: &Symbol) -> bool {
        let is_of_person = match symbol.origin {
            Origin::User => true,
            Origin::Dependency => self.is_dependency,
            Origin::Toolchain | Origin::System => false,
        };
        let Some(file) = symbol.file.as_deref().filter(|_| is_of_person) else { return false };
        if origin::is_generated(file) {
            return false;
        }
        if file.is_absolute() {
            return self.packages.iter().any(|package| is_source_of(package, file));
        }
        // A remapped path starts at the workspace, or else at the package.
        self.roots.iter().zip(&self.packages).any(|(root, package)| {
            let bases = [root, package];
            let found = bases.iter().map(|base| base.join(file)).find(|file| file.is_file());
            found.is_some_and(|file| is_source_of(package, &file))
        })
    }
}

/// Whether the frame is a line that somebody wrote, and not in this harness.
fn can_be_site(symbol: &Symbol) -> bool {
    let Some(file) = symbol.file.as_deref().filter(|_| symbol.line != 0) else { return false };
    let is_version = |it: &str| it.starts_with(|first: char| first.is_ascii_digit());
    let mut versions = file.iter().filter_map(|name| name.to_str()?.strip_prefix(HARNESS_PACKAGE));
    let is_of_harness = is_harness(&symbol.function)
        || file.starts_with(HARNESS_SOURCE)
        || symbol.origin == Origin::Dependency && versions.any(is_version);
    !is_of_harness && !is_shim(&symbol.function)
}

/// Whether a function is a program's entry point.
fn is_main(function: &str) -> bool {
    function == "main" || function.ends_with("::main")
}

/// Whether a file lies in a package's directory and in no other package's below that.
fn is_source_of(package: &Path, file: &Path) -> bool {
    let mut below = file.ancestors().skip(1).take_while(|directory| *directory != package);
    file.starts_with(package) && !below.any(|it| it.join("Cargo.toml").is_file())
}

/// The package that a program's `main` is in, by the first of its stacks that tells it; else that of the
/// outermost line of the user's. Without its manifest a package is what has a `src`.
pub(crate) fn package_of(stacks: impl Iterator<Item = Vec<Symbol>>) -> Option<PathBuf> {
    let mut outermost = None;
    for stack in stacks {
        let users = stack.iter().rev().filter(|symbol| symbol.origin == Origin::User);
        let mut users =
            users.filter_map(|symbol| Some((symbol, symbol.file.as_deref()?))).peekable();
        if outermost.is_none() {
            outermost = users.peek().map(|(_, file)| package_around(file));
        }
        if let Some((_, file)) = users.find(|(symbol, _)| is_main(&symbol.function)) {
            return Some(package_around(file));
        }
    }
    outermost
}

fn package_around(file: &Path) -> PathBuf {
    let mut above = file.ancestors().skip(1);
    let manifest = above.clone().find(|directory| directory.join("Cargo.toml").is_file());
    let source = above.find(|directory| directory.file_name().is_some_and(|name| name == "src"));
    let package = manifest.or_else(|| source?.parent()).or_else(|| file.parent());
    package.unwrap_or(file).to_owned()
}

/// The workspace's directory: the nearest that holds the lock file, else the package's own.
pub(crate) fn workspace(package: &Path) -> PathBuf {
    let has_lock = |directory: &&Path| directory.join("Cargo.lock").is_file();
    package.ancestors().find(has_lock).unwrap_or(package).to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A workspace with the packages `suites` and `tracker`, and a package at its root.
    fn workspace_on_disk() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for package in ["", "suites", "tracker"] {
            let package = root.path().join(package);
            fs::create_dir_all(package.join("src")).unwrap();
            fs::write(package.join("Cargo.toml"), "").unwrap();
            fs::write(package.join("src/lib.rs"), "").unwrap();
        }
        fs::write(root.path().join("Cargo.lock"), "").unwrap();
        root
    }

    fn frame(file: impl Into<PathBuf>, line: u32, function: &str) -> Symbol {
        let file = file.into();
        let origin = origin::of_path(&file);
        Symbol { function: function.to_owned(), file: Some(file), line, origin }
    }

    #[test]
    fn the_site_is_the_innermost_frame_of_the_package() {
        let root = workspace_on_disk();
        let at = |path: &str| root.path().join(path);
        let std =
            frame("/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/a.rs", 9, "std::f");
        let registry =
            "/c/registry/src/index.crates.io-1949cf8c6b5b557f/rusqlite-0.39.1/src/lib.rs";
        let dependency = frame(registry, 70, "rusqlite::Connection::open");
        let tracker = frame(at("tracker/src/lib.rs"), 12, "tracker::Store::open");
        let suites = frame(at("suites/src/lib.rs"), 24, "suites::leaky");
        let outer = frame(at("suites/src/lib.rs"), 90, "suites::outer");
        let top = frame(at("src/lib.rs"), 5, "top::start");
        let entry = frame(at("suites/src/bin/x.rs"), 5, "x::main");
        let generated = frame(at("target/debug/build/x-0123456789abcdef/out/x.rs"), 5, "x::make");
        let shim = frame(at("suites/src/lib.rs"), 24, "core::ops::function::FnOnce::call_once");
        let no_line = frame(at("suites/src/lib.rs"), 0, "suites::inner");
        let harness = frame(at("suites/src/lib.rs"), 3, "watertight::child::run");
        let harness_file = frame(Path::new(HARNESS_SOURCE).join("child.rs"), 3, "run");
        let remapped = frame("suites/src/lib.rs", 8, "suites::leaky");
        let unknown = Symbol::unknown("app+0x12".to_owned());

        let suites_project = Project::of(&at("suites"));
        let top_project = Project::of(root.path());
        let (in_suites, in_top) = (&suites_project, &top_project);
        for (name, project, stack, site, via) in [
            ("own code", in_suites, vec![&std, &dependency, &suites, &outer], Some(2), None),
            (
                "through another package",
                &suites_project,
                vec![&std, &tracker, &suites],
                Some(2),
                Some(1),
            ),
            ("another package only", in_suites, vec![&std, &tracker], Some(1), None),
            (
                "a program's main says nothing",
                in_suites,
                vec![&std, &tracker, &entry],
                Some(1),
                None,
            ),
            ("but where it is all there is", in_suites, vec![&std, &entry], Some(1), None),
            ("member below the package", in_top, vec![&suites, &top], Some(1), Some(0)),
            ("generated", in_top, vec![&generated, &top], Some(1), Some(0)),
            ("shims and no lines", in_suites, vec![&shim, &no_line, &outer], Some(2), None),
            ("the harness", in_suites, vec![&harness, &harness_file, &outer], Some(2), None),
            ("harness only", in_suites, vec![&harness, &harness_file], None, None),
            ("remapped", in_suites, vec![&tracker, &remapped], Some(1), Some(0)),
            ("nobody's", in_suites, vec![&unknown, &std, &dependency], None, None),
        ] {
            let stack: Vec<Symbol> = stack.into_iter().cloned().collect();
            assert_eq!(project.site(&stack), Site { site, via }, "{name}");
        }
        assert_eq!(suites_project.site(&[]), Site::default());
    }

    #[test]
    fn a_package_in_a_registry_can_be_under_test() {
        let package = Path::new("/c/registry/src/index.crates.io-1949cf8c6b5b557f/mio-1.2.4");
        let stack = [frame(package.join("src/lib.rs"), 3, "mio::open")];
        assert_eq!(Project::of(package).site(&stack).site, Some(0));
        let other = package.with_file_name("tokio-1.2.4");
        assert_eq!(Project::of(&other).site(&stack).site, None);
    }

    #[test]
    fn a_link_to_the_package_is_the_package() {
        let root = workspace_on_disk();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(root.path().join("suites"), &link).unwrap();
        let real = root.path().canonicalize().unwrap().join("suites/src/lib.rs");
        let project = Project::of(&link);
        let stack = [frame(&real, 3, "suites::open")];
        assert_eq!(project.site(&stack).site, Some(0));
        assert_eq!(project.shown(&real), Path::new("suites/src/lib.rs"));
    }

    #[test]
    fn paths_are_shown_relative_to_the_workspace() {
        let root = workspace_on_disk();
        let project = Project::of(&root.path().join("suites"));
        for (path, shown) in [
            (root.path().join("suites/src/lib.rs"), "suites/src/lib.rs"),
            (root.path().join("tracker/src/lib.rs"), "tracker/src/lib.rs"),
            (PathBuf::from("/elsewhere/src/lib.rs"), "/elsewhere/src/lib.rs"),
            (PathBuf::from("suites/src/lib.rs"), "suites/src/lib.rs"),
        ] {
            assert_eq!(project.shown(&path), Path::new(shown));
        }
        let lone = tempfile::tempdir().unwrap();
        let file = lone.path().join("src/lib.rs");
        assert_eq!(Project::of(lone.path()).shown(&file), Path::new("src/lib.rs"));
    }
}
