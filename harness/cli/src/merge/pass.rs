//! Passing the lines on: checked for being whole, given the new run's id, and written in their order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufReader, Read as _, Write};
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use indicatif::ProgressBar;
use watertight_report::ledger::{Envelope, Kind, LineError, Lines};
use watertight_report::model::is_no_test;

use super::survey::{Part, READ_BYTES, Survey};
use crate::ledgers::{BROKEN_SAID_MAX, chain};
use crate::talk::{Talk, plain};

/// Lines are passed on in blocks of about this size: large enough that handing one over costs nothing.
const BLOCK_BYTES: usize = 1 << 20;

/// Threads that check lines; this one reads, compares and writes meanwhile.
const CHECKERS: usize = 2;

/// Blocks under way at once, which bounds what is held in memory.
const UNDER_WAY_MAX: usize = 2 * CHECKERS;

/// Duplicates that are named.
const NAMED_MAX: usize = 3;

/// What was passed on, and what was wrong with it.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) trials: u64,
    pub(super) faults: Vec<String>,
}

/// Some lines of one ledger.
struct Block {
    part: usize,
    bytes: Vec<u8>,
    /// Each line's number and place.
    lines: Vec<(u64, Range<usize>)>,
    /// Lines that could not be read at all.
    errors: Vec<LineError>,
}

/// The same lines, ready to be written.
struct Checked {
    part: usize,
    bytes: Vec<u8>,
    /// Each trial's key and its line among `bytes`.
    trials: Vec<(Option<Key>, Range<usize>)>,
    errors: Vec<LineError>,
    read: u64,
}

/// Suite, case and attempt in 128 bits: for a million trials two are the same by chance once in 10^26 merges.
type Key = [u64; 2];

/// Writes the trials of all ledgers to `out`.
///
/// # Errors
/// What the system says of writing.
pub(super) fn pass(
    survey: &Survey,
    out: &mut impl Write,
    bar: &ProgressBar,
    talk: &Talk,
) -> io::Result<Passed> {
    thread::scope(|scope| {
        let checkers: Vec<(SyncSender<Block>, Receiver<Checked>)> = (0..CHECKERS)
            .map(|_| {
                // Room for all that may be under way: nobody ever waits to hand something over.
                let (give, blocks) = sync_channel::<Block>(UNDER_WAY_MAX);
                let (done, take) = sync_channel(UNDER_WAY_MAX);
                scope.spawn(move || {
                    blocks.iter().try_for_each(|block| done.send(check(block, &survey.id)))
                });
                (give, take)
            })
            .collect();
        let mut merge = Merge::new(survey, out, bar, talk);
        // The blocks go round the checkers, so taking them in the same round keeps their order.
        let (mut given, mut taken) = (0, 0);
        for block in
            survey.parts.iter().enumerate().flat_map(|(index, part)| Blocks::of(index, part))
        {
            if given - taken == UNDER_WAY_MAX {
                merge.take(&checkers[taken % CHECKERS].1)?;
                taken += 1;
            }
            // A checker ends only by a panic, which the scope hands on.
            let _ = checkers[given % CHECKERS].0.send(block);
            given += 1;
        }
        for turn in taken..given {
            merge.take(&checkers[turn % CHECKERS].1)?;
        }
        Ok(merge.end())
    })
}

/// The lines of a ledger, block by block.
struct Blocks {
    part: usize,
    lines: Option<Lines<BufReader<io::Take<File>>>>,
    /// It could not even be opened any more.
    error: Option<io::Error>,
}

impl Blocks {
    fn of(index: usize, part: &Part) -> Self {
        match File::open(&part.path) {
            Ok(file) => {
                let source = BufReader::with_capacity(READ_BYTES, file.take(part.bytes));
                Self { part: index, lines: Some(Lines::new(source)), error: None }
            }
            Err(error) => Self { part: index, lines: None, error: Some(error) },
        }
    }
}

impl Iterator for Blocks {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let mut block = Block {
            part: self.part,
            bytes: Vec::with_capacity(BLOCK_BYTES + BLOCK_BYTES / 8),
            lines: Vec::new(),
            errors: Vec::new(),
        };
        if let Some(source) = self.error.take() {
            block.errors.push(LineError::Io { line: 1, source });
            return Some(block);
        }
        let lines = self.lines.as_mut()?;
        while block.bytes.len() < BLOCK_BYTES {
            let start = block.bytes.len();
            match lines.read_next(&mut block.bytes) {
                Some(Ok(number)) => block.lines.push((number, start..block.bytes.len())),
                Some(Err(error)) => block.errors.push(error),
                None => {
                    self.lines = None;
                    break;
                }
            }
        }
        (!block.lines.is_empty() || !block.errors.is_empty()).then_some(block)
    }
}

/// Checks every line of a block, and writes the new run's id into those that are whole.
fn check(block: Block, run: &str) -> Checked {
    let mut checked = Checked {
        part: block.part,
        bytes: Vec::with_capacity(block.bytes.len() + block.bytes.len() / 8),
        trials: Vec::with_capacity(block.lines.len()),
        errors: block.errors,
        read: block.bytes.len() as u64,
    };
    for (number, place) in block.lines {
        if let Err(error) = checked.add(&block.bytes[place], number, run) {
            checked.errors.push(error);
        }
    }
    checked.errors.sort_by_key(LineError::line);
    checked
}

impl Checked {
    fn add(&mut self, line: &[u8], number: u64, run: &str) -> Result<(), LineError> {
        let envelope = Envelope::read(line, number)?;
        // Run records have become one, which is written.
        let Kind::Trial { suite, case, attempt } = envelope.kind() else { return Ok(()) };
        let start = self.bytes.len();
        if let Err(source) = envelope.write_as(run, &mut self.bytes) {
            self.bytes.truncate(start);
            return Err(LineError::Malformed { line: number, source });
        }
        // Every process of a suite records its fixtures: several of one name are no duplicates.
        let key = (!is_no_test(case)).then(|| key(suite, case, *attempt));
        self.trials.push((key, start..self.bytes.len()));
        self.bytes.push(b'\n');
        Ok(())
    }
}

fn key(suite: &str, case: &str, attempt: u32) -> Key {
    [0_u8, 1].map(|half| {
        let mut hasher = DefaultHasher::new();
        (half, suite, case, attempt).hash(&mut hasher);
        hasher.finish()
    })
}

/// Takes checked blocks in their order.
struct Merge<'m, W> {
    parts: &'m [Part],
    out: &'m mut W,
    bar: &'m ProgressBar,
    talk: &'m Talk,
    /// Where each trial was met first.
    met: HashMap<Key, u32>,
    duplicates: u64,
    named: Vec<String>,
    trials: Vec<u64>,
    broken: Vec<u64>,
}

impl<'m, W: Write> Merge<'m, W> {
    fn new(survey: &'m Survey, out: &'m mut W, bar: &'m ProgressBar, talk: &'m Talk) -> Self {
        let none = vec![0; survey.parts.len()];
        Self {
            parts: &survey.parts,
            out,
            bar,
            talk,
            met: HashMap::new(),
            duplicates: 0,
            named: Vec::new(),
            trials: none.clone(),
            broken: none,
        }
    }

    fn take(&mut self, checker: &Receiver<Checked>) -> io::Result<()> {
        let Ok(checked) = checker.recv() else { return Ok(()) };
        self.out.write_all(&checked.bytes)?;
        self.trials[checked.part] += checked.trials.len() as u64;
        for (key, line) in &checked.trials {
            let Some(key) = key else { continue };
            match self.met.entry(*key) {
                Entry::Vacant(vacant) => drop(vacant.insert(checked.part as u32)),
                Entry::Occupied(first) if *first.get() != checked.part as u32 => {
                    let first = *first.get() as usize;
                    self.meet_again(&checked.bytes[line.clone()], first, checked.part);
                }
                // A case that is twice in one ledger was run twice there.
                Entry::Occupied(_) => {}
            }
        }
        for error in &checked.errors {
            let broken = &mut self.broken[checked.part];
            *broken += 1;
            if *broken <= BROKEN_SAID_MAX {
                let path = self.parts[checked.part].path.display();
                self.bar.suspend(|| self.talk.warn(format_args!("{path}: {}", chain(error))));
            }
        }
        self.bar.inc(checked.read);
        Ok(())
    }

    fn meet_again(&mut self, line: &[u8], first: usize, again: usize) {
        self.duplicates += 1;
        if self.named.len() < NAMED_MAX
            && let Ok(envelope) = Envelope::read(line, 0)
            && let Kind::Trial { suite, case, .. } = envelope.kind()
        {
            let name = plain(&format!("{suite}::{case}"));
            let [first, again] = [first, again].map(|part| self.parts[part].shown());
            self.named.push(format!("`{name}` in {first} and {again}"));
        }
    }

    fn end(self) -> Passed {
        let mut faults = Vec::new();
        if self.duplicates > 0 {
            faults.push(format!(
                "{} {} in more than one ledger, as {}: all are kept; let each job run tests of its own",
                many(self.duplicates, "trial"),
                if self.duplicates == 1 { "is" } else { "are" },
                self.named.join(", ")
            ));
        }
        for ((part, trials), broken) in self.parts.iter().zip(&self.trials).zip(&self.broken) {
            if *broken > 0 {
                faults.push(format!(
                    "{} cannot be read in {}, and {} can: run that job again",
                    many(*broken, "line"),
                    part.shown(),
                    many(*trials, "trial")
                ));
            } else if *trials == 0 {
                faults
                    .push(format!("{} has no trial: find out why its job ran none", part.shown()));
            }
        }
        Passed { trials: self.trials.iter().sum(), faults }
    }
}

/// `1 line`, `2,000 lines`.
fn many(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", watertight_report::metric::count(count))
}
