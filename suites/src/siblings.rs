//! The other binaries of this package, for one of them that starts others.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// A binary of this package: it lies where this one does.
pub fn beside(name: &str) -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name(name))
}

/// Builds some of them, all where none is named, by the cargo that runs us, with the profile that we have.
pub fn build(names: &[&str]) -> Result<()> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME")]);
    match names {
        [] => command.arg("--bins"),
        names => command.args(names.iter().flat_map(|name| ["--bin", name])),
    };
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let built = command.status().context("cargo cannot be started")?;
    ensure!(built.success(), "the binaries that it starts did not build");
    Ok(())
}

/// Builds one of them with a profile of its own, and says where it is.
///
/// # Errors
/// Where it does not build.
pub fn built_with(profile: &str, name: &str) -> Result<PathBuf> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--bin", name]);
    command.args(["--profile", profile, "--message-format=json-render-diagnostics"]);
    let built = command.stderr(Stdio::inherit()).output().context("cargo cannot be started")?;
    ensure!(built.status.success(), "{name} did not build with the profile {profile}");
    let messages = String::from_utf8(built.stdout)?;
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == name;
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    executables.next_back().context("cargo names no executable")
}
