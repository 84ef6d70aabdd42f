//! What is said beside the data: on stderr, in colour on a terminal, and not at all with `--quiet`.

use std::fmt::Display;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is shorter is read in less than half a second.
const LONG_BYTES_MIN: u64 = 64 << 20;

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

    /// Whether only results and errors are wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether all there is to say is wanted.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Something that a person may want to know.
    pub(crate) fn say(&self, text: impl Display) {
        if !self.quiet {
            anstream::eprintln!("watertight: {text}");
        }
    }

    /// A bar over so many bytes, for work that takes a while: on a terminal, and nothing anywhere else.
    pub(crate) fn progress(&self, what: &str, bytes: u64) -> ProgressBar {
        let target = match self.quiet || bytes < LONG_BYTES_MIN {
            true => ProgressDrawTarget::hidden(),
            // Hidden by itself where stderr is no terminal.
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(Some(bytes), target);
        let style =
            format!("watertight: {what} {{bar:32}} {{bytes}} of {{total_bytes}}, {{eta}} left");
        match ProgressStyle::with_template(&style) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
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

/// A path as short as it can be for whoever stands in the current directory.
pub(crate) fn shown(path: &Path) -> &Path {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path)
}

fn paint(color: AnsiColor) -> Style {
    color.on_default().bold()
}
