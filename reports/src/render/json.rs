//! One JSON document, `schema/report.schema.json`.
//!
//! Its findings come first and are written as the trials pass, so that the memory of a report does
//! not grow with the number of its findings; what they come to follows.

use std::io::{self, Write};

use serde::Serialize;

use super::{Renderer, Summary};
use crate::model::{Finding, Outcome, Run, Trial, Verdict};
use crate::report::{Blind, Group, Report, Trouble};

/// The version of the document.
pub const SCHEMA: u32 = 1;

/// What follows the findings.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Folded<'a> {
    /// The runs, in the order in which they were met.
    runs: &'a [Run],
    /// How many cases, and what became of them: each is told by its last attempt, and leaked if any did.
    summary: &'a Summary,
    /// Findings grouped by kind, resource and site: the worst kind first, in it the largest group.
    groups: &'a [Group],
    /// Cases that did not end well, at most 10,000.
    troubles: &'a [Trouble],
    /// Probes that could not look.
    unmeasured: &'a [Blind],
    /// Lines of the ledgers that could not be read.
    broken_lines: u64,
}

/// A finding and the trial that it is of.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Found<'a> {
    /// The run's id.
    run: &'a str,
    /// The suite.
    suite: &'a str,
    /// The case.
    case: &'a str,
    /// Which attempt, from 1.
    attempt: u32,
    /// What became of the body.
    outcome: Outcome,
    /// What became of the resources.
    verdict: Verdict,
    /// What was found.
    finding: &'a Finding,
}

/// What `cargo watertight report --json` writes.
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[schemars(title = "cargo watertight report --json")]
#[expect(dead_code, reason = "only its schema is made")]
pub(crate) struct Document<'a> {
    /// Version of the document.
    schema: u32,
    /// Every finding of every attempt, steps included, in the order of the ledgers; with `--all` none:
    /// `trials` have them.
    findings: Option<Vec<Found<'a>>>,
    /// With `--all` every trial, as in the ledger.
    trials: Option<Vec<Trial>>,
    #[schemars(flatten)]
    folded: Folded<'a>,
}

/// Writes the document; with `all` every trial in place of every finding.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
    all: bool,
    started: bool,
    listed: bool,
}

impl<W: Write> Json<W> {
    /// Writes to `out`.
    pub fn new(out: W, all: bool) -> Self {
        Self { out, all, started: false, listed: false }
    }

    fn start(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            let list = if self.all { "trials" } else { "findings" };
            write!(self.out, "{{\"schema\":{SCHEMA},\"{list}\":[")?;
        }
        Ok(())
    }

    fn list(&mut self, item: &impl Serialize) -> io::Result<()> {
        let comma = if std::mem::replace(&mut self.listed, true) { "," } else { "" };
        writeln!(self.out, "{comma}")?;
        Ok(serde_json::to_writer(&mut self.out, item)?)
    }
}

impl<W: Write> Renderer for Json<W> {
    fn trial(&mut self, trial: &Trial) -> io::Result<()> {
        self.start()?;
        if self.all {
            return self.list(trial);
        }
        for finding in &trial.findings {
            self.list(&Found {
                run: &trial.run,
                suite: &trial.suite,
                case: &trial.case,
                attempt: trial.attempt.max(1),
                outcome: trial.outcome,
                verdict: trial.verdict,
                finding,
            })?;
        }
        Ok(())
    }

    fn finish(&mut self, report: &Report) -> io::Result<()> {
        self.start()?;
        let Report { runs, summary, groups, troubles, unmeasured, broken_lines } = report;
        let folded =
            Folded { runs, summary, groups, troubles, unmeasured, broken_lines: *broken_lines };
        // An object that goes on: its opening brace is the document's.
        let folded = serde_json::to_string(&folded)?;
        let members = folded.strip_prefix('{').unwrap_or(&folded);
        write!(self.out, "\n],\n{members}\n")?;
        self.out.flush()
    }
}
