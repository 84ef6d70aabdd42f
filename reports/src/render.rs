//! What people read of the record.
//!
//! [`sentence`](fn@sentence) is the first line of every telling of a failure; each renderer puts
//! the rest below it in the manner of its medium. `junit`, `github`, `markdown` and `html` have
//! their place beside [`terminal`].

mod advice;
mod sentence;
mod summary;
mod text;

pub mod terminal;

pub use sentence::sentence;
pub use summary::Summary;
