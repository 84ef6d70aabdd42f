//! From blocks and roots to what a person knows: variables, threads, and the calls that made the blocks.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use watertight_report::model::{Confidence, Holder, HolderClass, Hop};

use super::account::{Account, Accounts, Among, By, Owner};
use super::block::Block;
use super::module::Module;
use super::root::{Place, Root};
use super::way::{Start, Step, Way};
use super::{Heap, local};
use crate::explain::Namer;
use crate::region::RegionMap;
use crate::symbol::{LoadedModule, Origin, Symbolizer, Variable};

/// Who owns a root, as far as owners are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
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
struct Named {
    key: Key,
    variable: Option<Variable>,
}

/// Answers who holds what of one process.
pub(crate) struct Holders<'a> {
    heap: &'a Heap,
    region: &'a RegionMap,
    namer: &'a Namer<'a>,
    modules: Vec<LoadedModule>,
    named: Vec<Named>,
    accounts: Accounts<'a>,
}

/// What of some stacks nothing points to any more.
pub(crate) struct Lost {
    pub(crate) blocks: i64,
    pub(crate) bytes: i64,
    pub(crate) holder: Holder,
}

impl<'a> Holders<'a> {
    /// Names the owners of all roots; none where nothing is to be named.
    pub(crate) fn new(heap: &'a Heap, region: &'a RegionMap, namer: &'a Namer<'a>) -> Option<Self> {
        let module = |module: &Module| LoadedModule {
            path: module.path.clone(),
            start: module.span.0,
            end: module.span.1,
            bias: module.bias,
            seen: heap.seen,
        };
        let modules: Vec<LoadedModule> = heap.modules.iter().map(module).collect();
        let mut symbols = namer.symbols()?;
        let mut known: HashMap<Key, u32> = HashMap::new();
        let (mut named, mut owners, mut owned) = (Vec::new(), Vec::new(), Vec::new());
        for root in &heap.roots.roots {
            let (key, variable) = key(heap, &modules, &mut symbols, root);
            let at = *known.entry(key.clone()).or_insert_with(|| {
                owners.push(owner(&key, variable.as_ref()));
                named.push(Named { key, variable });
                owners.len() as u32 - 1
            });
            owned.push(at);
        }
        drop(symbols);
        let accounts = Accounts::new(&heap.blocks, &heap.edges, &heap.roots.roots, owners, owned);
        Some(Self { heap, region, namer, modules, named, accounts })
    }

    /// Who holds what was made on some stacks; none where nothing of it lives.
    pub(crate) fn of(&self, stacks: &[u32], among: Among) -> Option<Holder> {
        let known: RefCell<HashMap<u32, u64>> = RefCell::default();
        let made_by = |stack| *known.borrow_mut().entry(stack).or_insert_with(|| self.call(stack));
        let account = self.accounts.of(&stacks.iter().copied().collect(), among, made_by)?;
        Some(self.holder(&account))
    }

    /// Who holds the blocks of one size, as it was asked for.
    pub(crate) fn of_size(&self, bytes: u64) -> Option<Holder> {
        let is_it = |block: &Block| block.stack != 0 && (bytes..bytes + 16).contains(&block.bytes);
        let blocks = self.heap.blocks.iter().filter(|(_, block)| is_it(block));
        let stacks: Vec<u32> = blocks.map(|(_, block)| block.stack).collect();
        self.of(&stacks, Among::All)
    }

    /// What of some stacks nothing points to any more; none where something points to all of it.
    pub(crate) fn lost(&self, stacks: &[u32]) -> Option<Lost> {
        let stacks: Vec<u32> = stacks.iter().copied().filter(|it| !self.is_linkers(*it)).collect();
        let lost = self.accounts.lost(&stacks.iter().copied().collect());
        let holder = self.of(&stacks, Among::Lost)?;
        let bytes = lost.iter().map(|block| self.heap.blocks.get(*block).bytes as i64).sum();
        Some(Lost { blocks: lost.len() as i64, bytes, holder })
    }

    /// Whether the dynamic linker has made what a stack made: it keeps a thread's table of thread-local
    /// storage with the thread's stack, for the next thread, in memory that is not looked at.
    fn is_linkers(&self, stack: u32) -> bool {
        let holds =
            |module: &&Module, address: u64| (module.span.0..module.span.1).contains(&address);
        let others = || self.heap.modules.iter().filter(|module| !module.is_agent());
        let module = |address: &u64| others().find(|module| holds(module, *address));
        // The innermost frames are the agent's.
        self.region.stack(stack).iter().find_map(module).is_some_and(|module| module.is_linker)
    }

    fn holder(&self, account: &Account) -> Holder {
        let (mut holder, start) = match account.by {
            By::Owner(owner) => self.owner(owner, account),
            By::Ring => (Holder::new(HolderClass::Cycle, Confidence::Sure), None),
            By::Lost { .. } => (Holder::new(HolderClass::Lost, Confidence::Sure), None),
        };
        let made = account.path.iter().map(|block| self.made(*block));
        let mut steps: Vec<Step> = made.collect();
        if let Some(mut symbols) = self.namer.symbols() {
            let way = Way { steps: &mut steps, path: &account.path, edges: &self.heap.edges };
            let ring = match account.by {
                By::Lost { points_to_itself: true } => 1,
                _ => account.ring_blocks as usize,
            };
            way.describe(&mut symbols, start, ring);
        }
        holder.hops = steps.into_iter().map(|step| step.hop).collect();
        if account.by == (By::Lost { points_to_itself: true }) {
            // A pointer of its own is a cycle of one; of what is not counted it may be the end of a list.
            let counted =
                |hop: &Hop| hop.made_by.starts_with("Rc<") || hop.made_by.starts_with("Arc<");
            let is_counted = holder.hops.first().is_some_and(counted);
            holder.class = HolderClass::Cycle;
            holder.confidence = if is_counted { Confidence::Sure } else { Confidence::Possible };
        }
        holder.ring_blocks = account.ring_blocks;
        holder.things = account.things;
        holder.things_per_round = account.things_per_round;
        holder.retained_bytes = account.retained_bytes;
        holder.retained_blocks = account.retained_blocks;
        holder.rounds = account.rounds;
        holder.rounds_seen = account.rounds_seen;
        holder.also.clone_from(&account.also);
        holder
    }

    /// An owner, and where in it the path begins.
    fn owner(&self, owner: u32, account: &Account) -> (Holder, Option<Start>) {
        let Named { key, variable } = &self.named[owner as usize];
        let class = self.accounts.owner(owner).class;
        let is_variable = matches!(
            class,
            HolderClass::Static | HolderClass::ThreadLocal | HolderClass::PthreadKey
        );
        let is_steady = account.rounds_seen + 1 >= account.rounds;
        let confidence =
            if is_variable && is_steady { Confidence::Sure } else { Confidence::Possible };
        let mut holder = Holder::new(class, confidence);
        let mut start = None;
        match key {
            Key::Static { module, name } => {
                holder.name = Some(name.clone());
                start = self.declare(&mut holder, *module, variable.as_ref(), account);
            }
            Key::ThreadLocal { module, name, thread } => {
                holder.name = Some(name.clone());
                holder.thread = Some(thread.clone());
                start = self.declare(&mut holder, *module, variable.as_ref(), account);
            }
            Key::Specific { key, thread } => {
                holder.name = Some(key.to_string());
                holder.thread = Some(thread.clone());
            }
            Key::Stack { thread } => {
                holder.thread = Some(thread.clone());
                start = self.find_local(&mut holder, owner, account, is_steady);
            }
            Key::Control { thread } => holder.thread = Some(thread.clone()),
            Key::Early => {}
            Key::Mapping { stack } => {
                let made = self.namer.creation(self.region, &self.heap.program, *stack);
                holder.site = made.and_then(|made| made.site);
            }
        }
        (holder, start)
    }

    /// Adds where a variable is declared, and as what.
    fn declare(
        &self,
        holder: &mut Holder,
        module: u16,
        variable: Option<&Variable>,
        account: &Account,
    ) -> Option<Start> {
        let (variable, mut symbols) = variable.zip(self.namer.symbols())?;
        let module = &self.modules[usize::from(module)];
        let declared = symbols.declaration(module, variable);
        holder.type_name = declared.type_name;
        holder.site = declared.file.map(|file| self.namer.place(&file, declared.line));
        let root = &self.heap.roots.roots[account.root? as usize];
        let distance = variable.distance(module, root.at);
        Some(Start { value: declared.value?, distance, inside: root.inside })
    }

    /// Adds which function's frame it is, and which variable of it.
    fn find_local(
        &self,
        holder: &mut Holder,
        owner: u32,
        account: &Account,
        is_steady: bool,
    ) -> Option<Start> {
        let heap = self.heap;
        // One word was the first to reach a block; others on the same stack may point there as well.
        let first: HashSet<u32> =
            account.roots.iter().map(|root| heap.roots.roots[*root as usize].block).collect();
        let mut places: Vec<(usize, &Root)> = (0..)
            .zip(&heap.roots.roots)
            .filter(|(at, root)| {
                self.accounts.owner_of(*at) == owner && first.contains(&root.block)
            })
            .filter_map(|(_, root)| match root.place {
                Place::Stack { thread } => Some((usize::from(thread), root)),
                _ => None,
            })
            .collect();
        // The one that the path begins at comes first: it may be another variable's.
        places.sort_by_key(|(_, root)| account.path.first() != Some(&root.block));
        let mut symbols = self.namer.symbols()?;
        let found = local::find(&mut symbols, &self.modules, &heap.roots.threads, &places)?;
        let named = symbols.name(&self.modules, &[found.function]);
        drop(symbols);
        holder.site = named.last().map(|symbol| self.namer.frame(symbol));
        let local = found.local?;
        holder.class = HolderClass::Local;
        holder.name = Some(local.name);
        holder.type_name = local.type_name;
        if is_steady {
            holder.confidence = Confidence::Sure;
        }
        let distance = found.root.at.wrapping_sub(local.address) as i64;
        let start = Start { value: local.value?, distance, inside: found.root.inside };
        (account.path.first() == Some(&found.root.block)).then_some(start)
    }

    /// A number for the call that makes blocks on a stack.
    fn call(&self, stack: u32) -> u64 {
        let made = self.namer.made(self.region, &self.heap.program, stack);
        let mut hasher = DefaultHasher::new();
        made.map(|made| made.by).hash(&mut hasher);
        hasher.finish()
    }

    /// A block, by the call that made it.
    fn made(&self, block: u32) -> Step {
        let block = self.heap.blocks.get(block);
        match self.namer.made(self.region, &self.heap.program, block.stack) {
            Some(made) => {
                let mut hop = Hop::new(made.by, block.bytes);
                hop.site = made.site;
                Step { hop, value: made.value }
            }
            None => Step { hop: Hop::new("", block.bytes), value: None },
        }
    }
}

/// Who owns a root, with the variable where it is one.
fn key(
    heap: &Heap,
    modules: &[LoadedModule],
    symbols: &mut Symbolizer,
    root: &Root,
) -> (Key, Option<Variable>) {
    let thread = |at: u16| heap.roots.threads[usize::from(at)].name.clone();
    match root.place {
        Place::Data { module } => {
            let loaded = &modules[usize::from(module)];
            let variable = symbols.static_at(loaded, root.at);
            let unnamed = || loaded.offset_name(root.at);
            let name = variable.as_ref().map_or_else(unnamed, |it| it.name.clone());
            (Key::Static { module, name }, variable)
        }
        Place::Local { module, thread: at } => {
            let loaded = &modules[usize::from(module)];
            let variable = symbols.thread_local_at(loaded, root.at);
            let unnamed = || format!("{} (thread-local +{:#x})", loaded.file_name(), root.at);
            let name = variable.as_ref().map_or_else(unnamed, |it| it.name.clone());
            (Key::ThreadLocal { module, name, thread: thread(at) }, variable)
        }
        Place::Key { thread: at, key } => (Key::Specific { key, thread: thread(at) }, None),
        Place::Stack { thread: at } => (Key::Stack { thread: thread(at) }, None),
        Place::Control { thread: at } | Place::Register { thread: at } => {
            (Key::Control { thread: thread(at) }, None)
        }
        Place::Mapping { stack } => (Key::Mapping { stack }, None),
        Place::Early => (Key::Early, None),
    }
}

/// What an owner is, and how early it is believed.
fn owner(key: &Key, variable: Option<&Variable>) -> Owner {
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
        Key::Stack { .. } => (HolderClass::Stack, 7),
        Key::Mapping { .. } => (HolderClass::Mapping, 8),
        Key::Early => (HolderClass::Mapping, system),
        Key::Control { .. } => (HolderClass::Thread, system + 1),
    };
    Owner { class, rank }
}
