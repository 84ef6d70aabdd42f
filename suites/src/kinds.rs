//! The kinds of leaks, each beside its twin: the same work, released.
//!
//! One [`Kind`] is one way to leave something behind, and what the harness must say of it: the resource,
//! the name, the line. They are the cases of the binary `kinds` (`pipe::leaky`, `pipe::clean`);
//! [`matrix`](crate::matrix) runs it and compares its ledger with this table.
//!
//! The line that makes what leaks ends with the comment `LEAK` and the kind's name.

mod collections;
mod daemons;
mod descriptors;
mod elsewhere;
mod files;
mod inotify;
mod locks;
mod mappings;
mod memory;
mod processes;
mod shm;
mod sockets;
mod sqlite;
mod state;
mod threads;

use std::pin::Pin;

use watertight::{Case, Context, Failed, Resource};

pub use daemons::serve;
pub use elsewhere::ELSEWHERE;
pub use shm::sweep;

type Future = Pin<Box<dyn std::future::Future<Output = Result<(), Failed>>>>;

/// What one half of a pair does.
#[derive(Debug, Clone, Copy)]
enum Body {
    Sync(fn(&Context) -> Result<(), Failed>),
    /// On a runtime of the harness's.
    Async(fn() -> Future),
}

/// A source file of this package: its name in the record, and its text.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// As the record names it.
    pub file: &'static str,
    /// All of it.
    pub text: &'static str,
}

/// Names a file beside the one that says this.
macro_rules! source {
    ($name:literal) => {
        crate::kinds::Source {
            file: concat!("suites/src/kinds/", $name),
            text: include_str!($name),
        }
    };
}
use source;

/// One kind of leak.
#[derive(Debug, Clone)]
pub struct Kind {
    /// Its name, which is also its mark in the source.
    pub name: &'static str,
    /// What is in its finding; the first one leads.
    pub resources: &'static [Resource],
    /// What the name of the leaked thing contains.
    pub what: &'static str,
    /// Where the line is that makes it.
    pub source: Source,
    /// What the command line of the process that leaks contains; none for the test's own.
    pub subject: Option<&'static str>,
    /// Whether it is only listed, and fails nothing.
    pub is_listed_only: bool,
    leaky: Body,
    clean: Body,
}

impl Kind {
    /// A kind whose halves do nothing yet.
    fn new(
        name: &'static str,
        source: Source,
        resources: &'static [Resource],
        what: &'static str,
    ) -> Self {
        let nothing = Body::Sync(|_cx| Err(Failed::new("it has no body")));
        Self {
            name,
            resources,
            what,
            source,
            subject: None,
            is_listed_only: false,
            leaky: nothing,
            clean: nothing,
        }
    }

    fn leaky(mut self, body: fn(&Context) -> Result<(), Failed>) -> Self {
        self.leaky = Body::Sync(body);
        self
    }

    fn clean(mut self, body: fn(&Context) -> Result<(), Failed>) -> Self {
        self.clean = Body::Sync(body);
        self
    }

    /// Both halves, as futures.
    fn futures(mut self, leaky: fn() -> Future, clean: fn() -> Future) -> Self {
        (self.leaky, self.clean) = (Body::Async(leaky), Body::Async(clean));
        self
    }

    /// It leaks in a descendant with such a command line.
    fn in_descendant(mut self, command: &'static str) -> Self {
        self.subject = Some(command);
        self
    }

    fn listed_only(mut self) -> Self {
        self.is_listed_only = true;
        self
    }

    /// Name of the case that leaks.
    pub fn leaky_case(&self) -> String {
        format!("{}::leaky", self.name)
    }

    /// Name of the case that does the same and releases it.
    pub fn clean_case(&self) -> String {
        format!("{}::clean", self.name)
    }

    /// The line that makes what leaks.
    ///
    /// # Panics
    /// Where no line or more than one has its mark.
    pub fn line(&self) -> u32 {
        crate::ledger::marked(self.source.text, &format!("LEAK {}", self.name))
    }
}

/// All kinds.
pub fn all() -> Vec<Kind> {
    [
        descriptors::kinds(),
        files::kinds(),
        elsewhere::kinds(),
        sockets::kinds(),
        inotify::kinds(),
        locks::kinds(),
        memory::kinds(),
        collections::kinds(),
        sqlite::kinds(),
        threads::kinds(),
        processes::kinds(),
        mappings::kinds(),
        shm::kinds(),
        state::kinds(),
        daemons::kinds(),
    ]
    .concat()
}

/// The cases of the binary `kinds`: two of each kind.
pub fn cases() -> Vec<Case> {
    let pair =
        |kind: Kind| [case(kind.leaky_case(), kind.leaky), case(kind.clean_case(), kind.clean)];
    all().into_iter().flat_map(pair).collect()
}

fn case(name: String, body: Body) -> Case {
    let case = match body {
        Body::Sync(body) => Case::new(name, body),
        Body::Async(body) => Case::new_async(name, 0, move |_cx| body()),
    };
    case.package(env!("CARGO_MANIFEST_DIR"))
}

/// Leaves a value behind for good, as a program does that loses it. An optimiser that sees a block
/// nobody uses would not even make it.
#[expect(clippy::disallowed_methods, reason = "the leak that must be caught")]
pub(crate) fn lose<T>(value: T) {
    std::mem::forget(std::hint::black_box(value));
}

/// A file that is always there, and that nobody here writes.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
/// The end of its path.
const MANIFEST_NAME: &str = "suites/Cargo.toml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_one_marked_line() {
        let mut names: Vec<&str> = all().iter().map(|kind| kind.name).collect();
        for kind in all() {
            assert!(kind.line() > 0, "{}", kind.name);
            assert!(!kind.resources.is_empty(), "{}", kind.name);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
