//! The soak: 10,000 ticks and 10,000 calls of every kind against the real daemon, under the harness.
//!
//! `cargo run --release -p watertight-suites --bin soak`
//!
//! Prints what the daemon held after the first, the middle and the last round, then what the harness says of
//! it. Ends badly if anything has grown.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Result;
use watertight_report::model::{Outcome, Verdict};
use watertight_suites::{ledger, siblings};

/// For all of it, and for a second time if something has to be explained.
const PATIENCE: Duration = Duration::from_secs(1800);

fn main() -> Result<ExitCode> {
    siblings::build(&["tracker-under-test", "soak-case"])?;
    let mut command = Command::new(siblings::beside("soak-case")?);
    let ran = ledger::run_within(PATIENCE, command.arg("--nocapture"))?;
    for line in ran.output.lines() {
        println!("{}", line.strip_prefix("soak: ").unwrap_or(line));
    }
    let mut good = ran.code == Some(0) && !ran.trials.is_empty();
    for trial in &ran.trials {
        good &= trial.outcome == Outcome::Passed && trial.verdict == Verdict::Clean;
        println!("\n{}: {:?}, {:?}", trial.case, trial.outcome, trial.verdict);
        println!("the client, before and after:");
        for (name, reading) in &trial.readings {
            println!("  {name:<12} {:>10} -> {}", reading.before, reading.after);
        }
        for finding in &trial.findings {
            println!("  {:?} {} {}", finding.status, finding.resource.name(), finding.what);
        }
        for note in &trial.notes {
            println!("  {note}");
        }
    }
    println!("\n{}", if good { "nothing has grown" } else { "NOT as it must be" });
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
