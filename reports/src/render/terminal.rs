//! The failure block and the line at the end of a run, for a person at a terminal; and whole
//! reports ([`Terminal`]).
//!
//! ```text
//! what a person would say, in one sentence
//!
//!   resource  growth  per round  identity        one row per finding, largest sin first
//!             at site, via, with what else was made there, who holds it, forecast, note
//!
//!   what to do
//!   next: the commands
//! ```

mod findings;
pub(super) mod report;
mod watch;

use std::borrow::Cow;
use std::path::PathBuf;

use anstyle::{AnsiColor, Effects, Style as Paint};

use super::advice::advice;
use super::sentence;
use super::{Summary, text};
use crate::metric::{self, Unit};
use crate::model::{Finding, Mode, Outcome, Status, Trial, Verdict};
use findings::SHOWN_MAX;

pub use report::Terminal;
pub use watch::verdict;

/// How a block is to look. What the environment asks for is for the caller to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Style {
    /// Colours, as ANSI escapes.
    pub colour: bool,
    /// The whole stack of every finding.
    pub stacks: bool,
    /// Where the records of the run are, to name it among the next commands.
    pub ledger: Option<PathBuf>,
    /// The test target for `cargo test --test`, where it is not the suite's name.
    pub target: Option<String>,
}

/// Lines shown of the test's own message.
const MESSAGE_LINES_MAX: usize = 100;

/// Everything a person needs to know of a trial that is not clean, without a newline at the end.
#[must_use]
pub fn failure(trial: &Trial, style: &Style) -> String {
    let mut block = Block { style, lines: Vec::new(), most: SHOWN_MAX };
    let colour = if trial.outcome == Outcome::Passed && trial.verdict != Verdict::Leaked {
        AnsiColor::Yellow
    } else {
        AnsiColor::Red
    };
    let said = block.paint(strong(colour), &sentence::sentence(trial));
    block.lines.push(said);
    let mut shown: Vec<&Finding> =
        trial.findings.iter().filter(|finding| is_shown(finding)).collect();
    shown.sort_by(|a, b| a.severity(b));
    match trial.mode {
        Mode::Watch => block.watched(trial),
        Mode::Trial | Mode::Shared | Mode::Off => block.findings(trial, &shown),
    }
    block.still_held(trial);
    block.unmeasured(trial);
    block.message(trial);
    block.notes(trial);
    block.advice(trial, &shown);
    block.next(trial);
    block.lines.join("\n")
}

/// Unconfirmed heap below this is what a first run always leaves (buffers, thread-locals) and would
/// only stand in the way of the leak beside it.
pub(super) const UNCONFIRMED_BYTES_MIN: i64 = 64 * 1024;

/// Whether a finding is worth a row: steps are only recorded.
fn is_shown(finding: &Finding) -> bool {
    match finding.status {
        Status::Step => false,
        Status::Unconfirmed => {
            !finding.resource.is_bytes() || finding.growth >= UNCONFIRMED_BYTES_MIN
        }
        Status::Leak | Status::Accepted => true,
    }
}

/// The line at the end of a run, and below it a line for each remark on the acceptance file; without a
/// newline at the end.
#[must_use]
pub fn summary(summary: &Summary, style: &Style) -> String {
    let colour = match () {
        () if summary.is_green() => AnsiColor::Green,
        () if summary.is_red() => AnsiColor::Red,
        () => AnsiColor::Yellow,
    };
    let mut lines = vec![paint(style, strong(colour), &summary.to_string())];
    for remark in &summary.remarks {
        let remark = format!("watertight: {}", text::escape(remark));
        lines.push(paint(style, AnsiColor::Yellow.on_default(), &remark));
    }
    lines.join("\n")
}

fn strong(colour: AnsiColor) -> Paint {
    colour.on_default().effects(Effects::BOLD)
}

fn paint(style: &Style, paint: Paint, text: &str) -> String {
    if style.colour { format!("{paint}{text}{paint:#}") } else { text.to_owned() }
}

/// A block as it grows.
struct Block<'a> {
    style: &'a Style,
    lines: Vec<String>,
    /// How many of a kind are listed.
    most: usize,
}

impl Block<'_> {
    fn paint(&self, with: Paint, text: &str) -> String {
        paint(self.style, with, text)
    }

    fn heading(&mut self, text: &str) {
        let heading = self.paint(Paint::new().bold(), text);
        self.lines.push(String::new());
        self.lines.push(format!("  {heading}"));
    }

    fn row(&mut self, row: String) {
        self.lines.push(row.trim_end().to_owned());
    }

    /// For a trial that did not settle: what it still held at the deadline.
    fn still_held(&mut self, trial: &Trial) {
        if trial.verdict != Verdict::Unsettled {
            return;
        }
        let held: Vec<_> =
            trial.readings.iter().filter(|(_, reading)| reading.after > reading.before).collect();
        let width = held.iter().map(|(metric, _)| metric.chars().count()).max().unwrap_or(0);
        if !held.is_empty() {
            self.heading("still held at the deadline");
        }
        for (metric, reading) in held {
            let unit = Unit::of(metric);
            let (before, after) = (unit.show(reading.before), unit.show(reading.after));
            let metric = text::name(metric);
            self.lines.push(format!("    {metric:<width$}  {after}, before the trial {before}"));
        }
    }

    fn unmeasured(&mut self, trial: &Trial) {
        if trial.unmeasured.is_empty() {
            return;
        }
        self.heading("not measured");
        let names = trial.unmeasured.iter().map(|it| it.probe.name().len());
        let width = names.max().unwrap_or(0);
        for unmeasured in &trial.unmeasured {
            let reason = text::escape(&unmeasured.reason);
            self.lines.push(format!("    {:<width$}  {reason}", unmeasured.probe.name()));
        }
    }

    /// The test's own message, where the sentence could not hold it.
    fn message(&mut self, trial: &Trial) {
        let Some(said) = sentence::headline(trial) else { return };
        let message = trial.message.as_deref().unwrap_or_default().trim_end();
        let told = trial.outcome != Outcome::Passed;
        if told && message.trim_end_matches(['.', ':']) == said {
            return;
        }
        self.heading(if trial.mode == Mode::Watch { "it said" } else { "the test said" });
        for line in message.lines().take(MESSAGE_LINES_MAX) {
            self.row(format!("    {}", text::escape(line)));
        }
        if let more @ 1.. = message.lines().count().saturating_sub(MESSAGE_LINES_MAX) {
            let more = metric::count(more as u64);
            self.lines.push(format!("    {more} more lines are in the ledger"));
        }
    }

    fn notes(&mut self, trial: &Trial) {
        for cleanup in &trial.cleanups {
            if let Some(error) = &cleanup.error {
                let name = text::quoted(&cleanup.name);
                self.lines.push(String::new());
                self.lines.push(format!("  the clean-up {name} said: {}", text::escape(error)));
            }
        }
        for note in &trial.notes {
            self.lines.push(String::new());
            self.lines.push(format!("  note: {}", text::escape(note)));
        }
    }

    fn advice(&mut self, trial: &Trial, findings: &[&Finding]) {
        let mut told: Vec<(&str, Cow<'_, str>)> = Vec::new();
        for finding in findings.iter().take(SHOWN_MAX) {
            if matches!(finding.status, Status::Leak | Status::Unconfirmed) {
                let line = (finding.resource.name(), advice(trial, finding));
                if !told.contains(&line) {
                    told.push(line);
                }
            }
        }
        if findings.iter().any(|finding| without_line(finding)) {
            let debug = match trial.mode {
                Mode::Watch => "build it with `debug = \"line-tables-only\"` to see them",
                _ => "set `[profile.test] debug = \"line-tables-only\"` to see them",
            };
            told.push(("lines", debug.into()));
        }
        match trial.verdict {
            Verdict::Unsettled => told.push((
                "unsettled",
                "wait inside the test for whatever it started: join it, shut it down, close it".into(),
            )),
            Verdict::Unmeasured if trial.unmeasured.is_empty() && trial.mode == Mode::Watch => {
                told.push(("too short", "watch it for longer; each row says how much longer".into()));
            }
            Verdict::Unmeasured => told.push((
                "unmeasured",
                "let the probe look: its reason says what is in its way; this fails under profile `ci` only".into(),
            )),
            Verdict::Clean | Verdict::Tolerated | Verdict::Leaked => {}
        }
        if told.is_empty() {
            return;
        }
        self.heading("what to do");
        let width = told.iter().map(|(about, _)| about.len()).max().unwrap_or(0);
        for (about, what) in told {
            self.lines.push(format!("    {about:<width$}  {what}"));
        }
    }

    /// The commands that lead on from here.
    fn next(&mut self, trial: &Trial) {
        let again = again(trial, self.style.target.as_deref());
        self.heading("next");
        self.lines.push(format!("    this again      {again}"));
        let has_stack = trial.findings.iter().any(|finding| !finding.stack.is_empty());
        if has_stack && !self.style.stacks {
            self.lines.push(format!("    whole stacks    WATERTIGHT_STACKS=1 {again}"));
        }
        if let Some(ledger) = &self.style.ledger {
            let case = serde_json::Value::from(trial.case.as_str());
            let line = text::shell_word(&format!("\"case\":{case}"));
            let ledger = text::shell_word(&ledger.to_string_lossy());
            self.lines.push(format!("    every reading   grep -F {line} {ledger}"));
        }
    }
}

/// The command that runs the case again: alone, unless it is the whole suite that shows it.
fn again(trial: &Trial, target: Option<&str>) -> String {
    let command = trial.command.as_deref().map(text::escape);
    if trial.mode == Mode::Watch {
        return command.unwrap_or_else(|| "cargo watertight watch PID".to_owned());
    }
    if let Some(command) = command {
        return format!("{command} -- --exact {}", text::shell_word(&trial.case));
    }
    let suite = text::shell_word(target.unwrap_or(&trial.suite));
    match trial.mode {
        Mode::Shared => format!("WATERTIGHT_MODE=shared cargo test --test {suite}"),
        Mode::Trial | Mode::Off | Mode::Watch => {
            format!("cargo test --test {suite} -- --exact {}", text::shell_word(&trial.case))
        }
    }
}

/// Whether the site is known by its function alone.
fn without_line(finding: &Finding) -> bool {
    finding.site.as_ref().is_some_and(|site| site.file.is_empty() && !site.function.is_empty())
}
