//! The program's own ticks: lines of its output that match, or lines that it writes for us alone.

use regex::bytes::Regex;

/// A line longer than this is looked at in parts.
const LINE_MAX: usize = 64 * 1024;

/// Counts in what comes piece by piece.
#[derive(Debug)]
pub(super) struct Ticks {
    /// None counts every line.
    regex: Option<Regex>,
    line: Vec<u8>,
}

impl Ticks {
    pub(super) fn matching(regex: &Regex) -> Self {
        Self { regex: Some(regex.clone()), line: Vec::new() }
    }

    pub(super) fn lines() -> Self {
        Self { regex: None, line: Vec::new() }
    }

    /// How many ticks there are in the next piece.
    pub(super) fn count(&mut self, piece: &[u8]) -> u64 {
        let mut ticks = 0;
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") || self.line.len() >= LINE_MAX {
                let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
                ticks += u64::from(self.regex.as_ref().is_none_or(|regex| regex.is_match(line)));
                self.line.clear();
            }
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_however_it_comes() {
        let mut ticks = Ticks::matching(&Regex::new("^tick").unwrap());
        let pieces: [(&[u8], u64); 5] = [
            (b"ti", 0),
            (b"ck 1\nno tick\ntick", 1),
            (b" 2\n", 1),
            (b"\n\xff\n", 0),
            (b"tick 3", 0),
        ];
        for (piece, wanted) in pieces {
            assert_eq!(ticks.count(piece), wanted, "{piece:?}");
        }
        assert_eq!(Ticks::lines().count(b"\n\nx"), 2);
    }

    #[test]
    fn an_endless_line_takes_no_endless_memory() {
        let mut ticks = Ticks::lines();
        for _ in 0..100 {
            ticks.count(&[b'x'; LINE_MAX / 4]);
            assert!(ticks.line.len() < 2 * LINE_MAX);
        }
    }
}
