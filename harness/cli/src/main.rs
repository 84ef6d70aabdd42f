//! `cargo watertight`: the audit for projects that have not written a line for it, and what a ledger tells.
//!
//! ```text
//! test, nextest ──► cargo, with this binary as its target runner ──► runner: each test in a process of its own
//!                                                                       └──► ledger
//! run, watch ──► watching: looks at a program over time, and judges ────────────────┐
//! agent: the variables that put the agent into a program which others start         ▼
//! report, gate, accept, merge ◄─────────────────────────────────────────────── ledger
//! doctor: what this machine lets us see
//! ```

mod arguments;
mod exit;
mod talk;
mod underway;

// What the verbs below have in common.
mod acceptance;
mod ledgers;
mod shards;
mod watching;

mod test;
mod run;
mod watch;
mod agent;
mod report;
mod gate;
mod accept;
mod merge;
mod doctor;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use arguments::{Arguments, Verb};
use talk::Talk;
use test::Tool;

fn main() -> ExitCode {
    // Cargo starts this program for each test binary, trials start it for canaries, the doctor to try things.
    if let Some(code) = test::runner().or_else(watertight::machine::enter) {
        return code;
    }
    let arguments = Arguments::parse_from(arguments::own(std::env::args_os()));
    let talk = Talk::new(arguments.quiet, arguments.verbose, arguments.color);
    let done = match arguments.verb {
        Verb::Test(arguments) => test::run(Tool::Cargo, &arguments, &talk),
        Verb::Nextest(arguments) => test::run(Tool::Nextest, &arguments, &talk),
        Verb::Run(arguments) => run::run(&arguments, &talk),
        Verb::Watch(arguments) => watch::run(&arguments, &talk),
        Verb::Agent(arguments) => agent::run(&arguments, &talk),
        Verb::Report(arguments) => report::run(&arguments, &talk),
        Verb::Gate(arguments) => gate::run(&arguments, &talk),
        Verb::Accept(arguments) => accept::run(&arguments, &talk),
        Verb::Merge(arguments) => merge::run(&arguments, &talk),
        Verb::Doctor(arguments) => doctor::run(&arguments, &talk),
        Verb::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, arguments::NAME, &mut std::io::stdout());
            Ok(exit::OK)
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            talk.error(&error);
            ExitCode::from(exit::of(&error))
        }
    }
}
