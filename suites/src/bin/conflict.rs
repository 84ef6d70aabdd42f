//! Writers in conflict, in full numbers: by the library and by the command line, while a daemon syncs.
//!
//! `cargo run --release -p watertight-suites --bin conflict -- --writers 8 --issues 1000 --commands 50`

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use watertight_suites::conflict::{Written, by_command, by_library};
use watertight_suites::{Daemon, Workspace, siblings};

/// How many write how much.
#[derive(Debug, Parser)]
struct Arguments {
    /// Processes at once.
    #[arg(long, default_value_t = 8)]
    writers: usize,
    /// What each of them creates by the library.
    #[arg(long, default_value_t = 1_000)]
    issues: usize,
    /// What each of them creates by the command line, a process for each.
    #[arg(long, default_value_t = 50)]
    commands: usize,
}

fn main() -> Result<ExitCode> {
    let Arguments { writers, issues, commands } = Arguments::parse();
    siblings::build(&["tracker-under-test", "write-many"])?;
    let writer = siblings::beside("write-many")?;
    let library = run("library", |workspace| by_library(workspace, &writer, writers, issues))?;
    let command = run("command line", |workspace| by_command(workspace, writers, commands))?;
    Ok(if library && command { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lets them write while a daemon syncs and prints what came of it; true where nothing is wrong.
fn run(way: &str, write: impl FnOnce(&Workspace) -> Result<Written>) -> Result<bool> {
    let workspace = Workspace::new(siblings::beside("tracker-under-test")?)?;
    let daemon = Daemon::start(&workspace)?;
    let written = write(&workspace)?;
    let status = workspace.client()?.status()?;
    daemon.stop()?;
    let faults = written.faults(&workspace.tracker(["export", "-"])?.ok()?.out)?;
    let seconds = written.time.as_secs_f64();
    println!(
        "{way}: {} writers, {} writes acknowledged in {seconds:.2} s ({:.2} ms each), {} exports \
         meanwhile, {} faults",
        written.ids.len(),
        written.count(),
        seconds * 1e3 / written.count().max(1) as f64,
        status.exports,
        faults.len() + usize::from(status.last_error.is_some()),
    );
    for fault in faults.iter().chain(&status.last_error) {
        println!("  {fault}");
    }
    Ok(faults.is_empty() && status.last_error.is_none())
}
