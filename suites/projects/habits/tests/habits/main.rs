//! Correct programs that look as if they leaked. Above each test stands why.

mod descriptors;
mod helpers;
mod pools;
mod processes;
mod runtimes;
mod state;
mod statics;
mod threads;
