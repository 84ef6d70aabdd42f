//! What a test binary is called in the record: as nextest calls it, `package`, `package::integration`,
//! `package::bin/tool`, and how it is run again.

use std::path::{Path, PathBuf};

use super::wrapping::Wrapping;

/// A suite's name, and the command that runs it again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) name: String,
    /// While it is put together, the part that names the target.
    pub(super) command: String,
}

/// A binary's suite. Cargo tells the package; rustc has written beside the binary which source it was made
/// from (the dep-info file, `BINARY.d`).
pub(super) fn suite(binary: &Path, wrapping: &Wrapping) -> Suite {
    let stem = binary.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let crate_name = stem.rsplit_once('-').map_or(stem.as_str(), |(name, _hash)| name);
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| crate_name.to_owned());
    let source = std::fs::read_to_string(binary.with_file_name(format!("{stem}.d")))
        .ok()
        .and_then(|text| root_source(&text));
    let mut suite = named(&package, crate_name, source.as_deref());
    let net = if wrapping.private_net { " --net private" } else { "" };
    let heap = if wrapping.all_heap { " --heap" } else { "" };
    let options: String = wrapping.options.iter().map(|option| format!(" {option}")).collect();
    suite.command = format!("cargo watertight test{net}{heap} {}{options}", suite.command);
    if let Some(id) = std::env::var("NEXTEST_BINARY_ID").ok().filter(|id| !id.is_empty()) {
        suite.name = id;
    }
    suite
}

/// The first source of the first rule: `/target/debug/deps/app-0123: src/lib.rs src/a.rs`. Spaces in
/// paths are escaped.
fn root_source(dep_info: &str) -> Option<PathBuf> {
    let (_, sources) = dep_info.lines().next()?.split_once(": ")?;
    let spaced = sources.replace("\\ ", "\0");
    Some(PathBuf::from(spaced.split(' ').next()?.replace('\0', " ")))
}

fn named(package: &str, crate_name: &str, source: Option<&Path>) -> Suite {
    let names: Vec<String> = source
        .map(|source| source.iter().map(|name| name.to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    // The folder in which cargo looks for targets, and the target's own name below it.
    let target = |folder: &str| {
        let at = names.iter().rposition(|name| name == folder)?;
        let name = names.get(at + 1)?;
        Some(name.strip_suffix(".rs").unwrap_or(name).to_owned())
    };
    let file = names.last().map(String::as_str).unwrap_or_default();
    let (kind, flag, target) = if let Some(name) = target("tests") {
        ("", "--test", name)
    } else if let Some(name) = target("benches") {
        ("bench/", "--bench", name)
    } else if let Some(name) = target("examples") {
        ("example/", "--example", name)
    } else if let Some(name) = target("bin") {
        ("bin/", "--bin", name)
    } else if file == "main.rs" {
        ("bin/", "--bin", package.to_owned())
    } else if file == "lib.rs" || crate_name == package.replace('-', "_") {
        let command = format!("-p {package} --lib");
        return Suite { name: package.to_owned(), command };
    } else {
        ("", "--test", crate_name.to_owned())
    };
    Suite {
        name: format!("{package}::{kind}{target}"),
        command: format!("-p {package} {flag} {target}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named_as_nextest_names_them() {
        let suite = |crate_name: &str, source: &str| {
            let suite = named("my-app", crate_name, Some(Path::new(source)));
            let command = suite.command.strip_prefix("-p my-app ").unwrap();
            (suite.name, command.to_owned())
        };
        let pair = |name: &str, command: &str| (name.to_owned(), command.to_owned());
        assert_eq!(suite("my_app", "src/lib.rs"), pair("my-app", "--lib"));
        assert_eq!(suite("my_app", "src/main.rs"), pair("my-app::bin/my-app", "--bin my-app"));
        assert_eq!(suite("it", "tests/it.rs"), pair("my-app::it", "--test it"));
        assert_eq!(suite("big", "crates/a/tests/big/main.rs"), pair("my-app::big", "--test big"));
        assert_eq!(suite("tool", "src/bin/tool.rs"), pair("my-app::bin/tool", "--bin tool"));
        assert_eq!(suite("b", "benches/b.rs"), pair("my-app::bench/b", "--bench b"));
        assert_eq!(suite("odd", "odd/place.rs"), pair("my-app::odd", "--test odd"));
    }

    #[test]
    fn the_first_source_is_the_root() {
        let text = "/t/deps/app-0: src/lib.rs src/a.rs\n\n/t/deps/app-0.d: src/lib.rs src/a.rs\n";
        assert_eq!(root_source(text), Some("src/lib.rs".into()));
        assert_eq!(root_source("/t/a: my\\ tests/a.rs b.rs\n"), Some("my tests/a.rs".into()));
        assert_eq!(root_source(""), None);
    }
}
