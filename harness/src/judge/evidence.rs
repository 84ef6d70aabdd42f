//! Everything that a trial has shown, as the judge is given it.

use watertight_report::model::{Cleanup, Forecast, Holder, ProcessFacts, Resource, Unmeasured};

use super::Creation;

/// One thing that was there at the end and not at the beginning.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub(crate) resource: Resource,
    pub(crate) what: String,
    /// What it counts for: 1, or bytes for a mapping.
    pub(crate) amount: i64,
    /// Round of its birth, from 1.
    pub(crate) round: u32,
    pub(crate) creation: Option<Creation>,
}

/// A resource that is counted at every boundary.
#[derive(Debug, Clone)]
pub(crate) struct Population {
    pub(crate) resource: Resource,
    /// Name of what is counted, where things have no names of their own.
    pub(crate) what: String,
    /// The count at each boundary, the first before round 1.
    pub(crate) series: Vec<i64>,
    pub(crate) things: Vec<Thing>,
    /// Where it was declared, for what has no things.
    pub(crate) declared: Option<Creation>,
}

impl Population {
    /// A population whose things are not known, or not yet.
    pub(crate) fn counted(resource: Resource, what: &str, series: Vec<i64>) -> Self {
        Self { resource, what: what.to_owned(), series, things: Vec::new(), declared: None }
    }
}

/// Live heap at each boundary, and where it comes from once that was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeapEvidence {
    pub(crate) blocks: Vec<i64>,
    pub(crate) bytes: Vec<i64>,
    /// What grew in the explain run, by creation.
    pub(crate) groups: Option<Vec<HeapGroup>>,
}

/// What lived of one creation site at each boundary.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeapGroup {
    pub(crate) creation: Creation,
    /// The numbers of its stacks.
    pub(crate) stacks: Vec<u32>,
    /// Who keeps its blocks, where that was looked into.
    pub(crate) holder: Option<Holder>,
    pub(crate) blocks: Vec<i64>,
    pub(crate) bytes: Vec<i64>,
}

/// Something that a process kept making and never released.
#[derive(Debug, Clone)]
pub(crate) struct Staircase {
    pub(crate) subject: String,
    pub(crate) resource: Resource,
    pub(crate) what: String,
    /// Things, or bytes for heap.
    pub(crate) growth: i64,
    /// How many of them were made between one sample, repetition or round and the next.
    pub(crate) per_step: i64,
    pub(crate) creation: Option<Creation>,
    pub(crate) note: Option<String>,
    /// When it meets a limit if it goes on like this.
    pub(crate) forecast: Option<Forecast>,
    /// Who keeps its blocks, of heap where that was looked into.
    pub(crate) holder: Option<Holder>,
}

/// Something that is there when the trial is over: a process, a file, a segment of shared memory.
#[derive(Debug, Clone)]
pub(crate) struct Remain {
    pub(crate) resource: Resource,
    pub(crate) what: String,
    /// Round in which it was made, where that is known.
    pub(crate) round: Option<u32>,
    /// Where it lies it may be meant: it is recorded and not held against the test.
    pub(crate) listed: bool,
    /// The process that made it, where that is not the test's own.
    pub(crate) subject: Option<String>,
    /// What is known of a process.
    pub(crate) facts: Option<ProcessFacts>,
    pub(crate) creation: Option<Creation>,
}

impl Remain {
    /// A process.
    pub(crate) fn process(
        what: String,
        facts: ProcessFacts,
        creation: Option<Creation>,
        round: Option<u32>,
    ) -> Self {
        let (subject, facts) = (None, Some(facts));
        Self { resource: Resource::Process, what, round, listed: false, subject, facts, creation }
    }
}

/// Something that is still held or changed at the end: a lock, a watch, the process's own state.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) resource: Resource,
    pub(crate) what: String,
    /// The last round in which it was made so, where that is known.
    pub(crate) last_made: Option<u32>,
    pub(crate) creation: Option<Creation>,
}

/// Everything a trial has shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// Whether the body could be repeated: more than one round was allowed, and the second one passed.
    pub(crate) repeated: bool,
    /// Whether the program has not a line for us. What has no creation may then be made once.
    pub(crate) unedited: bool,
    /// What lives at the end of such a program, by creation site.
    pub(crate) retained: Vec<HeapGroup>,
    pub(crate) populations: Vec<Population>,
    pub(crate) heap: Option<HeapEvidence>,
    pub(crate) peak_bytes: Option<u64>,
    pub(crate) remains: Vec<Remain>,
    pub(crate) kept: Vec<Kept>,
    pub(crate) staircases: Vec<Staircase>,
    /// Command lines of the descendants.
    pub(crate) subjects: Vec<String>,
    /// Declared clean-ups, with the line that declared each.
    pub(crate) cleanups: Vec<(Cleanup, Option<Creation>)>,
    /// What was still falling at the deadline.
    pub(crate) unsettled: bool,
    pub(crate) unmeasured: Vec<Unmeasured>,
}
