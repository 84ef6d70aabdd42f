//! The agent disturbs nobody: programs do the same with it and without it.
//!
//! Every program runs twice or more, plainly and preloaded, as in a trial, as in an explain run and with a
//! sampled heap, and what it prints and how it ends are compared. The agent is the one that the harness preloads.

// The benches preload the same agent in the same way.
#[path = "../../benches/preload.rs"]
mod preload;

mod twice;

mod object;
mod guests;
mod distribution;
mod third_party;
