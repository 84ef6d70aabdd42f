//! Ours, floor, ratio, bound, met.

use std::fmt;

use crate::in_turn::{Compared, shown};

/// What was promised.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// Milliseconds.
    Ms(f64),
    /// Times the floor.
    Times(f64),
    /// Nothing was said of this size.
    None,
}

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; 7]>,
}

impl Table {
    /// A row of two ways in turn, the floor first; `None` where too few samples were taken.
    pub(crate) fn compared(
        &mut self,
        name: &str,
        size: &str,
        bound: Bound,
        ways: Option<&[Compared]>,
    ) {
        let Some([floor, ours]) = ways else { return };
        let (ns, ratio) = (ours.time.median, ours.ratio.median);
        let (words, met) = match bound {
            Bound::Ms(ms) => (format!("{ms} ms"), Some(ns <= ms * 1e6)),
            Bound::Times(times) => (format!("{times} x floor"), Some(ratio <= times)),
            Bound::None => (String::new(), None),
        };
        self.row(
            name,
            size,
            shown(ns),
            shown(floor.time.median),
            format!("{ratio:.2}"),
            words,
            met,
        );
    }

    /// A row of something that has no floor.
    pub(crate) fn figure(
        &mut self,
        name: &str,
        size: &str,
        ours: String,
        bound: impl Into<String>,
        met: Option<bool>,
    ) {
        self.row(name, size, ours, String::new(), String::new(), bound.into(), met);
    }

    #[expect(clippy::too_many_arguments, reason = "a row has as many columns")]
    fn row(
        &mut self,
        name: &str,
        size: &str,
        ours: String,
        floor: String,
        ratio: String,
        bound: String,
        met: Option<bool>,
    ) {
        let met = met.map_or("", |met| if met { "met" } else { "NOT MET" });
        self.rows.push([name.into(), size.into(), ours, floor, ratio, bound, met.into()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["", "issues", "ours", "floor", "ratio", "bound", ""].map(String::from);
        for [name, size, ours, floor, ratio, bound, met] in std::iter::once(&head).chain(&self.rows)
        {
            let line = format!(
                "{name:<34} {size:>6} {ours:>12} {floor:>12} {ratio:>7}   {bound:<14} {met}"
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
