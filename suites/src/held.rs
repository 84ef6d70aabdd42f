//! Ways to keep a block for ever, each with what the record must say of its holder.
//!
//! One [`Held`] is a block that leaks in every round, and the place that keeps it: a static, a thread, a
//! stack, a cycle, or nothing at all. They are the cases of the binary `held` (`map_in_lazy_lock::leaky`, and
//! `::clean` where the same work released is written down too); [`table`] runs it and compares.
//!
//! Every block is its case's own, so that a holder named wrongly is never right by chance. Threads are
//! started once (`worker.rs`): what they keep grows, they do not.
//!
//! | mark at the end of a line | it |
//! |---|---|
//! | `MADE` and the name | makes what leaks |
//! | `HELD` and the name | declares the holder; for a local variable, is where its thread stands |
//! | `AROUND` and the name | makes the forgotten block that holds the one which leaks |

mod c_and_runtimes;
mod disguised;
mod lost;
mod queues;
mod stacks;
mod statics;
pub mod table;
mod threads;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};

use watertight::{Case, Context, Failed};
use watertight_report::model::HolderClass;

use crate::kinds::Source;
use crate::ledger::marked;
use worker::{Desk, Worker};

type Body = fn(&Context) -> Result<(), Failed>;

/// Names a file beside the one that says this.
macro_rules! source {
    ($name:literal) => {
        crate::kinds::Source { file: concat!("suites/src/held/", $name), text: include_str!($name) }
    };
}
use source;

/// One way to keep a block, and what must be said of it.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its name, which is also its mark in the source.
    pub name: &'static str,
    /// Where its marked lines are.
    pub source: Source,
    /// The classes that its holder may have.
    pub classes: &'static [HolderClass],
    /// One of these is in the holder's name, where it has a variable's.
    pub names: &'static [&'static str],
    /// All of these are in its type.
    pub types: &'static [&'static str],
    /// The fields that the way to it leads through, in order; for a cycle those that close it.
    pub fields: &'static [&'static str],
    /// The thread that it belongs to.
    pub thread: Option<&'static str>,
    /// Whether nobody who follows pointers can find it: they are stored in another form.
    pub is_disguised: bool,
    has_declaration: bool,
    is_inside_another: bool,
    leaky: Body,
    clean: Option<Body>,
}

impl Held {
    /// A block that `leaky` makes in every round, and that one of these keeps.
    fn new(
        name: &'static str,
        source: Source,
        classes: &'static [HolderClass],
        leaky: Body,
    ) -> Self {
        Self {
            name,
            source,
            classes,
            names: &[],
            types: &[],
            fields: &[],
            thread: None,
            is_disguised: false,
            has_declaration: false,
            is_inside_another: false,
            leaky,
            clean: None,
        }
    }

    /// The variable's name: one of these is in it.
    fn named(mut self, names: &'static [&'static str]) -> Self {
        self.names = names;
        self
    }

    /// The variable's type: all of these are in it.
    fn typed(mut self, types: &'static [&'static str]) -> Self {
        self.types = types;
        self
    }

    /// The way to the block leads through these fields.
    fn through(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = fields;
        self
    }

    /// The thread whose variable it is.
    fn of_thread(mut self, thread: &'static str) -> Self {
        self.thread = Some(thread);
        self
    }

    /// Its declaration is marked `HELD`.
    fn declared(mut self) -> Self {
        self.has_declaration = true;
        self
    }

    /// The block lies in another one, which is marked `AROUND` and which nobody holds.
    fn inside_another(mut self) -> Self {
        self.is_inside_another = true;
        self
    }

    /// The pointers to it are stored in another form.
    fn disguised(mut self) -> Self {
        self.is_disguised = true;
        self
    }

    /// The same work, released.
    fn clean(mut self, body: Body) -> Self {
        self.clean = Some(body);
        self
    }

    /// Name of the case that leaks.
    pub fn leaky_case(&self) -> String {
        format!("{}::leaky", self.name)
    }

    /// Name of the case that does the same and releases it, where there is one.
    pub fn clean_case(&self) -> Option<String> {
        self.clean.map(|_| format!("{}::clean", self.name))
    }

    /// The line that makes what leaks.
    ///
    /// # Panics
    /// Where no line or more than one is marked.
    pub fn made(&self) -> u32 {
        self.line("MADE")
    }

    /// The line that declares the holder, where that is a variable.
    ///
    /// # Panics
    /// Those of [`Held::made`].
    pub fn declaration(&self) -> Option<u32> {
        self.has_declaration.then(|| self.line("HELD"))
    }

    /// The line that makes the block around it, where there is one.
    ///
    /// # Panics
    /// Those of [`Held::made`].
    pub fn around(&self) -> Option<u32> {
        self.is_inside_another.then(|| self.line("AROUND"))
    }

    fn line(&self, mark: &str) -> u32 {
        marked(self.source.text, &format!("{mark} {}", self.name))
    }
}

/// All of them.
pub fn all() -> Vec<Held> {
    [
        statics::held(),
        queues::held(),
        threads::held(),
        stacks::held(),
        lost::held(),
        c_and_runtimes::held(),
        disguised::held(),
    ]
    .concat()
}

/// The cases of the binary `held`.
pub fn cases() -> Vec<Case> {
    let case = |name, body| Case::new(name, body).package(env!("CARGO_MANIFEST_DIR"));
    let pair = |held: Held| {
        let clean = held.clean_case().zip(held.clean).map(|(name, body)| case(name, body));
        [Some(case(held.leaky_case(), held.leaky)), clean].into_iter().flatten()
    };
    all().into_iter().flat_map(pair).collect()
}

/// Bytes of most blocks here: unlike any that the standard library makes by itself.
const PAGE: usize = 496;

/// What a registry holds.
struct Engine {
    page: [u8; PAGE],
}

impl Engine {
    fn new(round: u32) -> Self {
        Self { page: [round.to_le_bytes()[0]; PAGE] }
    }

    /// Whether it is that round's.
    fn is_of(&self, round: u32) -> bool {
        self.page.iter().all(|byte| *byte == round.to_le_bytes()[0])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_has_a_name_of_its_own_and_its_marked_lines() {
        let all = all();
        let mut names: Vec<&str> = all.iter().map(|held| held.name).collect();
        for held in &all {
            assert!(held.made() > 0, "{}", held.name);
            assert!(!held.classes.is_empty(), "{}", held.name);
            let _marked_once = (held.declaration(), held.around());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn every_mark_is_in_the_table() {
        let all = all();
        let mut files: Vec<Source> = Vec::new();
        for held in &all {
            if files.iter().all(|file| file.file != held.source.file) {
                files.push(held.source);
            }
        }
        let count = |mark: &str| -> usize {
            files.iter().map(|file| file.text.matches(&format!("// {mark} ")).count()).sum()
        };
        assert_eq!(count("MADE"), all.len());
        let declared = all.iter().filter(|held| held.declaration().is_some()).count();
        assert_eq!(count("HELD"), declared);
        assert_eq!(count("AROUND"), all.iter().filter(|held| held.around().is_some()).count());
    }
}
