//! What is said beside the data: on stderr, in colour on a terminal, and not at all with `--quiet`.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

/// How this process talks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Talk {
    quiet: bool,
    verbose: bool,
}

impl Talk {
    /// As the command line says. `NO_COLOR`, `CLICOLOR_FORCE` and the terminal are looked at by anstream.
    pub(crate) fn new(quiet: bool, verbose: bool, color: ColorChoice) -> Self {
        match color {
            ColorChoice::Auto => {}
            ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
            ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
        }
        Self { quiet, verbose }
    }

    /// Whether stderr takes colours.
    pub(crate) fn is_coloured(&self) -> bool {
        anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
    }

    /// Something that a person may want to know.
    pub(crate) fn say(&self, text: impl Display) {
        if !self.quiet {
            anstream::eprintln!("watertight: {text}");
        }
    }

    /// Whether only errors and results are wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Something for `--verbose`.
    pub(crate) fn detail(&self, text: impl Display) {
        if self.verbose {
            anstream::eprintln!("watertight: {text}");
        }
    }

    /// Something that a person must know.
    pub(crate) fn warn(&self, text: impl Display) {
        let style = paint(AnsiColor::Yellow);
        anstream::eprintln!("{style}watertight: {text}{style:#}");
    }

    /// Why it ends here: the error and its causes, in one line.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        let style = paint(AnsiColor::Red);
        anstream::eprintln!("{style}watertight: {error:#}{style:#}");
    }
}

/// Foreign text on one line, with everything that could move a cursor escaped.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => plain.extend(c.escape_default()),
            false => plain.push(c),
        }
    }
    plain
}

fn paint(color: AnsiColor) -> Style {
    color.on_default().bold()
}
