//! Who holds what leaked, as every medium tells it.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

#[path = "../any/media.rs"]
#[macro_use]
mod any_media;
mod held;

mod lines;
mod sentences;
mod advice;
mod media;
mod ledger;
