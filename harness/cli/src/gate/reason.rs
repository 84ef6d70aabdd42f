//! Why the gate is red.

use std::collections::BTreeSet;
use std::fmt;

use crate::talk::plain;

/// Things that are listed under one reason.
const LISTED_MAX: usize = 10;

/// One reason: what must not be, what to do next, and the things it is about, worst first.
#[derive(Debug)]
pub(crate) struct Reason {
    what: String,
    next: &'static str,
    list: Vec<String>,
}

impl Reason {
    pub(crate) fn new(what: impl Into<String>, next: &'static str) -> Self {
        Self { what: what.into(), next, list: Vec::new() }
    }

    pub(crate) fn list(self, list: impl IntoIterator<Item = String>) -> Self {
        Self { list: list.into_iter().collect(), ..self }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.next {
            "" => writeln!(f, "{}", plain(&self.what))?,
            next => writeln!(f, "{}; {next}", plain(&self.what))?,
        }
        for line in self.list.iter().take(LISTED_MAX) {
            writeln!(f, "       {}", plain(line))?;
        }
        match self.list.len().saturating_sub(LISTED_MAX) {
            0 => Ok(()),
            more => writeln!(f, "       {more} more: cargo watertight report"),
        }
    }
}

/// Cases that share a fault, as `suite::case`.
#[derive(Debug, Default)]
pub(crate) struct Cases(BTreeSet<String>);

impl Cases {
    pub(crate) fn add(&mut self, case: String) {
        self.0.insert(case);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `1 case (a)`, `3 cases (a and 2 others)`.
impl fmt::Display for Cases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.first().map_or("", String::as_str);
        match self.0.len() {
            1 => write!(f, "1 case (`{first}`)"),
            2 => write!(f, "2 cases (`{first}` and 1 other)"),
            many => write!(f, "{many} cases (`{first}` and {} others)", many - 1),
        }
    }
}
