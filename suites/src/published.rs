//! Published crates whose tarballs have their tests: fetched by cargo, never ours.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A crate whose tarball has its tests.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// Its name.
    pub name: &'static str,
    /// The version.
    pub version: &'static str,
    /// What of it is built, in cargo's words.
    pub options: &'static [&'static str],
}

/// Runs cargo in a folder.
///
/// # Errors
/// What it says on stderr.
pub fn cargo(scratch: &Path, arguments: &[&str]) -> Result<Output, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(scratch).env("CARGO_NET_RETRY", "1");
    for variable in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(variable);
    }
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The sources of all suites, copied so that each is a package of its own.
///
/// # Errors
/// What cargo says: there may be no network.
pub fn fetch(scratch: &Path, suites: &[Suite]) -> Result<Vec<PathBuf>, String> {
    let asking = scratch.join("asking");
    write(&asking.join("src/lib.rs"), "");
    let wants: String =
        suites.iter().map(|suite| format!("{} = \"={}\"\n", suite.name, suite.version)).collect();
    let manifest =
        "[package]\nname = \"asking\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n";
    write(&asking.join("Cargo.toml"), &(manifest.to_owned() + &wants));
    let output = cargo(&asking, &["metadata", "--format-version", "1"])?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    suites.iter().map(|suite| copied(scratch, suite, &metadata)).collect()
}

fn copied(scratch: &Path, suite: &Suite, metadata: &Value) -> Result<PathBuf, String> {
    let target = scratch.join(format!("{}-{}", suite.name, suite.version));
    let manifest = target.join("Cargo.toml");
    if !manifest.exists() {
        let is_it =
            |package: &&Value| package["name"] == suite.name && package["version"] == suite.version;
        let packages = metadata["packages"].as_array().ok_or("metadata without packages")?;
        let package = packages.iter().find(is_it).ok_or("a package that was asked for")?;
        let source = package["manifest_path"].as_str().and_then(|path| Path::new(path).parent());
        copy(source.ok_or("a package without a place")?, &target);
        // Its manifest comes last: with it the copy is whole.
        let text = fs::read_to_string(target.join("Cargo.toml.copied")).expect("its manifest");
        write(&manifest, &(text + "\n[workspace]\n"));
    }
    cargo(&target, &["fetch"])?;
    Ok(target)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a package") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default();
        match name.to_str() {
            _ if path.is_dir() => copy(&path, &to.join(name)),
            Some("Cargo.lock") => {}
            Some("Cargo.toml") => {
                write(&to.join("Cargo.toml.copied"), &fs::read_to_string(&path).expect("text"))
            }
            _ => drop(fs::copy(&path, to.join(name)).expect("a copy")),
        }
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap_or(path)).expect("a directory");
    fs::write(path, text).expect("a file");
}

/// Every test's outcome by libtest's own words: `test NAME ... ok`.
pub fn outcomes(printed: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut name = None;
    for line in printed.lines() {
        let mut rest = line;
        if let Some((test, after)) =
            line.strip_prefix("test ").and_then(|line| line.split_once(" ... "))
        {
            name = Some(test.to_owned());
            rest = after;
        }
        // What the test's children print comes in between.
        let word = ["ok", "FAILED", "ignored"]
            .into_iter()
            .find(|word| rest.ends_with(word) || rest.starts_with("ignored,"));
        if let Some((test, word)) = name.clone().zip(word) {
            all.insert(test, word.to_owned());
            name = None;
        }
    }
    all
}
