//! What people and programs read of the record.
//!
//! [`sentence`](fn@sentence) is the first line of every telling of a failure; each renderer puts
//! the rest below it in the manner of its medium. [`terminal`] tells of one trial as it ends, and
//! like the others of a whole [`Report`]: they are [`Renderer`]s, each for one medium, and each
//! escapes what its medium would take for more than text.

mod advice;
mod group;
mod holder;
mod sentence;
mod summary;
mod text;

pub mod terminal;

pub mod json;
pub mod markdown;
pub mod github;
#[cfg(feature = "junit")]
pub mod junit;
pub mod folded;

// What other programs read of the samples of a watch, as it goes on.
pub mod trace;
pub mod openmetrics;

use std::io;

use crate::model::Trial;
use crate::report::Report;

pub use sentence::sentence;
pub use summary::Summary;

/// Ledgers, told in one medium: first every trial as it is read, then what they come to.
///
/// Only what the medium wants of every single trial is kept or written while they pass.
pub trait Renderer {
    /// One trial, in the order of the ledger.
    ///
    /// # Errors
    /// What the writer said.
    fn trial(&mut self, trial: &Trial) -> io::Result<()>;

    /// The end: `report` is the fold of the same records.
    ///
    /// # Errors
    /// What the writer said.
    fn finish(&mut self, report: &Report) -> io::Result<()>;
}
