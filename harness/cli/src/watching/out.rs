//! Where a watch is told, and whether that still works.

use std::io::{self, IsTerminal as _, Write as _};

use watertight_report::watch::Line;

/// Where it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// `watch`: it is what was asked for.
    Stdout,
    /// `run`: stdout is the program's.
    Stderr,
}

impl To {
    pub(super) fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }

    pub(super) fn is_coloured(self) -> bool {
        let choice = match self {
            Self::Stdout => anstream::AutoStream::choice(&io::stdout()),
            Self::Stderr => anstream::AutoStream::choice(&io::stderr()),
        };
        choice != anstream::ColorChoice::Never
    }
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
