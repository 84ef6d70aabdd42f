//! `cargo watertight doctor`: what this machine lets us see, and what to change.
//!
//! The harness gives facts (`watertight::machine`), `checkup` and `project` say what they mean, and here they
//! are printed: one line for each.

mod checkup;
mod project;
mod remark;

use anstyle::AnsiColor;
use watertight::machine;

use crate::exit;
use crate::talk::Talk;
use remark::{Level, Remark};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:
  cargo watertight doctor            what is seen here, what is not, and what to change
  cargo watertight doctor --json     the same for a program
",
    after_help = "Exit codes: 0 every planted leak is seen, 1 something is blind, 3 could not be done."
)]
pub(crate) struct Arguments {
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> anyhow::Result<u8> {
    talk.detail("planting a leak of each kind in a process of its own");
    let mut remarks = checkup::checkup(&machine::examine());
    remarks.extend(project::remarks());
    if arguments.json {
        print(&remark::json(&remarks)?)?;
    } else {
        for remark in &remarks {
            print(&line(remark))?;
        }
    }
    let is_blind = remarks.iter().any(|remark| remark.level == Level::Blind);
    if is_blind {
        talk.say(
            "something is blind here: `cargo watertight gate` will be red until it is changed",
        );
    }
    Ok(if is_blind { exit::RED } else { exit::OK })
}

/// A reader that has seen enough and closes the pipe is no error.
fn print(line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    match writeln!(anstream::stdout(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn line(remark: &Remark) -> String {
    let color = match remark.level {
        Level::Ok => AnsiColor::Green,
        Level::Weaker => AnsiColor::Yellow,
        Level::Blind => AnsiColor::Red,
    };
    let style = color.on_default().bold();
    let change = remark.change.as_ref().map(|change| format!("; {change}")).unwrap_or_default();
    let Remark { level, subject, finding, .. } = remark;
    format!("{style}{:<6}{style:#}  {subject:<15}  {finding}{change}", level.name())
}
