//! What is said of a watched program: its sentence, a row for each series of samples, and below what
//! grows where it was made.
//!
//! ```text
//! what a person would say, in one sentence
//!
//!   metric  now  trend                  of the program: growing, unfinished, steps, flat
//!           +18  identity               below one that grows its findings
//!           at   site
//!
//!   `descendant` (pid 12)
//!   metric  now  trend                  only what is not flat
//! ```

use anstyle::{AnsiColor, Style as Paint};

use super::findings::SHOWN_MAX;
use super::{Block, Style, is_shown, strong};
use crate::metric;
use crate::model::{Finding, Outcome, Status, Trended, Trial, Verdict};
use crate::render::{sentence, text};
use crate::trend::{Trend, gain};

/// A row goes on below where it would be longer.
const COLUMNS: usize = 80;

/// What `watch` and `run` say at their end of a watched program, without a newline at the end.
#[must_use]
pub fn verdict(trial: &Trial, style: &Style) -> String {
    let mut block = Block { style, lines: Vec::new(), most: SHOWN_MAX };
    let colour = match trial.verdict {
        _ if !matches!(trial.outcome, Outcome::Passed | Outcome::Skipped) => AnsiColor::Red,
        Verdict::Leaked => AnsiColor::Red,
        Verdict::Clean => AnsiColor::Green,
        Verdict::Tolerated | Verdict::Unsettled | Verdict::Unmeasured => AnsiColor::Yellow,
    };
    let said = block.paint(strong(colour), &sentence(trial));
    block.lines.push(said);
    block.watched(trial);
    block.unmeasured(trial);
    block.notes(trial);
    block.lines.join("\n")
}

/// One process and what its series say.
struct Process<'a> {
    subject: &'a str,
    pid: u32,
    series: Vec<&'a Trended>,
}

/// The watched process and its descendants, in the order of the record.
fn processes(trial: &Trial) -> Vec<Process<'_>> {
    let mut processes: Vec<Process<'_>> = Vec::new();
    for it in &trial.trends {
        match processes.iter_mut().find(|one| (one.subject, one.pid) == (&*it.subject, it.pid)) {
            Some(process) => process.series.push(it),
            None => {
                let (subject, pid) = (it.subject.as_str(), it.pid);
                processes.push(Process { subject, pid, series: vec![it] });
            }
        }
    }
    for process in &mut processes {
        process.series.sort_by_key(|it| rank(&it.trend));
    }
    processes
}

/// What is told first.
fn rank(trend: &Trend) -> u8 {
    match trend {
        Trend::Growing(_) => 0,
        Trend::TooShort { .. } => 1,
        Trend::Step(_) => 2,
        Trend::Flat { .. } => 3,
    }
}

fn is_flat(it: &Trended) -> bool {
    matches!(it.trend, Trend::Flat { .. })
}

impl Block<'_> {
    /// The series of a watched program and its descendants, and the findings of each that grows.
    pub(super) fn watched(&mut self, trial: &Trial) {
        let mut findings: Vec<&Finding> =
            trial.findings.iter().filter(|finding| is_shown(finding)).collect();
        findings.sort_by(|a, b| a.severity(b));
        let is_program = |process: &Process<'_>| trial.is_of_program(process.subject);
        let (program, descendants): (Vec<_>, Vec<_>) =
            processes(trial).into_iter().partition(is_program);
        for process in &program {
            self.lines.push(String::new());
            self.series(trial, process, true, &mut findings);
        }
        let all = descendants.len();
        let moving: Vec<Process<'_>> = (descendants.into_iter())
            .map(|mut process| {
                process.series.retain(|it| !is_flat(it));
                process
            })
            .filter(|process| !process.series.is_empty())
            .collect();
        let flat = all - moving.len();
        for process in moving.iter().take(self.most) {
            // Processes of one command have their number in their name.
            let pid = match process.subject.ends_with(&format!("[{}]", process.pid)) {
                true => String::new(),
                false => format!(" (pid {})", process.pid),
            };
            self.heading(&format!("{}{pid}", text::quoted(process.subject)));
            self.series(trial, process, false, &mut findings);
        }
        let more = moving.len().saturating_sub(self.most);
        for (many, what) in [(more, "more in the ledger"), (flat, "flat")] {
            if many > 0 {
                let (is, one) = if many == 1 { ("is", "") } else { ("are", "s") };
                let many = metric::count(many as u64);
                self.lines.push(String::new());
                self.lines.push(format!("  {many} descendant{one} {is} {what}"));
            }
        }
        // What belongs to no series that grows.
        self.findings(trial, &findings);
    }

    /// A row for each series of a process; takes from `findings` what it shows.
    fn series(
        &mut self,
        trial: &Trial,
        process: &Process<'_>,
        is_program: bool,
        findings: &mut Vec<&Finding>,
    ) {
        let cells: Vec<[String; 2]> = (process.series.iter())
            .map(|it| [text::name(metric::word(&it.metric)), it.unit().show(it.now)])
            .collect();
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max();
        let (first, second) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
        let indent = " ".repeat(first + second + 6);
        for (it, [metric, now]) in process.series.iter().zip(&cells) {
            let with = match &it.trend {
                Trend::Growing(_) if trial.verdict != Verdict::Tolerated => strong(AnsiColor::Red),
                Trend::Growing(_) | Trend::TooShort { .. } => strong(AnsiColor::Yellow),
                Trend::Step(_) | Trend::Flat { .. } => Paint::new(),
            };
            // Padded first: an escape has no width, but `format!` would count it.
            let metric = self.paint(with, &format!("{metric:<first$}"));
            let said = text::escape(&it.trend.show(it.unit()));
            let mut lines = wrapped(&said, COLUMNS.saturating_sub(indent.len())).into_iter();
            let said = lines.next().unwrap_or_default();
            self.row(format!("  {metric}  {now:>second$}  {said}"));
            for line in lines {
                self.row(format!("{indent}{line}"));
            }
            if it.trend.is_growing() {
                let (own, others) = findings.iter().copied().partition(|finding| {
                    let is_its = match is_program {
                        true => trial.is_of_program(&finding.subject),
                        false => finding.subject == process.subject,
                    };
                    is_its && best(process, finding) == Some(it.metric.as_str())
                });
                *findings = others;
                self.grown(trial, it, own);
            }
        }
    }

    /// The findings of a series, below its row.
    fn grown(&mut self, trial: &Trial, series: &Trended, findings: Vec<&Finding>) {
        for finding in findings.iter().take(self.most) {
            let status = match finding.status {
                Status::Leak => "",
                Status::Unconfirmed => "  (unconfirmed)",
                Status::Accepted => "  (accepted)",
                Status::Step => "  (step)",
            };
            let pace = match &finding.trend {
                Some(trend @ Trend::Growing(growth)) if *trend != series.trend => {
                    let unit = finding.resource.into();
                    format!("  {}", growth.pace(unit, |value| gain(unit, value)))
                }
                _ => String::new(),
            };
            let growth = metric::growth(finding.resource, finding.growth);
            let line = format!("{growth}{pace}{status}  {}", text::name(&finding.what));
            self.below(line.trim_end());
            self.details(trial, finding);
        }
        if findings.len() > self.most {
            let more = metric::count((findings.len() - self.most) as u64);
            self.below(&format!("{more} more findings are in the ledger"));
        }
    }
}

/// The metric of a growing series of the process that fits the finding best.
fn best<'a>(process: &Process<'a>, finding: &Finding) -> Option<&'a str> {
    let growing = |metric: &String| {
        let found = process.series.iter().find(|it| it.trend.is_growing() && it.metric == *metric);
        found.map(|it| it.metric.as_str())
    };
    metric::of(finding.resource, &finding.what).iter().find_map(growing)
}

/// `said` in lines of at most so many columns, broken after commas where it can be.
fn wrapped(said: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in said.split_inclusive(", ") {
        match lines.last_mut() {
            Some(line) if line.chars().count() + piece.trim_end().chars().count() <= columns => {
                line.push_str(piece);
            }
            _ => lines.push(piece.to_owned()),
        }
    }
    lines
}
