//! What one line of the ledger says: a [`Record`] is either the [`Run`] that starts a ledger or one [`Trial`] of it.
//!
//! These types are the contract between the harness, which fills them, and everything that reads a
//! ledger. Fields are added, never renamed; [`SCHEMA`] goes up when a reader must know.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::trend::Trend;

mod holder;
mod watched;

pub use holder::{Confidence, Holder, HolderClass, Hop};
pub use watched::{Trended, WATCH_SUITE};

/// The version of the record that this crate writes.
pub const SCHEMA: u32 = 1;

/// One line of a ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "a ledger has one run record; trials are boxed")]
pub enum Record {
    /// The first line of a run.
    Run(Run),
    /// One execution of one case.
    Trial(Box<Trial>),
}

/// Facts that hold for a whole run: one `cargo test` or `cargo nextest run`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Run {
    /// Version of this record, [`SCHEMA`].
    pub schema: u32,
    /// The run's id, the same in every trial of it.
    pub run: String,
    /// Milliseconds since the Unix epoch when the run's first process started.
    pub started_ms: u64,
    /// Version of the `watertight` crate that wrote the record.
    pub tool_version: String,
    /// The profile in force: `default` or `ci`.
    pub profile: String,
    /// The machine.
    pub host: Host,
    /// What each probe saw of the leak that was planted for it.
    pub canaries: Vec<Canary>,
    /// What dead earlier runs had left behind and was removed at the start.
    pub swept: Vec<String>,
    /// Why no trial can have a network namespace of its own here: what the kernel said when it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_refused: Option<String>,
    /// Which part of the tests this run was to run, where they are spread over several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
}

/// One of several runs that share the tests of a project among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Shard {
    /// Which one, from 1.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

impl Shard {
    /// The shard `index` of `count`; none where there is no such one.
    pub fn new(index: u32, count: u32) -> Option<Self> {
        (1..=count).contains(&index).then_some(Self { index, count })
    }
}

/// The machine a run was measured on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Host {
    /// Kernel release, as `uname -r` prints it.
    pub kernel: String,
    /// Distribution name and version.
    pub os: String,
    /// CPU architecture.
    pub arch: String,
    /// Logical CPUs.
    pub cpus: u64,
    /// Physical memory in bytes.
    pub memory_bytes: u64,
    /// Soft limit on open descriptors (`RLIMIT_NOFILE`).
    pub fd_limit: u64,
    /// Memory limit of the control group in bytes, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_memory_bytes: Option<u64>,
}

/// The proof that a probe can see: what became of the leak planted for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Canary {
    /// The probe.
    pub probe: Resource,
    /// Whether it saw its planted leak.
    pub seen: bool,
    /// Why not, where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Canary {
    /// A probe that saw its plant.
    pub fn seen(probe: Resource) -> Self {
        Self { probe, seen: true, reason: None }
    }

    /// A probe that did not, and why.
    pub fn blind(probe: Resource, reason: impl Into<String>) -> Self {
        Self { probe, seen: false, reason: Some(reason.into()) }
    }
}

/// One execution of one case, with everything that was read and found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Trial {
    /// Version of this record, [`SCHEMA`].
    pub schema: u32,
    /// The run this trial belongs to.
    pub run: String,
    /// The suite: the test binary's name, or what `Suite::new` was given.
    pub suite: String,
    /// The case's name.
    pub case: String,
    /// Which attempt this was, from 1, where a runner tries a failed test again (nextest's retries); 0 reads as the first.
    #[serde(skip_serializing_if = "is_first")]
    pub attempt: u32,
    /// The command that runs this suite again, without the case: `cargo watertight test -p app --lib`.
    /// None for a suite that any `cargo test` measures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What became of the body.
    pub outcome: Outcome,
    /// What became of the resources.
    pub verdict: Verdict,
    /// How many rounds ran; of a watched program its ticks, 0 where none were counted.
    pub rounds: u32,
    /// Wall time of the whole trial in milliseconds, explain run included; how long a program was watched.
    pub duration_ms: u64,
    /// Where the trial's sockets lived.
    pub net: Net,
    /// `trial` for a process of its own, `shared` for one process for the whole suite, `watch` for a
    /// running program.
    pub mode: Mode,
    /// Why the outcome is not `passed`: the panic message, the error, the signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What was read, by metric name (`fd`, `socket`, `heap_bytes`, `gauge:open_stores` ...).
    pub readings: BTreeMap<String, Reading>,
    /// What each series of samples of a watched program says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trends: Vec<Trended>,
    /// The probes that could not look, and why.
    pub unmeasured: Vec<Unmeasured>,
    /// What was found, largest sin first.
    pub findings: Vec<Finding>,
    /// The clean-ups that the case or its suite declared, and what became of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cleanups: Vec<Cleanup>,
    /// Anything else that a reader must know, in full sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// No attempt is told of, or the first.
fn is_first(attempt: &u32) -> bool {
    *attempt <= 1
}

/// The case under which a suite's set-ups and tear-downs are recorded. Every process of a suite writes one,
/// so a run may hold several of one suite.
pub const FIXTURES: &str = "(fixtures)";

/// The case under which a run is recorded that cargo has ended badly although no test of it tells why: it was
/// cancelled, or a build failed, a doctest, a bench, a harness that nobody measures.
pub const CARGO: &str = "(cargo)";

/// Whether a case is no test but what surrounds them: a run may hold several of a suite.
pub fn is_no_test(case: &str) -> bool {
    [FIXTURES, CARGO].contains(&case)
}

/// The message of a trial that was skipped because somebody had cancelled the run.
pub const CANCELLED: &str = "the run was cancelled";

/// What became of a case's body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It returned, and the test's assertions held.
    #[default]
    Passed,
    /// It returned an error or panicked.
    Failed,
    /// The process ended by itself without finishing the body: abort, a fault, `exit` in the body.
    Crashed,
    /// Someone else ended the process by a signal.
    Killed,
    /// It did not end before its deadline and was ended by us.
    TimedOut,
    /// It did not run.
    Skipped,
}

/// What became of a trial's resources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[must_use]
pub enum Verdict {
    /// Every probe looked and nothing was left.
    #[default]
    Clean,
    /// Something was left, all of it within a budget or an accepted exception.
    Tolerated,
    /// At least one finding has the status `leak`.
    Leaked,
    /// Something was still falling at the deadline.
    Unsettled,
    /// A probe could not look.
    Unmeasured,
}

/// Where a trial's sockets lived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Net {
    /// In a network namespace of its own.
    Private,
    /// In the machine's.
    #[default]
    Host,
}

/// How a trial was run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One process for this case alone.
    #[default]
    Trial,
    /// One process for all cases of the suite, in several passes.
    Shared,
    /// In the supervisor's own process, unmeasured.
    Off,
    /// A running program, looked at over time.
    Watch,
}

/// One metric before the first round and after the last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Reading {
    /// At the first boundary, before any round.
    pub before: u64,
    /// At the last boundary.
    pub after: u64,
    /// The highest value seen, where the kernel keeps one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
    /// Growth in each round, first round first: the evidence for a verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub per_round: Vec<i64>,
    /// Sockets by protocol and state at the last boundary, as `tcp/established`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_state: BTreeMap<String, u64>,
}

impl Reading {
    /// A reading of `before` and `after` alone.
    pub fn new(before: u64, after: u64) -> Self {
        Self { before, after, ..Self::default() }
    }
}

/// A probe that could not look. Blind is never clean.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Unmeasured {
    /// The probe.
    pub probe: Resource,
    /// Why, and what to do about it.
    pub reason: String,
}

impl Unmeasured {
    /// `probe` could not look, for `reason`.
    pub fn new(probe: Resource, reason: impl Into<String>) -> Self {
        Self { probe, reason: reason.into() }
    }
}

/// The kinds of things a program can leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resource {
    /// A process that outlived its parent's test, or a zombie.
    Process,
    /// A file descriptor that is not a socket.
    Fd,
    /// A socket descriptor.
    Socket,
    /// A thread.
    Thread,
    /// An asynchronous task that never ended.
    Task,
    /// Allocated memory, C's included.
    Heap,
    /// Port pairs in TIME_WAIT.
    TimeWait,
    /// Resident memory over a declared ceiling.
    Memory,
    /// A mapping.
    Mapping,
    /// A file or directory left behind.
    File,
    /// A shared memory object.
    Shm,
    /// An inotify watch.
    InotifyWatch,
    /// A file lock.
    Lock,
    /// Changed process state: environment, working directory, umask, signals, limits.
    State,
    /// A count that the program itself declared.
    Gauge,
    /// A clean-up that failed or was never reached.
    Cleanup,
}

impl Resource {
    /// The resource's name, as the record and the terminal print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Fd => "fd",
            Self::Socket => "socket",
            Self::Thread => "thread",
            Self::Task => "task",
            Self::Heap => "heap",
            Self::TimeWait => "time_wait",
            Self::Memory => "memory",
            Self::Mapping => "mapping",
            Self::File => "file",
            Self::Shm => "shm",
            Self::InotifyWatch => "inotify_watch",
            Self::Lock => "lock",
            Self::State => "state",
            Self::Gauge => "gauge",
            Self::Cleanup => "cleanup",
        }
    }

    /// Whether `growth` counts bytes; otherwise it counts things.
    pub fn is_bytes(self) -> bool {
        matches!(self, Self::Heap | Self::Memory | Self::Mapping)
    }
}

/// One leaked thing, or a group made under one creation site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Finding {
    /// What it counts as.
    pub status: Status,
    /// The kind of the largest sin in the group.
    pub resource: Resource,
    /// The thing as a person would name it: path, peer and state, command line, thread name.
    pub what: String,
    /// Growth over all rounds, or during a watch: things, or bytes for heap and memory.
    pub growth: i64,
    /// Growth in one typical round (the median); of a watched program in one of its ticks, or where
    /// they are not known in one minute.
    pub per_round: i64,
    /// `test` for the test's own process and for the watched program itself, else the descendant's
    /// command line.
    pub subject: String,
    /// The line that created it: the first frame inside the package under test; where no frame of
    /// the stack is, the first that belongs to neither the toolchain, a registry nor the system.
    pub site: Option<Frame>,
    /// The innermost frame that belongs to the user's sources, where it lies deeper than `site`:
    /// the place inside a library of the same workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Frame>,
    /// The whole creation stack, innermost first.
    #[serde(default)]
    pub stack: Vec<Frame>,
    /// Everything that was created under this site, this finding's own thing first, where it is
    /// more than one thing.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// When this growth meets a limit, where it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// How it grows, in the unit of its resource: every finding of a watched program says it, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend: Option<Trend>,
    /// The budget it went over, where one applies: port pairs a round, or the ceiling in bytes for
    /// memory, whose `growth` is then what lies above the ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// Which process was left, where the finding is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessFacts>,
    /// Why there is no site, or whatever else the reader must know of this finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The entries of the acceptance file by which the status is `accepted`, one for each resource in
    /// the finding; none where it is within a declared budget.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<AcceptedBy>,
    /// Who keeps its heap blocks alive, where that was looked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Box<Holder>>,
}

impl Finding {
    /// A leak of `growth` of `resource`, named `what`, in the test's own process, without a site.
    pub fn leak(resource: Resource, what: impl Into<String>, growth: i64) -> Self {
        Self {
            status: Status::Leak,
            resource,
            what: what.into(),
            growth,
            per_round: growth,
            subject: SUBJECT_TEST.to_owned(),
            site: None,
            via: None,
            stack: Vec::new(),
            parts: Vec::new(),
            forecast: None,
            trend: None,
            budget: None,
            process: None,
            note: None,
            accepted: Vec::new(),
            holder: None,
        }
    }

    /// The order in which findings are told, largest sin first: by status, then by resource, then
    /// by size; site and name only make the order a total one.
    pub fn severity(&self, other: &Self) -> Ordering {
        (self.status, self.resource)
            .cmp(&(other.status, other.resource))
            .then_with(|| other.growth.cmp(&self.growth))
            .then_with(|| self.site.cmp(&other.site))
            .then_with(|| self.what.cmp(&other.what))
            .then_with(|| self.subject.cmp(&other.subject))
    }
}

/// A process that was left behind; its command line is the finding's `what`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ProcessFacts {
    /// Its process id.
    pub pid: u32,
    /// How it was found.
    pub state: ProcessState,
    /// Its working directory, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Its age in milliseconds when it was found, where it could be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
}

impl ProcessFacts {
    /// The process `pid`, found in `state`.
    pub fn new(pid: u32, state: ProcessState) -> Self {
        Self { pid, state, cwd: None, age_ms: None }
    }
}

/// An entry of the acceptance file that accepts a finding, or one resource in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AcceptedBy {
    /// The line of the file where the entry begins.
    pub line: u32,
    /// What it accepts.
    pub resource: Resource,
    /// Why.
    pub reason: String,
    /// Until when, as YYYY-MM-DD: the last day, in UTC.
    pub expires: String,
}

/// How a process that was left behind was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// Still running after its trial had ended; it was then killed.
    Outlived,
    /// Ended, and nobody waited for it.
    Zombie,
}

/// The subject of a finding in the test's own process.
pub const SUBJECT_TEST: &str = "test";

/// What a finding counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It fails the trial.
    Leak,
    /// It could not be repeated: shown, not failed.
    Unconfirmed,
    /// Within a declared budget or a committed exception.
    Accepted,
    /// Growth in one round, then flat: recorded, not shown.
    Step,
}

/// One kind of thing in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Part {
    /// Its kind.
    pub resource: Resource,
    /// Its name.
    pub what: String,
    /// Its growth over all rounds: things, or bytes.
    pub growth: i64,
    /// Its growth in one typical round, where it was read; a reader without it may scale `growth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_round: Option<i64>,
}

impl Part {
    /// `growth` of `resource`, named `what`.
    pub fn new(resource: Resource, what: impl Into<String>, growth: i64) -> Self {
        Self { resource, what: what.into(), growth, per_round: None }
    }
}

/// A source position in a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Frame {
    /// Source file, relative to the package or workspace where it lies inside; empty when unknown.
    pub file: String,
    /// Line, 0 when unknown.
    pub line: u32,
    /// Function, demangled.
    pub function: String,
}

impl Frame {
    /// `function` at `file:line`.
    pub fn new(file: impl Into<String>, line: u32, function: impl Into<String>) -> Self {
        Self { file: file.into(), line, function: function.into() }
    }
}

/// When growth meets a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Forecast {
    /// The limit's name, as `RLIMIT_NOFILE`.
    pub limit: String,
    /// The limit's value: things or bytes.
    pub value: u64,
    /// At how many tests, rounds or seconds from the start it is met.
    pub at: u64,
    /// What `at` counts: `test`, `round`, `second`.
    pub unit: String,
}

impl Forecast {
    /// The limit `limit` of `value` is met at `at` `unit`s.
    pub fn new(limit: impl Into<String>, value: u64, at: u64, unit: impl Into<String>) -> Self {
        Self { limit: limit.into(), value, at, unit: unit.into() }
    }
}

/// A declared clean-up and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Cleanup {
    /// The name it was declared with.
    pub name: String,
    /// What became of it.
    pub status: CleanupStatus,
    /// The error, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Cleanup {
    /// The clean-up `name` ended as `status`.
    pub fn new(name: impl Into<String>, status: CleanupStatus, error: Option<String>) -> Self {
        Self { name: name.into(), status, error }
    }
}

/// What became of a declared clean-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CleanupStatus {
    /// It ran to its end.
    Ran,
    /// It ran and failed.
    Failed,
    /// The process ended before it could run.
    NeverReached,
}
