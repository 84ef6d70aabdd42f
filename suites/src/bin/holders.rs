//! Who holds a block, told of the same programs as different compilers' settings make them: nothing may be
//! said wrongly in any of them.
//!
//! `cargo run -p watertight-suites --bin holders -- --repeat 100 --profile dev,release,fat`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Result;
use clap::Parser;
use watertight_suites::held::table::{Debug, Grade, Row, run};
use watertight_suites::siblings;

/// Runs the suite `held` as it is built with each profile, and shows who is said to hold each block.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often to run it with each profile.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// How many of those at once: they mostly wait.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// The profiles of the workspace to build it with.
    #[arg(long, value_delimiter = ',', default_value = "dev,release,fat")]
    profile: Vec<String>,
}

fn main() -> ExitCode {
    match holders(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("holders: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything; true where nothing is said wrongly and every twin is clean.
fn holders(arguments: &Arguments) -> Result<bool> {
    let mut columns = Vec::new();
    for profile in &arguments.profile {
        let program = siblings::built_with(profile, "held")?;
        // The other profiles have line tables alone.
        let debug = if profile == "dev" { Debug::Full } else { Debug::Lines };
        let rows = repeated(arguments, profile, || Ok(run(&program, debug)?.1))?;
        columns.push(Column { profile, rows });
    }
    show(&columns);
    Ok(columns.iter().flat_map(|column| &column.rows).all(is_good))
}

/// The rows of all repetitions.
fn repeated(
    arguments: &Arguments,
    profile: &str,
    run: impl Fn() -> Result<Vec<Row>> + Sync,
) -> Result<Vec<Row>> {
    let begun = AtomicU32::new(0);
    let work = || {
        let mut rows = Vec::new();
        loop {
            let repetition = begun.fetch_add(1, Relaxed) + 1;
            if repetition > arguments.repeat {
                return Ok(rows);
            }
            eprintln!("{profile}, {repetition} of {}", arguments.repeat);
            rows.extend(run()?);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..arguments.jobs).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| match worker.join() {
            Ok(rows) => rows,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.collect::<Result<Vec<_>>>().map(|rows| rows.concat())
    })
}

/// What one profile's runs say.
struct Column<'a> {
    profile: &'a str,
    rows: Vec<Row>,
}

fn is_good(row: &Row) -> bool {
    row.grade.is_honest() && row.is_twin_clean != Some(false)
}

/// Prints a Markdown table of cases and profiles, the counts, and what is not right.
fn show(columns: &[Column<'_>]) {
    let head: Vec<&str> = columns.iter().map(|column| column.profile).collect();
    println!("| block | held by | {} |", head.join(" | "));
    println!("|---|---|{}", "---|".repeat(columns.len()));
    let names = columns.first().into_iter().flat_map(|column| &column.rows);
    let names: Vec<(&str, &str)> =
        names.map(|row| (row.name, row.expected.as_str())).fold(Vec::new(), |mut all, row| {
            if !all.contains(&row) {
                all.push(row);
            }
            all
        });
    for (name, expected) in &names {
        let cells: Vec<String> = columns.iter().map(|column| cell(column, name)).collect();
        println!("| {name} | {expected} | {} |", cells.join(" | "));
    }
    println!();
    for Column { profile, rows } in columns {
        let count = |grade: &Grade| rows.iter().filter(|row| row.grade == *grade).count();
        let counts: Vec<String> =
            Grade::ALL.iter().map(|grade| format!("{} {grade}", count(grade))).collect();
        let unclean = rows.iter().filter(|row| row.is_twin_clean == Some(false)).count();
        println!("{profile}: {} of {}; {unclean} twins accused", counts.join(", "), rows.len());
    }
    for (profile, row) in columns.iter().flat_map(|it| it.rows.iter().map(|row| (it.profile, row)))
    {
        if row.grade != Grade::Right {
            let faults = row.faults.join(", ");
            println!("{profile} {}: {}: said {}: {faults}", row.name, row.grade, row.said);
        }
        if row.is_twin_clean == Some(false) {
            println!("{profile} {}: its twin is accused", row.name);
        }
    }
}

/// What one profile's runs say of one block: each answer, with how often it was given where they differ.
fn cell(column: &Column<'_>, name: &str) -> String {
    let mut answers: BTreeMap<(Grade, &str), u32> = BTreeMap::new();
    for row in column.rows.iter().filter(|row| row.name == name) {
        *answers.entry((row.grade, class(&row.said))).or_default() += 1;
    }
    let differ = answers.len() > 1;
    let tell = |((grade, class), count): (&(Grade, &str), &u32)| match differ {
        true => format!("{grade} ({class}) {count} times"),
        false => format!("{grade} ({class})"),
    };
    answers.iter().map(tell).collect::<Vec<_>>().join(", ")
}

/// The beginning of an answer: whether it is sure of itself, and the class.
fn class(said: &str) -> &str {
    let doubt = said.strip_prefix("possibly ").map_or(0, |rest| said.len() - rest.len());
    let end = said[doubt..].find(' ').map_or(said.len(), |at| doubt + at);
    &said[..end]
}
