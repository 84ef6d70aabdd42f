//! A whole report for a person at a terminal: groups largest first, what else went wrong, the summary.

use std::io::{self, Write};

use anstyle::AnsiColor;

use super::findings::SHOWN_MAX;
use super::{Block, Style, strong, summary, verdict};
use crate::metric::{self, Unit};
use crate::model::{Finding, Mode, Trial};
use crate::render::advice::advice;
use crate::render::{Renderer, group, text};
use crate::report::{Group, Kind, Report};

/// Runs named one by one.
const RUNS_MAX: usize = 3;

/// Tells a report to a person, watched programs first; with `all` every test's readings too.
#[derive(Debug)]
pub struct Terminal<W> {
    out: W,
    style: Style,
    all: bool,
}

impl<W: Write> Terminal<W> {
    /// Writes to `out`.
    pub fn new(out: W, style: Style, all: bool) -> Self {
        Self { out, style, all }
    }
}

impl<W: Write> Renderer for Terminal<W> {
    fn trial(&mut self, trial: &Trial) -> io::Result<()> {
        if trial.mode == Mode::Watch {
            writeln!(self.out, "{}\n", verdict(trial, &self.style))?;
        }
        if !self.all {
            return Ok(());
        }
        writeln!(self.out, "{}\n", readings(trial, &self.style).join("\n"))
    }

    fn finish(&mut self, report: &Report) -> io::Result<()> {
        let mut block = Block {
            style: &self.style,
            lines: Vec::new(),
            most: if self.all { usize::MAX } else { SHOWN_MAX },
        };
        block.report(report);
        writeln!(self.out, "{}", block.lines.join("\n"))?;
        writeln!(self.out, "\n{}", summary(&report.summary, &self.style))?;
        self.out.flush()
    }
}

/// One test and everything that was read of it, in lines.
pub(in crate::render) fn readings(trial: &Trial, style: &Style) -> Vec<String> {
    let mut block = Block { style, lines: Vec::new(), most: SHOWN_MAX };
    block.readings(trial);
    block.lines
}

/// A group, what to do about it and its cases, in lines.
pub(in crate::render) fn details(group: &Group, style: &Style) -> Vec<String> {
    let mut block = Block { style, lines: Vec::new(), most: SHOWN_MAX };
    block.groups(&[group]);
    if group.kind != Kind::Accepted {
        block.below(&advice(&Trial::default(), &group.finding));
    }
    block.lines
}

impl Block<'_> {
    /// One test and everything that was read of it.
    fn readings(&mut self, trial: &Trial) {
        let name = self.paint(anstyle::Style::new().bold(), &group::case(&trial.into()));
        self.lines.push(format!("{name}  {}", group::verdict(trial)));
        let shown: Vec<[String; 3]> = (trial.readings.iter())
            .map(|(metric, reading)| {
                let unit = Unit::of(metric);
                let mut change =
                    format!("{} -> {}", unit.show(reading.before), unit.show(reading.after));
                if let Some(peak) = reading.peak {
                    change.push_str(&format!(", peak {}", unit.show(peak)));
                }
                let rounds = match reading.per_round.as_slice() {
                    [] => String::new(),
                    rounds => format!("each round {}", each(rounds)),
                };
                [text::name(metric), change, rounds]
            })
            .collect();
        let width = |column: usize| shown.iter().map(|row| row[column].chars().count()).max();
        let (first, second) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
        for [metric, change, rounds] in &shown {
            self.row(format!("    {metric:<first$}  {change:<second$}  {rounds}"));
        }
        for it in &trial.trends {
            let (subject, metric) = (text::name(&it.subject), text::name(&it.metric));
            let said = text::escape(&it.trend.show(it.unit()));
            self.row(format!("    {metric} of {subject} (pid {})  {said}", it.pid));
        }
        for it in &trial.unmeasured {
            self.row(format!("    {} not measured: {}", it.probe.name(), text::escape(&it.reason)));
        }
    }

    fn report(&mut self, report: &Report) {
        let colour = match () {
            () if report.summary.is_red() => AnsiColor::Red,
            () if report.summary.is_green() && report.summary.cases > 0 => AnsiColor::Green,
            () => AnsiColor::Yellow,
        };
        let headline = self.paint(strong(colour), &group::headline(report));
        self.lines.push(headline);
        for run in report.runs.iter().take(RUNS_MAX) {
            self.lines.push(format!("  {}", group::run(run)));
        }
        self.more(report.runs.len(), RUNS_MAX, "more runs");
        for kind in [Kind::Leak, Kind::Unconfirmed, Kind::Retained, Kind::Accepted] {
            // What watched programs leak was told with each of them.
            let is_new = |group: &&Group| group::is_shown(group) && !group::is_watched(group);
            let groups: Vec<&Group> = report.of(kind).filter(is_new).collect();
            if !groups.is_empty() {
                self.heading(title(kind));
                self.groups(&groups);
            }
        }
        self.troubles(report);
        self.blind(report);
        let leaks: Vec<Finding> =
            report.of(Kind::Leak).map(|group| group.finding.clone()).collect();
        self.advice(&Trial::default(), &leaks.iter().collect::<Vec<_>>());
        if !leaks.is_empty() {
            self.heading("next");
            for (why, command) in [
                ("every reading", "report --all"),
                ("live with these", "accept --all --reason WHY --expires YYYY-MM-DD"),
            ] {
                self.lines.push(format!("    {why:<15}  cargo watertight {command}"));
            }
        }
        if report.broken_lines > 0 {
            let lines = metric::count(report.broken_lines);
            self.heading(&format!("lines of the ledger that could not be read: {lines}"));
        }
    }

    fn groups(&mut self, groups: &[&Group]) {
        let totals: Vec<Finding> = groups.iter().map(|group| group::total(group)).collect();
        self.rows(&Trial::default(), &totals.iter().collect::<Vec<_>>(), |block, index| {
            block.below(&format!("in  {}", group::found_in(groups[index])));
        });
    }

    fn troubles(&mut self, report: &Report) {
        if report.troubles.is_empty() {
            return;
        }
        self.heading("did not end well");
        for trouble in report.troubles.iter().take(self.most) {
            self.lines.push(format!("    {}", group::trouble(trouble)));
        }
        self.more(report.troubles.len(), self.most, "more: cargo watertight report --all");
    }

    fn blind(&mut self, report: &Report) {
        let canaries = group::blind_canaries(report);
        if report.unmeasured.is_empty() && canaries.is_empty() {
            return;
        }
        self.heading("not measured");
        for said in &canaries {
            self.lines.push(format!("    {said}"));
        }
        for it in report.unmeasured.iter().take(self.most) {
            let (reason, cases) = (text::escape(&it.reason), group::cases(it.cases, &it.examples));
            self.lines.push(format!("    {}  {reason}", it.probe.name()));
            self.lines.push(format!("        in  {cases}"));
        }
        self.more(
            report.unmeasured.len(),
            self.most,
            "more reasons: cargo watertight report --all",
        );
    }

    fn more(&mut self, many: usize, listed: usize, what: &str) {
        if many > listed {
            let more = metric::count((many - listed) as u64);
            self.lines.push(format!("    {more} {what}"));
        }
    }
}

/// What a kind of groups is called.
pub(in crate::render) fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Leak => "leaks, worst first",
        Kind::Unconfirmed => "unconfirmed: could not be repeated, fails nothing",
        Kind::Retained => "heap retained at the end: a leak or a cache, fails nothing",
        Kind::Accepted => "accepted",
    }
}

/// Growth in each round, of many only the last.
fn each(rounds: &[i64]) -> String {
    const SHOWN: usize = 8;
    let shown = &rounds[rounds.len().saturating_sub(SHOWN)..];
    let told: Vec<String> = shown.iter().map(|growth| format!("{growth:+}")).collect();
    let dots = if shown.len() < rounds.len() { "... " } else { "" };
    format!("{dots}{}", told.join(" "))
}
