//! The record of a Watertight run: what was read, what was found, and what people read of it.
//!
//! Data in, bytes out. This crate never looks at a process, never starts one and never waits; it
//! builds on any system. Whoever measures fills a [`Record`](model::Record) and hands it over here:
//!
//! ```text
//!  harness ──► model::Trial ──► ledger::Ledger   one line of JSON, appended, for machines
//!                    │
//!                    ├────────► render::terminal  the failure block, for the person at the screen
//!                    └────────► render::Summary   folded trial by trial into the line at the end
//!
//!  watch::Sample, Event ──► trend::judge       what a series says, in model::Trial::trends
//!                    ├────► watch::Line         one line of JSON, as it is seen
//!                    └────► render::{trace, openmetrics}
//!
//!  ledger, ledger ... ──► report::Fold ──► report::Report ──► render::{terminal, json, markdown, junit, github, folded}
//! ```
//!
//! **The record.** A ledger's first line is a [`model::Run`], the facts of one `cargo test` or
//! `cargo nextest run`; every other line is a [`model::Trial`], one execution of one case, or a running
//! program that was watched for a while.
//! Fields are added, never renamed, and [`model::SCHEMA`] goes up when a reader must know.
//!
//! **The ledger.** Many processes append to one file at once, and any of them may be killed half-way
//! through a line. So a line is written whole, under a lock, and a broken line costs the reader
//! that line and no other.
//!
//! ```
//! use watertight_report::ledger::{self, Ledger};
//! use watertight_report::model::{Finding, Frame, Record, Resource, Trial, Verdict};
//! use watertight_report::render::terminal::{self, Style};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let mut finding = Finding::leak(Resource::Fd, "/tmp/tracker.db", 3);
//! finding.per_round = 1;
//! finding.site = Some(Frame::new("src/store.rs", 31, "app::store::open"));
//!
//! let mut trial = Trial::default();
//! trial.suite = "stores".into();
//! trial.case = "forgets_a_store".into();
//! trial.rounds = 3;
//! trial.verdict = Verdict::Leaked;
//! trial.findings.push(finding);
//!
//! let block = terminal::failure(&trial, &Style::default());
//! assert!(block.starts_with(
//!     "`forgets_a_store` left 1 file descriptor behind in every round; \
//!      it was opened at src/store.rs:31."
//! ));
//!
//! let ledger = Ledger::open(folder.path().join("run.jsonl"))?;
//! ledger.append(&Record::Trial(Box::new(trial)))?;
//! assert_eq!(ledger::read(ledger.path())?.count(), 1);
//! # Ok(())
//! # }
//! ```

pub mod model;

pub mod metric;

// What the samples of a running process say.
pub mod trend;

// The live lines of a program that is watched.
pub mod watch;

pub mod ledger;

pub mod baseline;

pub mod report;

pub mod render;

// Files that people write, and the words in them.
pub mod document;
pub mod quantity;

#[cfg(test)]
mod schema;
