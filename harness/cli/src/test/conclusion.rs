//! The line at the end of a run, over all its binaries.

use std::path::Path;

use watertight_report::ledger::{self, Ledger};
use watertight_report::model::{CANCELLED, CARGO, Outcome, Record, SCHEMA, Trial, Verdict};
use watertight_report::render::Summary;
use watertight_report::render::terminal::{self, Style};

use crate::acceptance::Acceptance;
use crate::exit;
use crate::talk::{Talk, shown};

/// Reads what the run has written, and says it in one line on stderr, with a line for each entry of the
/// acceptance file that has to go.
pub(super) fn print(
    ledger: &Path,
    run: &str,
    code: u8,
    lists: bool,
    mut acceptance: Acceptance,
    talk: &Talk,
) -> anyhow::Result<()> {
    let mut summary = Summary::default();
    for record in ledger::read(ledger)? {
        match record {
            Ok(Record::Trial(trial)) if trial.run == run => {
                summary.add(&trial);
                acceptance.note(&trial);
            }
            Ok(_) => {}
            Err(error) => talk.warn(format_args!("{}: {error}", ledger.display())),
        }
    }
    if let Some(trial) = unexplained(run, code, &summary).filter(|_| !lists) {
        Ledger::open(ledger)?.append(&Record::Trial(Box::new(trial)))?;
    }
    if summary.cases == 0 {
        // Where cargo has failed it has said why, and a listing was all that was asked for.
        if code == exit::OK && !lists {
            talk.warn("no test was audited: none was chosen, or there is none of libtest's and no suite of our own");
        }
        return Ok(());
    }
    summary.ledger = Some(shown(ledger).to_owned());
    summary.remarks = acceptance.remarks();
    let style = Style { colour: talk.is_coloured(), ..Style::default() };
    anstream::eprintln!("{}", terminal::summary(&summary, &style));
    if !summary.is_green() {
        let named = std::env::var_os("WATERTIGHT_LEDGER").is_some_and(|it| !it.is_empty());
        let which = if named { format!(" {}", shown(ledger).display()) } else { String::new() };
        talk.say(format_args!("read it again with `cargo watertight report{which}`"));
    }
    Ok(())
}

/// The record of what no test tells: without it a gate that reads the ledger would be green.
fn unexplained(run: &str, code: u8, summary: &Summary) -> Option<Trial> {
    const SIGNALLED: u8 = 128;
    let mut trial = Trial::default();
    trial.schema = SCHEMA;
    trial.run = run.to_owned();
    trial.suite = "cargo".to_owned();
    trial.case = CARGO.to_owned();
    let says_nothing = summary.is_green() || summary.cases == 0;
    if code > SIGNALLED {
        trial.outcome = Outcome::Skipped;
        trial.verdict = Verdict::Unmeasured;
        trial.message = Some(CANCELLED.to_owned());
    } else if code != exit::OK && says_nothing {
        trial.outcome = Outcome::Failed;
        trial.message = Some(format!(
            "cargo ended with code {code}, and no audited test tells why: a build, a doctest, a bench or a harness of its own"
        ));
    } else {
        return None;
    }
    Some(trial)
}
