//! Fixtures for the suites: a workspace, its daemon, and those who talk to it.
//!
//! ```text
//!  Workspace ──► Daemon     the real daemon as a child, ended and reaped when dropped
//!      │    ├──► Launched   the same, started by `tracker daemon start` as a person does it
//!      │    └──► Embedded   the same, on a thread of the test: many in one process
//!      ├──► RawClient       says to a daemon what no client should
//!      ├──► GitGate         stops git in the middle of a sync, until it may go on
//!      └──► WriteLock       another process that holds the database
//! ```
//!
//! What must be found and what must not is beside them: [`leaky`] (the story), [`kinds`] (every kind of
//! leak), [`held`] (every way to keep a block) and [`traps`] (correct programs that look as if they leaked);
//! [`ledger`] and [`matrix`] read what was said of them; [`unsteady`] is a program to be watched. Projects
//! that know nothing of the harness are in `projects/` ([`plain`]), and [`command`] tests them with
//! `cargo watertight`. Issues by the thousand come from [`generated`]; [`crash`] kills what works on them,
//! [`conflict`] has many work at once.
//!
//! Whatever a fixture starts it ends, also when the test around it fails.
//! None of them sleeps: each waits for what it needs, and gives up after [`PATIENCE`].

pub mod command;
pub mod conflict;
pub mod crash;
mod daemon;
pub mod dice;
mod embedded;
pub mod generated;
mod git;
pub mod guest;
pub mod held;
pub mod kinds;
pub mod leaky;
pub mod ledger;
mod lock;
pub mod matrix;
pub mod plain;
pub mod published;
mod raw_client;
pub mod siblings;
pub mod traps;
pub mod unsteady;
mod wait;
mod workspace;

pub use daemon::{Bystander, Daemon, Launched};
pub use embedded::{Embedded, options};
pub use git::GitGate;
pub use lock::WriteLock;
pub use raw_client::RawClient;
pub use wait::{PATIENCE, wait_for, wait_within};
pub use workspace::{Said, Workspace};

/// What a test returns: any error fails it.
pub type Ending = anyhow::Result<()>;

/// A new [`Workspace`] whose `tracker` is the one that cargo built for this test.
#[macro_export]
macro_rules! workspace {
    () => {
        $crate::Workspace::new(env!("CARGO_BIN_EXE_tracker-under-test"))
    };
}
