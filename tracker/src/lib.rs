//! A local issue tracker: one SQLite file, its JSONL in git, a daemon that keeps the two in step.
//!
//! ```text
//!  person ────────► cli ────► store ──► tracker.db ──► sync::pass ──► issues.jsonl ──► git
//!                               ▲                           ▲
//!  program ─► client ─► daemon ─┴── requests          ticks ┘
//! ```
//!
//! Everything works without the daemon; all it does is call [`sync::pass`] by itself, and answer
//! programs that would rather not start a process for every question.
//!
//! ```
//! use watertight_tracker::{issue::{DependencyKind, NewIssue}, store::Store};
//!
//! let mut store = Store::open_in_memory()?;
//! let tap = store.create(NewIssue::titled("the tap drips"))?;
//! let washer = store.create(NewIssue::titled("buy a washer"))?;
//! store.add_dependency(&tap.id, &washer.id, DependencyKind::Blocks)?;
//! assert_eq!(store.ready(None)?, [washer]);
//! store.close()?;
//! # Ok::<(), watertight_tracker::store::StoreError>(())
//! ```
//!
//! What never happens here: nobody but [`store::Store`] opens a connection, nobody but
//! [`process`] forks inside the daemon, nothing is global, and nothing outlives its owner.

pub mod cli;
pub mod client;
pub mod daemon;
pub mod doctor;
pub mod exit_code;
pub mod failure;
mod file_id;
pub mod git;
pub mod id;
pub mod issue;
pub mod jsonl;
pub mod paths;
pub mod process;
pub mod protocol;
pub mod query;
pub mod store;
pub mod sync;
