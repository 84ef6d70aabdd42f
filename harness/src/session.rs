//! One process's part of a run: opened, told of each trial, closed with the line at the end.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use watertight_report::baseline::Usage;
use watertight_report::model::{Outcome, Record, Trial as TrialRecord, Verdict};
use watertight_report::render::Summary;
use watertight_report::render::terminal::{self, Style};

use crate::case::Case;
use crate::config::{Config, Severity};
use crate::run::{Run, Subjects};
use crate::trial::Tried;
use crate::{canary, cancel, survivor};

/// A supervisor at work.
pub(crate) struct Session {
    pub(crate) run: Arc<Run>,
    told: Mutex<Told>,
    /// Whether a test was told of already that passed, and that not all could look at.
    has_told_blind: AtomicBool,
    /// The name of the test target, where it is one that `cargo test --test` knows.
    target: Option<String>,
}

/// What is told at the end, folded trial by trial.
#[derive(Default)]
struct Told {
    summary: Summary,
    usage: Usage,
}

impl Session {
    /// Opens this process's part of the run, and shows every probe its plant where it is the first.
    ///
    /// # Errors
    /// A message that says what to set.
    pub(crate) fn open(
        subjects: Subjects,
        config: Config,
        stream: bool,
        target: Option<String>,
    ) -> Result<Self, String> {
        survivor::become_subreaper();
        let run = Arc::new(Run::open(subjects, stream, config)?);
        cancel::watch(&run);
        let begun = run.ledger.begin(&run.id, || {
            for unknown in &run.config.unknown {
                eprintln!("watertight: {unknown}");
            }
            let mut record = run.record();
            record.swept = run.home.sweep();
            for swept in &record.swept {
                eprintln!("watertight: removed {swept}");
            }
            record.canaries = canary::sing(&run);
            record
        });
        let record = begun.map_err(|error| unwritten(&error))?;
        canary::believe(&run, &record.canaries);
        // The first process knows already.
        let _ = run.net_refused.set(record.net_refused.clone());
        Ok(Self { run, told: Mutex::default(), has_told_blind: AtomicBool::new(false), target })
    }

    /// Writes a trial's record and says what came of it: the failure block where it is red.
    ///
    /// # Errors
    /// The block, for whoever counts failures.
    pub(crate) fn report(&self, case: &Case, tried: &Tried) -> Result<(), String> {
        let record = &tried.record;
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.summary.add(record);
            told.usage.add(&self.run.config.baseline, record);
        }
        let written = self.run.ledger.append(&Record::Trial(Box::new(record.clone())));
        if let Err(error) = written {
            return Err(unwritten(&error));
        }
        if !is_red(case, record) {
            // What no probe could see in one test it mostly sees in none: once says it, and the record.
            let is_news = match record.verdict {
                Verdict::Clean => false,
                Verdict::Unmeasured => !self.has_told_blind.swap(true, Relaxed),
                _ => true,
            };
            if is_news {
                eprintln!("{}\n", terminal::failure(record, &self.style()));
            }
            return Ok(());
        }
        let mut text = terminal::failure(record, &self.style());
        if !tried.output.trim().is_empty() && !self.run.stream {
            text.push_str("\n\n  the test printed\n");
            for line in tried.output.trim_end().lines() {
                text.push_str("    ");
                text.push_str(line);
                text.push('\n');
            }
        }
        Err(text)
    }

    /// The line at the end, on stderr, with what is to be said of the acceptance file where these are all
    /// cases of their suite.
    pub(crate) fn summarise(&self, declared: &[(String, String)]) {
        let Told { mut summary, usage } =
            std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        let remarks = self.run.config.baseline.review(&usage, declared, self.run.today);
        summary.remarks = remarks.iter().map(ToString::to_string).collect();
        summary.supervisor_peak_rss_bytes =
            crate::probe::memory::resident(std::process::id()).ok().map(|resident| resident.peak);
        summary.ledger = Some(shown(self.run.ledger.path()));
        eprintln!("{}\n", terminal::summary(&summary, &self.style()));
    }

    /// Leaves nothing behind; gives the exit code where a signal has cancelled the run.
    pub(crate) fn close(self) -> Option<ExitCode> {
        self.run.home.leave();
        cancel::exit_code(&self.run)
    }

    /// How the terminal wants it: NO_COLOR and CLICOLOR_FORCE as everywhere, colour only on a terminal.
    fn style(&self) -> Style {
        let set = |name: &str| {
            std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
        };
        let colour = set("CLICOLOR_FORCE") || !set("NO_COLOR") && std::io::stderr().is_terminal();
        Style {
            colour,
            stacks: set("WATERTIGHT_STACKS"),
            ledger: Some(shown(self.run.ledger.path())),
            target: self.target.clone(),
        }
    }
}

fn unwritten(error: &dyn std::fmt::Display) -> String {
    format!("the ledger cannot be written: {error}; set WATERTIGHT_LEDGER to a file that can")
}

/// Whether a trial fails its test.
fn is_red(case: &Case, record: &TrialRecord) -> bool {
    let red = match record.verdict {
        Verdict::Leaked => true,
        Verdict::Unmeasured => case.unmeasured == Severity::Fail,
        Verdict::Unsettled => case.unsettled == Severity::Fail,
        Verdict::Clean | Verdict::Tolerated => false,
    };
    record.outcome != Outcome::Passed || red
}

/// A path as short as it can be for the reader, whose shell's directory is in PWD: cargo changes into
/// the package's, and the reader is elsewhere.
pub(crate) fn shown(path: &std::path::Path) -> PathBuf {
    let here = std::env::var_os("PWD").map(PathBuf::from).unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).to_owned()
}
