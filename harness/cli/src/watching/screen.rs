//! What a person sees while a program is watched: a table that is redrawn in place on a terminal, plain lines
//! elsewhere; or lines of JSON for programs.

use std::time::Duration;

use watertight_report::metric::duration_ms;
use watertight_report::watch::{Event, Line, Sample};

use super::figures::{Figures, Process, told};
use super::out::{Out, To};
use super::table::Table;
use crate::talk::{Talk, plain};

/// The screen.
pub(super) struct Screen {
    view: View,
    pub(super) out: Out,
}

/// How it looks.
enum View {
    Table(Table),
    Lines { every: Duration, next: Duration, is_quiet: bool },
    Json,
}

/// A plain line is said so often, or at every look where that is rarer.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Screen {
    pub(super) fn new(
        json: bool,
        to: To,
        length: Option<Duration>,
        interval: Duration,
        talk: &Talk,
    ) -> Self {
        let view = |view| Self { view, out: Out::new(to) };
        if json {
            return view(View::Json);
        }
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if to.is_terminal() && !is_dumb && !talk.is_quiet() {
            return view(View::Table(Table::new(to, length)));
        }
        let every = if talk.is_verbose() { interval } else { LINE_EVERY.max(interval) };
        view(View::Lines { every, next: Duration::ZERO, is_quiet: talk.is_quiet() })
    }

    /// Something happened.
    pub(super) fn event(&mut self, event: &Event) {
        let said = || format!("{:>9}  {}", duration_ms(event.at_ms), plain(&event.said));
        match &self.view {
            View::Table(table) => table.say(&said()),
            View::Lines { is_quiet: true, .. } => {}
            View::Lines { .. } => self.out.say(&said()),
            View::Json => self.out.print(&Line::Event(event.clone())),
        }
    }

    /// A look, and what all of them have shown.
    pub(super) fn look(&mut self, samples: &[Sample], figures: &Figures, now: Duration) {
        match &mut self.view {
            View::Table(table) => table.draw(figures, now),
            View::Lines { every, next, is_quiet } => {
                if now >= *next && !*is_quiet && figures.main().is_some() {
                    // From the moment that was meant, so that lines do not drift.
                    *next = if now < *next + *every { *next + *every } else { now + *every };
                    self.out.say(&line(figures, now));
                }
            }
            View::Json => {
                for sample in samples {
                    self.out.print(&Line::Sample(sample.clone()));
                }
            }
        }
    }

    /// Lets somebody else write, without tearing the table.
    pub(super) fn aside(&self, write: &dyn Fn()) {
        match &self.view {
            View::Table(table) => table.aside(write),
            View::Lines { .. } | View::Json => write(),
        }
    }

    /// Takes the table away.
    pub(super) fn close(&self) {
        if let View::Table(table) = &self.view {
            table.clear();
        }
    }
}

/// The program in one line.
fn line(figures: &Figures, now: Duration) -> String {
    let mut line = format!("{:>9} ", duration_ms(now.as_millis() as u64));
    for (metric, figure) in figures.main().into_iter().flat_map(Process::shown) {
        line += &format!("  {}", told(metric, figure));
    }
    match figures.descendants().count() {
        0 => {}
        1 => line += "  (and 1 descendant)",
        many => line += &format!("  (and {many} descendants)"),
    }
    line
}
