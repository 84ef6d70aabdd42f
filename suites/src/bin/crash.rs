//! The crash proof: the tracker's work, killed at random moments and looked at each time.
//!
//! `cargo run --release -p watertight-suites --bin crash -- --rounds 500 --seed 7`
//!
//! `--first N --rounds 1` is one round again, as it was but for the machine's pace.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use watertight_suites::crash::{Crashes, Programs, Tally, Work};
use watertight_suites::siblings;

/// How many rounds, and from which seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many rounds.
    #[arg(long, default_value_t = 500)]
    rounds: u64,
    /// Where the chance comes from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// The number of the first round.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// This work alone.
    #[arg(long)]
    work: Option<Work>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    siblings::build(&["tracker-under-test", "write-many"])?;
    let programs = Programs {
        tracker: siblings::beside("tracker-under-test")?,
        writer: siblings::beside("write-many")?,
        careless: None,
    };
    let mut crashes = Crashes::rehearse(programs, arguments.seed)?;
    println!("{} rounds, seed {}; left alone, the work takes", arguments.rounds, arguments.seed);
    for (work, length) in crashes.lengths() {
        println!(
            "  {:<8} {:>7.1} ms",
            format!("{work:?}").to_lowercase(),
            length.as_secs_f64() * 1e3
        );
    }
    let mut tally = Tally::default();
    for number in arguments.first..arguments.first + arguments.rounds {
        let round = match arguments.work {
            Some(work) => crashes.round_of(work, number),
            None => crashes.round(number),
        };
        let round = round.with_context(|| format!("round {number}"))?;
        for said in &round.broken {
            println!("round {number}, {:?} ({:?} killed): {said}", round.work, round.manner);
        }
        tally.add(&round);
    }
    println!("\n{tally}");
    println!("{} of {} rounds broken", tally.broken(), arguments.rounds);
    Ok(if tally.broken() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
