//! Runs the binaries `kinds` and `traps` and compares what their ledgers say with what they must.
//!
//! Nothing is run twice and nothing is believed that is not in a ledger.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use watertight_report::model::{Finding, Outcome, Resource, Status, Trial, Verdict};

use crate::kinds::{ELSEWHERE, Kind, all};
use crate::ledger::{self, Ran, leaks, resources};
use crate::traps;

/// What the harness says of one kind.
#[derive(Debug, Clone)]
pub struct Row {
    /// Name of the kind.
    pub kind: &'static str,
    /// A finding has its resources, and the verdict is the one that it must be.
    pub is_detected: bool,
    /// That finding names the thing and the process.
    pub is_named: bool,
    /// It names the line, and no other line is accused but for what was put into a collection.
    pub is_sited: bool,
    /// The twin is clean, and every probe has looked.
    pub is_twin_clean: bool,
    /// The finding, where there is one.
    pub finding: Option<Finding>,
    /// Both trials.
    pub trials: [Trial; 2],
}

impl Row {
    /// What a run of the binary `kinds` says of a kind.
    pub fn of(kind: &Kind, ran: &Ran) -> Self {
        let leaky = ran.trial(&kind.leaky_case());
        let clean = ran.trial(&kind.clean_case());
        let finding = finding(kind, leaky);
        let verdict = if kind.is_listed_only {
            leaky.verdict != Verdict::Leaked
        } else {
            leaky.verdict == Verdict::Leaked
        };
        let is_at_mark = |finding: &Finding| {
            let site = finding.site.as_ref().map(|site| (site.file.as_str(), site.line));
            site == Some((kind.source.file, kind.line()))
        };
        Self {
            kind: kind.name,
            is_detected: finding.is_some() && verdict && leaky.outcome == Outcome::Passed,
            is_named: finding.is_some_and(|finding| is_named(kind, finding)),
            is_sited: finding.is_some_and(is_at_mark)
                && leaks(leaky).iter().all(|leak| is_at_mark(leak) || is_filled(kind, leak)),
            is_twin_clean: is_clean(clean),
            finding: finding.cloned(),
            trials: [leaky.clone(), clean.clone()],
        }
    }

    /// What the row says: detected, named, sited, twin clean.
    pub fn cells(&self) -> [bool; 4] {
        [self.is_detected, self.is_named, self.is_sited, self.is_twin_clean]
    }

    /// Whether everything is as it must be.
    pub fn is_good(&self) -> bool {
        self.cells().iter().all(|is_good| *is_good)
    }
}

/// The finding that speaks of the kind's resources, the first of which leads.
fn finding<'a>(kind: &Kind, trial: &'a Trial) -> Option<&'a Finding> {
    let speaks = |finding: &&Finding| {
        let found = resources(finding);
        found.first() == kind.resources.first()
            && kind.resources.iter().all(|resource| found.contains(resource))
            && (finding.status == Status::Leak) != kind.is_listed_only
    };
    trial.findings.iter().find(speaks)
}

/// Whether a finding is memory of the collection that what leaks was put into.
fn is_filled(kind: &Kind, finding: &Finding) -> bool {
    resources(finding) == [Resource::Heap]
        && finding.site.as_ref().is_some_and(|site| site.file == kind.source.file)
}

fn is_named(kind: &Kind, finding: &Finding) -> bool {
    let subject = match kind.subject {
        Some(command) => finding.subject.contains(command),
        None => finding.subject == watertight_report::model::SUBJECT_TEST,
    };
    subject && finding.what.contains(kind.what)
}

/// Whether a trial passed, every probe looked, and nothing was found that counts.
pub fn is_clean(trial: &Trial) -> bool {
    trial.verdict == Verdict::Clean
        && trial.outcome == Outcome::Passed
        && trial.unmeasured.is_empty()
}

/// Runs the binary `kinds`, with temporary and other directories of its own, which are removed.
///
/// # Errors
/// Where it did not end in time or its ledger is not whole.
pub fn run_kinds(program: &Path) -> Result<(Ran, Vec<Row>)> {
    let temporary = tempfile::tempdir()?;
    let elsewhere = program.parent().context("the program lies in no directory")?;
    let elsewhere = tempfile::Builder::new().prefix("kinds-elsewhere-").tempdir_in(elsewhere)?;
    let mut command = Command::new(program);
    command.env("TMPDIR", temporary.path()).env(ELSEWHERE, elsewhere.path());
    let ran = ledger::run(&mut command)?;
    let rows = all().iter().map(|kind| Row::of(kind, &ran)).collect();
    Ok((ran, rows))
}

/// Runs the binary `traps` with descriptors open that it has not opened itself. Its trials are in the
/// order of their names.
///
/// # Errors
/// Where it did not end in time or its ledger is not whole.
pub fn run_traps(program: &Path) -> Result<Ran> {
    let temporary = tempfile::tempdir()?;
    let mut command = Command::new("sh");
    command.args(["-c", traps::INHERIT]).arg(program).env("TMPDIR", temporary.path());
    let mut ran = ledger::run(&mut command)?;
    ran.trials.sort_by(|a, b| a.case.cmp(&b.case));
    Ok(ran)
}

/// Threads that keep every processor busy until this is dropped.
#[derive(Debug)]
pub struct Load {
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Twice as many as there are processors, so that whatever else runs must wait.
    pub fn start() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let count = 2 * thread::available_parallelism().map_or(1, usize::from);
        let spin = |ends: Arc<AtomicBool>| {
            move || {
                while !ends.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }
        };
        let threads = (0..count).map(|_| thread::spawn(spin(Arc::clone(&ends)))).collect();
        Self { ends, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It cannot panic.
            let _ = thread.join();
        }
    }
}
