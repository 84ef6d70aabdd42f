//! A line's envelope: what it is and whose, without decoding the rest of it.
//!
//! Who only passes lines on, as a merge of many ledgers does, needs no findings and no stacks. The envelope
//! borrows from the line; that it could be read proves that the line is whole JSON. A line that has the
//! envelope of a trial and is none for another reason is found by whoever decodes it.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::LineError;
use super::read::decode;
use crate::model::{Record, Run, SCHEMA};

/// What a line is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Kind<'l> {
    /// The facts of a run, decoded: there are few of them.
    Run(Box<Run>),
    /// A trial.
    Trial {
        /// Its suite.
        suite: Cow<'l, str>,
        /// Its case.
        case: Cow<'l, str>,
        /// Which attempt it is, from 1.
        attempt: u32,
    },
}

/// The envelope of one line.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope<'l> {
    line: &'l [u8],
    kind: Kind<'l>,
    form: Form,
}

/// How a line can be written again.
#[derive(Debug, Clone, PartialEq)]
enum Form {
    /// With other bytes where the run's id stands, quotes included.
    Spliced(Range<usize>),
    /// From what was decoded: it names no run, or not as we write it.
    Encoded(Box<Record>),
}

#[derive(Deserialize)]
struct Fields<'l> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'l, str>,
    #[serde(default)]
    schema: u64,
    #[serde(default, borrow)]
    run: Option<&'l RawValue>,
    #[serde(default, borrow)]
    suite: Cow<'l, str>,
    #[serde(default, borrow)]
    case: Cow<'l, str>,
    #[serde(default)]
    attempt: u32,
}

impl<'l> Envelope<'l> {
    /// The envelope of `line`, the line `number` of its ledger.
    ///
    /// # Errors
    /// The line is no record that this version can read.
    pub fn read(line: &'l [u8], number: u64) -> Result<Self, LineError> {
        match Self::borrow(line) {
            Some(envelope) => Ok(envelope),
            // The decoder knows what is wrong with it. What it can read is a record, however odd.
            None => Ok(Self::of(line, decode(line, number)?)),
        }
    }

    /// The envelope of a trial in the form in which trials are written.
    fn borrow(line: &'l [u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let fields: Fields<'l> = serde_json::from_str(text).ok()?;
        let run = fields.run?.get();
        if fields.kind != "trial" || fields.schema > u64::from(SCHEMA) || !run.starts_with('"') {
            return None;
        }
        let start = run.as_ptr().addr() - line.as_ptr().addr();
        let Fields { suite, case, attempt, .. } = fields;
        let kind = Kind::Trial { suite, case, attempt: attempt.max(1) };
        Some(Self { line, kind, form: Form::Spliced(start..start + run.len()) })
    }

    fn of(line: &'l [u8], record: Record) -> Self {
        let kind = match &record {
            Record::Run(run) => Kind::Run(Box::new(run.clone())),
            Record::Trial(trial) => Kind::Trial {
                suite: trial.suite.clone().into(),
                case: trial.case.clone().into(),
                attempt: trial.attempt.max(1),
            },
        };
        Self { line, kind, form: Form::Encoded(Box::new(record)) }
    }

    /// What the line is.
    pub fn kind(&self) -> &Kind<'l> {
        &self.kind
    }

    /// Appends the line to `out`, without a newline, with `run` as its run's id. A trial as this crate
    /// writes it keeps every other byte.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn write_as(&self, run: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match &self.form {
            Form::Spliced(id) => {
                out.extend_from_slice(&self.line[..id.start]);
                serde_json::to_writer(&mut *out, run)?;
                out.extend_from_slice(&self.line[id.end..]);
                Ok(())
            }
            Form::Encoded(record) => {
                let mut record = record.clone();
                match &mut *record {
                    Record::Run(own) => run.clone_into(&mut own.run),
                    Record::Trial(trial) => run.clone_into(&mut trial.run),
                }
                serde_json::to_writer(out, &record)
            }
        }
    }
}
