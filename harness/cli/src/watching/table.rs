//! The table on a terminal, redrawn in place: resource, now, change, a minute, sparkline.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use watertight_report::metric;

use super::figures::{Figure, Figures, Process, SHOWN, name, short};
use super::screen::{To, at};
use crate::talk::plain;

/// Descendants that have rows.
const DESCENDANTS_MAX: usize = 6;

/// The rows, each a bar that is only a message.
pub(super) struct Table {
    rows: MultiProgress,
    bars: Vec<ProgressBar>,
    /// How long is left, where an end is known.
    length: Option<(Duration, ProgressBar)>,
    is_coloured: bool,
}

impl Table {
    pub(super) fn new(to: To, length: Option<Duration>) -> Self {
        let (target, choice) = match to {
            To::Stdout => {
                (ProgressDrawTarget::stdout(), anstream::AutoStream::choice(&std::io::stdout()))
            }
            To::Stderr => {
                (ProgressDrawTarget::stderr(), anstream::AutoStream::choice(&std::io::stderr()))
            }
        };
        let rows = MultiProgress::with_draw_target(target);
        let length = length.map(|length| {
            let bar = ProgressBar::new(length.as_millis() as u64);
            let style = ProgressStyle::with_template("{bar:40} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            (length, rows.add(bar.with_style(style)))
        });
        Self { rows, bars: Vec::new(), length, is_coloured: choice != anstream::ColorChoice::Never }
    }

    /// Draws the figures as they are now.
    pub(super) fn draw(&mut self, figures: &Figures, now: Duration) {
        let Some(main) = figures.main() else { return };
        let mut lines = vec![self.bold(&format!(
            "{} (process {}), {}",
            plain(&main.subject),
            main.pid,
            at(now.as_millis() as u64)
        ))];
        lines.push(self.dim(&row(["", "now", "change", "a minute", ""])));
        lines.extend(
            SHOWN.iter().filter_map(|metric| Some(self.row(main, metric, main.figure(metric)?))),
        );
        let sockets: Vec<String> =
            main.sockets().iter().map(|(state, many)| format!("{state} {many}")).collect();
        if !sockets.is_empty() {
            lines.push(self.dim(&format!("  {}", sockets.join(", "))));
        }
        for descendant in figures.descendants().take(DESCENDANTS_MAX) {
            lines.push(descendants_row(descendant));
        }
        let more = figures.descendants().count().saturating_sub(DESCENDANTS_MAX);
        if more > 0 {
            lines.push(self.dim(&format!("  and {more} more descendants")));
        }
        self.show(&lines);
        if let Some((length, bar)) = &self.length {
            bar.set_position(now.as_millis() as u64);
            let left = length.saturating_sub(now);
            bar.set_message(format!("{} left", at(left.as_millis() as u64)));
        }
    }

    fn show(&mut self, lines: &[String]) {
        while self.bars.len() < lines.len() {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bars.push(self.rows.insert(self.bars.len(), bar.with_style(style)));
        }
        for bar in self.bars.drain(lines.len()..) {
            self.rows.remove(&bar);
        }
        for (bar, line) in self.bars.iter().zip(lines) {
            bar.set_message(line.clone());
        }
    }

    fn row(&self, process: &Process, metric: &str, figure: &Figure) -> String {
        let change = match figure.change() {
            0 => String::new(),
            change => short(metric, change, true),
        };
        let rate = figure.per_minute().filter(|rate| *rate != 0);
        let rate = rate.map_or_else(String::new, |rate| short(metric, rate, true));
        let limit = process.limit(metric).filter(|_| metric != metric::RSS_BYTES);
        let now = short(metric, figure.now() as i64, false);
        let line = row([name(metric), &now, &change, &rate, &figure.sparkline()]);
        let is_near = limit.is_some_and(|limit| figure.now() * 10 >= limit * 9);
        let line =
            limit.filter(|_| is_near).map_or(line.clone(), |limit| format!("{line}  of {limit}"));
        if is_near { self.paint(&line, AnsiColor::Red.on_default()) } else { line }
    }

    /// Says something above the table.
    pub(super) fn say(&self, line: &str) {
        // A terminal that is gone is noticed elsewhere.
        let _ = self.rows.println(line);
    }

    /// Takes the table away while somebody writes.
    pub(super) fn aside(&self, write: &dyn Fn()) {
        self.rows.suspend(write);
    }

    pub(super) fn clear(&self) {
        let _ = self.rows.clear();
    }

    fn bold(&self, text: &str) -> String {
        self.paint(text, Style::new().bold())
    }

    fn dim(&self, text: &str) -> String {
        self.paint(text, Style::new().dimmed())
    }

    fn paint(&self, text: &str, style: Style) -> String {
        if self.is_coloured { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

fn row([resource, now, change, rate, line]: [&str; 5]) -> String {
    format!("  {resource:<12}{now:>12}{change:>13}{rate:>13}  {line}")
}

/// A descendant in one line: what it has, and what of that has changed.
fn descendants_row(process: &Process) -> String {
    let shown = [metric::DESCRIPTOR, metric::THREAD, metric::RSS_BYTES];
    let figures = shown.iter().filter_map(|metric| {
        let figure = process.figure(metric)?;
        let now = short(metric, figure.now() as i64, false);
        let change = match figure.change() {
            0 => String::new(),
            change => format!(" ({})", short(metric, change, true)),
        };
        Some(format!("{} {now}{change}", name(metric)))
    });
    let figures: Vec<String> = figures.collect();
    format!("  └ {} {}  {}", process.pid, plain(&process.subject), figures.join("  "))
}
