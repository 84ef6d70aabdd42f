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

/// Where it is said, and whether that still works.
pub(super) struct Out {
    to: To,
    failed: Option<io::Error>,
}

impl Out {
    pub(super) fn new(to: To) -> Self {
        Self { to, failed: None }
    }

    /// Says a line.
    pub(super) fn say(&mut self, line: &str) {
        let said = match self.to {
            To::Stdout => writeln!(anstream::stdout(), "{line}"),
            // It is said beside what was asked for: nobody has to listen.
            To::Stderr => writeln!(anstream::stderr(), "{line}").or(Ok(())),
        };
        self.note(said);
    }

    /// One line of JSON, always on stdout.
    pub(super) fn print(&mut self, line: &Line) {
        let text = serde_json::to_string(line).map_err(io::Error::from);
        let printed = text.and_then(|text| {
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        });
        self.note(printed);
    }

    fn note(&mut self, said: io::Result<()>) {
        if let Err(error) = said {
            self.failed.get_or_insert(error);
        }
    }

    /// Whether nobody can be told any more.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Why nobody can be told any more. A reader who has seen enough, and closed the pipe, is no reason.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        self.failed.take().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }
}

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
        let is_terminal = match to {
            To::Stdout => io::stdout().is_terminal(),
            To::Stderr => io::stderr().is_terminal(),
        };
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if is_terminal && !is_dumb && !talk.is_quiet() {
            return view(View::Table(Table::new(to, length)));
        }
        let every = if talk.is_verbose() { interval } else { LINE_EVERY.max(interval) };
        view(View::Lines { every, next: Duration::ZERO, is_quiet: talk.is_quiet() })
    }

    /// Something happened.
    pub(super) fn event(&mut self, event: &Event) {
        let said = || format!("{:>9}  {}", at(event.at_ms), plain(&event.said));
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
    let mut line = format!("{:>9} ", at(now.as_millis() as u64));
    for (metric, figure) in figures.main().into_iter().flat_map(Process::shown) {
        let change = match figure.change() {
            0 => String::new(),
            change => format!(" ({})", short(metric, change, true)),
        };
        line +=
            &format!("  {} {}{change}", word(metric), short(metric, figure.now() as i64, false));
    }
    match figures.descendants().count() {
        0 => {}
        1 => line += "  (and 1 descendant)",
        many => line += &format!("  (and {many} descendants)"),
    }
    line
}

/// `12.0 s`, `1 min 20 s`.
pub(super) fn at(ms: u64) -> String {
    metric::duration_ms(ms)
}
