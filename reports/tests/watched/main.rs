//! Watched programs: what is said of them, in every medium, and what other programs read of their samples.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

#[path = "../any/media.rs"]
#[macro_use]
mod any_media;
#[path = "../any/record.rs"]
#[expect(dead_code, reason = "of a watch there are trials alone")]
mod any_record;
mod programs;

mod sentences;
mod verdicts;
mod reports;

mod samples;
mod lines;
mod trace;
mod openmetrics;
