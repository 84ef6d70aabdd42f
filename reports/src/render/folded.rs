//! Folded stacks, `root;caller;leaf 123`, as flamegraph.pl and inferno read them.
//!
//! The format has no escapes: a line ends in a space and its count, `;` parts the frames, a number
//! before the count would be a second count, and `#` may begin a comment. So what a function's
//! name has of these is written otherwise.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Renderer, sentence, text};
use crate::model::{Finding, Frame, Resource, Trial};
use crate::report::{Kind, Report};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Bytes of heap and mappings.
    Bytes,
    /// Descriptors, sockets among them.
    Descriptors,
}

impl Counted {
    fn counts(self, resource: Resource) -> bool {
        match self {
            Self::Bytes => matches!(resource, Resource::Heap | Resource::Mapping),
            Self::Descriptors => matches!(resource, Resource::Fd | Resource::Socket),
        }
    }
}

/// Writes one line for every stack that left something that is not accepted.
#[derive(Debug)]
pub struct Folded<W> {
    out: W,
    counted: Counted,
    stacks: BTreeMap<String, u64>,
}

impl<W: Write> Folded<W> {
    /// Writes to `out`.
    pub fn new(out: W, counted: Counted) -> Self {
        Self { out, counted, stacks: BTreeMap::new() }
    }

    fn growth(&self, finding: &Finding) -> u64 {
        let own = (finding.resource, finding.growth);
        let parts = finding.parts.iter().map(|part| (part.resource, part.growth));
        let all = std::iter::once(own).filter(|_| finding.parts.is_empty()).chain(parts);
        // What a program has less of than before is no leak, and a flame graph has no place for it.
        all.filter(|(resource, growth)| self.counted.counts(*resource) && *growth > 0)
            .fold(0, |sum, (_, growth)| sum.saturating_add(growth.unsigned_abs()))
    }
}

impl<W: Write> Renderer for Folded<W> {
    fn trial(&mut self, trial: &Trial) -> io::Result<()> {
        for finding in &trial.findings {
            let left = Kind::of(trial, finding).is_some_and(|kind| kind != Kind::Accepted);
            let growth = self.growth(finding);
            if left && growth > 0 {
                let sum = self.stacks.entry(stack(finding)).or_default();
                *sum = sum.saturating_add(growth);
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &Report) -> io::Result<()> {
        for (stack, sum) in &self.stacks {
            writeln!(self.out, "{stack} {sum}")?;
        }
        self.out.flush()
    }
}

/// The stack of a finding, root first; of its sites, where it has none.
fn stack(finding: &Finding) -> String {
    let frames: Vec<&Frame> = match finding.stack.as_slice() {
        [] => finding.site.iter().chain(&finding.via).collect(),
        stack => stack.iter().rev().collect(),
    };
    match frames.as_slice() {
        [] => format!("({} of an unknown site)", finding.resource.name()),
        frames => frames.iter().map(|frame| label(frame)).collect::<Vec<_>>().join(";"),
    }
}

/// A frame's name, free of what the format takes for its own.
fn label(frame: &Frame) -> String {
    let name = match frame.function.as_str() {
        "" => sentence::place(frame),
        function => text::escape(function),
    };
    let words: Vec<&str> = name.split_whitespace().collect();
    let mut label = words.first().copied().unwrap_or("(unknown)").to_owned();
    for word in words.iter().skip(1) {
        let number = word.starts_with(|c: char| c.is_ascii_digit());
        label.push(if number { '_' } else { ' ' });
        label.push_str(word);
    }
    label.replace(';', ":").replacen('#', "_", usize::from(label.starts_with('#')))
}
