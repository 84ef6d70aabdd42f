//! Where a chain of pointers may start: everything outside the heap in which the program keeps any.
//!
//! Only what is known is looked at. The C library maps stacks of threads and arenas by itself and keeps them
//! when they are free: an old stack is full of pointers that mean nothing any more.

use super::block::Blocks;
use super::memory::{Memory, WORD};
use super::module::{self, KEY_BYTES, KEYS, Module, ThreadLayout};
use super::stop::{Registers, Thread};
use crate::probe::Unavailable;
use crate::region::Noted;

/// The System V ABI lets a function use so much below its stack pointer.
const RED_ZONE: u64 = 128;
/// As much of one stack is kept to be unwound.
const STACK_KEPT_BYTES: u64 = 1 << 20;
/// As much of what the program has mapped is looked at.
const MAPPED_BYTES_MAX: u64 = 4 << 30;

/// A place in which pointers were looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Static variables of a module.
    Data {
        module: u16,
    },
    /// Thread-local variables of a module, in one thread.
    Local {
        module: u16,
        thread: u16,
    },
    /// What a thread has under a pthread key.
    Key {
        thread: u16,
        key: u8,
    },
    Stack {
        thread: u16,
    },
    /// What the C library keeps of a thread.
    Control {
        thread: u16,
    },
    Register {
        thread: u16,
    },
    /// A mapping of the program's own, by its creation stack.
    Mapping {
        stack: u32,
    },
    /// Heap that was given out before the agent was there.
    Early,
}

/// A word there that points into a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    pub(super) place: Place,
    /// Address of the word; for thread-local variables where it is in their storage, for a register its number.
    pub(super) at: u64,
    pub(super) block: u32,
    /// Where in the block it points, in bytes.
    pub(super) inside: u64,
}

impl Root {
    /// Where on a stack it lies: outer functions are higher. 0 elsewhere.
    pub(super) fn height(&self) -> u64 {
        if matches!(self.place, Place::Stack { .. }) { self.at } else { 0 }
    }
}

/// A thread, as it stood.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) name: String,
    pub(super) registers: Registers,
    /// Its stack from the stack pointer on, as far as it is kept.
    pub(super) stack: Vec<u8>,
}

impl Standing {
    /// A word of its stack.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.registers.stack_pointer())?).ok()?;
        self.stack.get(at..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
    }
}

/// Everything that is looked at.
pub(super) struct Roots {
    pub(super) roots: Vec<Root>,
    pub(super) threads: Vec<Standing>,
}

/// Looks for pointers into `blocks` everywhere but in the blocks.
pub(super) fn roots(
    memory: &Memory,
    blocks: &Blocks,
    modules: &[Module],
    layout: &ThreadLayout,
    threads: &[Thread],
    mappings: &[Noted],
    early_end: u64,
) -> Result<Roots, Unavailable> {
    let mut search = Search { memory, blocks, buffer: Vec::new(), roots: Vec::new() };
    for (at, module) in (0u16..).zip(modules) {
        for &(start, end) in &module.data {
            search.data(at, module, start, end)?;
        }
    }
    let mut standing = Vec::new();
    for (at, thread) in (0u16..).zip(threads) {
        standing.push(search.thread(at, thread, modules, layout)?);
    }
    let noted =
        mappings.iter().map(|it| (it.identity, it.identity.saturating_add(it.value), it.stack));
    let segments = memory.segments().map(|(start, end)| (start, end, 0));
    let mut left = MAPPED_BYTES_MAX;
    for (start, end, stack) in noted.chain(segments) {
        for (start, end) in memory.readable(start, end) {
            left = left.checked_sub(end - start).ok_or_else(|| {
                Unavailable::new("it has mapped more memory than is looked at (4 GiB)")
            })?;
            search.range(start, end, |_| Place::Mapping { stack })?;
        }
    }
    if let Some(start) = memory.heap_start() {
        search.early(start, early_end)?;
    }
    Ok(Roots { roots: search.roots, threads: standing })
}

struct Search<'a> {
    memory: &'a Memory,
    blocks: &'a Blocks,
    buffer: Vec<u8>,
    roots: Vec<Root>,
}

impl Search<'_> {
    /// Every word of a range that points into a block.
    fn range(
        &mut self,
        start: u64,
        end: u64,
        place: impl Fn(u64) -> Place,
    ) -> Result<(), Unavailable> {
        let (blocks, roots) = (self.blocks, &mut self.roots);
        self.memory.words(start, end, &mut self.buffer, |at, word| {
            if let Some(block) = blocks.find(word) {
                let inside = word - blocks.get(block).start;
                roots.push(Root { place: place(at), at, block, inside });
            }
        })
    }

    /// What is between the blocks of the heap as it was when the agent came: a library's constructor may have
    /// run before, and what it has allocated is no block that is known.
    fn early(&mut self, start: u64, end: u64) -> Result<(), Unavailable> {
        let inside = self.blocks.iter().map(|(_, block)| (block.start, block.end()));
        let inside = inside.filter(|(from, to)| *to > start && *from < end);
        let mut gaps = Vec::new();
        let mut at = start;
        for (from, to) in inside {
            gaps.push((at, from));
            at = at.max(to);
        }
        gaps.push((at, end));
        for (from, to) in gaps.into_iter().filter(|(from, to)| from < to) {
            self.range(from, to, |_| Place::Early)?;
        }
        Ok(())
    }

    /// The static variables of a module.
    fn data(&mut self, at: u16, module: &Module, start: u64, end: u64) -> Result<(), Unavailable> {
        let (blocks, roots) = (self.blocks, &mut self.roots);
        self.memory.words(start, end, &mut self.buffer, |address, word| {
            let Some(block) = blocks.find(word) else { return };
            // The C library's lists of free memory name it by the header before it, which is the last word
            // of the block before.
            let is_header = module.is_libc && word + WORD == blocks.get(block).end();
            if !is_header {
                let inside = word - blocks.get(block).start;
                roots.push(Root { place: Place::Data { module: at }, at: address, block, inside });
            }
        })
    }

    /// A thread's registers, stack, thread-local variables and control block.
    fn thread(
        &mut self,
        at: u16,
        thread: &Thread,
        modules: &[Module],
        layout: &ThreadLayout,
    ) -> Result<Standing, Unavailable> {
        const STACK_POINTER: usize = 7;
        let registers = thread.registers;
        for (number, value) in registers.general.iter().enumerate() {
            if number != STACK_POINTER
                && let Some(block) = self.blocks.find(*value)
            {
                self.roots.push(Root {
                    place: Place::Register { thread: at },
                    at: number as u64,
                    block,
                    inside: value - self.blocks.get(block).start,
                });
            }
        }
        let pointer = registers.thread_pointer;
        // A thread that has just begun, or is about to end, has no storage (yet).
        if pointer == 0 {
            let stack = self.stack(at, thread, u64::MAX)?;
            return Ok(Standing { name: thread.name.clone(), registers, stack });
        }
        let mut lowest = pointer;
        for (number, module) in (0u16..).zip(modules) {
            let Some((id, bytes)) = module.tls else { continue };
            let Some(block) = module::tls_block(self.memory, layout, pointer, id)? else {
                continue;
            };
            if block < pointer {
                lowest = lowest.min(block);
            }
            let from = self.roots.len();
            self.range(block, block + bytes, |_| Place::Local { module: number, thread: at })?;
            for root in &mut self.roots[from..] {
                root.at -= block;
            }
        }
        let keys = pointer + layout.keys;
        self.range(pointer, pointer + layout.block_bytes, |address| {
            match address.checked_sub(keys).map(|offset| offset / KEY_BYTES) {
                Some(key) if key < KEYS => Place::Key { thread: at, key: key as u8 },
                _ => Place::Control { thread: at },
            }
        })?;
        let stack = self.stack(at, thread, lowest)?;
        Ok(Standing { name: thread.name.clone(), registers, stack })
    }

    /// A thread that stands on another stack than its own (a signal's, a coroutine's) has left frames on that: all
    /// of it is looked at, for where they end is not known. The main thread's own has no thread-local storage.
    fn other_stack(
        &mut self,
        at: u16,
        is_main: bool,
        top: u64,
        lowest: u64,
    ) -> Result<(), Unavailable> {
        let own = match is_main {
            true => self.memory.main_stack(),
            false => self.memory.area(lowest.saturating_sub(1)).map(|(start, _)| (start, lowest)),
        };
        match own {
            Some((start, end)) if !(start..end).contains(&top) => {
                self.range(start, end, |_| Place::Stack { thread: at })
            }
            _ => Ok(()),
        }
    }

    /// A thread's stack, which ends where its thread-local storage begins, or its mapping does.
    fn stack(&mut self, at: u16, thread: &Thread, lowest: u64) -> Result<Vec<u8>, Unavailable> {
        let top = thread.registers.stack_pointer();
        self.other_stack(at, thread.is_main, top, lowest)?;
        let Some((first, mut end)) = self.memory.area(top) else { return Ok(Vec::new()) };
        if let Some(block) = self.blocks.find(top) {
            // A stack that the program has allocated: what lies behind it in the heap is none.
            end = self.blocks.get(block).end();
        }
        if (top..end).contains(&lowest) {
            end = lowest;
        }
        let start = first.max(top.saturating_sub(RED_ZONE));
        self.range(start, end, |_| Place::Stack { thread: at })?;
        let mut stack = vec![0; (end - top).min(STACK_KEPT_BYTES) as usize];
        self.memory.read(top, &mut stack)?;
        Ok(stack)
    }
}
