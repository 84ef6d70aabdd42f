//! The matrix: every kind of leak must be detected, named and sited, its twin must be clean, and no
//! correct program may be accused.
//!
//! `cargo run -p watertight-suites --bin matrix -- --repeat 5 --load`

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use watertight_report::model::{Finding, Trial};
use watertight_suites::ledger::leaks;
use watertight_suites::matrix::{Load, Row, is_clean, run_kinds, run_traps};
use watertight_suites::siblings;

/// Runs the suites `kinds` and `traps` and shows what their ledgers say, a row for each kind and trap.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often to run everything; the verdicts must be the same each time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Keep every processor busy meanwhile.
    #[arg(long)]
    load: bool,
}

fn main() -> ExitCode {
    match matrix(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("matrix: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything as often as asked; true where all of it is as it must be, each time.
fn matrix(arguments: &Arguments) -> Result<bool> {
    siblings::build(&[])?;
    let (kinds, traps) = (siblings::beside("kinds")?, siblings::beside("traps")?);
    let _load = arguments.load.then(Load::start);
    let mut good = true;
    // What was said of each case, one entry for each way it was said.
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for repetition in 1..=arguments.repeat {
        if arguments.repeat > 1 {
            println!("# Repetition {repetition} of {}\n", arguments.repeat);
        }
        let (ran, rows) = run_kinds(&kinds)?;
        let trapped = run_traps(&traps)?;
        good &= show(&rows, &trapped.trials);
        for trial in ran.trials.iter().chain(&trapped.trials) {
            let case = format!("{} {}", trial.suite, trial.case);
            said.entry(case).or_default().insert(verdict(trial));
        }
        for row in rows {
            let cells = format!("{:?}", row.cells());
            said.entry(format!("row {}", row.kind)).or_default().insert(cells);
        }
    }
    if arguments.repeat > 1 {
        let differing: Vec<_> = said.iter().filter(|(_, ways)| ways.len() > 1).collect();
        println!("{} of {} differed between repetitions", differing.len(), said.len());
        for (case, ways) in &differing {
            println!("  {case}: {}", ways.iter().cloned().collect::<Vec<_>>().join(" | "));
        }
        good &= differing.is_empty();
    }
    println!("{}", if good { "as it must be" } else { "NOT as it must be: see the rows with !" });
    Ok(good)
}

/// Prints the rows of one repetition; true where all of them are as they must be.
fn show(rows: &[Row], traps: &[Trial]) -> bool {
    println!("  {:<26} detected named sited twin   finding", "kind");
    for row in rows {
        let mark = if row.is_good() { ' ' } else { '!' };
        let [detected, named, sited, twin] =
            row.cells().map(|cell| if cell { "yes" } else { "NO" });
        let found = row.finding.as_ref().map_or("nothing".to_owned(), tell);
        println!("{mark} {:<26} {detected:<8} {named:<5} {sited:<5} {twin:<6} {found}", row.kind);
    }
    println!("\n  {:<50} accused", "trap");
    for trial in traps {
        let (mark, answer) = if is_clean(trial) { (' ', "no") } else { ('!', "YES") };
        let found: Vec<String> = leaks(trial).into_iter().map(tell).collect();
        let told = match answer {
            "no" => String::new(),
            _ => format!("  {}  {}", verdict(trial), found.join("; ")),
        };
        println!("{mark} {:<50} {answer}{told}", trial.case);
    }
    let good = rows.iter().filter(|row| row.is_good()).count();
    let accused = traps.iter().filter(|trial| !is_clean(trial)).count();
    println!(
        "\n{good} of {} kinds as they must be, {accused} of {} traps accused\n",
        rows.len(),
        traps.len()
    );
    good == rows.len() && accused == 0
}

fn tell(finding: &Finding) -> String {
    let site = finding.site.as_ref();
    let site = site.map_or("?".to_owned(), |site| format!("{}:{}", site.file, site.line));
    format!("{} {} at {site}", finding.resource.name(), finding.what)
}

fn verdict(trial: &Trial) -> String {
    format!("{:?}, {:?}", trial.outcome, trial.verdict).to_lowercase()
}
