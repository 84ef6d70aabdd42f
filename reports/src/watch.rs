//! The live lines of a watch: what is seen of a running program, as it is seen.
//!
//! One line of JSON each, `schema/watch.schema.json`: a [`Sample`] of each process in every
//! interval, an [`Event`] where something happens to one, and at the end the [`Trial`] that the
//! ledger has too.
//!
//! ```
//! use watertight_report::metric;
//! use watertight_report::watch::{Line, Sample};
//!
//! # fn main() -> Result<(), serde_json::Error> {
//! let mut sample = Sample::new("tracker", 4_021);
//! sample.at_ms = 500;
//! sample.values.insert(metric::DESCRIPTOR.into(), 12);
//! let line = serde_json::to_string(&Line::Sample(sample.clone()))?;
//! assert!(line.starts_with(r#"{"type":"sample","at_ms":500"#));
//! assert_eq!(serde_json::from_str::<Line>(&line)?, Line::Sample(sample));
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Trial;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Line {
    /// One look at one process.
    Sample(Sample),
    /// Something happened to a process.
    Event(Event),
    /// The end of the watch, and what all of it says.
    Trial(Box<Trial>),
}

/// One look at one process. What could not be read is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Sample {
    /// Milliseconds since the watch began.
    pub at_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The process.
    pub pid: u32,
    /// Its command, as the record's findings name it.
    pub subject: String,
    /// The file name of its program.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
    /// Whether it is the watched process itself; a descendant of it otherwise.
    pub is_main: bool,
    /// Start of the process, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<u64>,
    /// The program's ticks so far; 0 where they are not counted.
    pub ticks: u64,
    /// Its CPU time so far in milliseconds, user's and system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// What was read, by metric name: things, or bytes.
    pub values: BTreeMap<String, u64>,
    /// Its sockets by protocol and state, as `tcp/established`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sockets: BTreeMap<String, u64>,
    /// Where metrics end, by metric name: `descriptor` at `RLIMIT_NOFILE`, `mapping` at
    /// `vm.max_map_count`, `memory_bytes` at the memory limit of the control group, `time_wait` at the
    /// number of ephemeral ports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, u64>,
}

impl Sample {
    /// A look at the process `pid` that saw nothing yet.
    pub fn new(subject: impl Into<String>, pid: u32) -> Self {
        Self { subject: subject.into(), pid, ..Self::default() }
    }
}

/// Something happened to a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Event {
    /// Milliseconds since the watch began.
    pub at_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The process.
    pub pid: u32,
    /// Its command, as the record's findings name it.
    pub subject: String,
    /// In one word: `attached`, `suspended`, `continued`, `execed`, `user_changed`, `forked`,
    /// `descendant_ended`, `ended`, `reaped`, `unreadable`, `waiting`, `again`.
    pub kind: String,
    /// In a full sentence, for a person.
    pub said: String,
}

impl Event {
    /// `kind` happened to the process `pid`.
    pub fn new(
        subject: impl Into<String>,
        pid: u32,
        kind: impl Into<String>,
        said: impl Into<String>,
    ) -> Self {
        let (subject, kind, said) = (subject.into(), kind.into(), said.into());
        Self { pid, subject, kind, said, ..Self::default() }
    }
}
