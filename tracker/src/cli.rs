//! The command line: what `tracker` does, as a function that any `main` can be.
//!
//! The only part of the library that reads arguments, prints, or sets up a log.

mod args;
mod daemon;
mod dep;
mod doctor;
mod edit;
mod files;
mod issues;
mod lists;
mod output;
mod place;
mod show;
mod words;

use std::process::ExitCode;

use crate::exit_code::Exit;
use crate::failure::Failure;
use clap::{CommandFactory, Parser};

use args::{Args, Verb};
use output::{Output, Trouble};
use place::Place;

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
    let place = Place::new(args.dir);
    match args.verb {
        Verb::Init(init) => files::init(&place, &init, output),
        Verb::Create(create) => issues::create(&place, create, output),
        Verb::List(list) => lists::list(&place, *list, output),
        Verb::Search(search) => lists::search(&place, &search, output),
        Verb::Show(ids) => issues::show(&place, &ids, output),
        Verb::Update(update) => issues::update(&place, update, output),
        Verb::Edit { id, from } => edit::run(&place, &id, from.is_some(), output),
        Verb::Close(close) => issues::close(&place, &close, output),
        Verb::Reopen(ids) => issues::reopen(&place, &ids, output),
        Verb::Delete(delete) => issues::delete(&place, &delete, output),
        Verb::Restore(ids) => issues::restore(&place, &ids, output),
        Verb::Comment(comment) => issues::comment(&place, comment, output),
        Verb::Label(label) => issues::label(&place, label, output),
        Verb::Dep(dep) => dep::run(&place, dep, output),
        Verb::Ready(limited) => lists::ready(&place, &limited, output),
        Verb::Blocked(limited) => lists::blocked(&place, &limited, output),
        Verb::Stats => lists::stats(&place, output),
        Verb::Export { file, force } => files::export(&place, &file, force, output),
        Verb::Import { file } => files::import(&place, &file, output),
        Verb::Sync => files::sync(&place, output),
        Verb::Config { key, value } => files::config(&place, key, value.as_deref(), output),
        Verb::Doctor { fix } => doctor::run(&place, fix, output),
        Verb::Daemon(verb) => daemon::run(&place, verb, output),
        Verb::Completions { shell } => complete(shell, output),
    }
}

fn complete(shell: clap_complete::Shell, output: &mut Output) -> Result<Exit, Trouble> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "tracker", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    output.print(&script, String::clone)?;
    Ok(Exit::Ok)
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
    // Its first paragraph: what is missing stands below the first line.
    let said: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let message = said.join(" ");
    let message = message.trim_start_matches("error: ");
    Output::new(true).complain(&Failure::new(
        Exit::Usage,
        "usage",
        message,
        "run `tracker --help`",
    ));
    Exit::Usage.into()
}
