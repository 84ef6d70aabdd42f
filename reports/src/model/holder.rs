//! Who keeps a leaked block alive: the [`Holder`] of a heap finding, found by following pointers.
//!
//! Counters cannot tell a block that was forgotten from one that a registry still holds; the person who
//! mends it must know which.

use serde::{Deserialize, Serialize};

use super::Frame;

/// What keeps the blocks of a finding alive, or that no pointer to them was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Holder {
    /// What kind of place the chain of pointers starts at.
    pub class: HolderClass,
    /// How far it can be believed.
    pub confidence: Confidence,
    /// Its name: the path of a static or thread-local as `tracker::engine::REGISTRY`, a local variable's
    /// name, the number of a pthread key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its type, as the debug information has it.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Where it is declared, without a function; for what is on a stack the line in its function at which
    /// the thread stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Frame>,
    /// The thread that it belongs to, where it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// From the holder to the leaked thing, which is last. Of what no pointer was found to it begins with
    /// the block that nothing points to, or with the blocks that point to each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Hop>,
    /// For [`HolderClass::Cycle`] how many blocks point to each other: they are the first of the hops, and
    /// what follows them hangs below. 0 where that is not told, which reads as all hops.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ring_blocks: u64,
    /// How many of the finding's things it holds, each with all that hangs below it.
    pub things: u64,
    /// The same in one typical round (the median).
    pub things_per_round: u64,
    /// Bytes that would be freed if it let go of them.
    pub retained_bytes: u64,
    /// Blocks, likewise.
    pub retained_blocks: u64,
    /// In how many rounds the finding's blocks that are still there were made.
    pub rounds: u32,
    /// Of how many of those rounds it holds blocks.
    pub rounds_seen: u32,
    /// From where else there is a way to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<HolderClass>,
    /// Why it could not be told, for [`HolderClass::Unmeasured`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Nothing is told.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Where a chain of pointers to leaked blocks starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HolderClass {
    /// A static variable.
    Static,
    /// A thread-local variable of a thread that lives.
    ThreadLocal,
    /// What a thread that lives has stored under a pthread key.
    PthreadKey,
    /// A local variable of a function that a thread stands in.
    Local,
    /// The async runtime that the harness has made for the test: of a task that has not ended, a timer.
    TestRuntime,
    /// A place on the stack of a thread that no variable is known of.
    Stack,
    /// What the C library keeps of a thread, or its registers.
    Thread,
    /// Memory that the program has mapped by itself.
    Mapping,
    /// No pointer found from outside: blocks that point to each other.
    Cycle,
    /// No pointer found: forgotten, or the pointer is stored in another form.
    Lost,
    /// It could not be told.
    Unmeasured,
}

impl HolderClass {
    /// Whether no pointer was found from anything that the program can reach.
    pub fn is_lost(self) -> bool {
        matches!(self, Self::Cycle | Self::Lost)
    }
}

/// How far a holder can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// A variable that is known holds the blocks of every round but at most one; or every word was
    /// read and none points there.
    Sure,
    /// The evidence is weaker: an old value may still lie there.
    Possible,
}

/// One block on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Hop {
    /// What it is, by the call that made it: `Arc<Engine>::new`, `HashMap<usize, Arc<Engine>>::insert`, or
    /// for C the function that did; empty where that is not known.
    pub made_by: String,
    /// Its type, where the debug information leads there.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// The field of what is before it that points to it, where that is not ambiguous: `.value.db`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
    /// The user's line that made it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Frame>,
}

impl Holder {
    /// A holder of which nothing more is known yet.
    pub fn new(class: HolderClass, confidence: Confidence) -> Self {
        Self {
            class,
            confidence,
            name: None,
            type_name: None,
            site: None,
            thread: None,
            hops: Vec::new(),
            ring_blocks: 0,
            things: 0,
            things_per_round: 0,
            retained_bytes: 0,
            retained_blocks: 0,
            rounds: 0,
            rounds_seen: 0,
            also: Vec::new(),
            reason: None,
        }
    }

    /// It could not be told, for `reason`.
    pub fn unmeasured(reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..Self::new(HolderClass::Unmeasured, Confidence::Possible)
        }
    }
}

impl Hop {
    /// A block of `bytes`, made by the call `made_by`.
    pub fn new(made_by: impl Into<String>, bytes: u64) -> Self {
        Self { made_by: made_by.into(), bytes, ..Self::default() }
    }
}
