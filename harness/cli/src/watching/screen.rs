//! What a person sees while a program is watched: a table that is redrawn in place on a terminal, plain lines
//! elsewhere; or lines of JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use watertight_report::metric::{self, word};
use watertight_report::watch::{Event, Line, Sample};

use super::figures::{Figures, Process, short};
use super::table::Table;
use crate::talk::{Talk, plain};

/// Where it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// `watch`: it is what was asked for.
    Stdout,
    /// `run`: stdout is the program's.
    Stderr,
}

/// The screen.
pub(super) enum Screen {
    Table(Table),
    Lines { to: To, every: Duration, next: Duration, is_quiet: bool },
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
        if json {
            return Self::Json;
        }
        let is_terminal = match to {
            To::Stdout => io::stdout().is_terminal(),
            To::Stderr => io::stderr().is_terminal(),
        };
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if is_terminal && !is_dumb && !talk.is_quiet() {
            return Self::Table(Table::new(to, length));
        }
        let every = if talk.is_verbose() { interval } else { LINE_EVERY.max(interval) };
        Self::Lines { to, every, next: Duration::ZERO, is_quiet: talk.is_quiet() }
    }

    /// Something happened.
    pub(super) fn event(&mut self, event: &Event) {
        let said = || format!("{:>9}  {}", at(event.at_ms), plain(&event.said));
        match self {
            Self::Table(table) => table.say(&said()),
            Self::Lines { is_quiet: true, .. } => {}
            Self::Lines { to, .. } => say(*to, &said()),
            Self::Json => print(&Line::Event(event.clone())),
        }
    }

    /// A look, and what all of them have shown.
    pub(super) fn look(&mut self, samples: &[Sample], figures: &Figures, now: Duration) {
        match self {
            Self::Table(table) => table.draw(figures, now),
            Self::Lines { to, every, next, is_quiet } => {
                if now >= *next && !*is_quiet && figures.main().is_some() {
                    // From the moment that was meant, so that lines do not drift.
                    *next = if now < *next + *every { *next + *every } else { now + *every };
                    say(*to, &line(figures, now));
                }
            }
            Self::Json => {
                for sample in samples {
                    print(&Line::Sample(sample.clone()));
                }
            }
        }
    }

    /// Lets somebody else write, without tearing the table.
    pub(super) fn aside(&self, write: &dyn Fn()) {
        match self {
            Self::Table(table) => table.aside(write),
            Self::Lines { .. } | Self::Json => write(),
        }
    }

    /// Takes the table away.
    pub(super) fn close(&self) {
        if let Self::Table(table) = self {
            table.clear();
        }
    }
}

/// The program in one line.
fn line(figures: &Figures, now: Duration) -> String {
    let mut line = format!("{:>9} ", at(now.as_millis() as u64));
    for (metric, figure) in figures.main().into_iter().flat_map(Process::shown) {
        let change = match figure.change() {
            0 => String::new(),
            change => format!(" ({})", short(metric, change, true)),
        };
        line +=
            &format!("  {} {}{change}", word(metric), short(metric, figure.now() as i64, false));
    }
    let descendants = figures.descendants().count();
    if descendants > 0 {
        line += &format!("  (and {descendants} descendants)");
    }
    line
}

/// `12.0 s`, `1 min 20 s`.
pub(super) fn at(ms: u64) -> String {
    metric::duration_ms(ms)
}

/// Says a line. Whoever read it may have gone.
pub(super) fn say(to: To, line: &str) {
    let _ = match to {
        To::Stdout => writeln!(anstream::stdout(), "{line}"),
        To::Stderr => writeln!(anstream::stderr(), "{line}"),
    };
}

/// One line of JSON.
pub(super) fn print(line: &Line) {
    if let Ok(text) = serde_json::to_string(line) {
        let mut stdout = io::stdout().lock();
        let _ = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.write_all(b"\n"))
            .and_then(|()| stdout.flush());
    }
}
