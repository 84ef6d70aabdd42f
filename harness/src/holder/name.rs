//! From blocks and roots to what a person knows: variables, threads, and the calls that made the blocks.

use std::collections::HashMap;

use watertight_report::model::{Confidence, Frame, Holder, HolderClass, Hop};

use super::Heap;
use super::account::{Account, Accounts, Among, By};
use super::block::Block;
use super::local::Stack;
use super::module::Module;
use super::owner::{self, Key, Keys, Named};
use super::root::Place;
use super::way::{Start, Step, Way};
use crate::explain::Namer;
use crate::region::RegionMap;
use crate::symbol::{LoadedModule, Local, Variable};

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
        let mut keys = Keys::new(&heap.roots.threads, &modules);
        for root in &heap.roots.roots {
            let Named { key, variable, local } = keys.of(&mut symbols, root);
            let at = *known.entry(key.clone()).or_insert_with(|| {
                owners.push(owner::owner(&key, variable.as_ref()));
                named.push(Named { key, variable, local });
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
        let made = |stack| self.namer.made(self.region, &self.heap.program, stack);
        let made_by = |stack| made(stack).map(|made| made.by);
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
        let Named { key, variable, local } = &self.named[owner as usize];
        let class = self.accounts.owner(owner).class;
        let is_variable = matches!(
            class,
            HolderClass::Static
                | HolderClass::ThreadLocal
                | HolderClass::PthreadKey
                | HolderClass::Local
                | HolderClass::TestRuntime
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
            Key::Local { function, name, thread } => {
                holder.name = Some(name.clone());
                holder.thread = Some(thread.clone());
                holder.site = self.stands_in(*function);
                holder.type_name = local.as_ref().and_then(|local| local.type_name.clone());
                start = local.as_ref().and_then(|local| self.start_of(local, account));
            }
            Key::TestRuntime => {}
            Key::Stack { thread } => {
                holder.thread = Some(thread.clone());
                holder.site = self.function_of(account).and_then(|it| self.stands_in(it));
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

    /// Where in a local variable the path begins.
    fn start_of(&self, local: &Local, account: &Account) -> Option<Start> {
        let root = &self.heap.roots.roots[account.root? as usize];
        // Of several threads in the same function the root may be another one's.
        let distance = root.at.checked_sub(local.address).filter(|it| *it < local.bytes)?;
        Some(Start { value: local.value.clone()?, distance: distance as i64, inside: root.inside })
    }

    /// The line at which a thread stands in a function.
    fn stands_in(&self, function: u64) -> Option<Frame> {
        let mut symbols = self.namer.symbols()?;
        let named = symbols.name(&self.modules, &[function]);
        drop(symbols);
        named.last().map(|symbol| self.namer.frame(symbol))
    }

    /// The function in whose frame a path begins that no variable is known for.
    fn function_of(&self, account: &Account) -> Option<u64> {
        let root = &self.heap.roots.roots[account.root? as usize];
        let Place::Stack { thread } = root.place else { return None };
        let mut symbols = self.namer.symbols()?;
        let thread = &self.heap.roots.threads[usize::from(thread)];
        let stack = Stack::of(&mut symbols, &self.modules, thread);
        Some(stack.find(&mut symbols, &self.modules, root.at)?.function)
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
