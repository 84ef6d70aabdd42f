//! The command line: what `tracker` does, as a function that any `main` can be.
//!
//! The only part of the library that reads arguments, prints, or sets up a log.

mod args;
mod daemon;
mod files;
mod issues;
mod output;

use std::process::ExitCode;

use crate::exit_code::Exit;
use crate::failure::Failure;
use clap::Parser;

use args::{Args, Verb};
use output::{Output, Trouble};

/// Does what this process's arguments say and returns how the process is to end.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return explain_usage(&error),
    };
    let mut output = Output::new(args.json);
    match run(args, &mut output) {
        Ok(exit) => exit.into(),
        // Whoever read us has seen enough: that is no failure.
        Err(Trouble::ClosedPipe) => Exit::Ok.into(),
        Err(Trouble::Failed(failure)) => {
            output.complain(&failure);
            failure.exit.into()
        }
    }
}

fn run(args: Args, output: &mut Output) -> Result<Exit, Trouble> {
    let place = args.place()?;
    match args.verb {
        Verb::Init(init) => files::init(&place, &init, output),
        Verb::Create(create) => issues::create(&place, create, output),
        Verb::List { limit } => issues::list(&place, limit, output),
        Verb::Show { id } => issues::show(&place, &id, output),
        Verb::Update(update) => issues::update(&place, update, output),
        Verb::Close { id } => issues::close(&place, &id, output),
        Verb::Reopen { id } => issues::reopen(&place, &id, output),
        Verb::Delete { id } => issues::delete(&place, &id, output),
        Verb::Dep(dep) => issues::dep(&place, dep, output),
        Verb::Ready { limit } => issues::ready(&place, limit, output),
        Verb::Export { file } => files::export(&place, &file, output),
        Verb::Import { file } => files::import(&place, &file, output),
        Verb::Sync => files::sync(&place, output),
        Verb::Config { key, value } => files::config(&place, key, value.as_deref(), output),
        Verb::Daemon(verb) => daemon::run(&place, verb, output),
    }
}

/// Prints help where help was asked for, and else what is wrong with the command line.
fn explain_usage(error: &clap::Error) -> ExitCode {
    let is_help = !error.use_stderr();
    let is_json = std::env::args_os().any(|arg| arg == "--json");
    if is_help || !is_json {
        // A closed pipe is no reason to say anything more.
        let _closed = error.print();
        return if is_help { Exit::Ok.into() } else { Exit::Usage.into() };
    }
    let text = error.render().to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    Output::new(true).complain(&Failure::new(
        Exit::Usage,
        "usage",
        message,
        "run `tracker --help`",
    ));
    Exit::Usage.into()
}
