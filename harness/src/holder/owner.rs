//! What roots are part of: a variable, a thread's stack, a mapping.

use std::collections::HashMap;

use watertight_report::model::HolderClass;

use super::account::Owner;
use super::local::{Found, Stack};
use super::root::{Place, Root, Standing};
use crate::symbol::{LoadedModule, Local, Origin, Symbolizer, Variable};

/// As what the harness has the test's async runtime, in `child.rs`.
const RUNTIME: &str = "TestRuntime";

/// Who owns a root, as far as owners are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Static {
        module: u16,
        name: String,
    },
    ThreadLocal {
        module: u16,
        name: String,
        thread: String,
    },
    /// A value under a pthread key.
    Specific {
        key: u8,
        thread: String,
    },
    /// A variable of a function that a thread stands in, at this return address.
    Local {
        function: u64,
        name: String,
        thread: String,
    },
    /// The variable in which the harness has the test's async runtime.
    TestRuntime,
    Stack {
        thread: String,
    },
    Control {
        thread: String,
    },
    Mapping {
        stack: u32,
    },
    Early,
}

/// An owner with its names.
pub(super) struct Named {
    pub(super) key: Key,
    pub(super) variable: Option<Variable>,
    pub(super) local: Option<Local>,
}

/// Names the owners of roots.
pub(super) struct Keys<'a> {
    threads: &'a [Standing],
    modules: &'a [LoadedModule],
    /// The functions that threads stand in, by thread.
    stacks: HashMap<u16, Stack>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(threads: &'a [Standing], modules: &'a [LoadedModule]) -> Self {
        Self { threads, modules, stacks: HashMap::new() }
    }

    /// Who owns a root, with the variable where it is one.
    pub(super) fn of(&mut self, symbols: &mut Symbolizer, root: &Root) -> Named {
        let threads = self.threads;
        let thread = |at: u16| threads[usize::from(at)].name.clone();
        let (mut variable, mut local) = (None, None);
        let key = match root.place {
            Place::Data { module } => {
                let loaded = &self.modules[usize::from(module)];
                variable = symbols.static_at(loaded, root.at);
                let unnamed = || loaded.offset_name(root.at);
                Key::Static {
                    module,
                    name: variable.as_ref().map_or_else(unnamed, |it| it.name.clone()),
                }
            }
            Place::Local { module, thread: at } => {
                let loaded = &self.modules[usize::from(module)];
                variable = symbols.thread_local_at(loaded, root.at);
                let unnamed = || format!("{} (thread-local +{:#x})", loaded.file_name(), root.at);
                let name = variable.as_ref().map_or_else(unnamed, |it| it.name.clone());
                Key::ThreadLocal { module, name, thread: thread(at) }
            }
            Place::Key { thread: at, key } => Key::Specific { key, thread: thread(at) },
            Place::Stack { thread: at } => {
                let of_thread = || Stack::of(symbols, self.modules, &threads[usize::from(at)]);
                let stack = self.stacks.entry(at).or_insert_with(of_thread);
                match stack.find(symbols, self.modules, root.at) {
                    Some(Found { local: Some(found), function }) => {
                        let is_runtime = found.type_name.as_deref() == Some(RUNTIME)
                            && symbols.is_harness(self.modules, function);
                        let name = found.name.clone();
                        local = Some(found);
                        match is_runtime {
                            true => Key::TestRuntime,
                            false => Key::Local { function, name, thread: thread(at) },
                        }
                    }
                    _ => Key::Stack { thread: thread(at) },
                }
            }
            Place::Control { thread: at } | Place::Register { thread: at } => {
                Key::Control { thread: thread(at) }
            }
            Place::Mapping { stack } => Key::Mapping { stack },
            Place::Early => Key::Early,
        };
        Named { key, variable, local }
    }
}

/// What an owner is, and how early it is believed.
pub(super) fn owner(key: &Key, variable: Option<&Variable>) -> Owner {
    let origin = variable.map(|variable| variable.origin);
    // C libraries keep tables of all that they have made.
    let of_origin = |user: u8, system: u8| match origin {
        Some(Origin::User) => user,
        Some(Origin::Dependency) => user + 1,
        Some(Origin::Toolchain) => user + 2,
        Some(Origin::System) | None => system,
    };
    let system = Owner::TELLING_MAX + 1;
    let (class, rank) = match key {
        Key::Static { .. } => (HolderClass::Static, of_origin(0, system)),
        Key::ThreadLocal { .. } => (HolderClass::ThreadLocal, of_origin(3, 5)),
        Key::Specific { .. } => (HolderClass::PthreadKey, 6),
        Key::Local { .. } => (HolderClass::Local, 7),
        Key::TestRuntime => (HolderClass::TestRuntime, 7),
        Key::Stack { .. } => (HolderClass::Stack, 8),
        Key::Mapping { .. } => (HolderClass::Mapping, 9),
        Key::Early => (HolderClass::Mapping, system),
        Key::Control { .. } => (HolderClass::Thread, system + 1),
    };
    Owner { class, rank }
}
