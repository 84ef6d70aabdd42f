//! `cargo watertight test` and `nextest` in projects that have not a line for it: what leaks is named, what
//! does not is left in peace, and everything else is as it was without.
//!
//! Every test runs real processes. The projects lie in `suites/projects` or are written here; each is
//! tested where it lies, with its target directory in ours.

mod leaky;
mod habits;
mod ledgers;
mod outcomes;
mod published;
mod targets;
mod arguments;
mod environment;
mod runners;
mod cancelled;
mod nextest;
mod blind;
mod places;
mod heap;
mod held;
mod network;

use std::path::Path;

use watertight_suites::command::Project;

/// Where projects are built, and where those that are written here lie.
fn tmp() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A project of `suites/projects`.
fn planted(name: &str) -> Project {
    Project::planted(tmp(), name)
}

/// A library without dependencies of this text alone.
fn library(name: &str, text: &str) -> Project {
    Project::written(tmp(), name, &[("src/lib.rs", text)]).expect("a project can be written")
}
