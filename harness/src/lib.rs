//! A test harness for Linux that audits what every test leaves behind, and names the line that made it.
//!
//! ```no_run
//! use watertight::{Case, Suite};
//!
//! fn main() -> std::process::ExitCode {
//!     Suite::new("corpus")
//!         .case(Case::new("opens_and_closes", |_cx| {
//!             let _file = std::fs::File::open("/dev/null")?;
//!             Ok(())
//!         }))
//!         .main()
//! }
//! ```
//!
//! Every trial is a process of its own. The child runs the body; the supervisor decides:
//!
//! ```text
//!  suite ─► trial ─► observe: spawn a child of this same binary ──► child: enter, round 1, boundary, round 2 ...
//!             │         │    ◄── shared table, /proc ──                 agent: preloaded, counts and takes stacks
//!             │         └─ descendants sampled, survivors found
//!             ├─ suspected? observe again with a stack for every heap block, name the sites, and follow the
//!             │  pointers of the process to who holds what leaked
//!             ├─ judge: evidence ─► findings and a verdict   (pure)
//!             └─ record ─► ledger, terminal                  (crate `watertight-report`)
//! ```
//!
//! Invariants:
//! - This crate never formats for people: it fills a record and hands it to `watertight-report`.
//! - `judge` is pure: no clock, no I/O.
//! - A probe that could not look says so. Blind is never clean.
//! - The measured process symbolises nothing, formats nothing, holds no thread and no descriptor of ours.

#![cfg(target_os = "linux")]
#![warn(missing_docs)]

// What a user writes.
mod failed;
mod case;
mod context;
mod gauge;
mod suite;
pub mod unedited;

// The trial, from outside and from inside.
mod trial;
mod observe;
mod shared;
mod canary;
mod child;
mod namespace;
mod rehearsal;
#[cfg(feature = "tokio")]
mod runtime;
mod subject;
mod descendant;
mod survivor;
mod settle;
mod pidfd;
mod cancel;

// What is read, and what it means.
mod probe;
mod snapshot;
mod births;
mod evidence;
mod judge;
mod explain;
mod holder;
mod symbol;

// The shared table and what fills it; what lasts for a whole run.
#[expect(dead_code, reason = "the layout is compiled into the agent as well, which uses the rest")]
mod table;
mod region;
mod agent;
mod config;
mod run;
mod home;
mod session;
mod slots;
pub mod machine;
// What ends a run.
pub mod signals;

// A process that has nothing of ours in it.
pub mod outside;
// The same over time, and with the agent's notes where it was started with them.
pub mod watch;

pub use case::{Case, Net};
pub use config::{ConfigNotThere, ConfigUnusable, InForce, acceptance_file};
pub use context::{Context, ProcessId};
pub use failed::{Ending, Failed};
pub use gauge::gauge;
pub use suite::Suite;
pub use watertight_macros::test;
pub use watertight_report::model::Resource;

/// The agent's unwinder, compiled here a second time so that its own tests run with ours.
#[cfg(test)]
#[path = "../agent/stack.rs"]
mod stack;

/// The agent's choice of the blocks that it samples, likewise.
#[cfg(test)]
#[path = "../agent/sample.rs"]
mod sample;

/// The `main` of a test target whose cases are declared with [`macro@test`].
///
/// ```no_run
/// #[watertight::test]
/// fn opens_and_closes() {
///     let _file = std::fs::File::open("/dev/null").unwrap();
/// }
///
/// watertight::main!();
/// ```
///
/// What holds for all of them may be declared here, in the words of [`macro@test`]; what a test declares
/// itself is stronger.
///
/// ```no_run
/// watertight::main!(deadline = "30s", allow(fd = 1));
/// ```
#[macro_export]
macro_rules! main {
    ($($options:tt)*) => {
        fn main() -> ::std::process::ExitCode {
            $crate::private::declare!($crate::registered(env!("CARGO_CRATE_NAME")), $($options)*).main()
        }
    };
}

/// A suite of every case declared with [`macro@test`] in this binary.
pub fn registered(name: &str) -> Suite {
    let cases = inventory::iter::<private::Registration>
        .into_iter()
        .map(|registration| (registration.case)());
    Suite::new(name).cases(cases)
}

/// For the code that the macros write; nothing here is stable.
#[doc(hidden)]
pub mod private {
    pub use crate::failed::Ending;
    pub use inventory;
    pub use watertight_macros::declare;
    use watertight_report::quantity;

    /// A duration in an attribute; what is none does not compile.
    pub const fn duration(text: &str) -> std::time::Duration {
        match quantity::duration_ms(text) {
            Some(millis) => std::time::Duration::from_millis(millis),
            None => panic!("expected a duration, as \"30s\" (ms, s, m or h)"),
        }
    }

    /// A size in bytes in an attribute; what is none does not compile.
    pub const fn bytes(text: &str) -> u64 {
        match quantity::bytes(text) {
            Some(bytes) => bytes,
            None => panic!("expected a size, as \"64 MiB\" (B, KiB, MiB, GiB, kB, MB or GB)"),
        }
    }

    /// A declared test.
    #[derive(Debug)]
    pub struct Registration {
        /// Makes its case.
        pub case: fn() -> crate::Case,
    }

    inventory::collect!(Registration);

    /// A test's name as libtest gives it: its path without the crate.
    pub fn name(module: &str, function: &str) -> String {
        match module.split_once("::") {
            Some((_, path)) => format!("{path}::{function}"),
            None => function.to_owned(),
        }
    }
}
