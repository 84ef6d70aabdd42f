//! The table on a terminal, redrawn in place: resource, now, change, a minute, sparkline.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use console::{Term, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use watertight_report::metric::{self, duration_ms, word};

use super::figures::{Figure, Figures, Process, short, told};
use super::out::To;
use crate::talk::plain;

/// A terminal that tells no width is as wide as this.
const WIDTH_MIN: usize = 40;

/// It is not drawn more often.
const DRAWN_A_SECOND: u8 = 10;

/// Descendants that have rows.
const DESCENDANTS_MAX: usize = 6;

/// The table: one bar whose message is all of its rows, so that it is drawn at once.
pub(super) struct Table {
    bar: ProgressBar,
    term: Term,
    /// Where an end is known, how far it is.
    length: Option<Duration>,
    is_coloured: bool,
}

impl Table {
    pub(super) fn new(to: To, length: Option<Duration>) -> Self {
        let term = match to {
            To::Stdout => Term::stdout(),
            To::Stderr => Term::stderr(),
        };
        let target = ProgressDrawTarget::term(term.clone(), DRAWN_A_SECOND);
        let ms = length.map(|length| length.as_millis() as u64);
        let style = if ms.is_some() { "{msg}\n{bar:40} {prefix}" } else { "{msg}" };
        let style =
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(ms, target).with_style(style);
        Self { bar, term, length, is_coloured: to.is_coloured() }
    }

    /// Draws the figures as they are now.
    pub(super) fn draw(&mut self, figures: &Figures, now: Duration) {
        let Some(main) = figures.main() else { return };
        let title = format!("{} (process {})", plain(&main.subject), main.pid);
        let mut lines =
            vec![self.bold(&format!("{title}, {}", duration_ms(now.as_millis() as u64)))];
        lines.push(self.dim(&row(["", "now", "change", "a minute", ""])));
        lines.extend(main.shown().map(|(metric, figure)| self.row(main, metric, figure)));
        let sockets: Vec<String> =
            main.sockets().iter().map(|(state, many)| format!("{state} {many}")).collect();
        if !sockets.is_empty() {
            lines.push(self.dim(&format!("  {}", sockets.join(", "))));
        }
        lines.extend(figures.descendants().take(DESCENDANTS_MAX).map(descendants_row));
        let more = figures.descendants().count().saturating_sub(DESCENDANTS_MAX);
        if more > 0 {
            lines.push(self.dim(&format!("  and {more} more descendants")));
        }
        let width = usize::from(self.term.size().1).max(WIDTH_MIN);
        let cut = |line: String| truncate_str(&line, width, "…").into_owned();
        if let Some(length) = self.length {
            let left = length.saturating_sub(now);
            self.bar.set_prefix(format!("{} left", duration_ms(left.as_millis() as u64)));
            self.bar.set_position(now.as_millis() as u64);
        }
        self.bar.set_message(lines.into_iter().map(cut).collect::<Vec<_>>().join("\n"));
        self.bar.tick();
    }

    fn row(&self, process: &Process, metric: &str, figure: &Figure) -> String {
        let change = match figure.change() {
            0 => String::new(),
            change => short(metric, change, true),
        };
        let rate = figure.per_minute().filter(|rate| *rate != 0);
        let rate = rate.map_or_else(String::new, |rate| short(metric, rate, true));
        let limit = process.limit(metric).filter(|_| metric != metric::MEMORY_BYTES);
        let now = short(metric, figure.now() as i64, false);
        let line = row([word(metric), &now, &change, &rate, &figure.sparkline()]);
        let is_near = limit.is_some_and(|limit| figure.now() * 10 >= limit * 9);
        let line =
            limit.filter(|_| is_near).map_or(line.clone(), |limit| format!("{line}  of {limit}"));
        if is_near { self.paint(&line, AnsiColor::Red.on_default()) } else { line }
    }

    /// Says something above the table.
    pub(super) fn say(&self, line: &str) {
        self.bar.println(line);
    }

    /// Takes the table away while somebody writes.
    pub(super) fn aside(&self, write: &dyn Fn()) {
        self.bar.suspend(write);
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
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
    let shown = [metric::DESCRIPTOR, metric::THREAD, metric::MEMORY_BYTES];
    let figures = shown.iter().filter_map(|metric| Some(told(metric, process.figure(metric)?)));
    let figures: Vec<String> = figures.collect();
    format!("  └ {} {}  {}", process.pid, plain(&process.subject), figures.join("  "))
}
