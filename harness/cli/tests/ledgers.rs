//! The verbs that read ledgers, as people and CI jobs use them: the built command, on ledgers that were made
//! by hand.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

#[path = "ledgers/project.rs"]
mod project;

#[path = "ledgers/accept.rs"]
mod accept;
#[path = "ledgers/gate.rs"]
mod gate;
#[path = "ledgers/merge.rs"]
mod merge;
#[path = "ledgers/merge_properties.rs"]
mod merge_properties;
