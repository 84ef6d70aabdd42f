//! Stacks from inside a hook: who called, without a lock, an allocation, thread-local storage or a
//! call into libc.
//!
//! ```text
//! capture ─► registers here ─► each frame: cache::get ─ hit ─► CFA ─► return address, frame pointer
//!                                             └─ miss ─► module::find ─► cfi::rule ─► cache::put
//! ```
//!
//! A warm frame is one table look-up and two loads, about 5 ns.
//! A miss costs about 0.35 us, once for each call site.
//! The rules come from `.eh_frame`, which every x86_64 compiler writes, so neither the program nor
//! its libraries need frame pointers or debug information.
//!
//! **It never faults, whatever the program.**
//! A frame must lie above the one before it, word-aligned, at most [`STEP_MAX`] away, and a word is
//! only read from a page known to be readable: the page of our own stack pointer, a page found
//! readable before, or one the kernel is asked about first (see [`arch::is_readable`]; once per
//! page, not per walk).
//! So wrong unwind tables give a wrong or short stack and no more.
//! A walk ends, and keeps what it has, at the outermost frame, at an address without a rule (JIT
//! code, assembly without CFI), at a rule outside the few forms that compilers write, or when a
//! check fails.
//!
//! It may run anywhere: in signal handlers, in a thread's last destructor, during `dlopen`.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

// Paths are spelled out so that this file also works where it is itself included by path, as in the
// harness's tests.
#[cfg_attr(target_arch = "x86_64", path = "stack/x86_64.rs")]
#[cfg_attr(not(target_arch = "x86_64"), path = "stack/no_arch.rs")]
mod arch;
#[path = "stack/cache.rs"]
mod cache;
#[path = "stack/cfi.rs"]
mod cfi;
#[path = "stack/module.rs"]
mod module;
#[path = "stack/module_copy.rs"]
mod module_copy;
#[path = "stack/reader.rs"]
mod reader;
#[path = "stack/row.rs"]
mod row;
#[cfg(test)]
#[path = "stack/tests.rs"]
mod tests;

use arch::{RA_BELOW_CFA, RED_ZONE, Registers, SIGNAL_BP_AT, SIGNAL_PC_AT, SIGNAL_SP_AT, WORD};
use cache::Packed;
use cfi::{Bp, Cfa, Rule};

/// The largest believable frame. Rust and C default stacks are 2 and 8 MiB; a frame of an eighth of
/// one is a wrong rule.
const STEP_MAX: usize = 1 << 20;

static MODULE_HOOK: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Fills `out` with return addresses, innermost first: `out[0]` lies in the caller of `capture`
/// when `skip` is 0.
/// Returns how many.
///
/// Every value is the address *after* a call: look up `value - 1`. (The pc a signal interrupted is
/// no call; it is given plus one, so that this holds for all.)
/// `stop_at`, if not 0, is a stack address, say of a local of the function where a body begins:
/// the last address kept is one in that function.
///
/// # Safety
/// The calling thread runs on a stack that grows down, which is all of them.
#[inline(never)]
pub(crate) unsafe fn capture(out: &mut [usize], skip: usize, stop_at: usize) -> usize {
    let Registers { pc, sp, bp } = Registers::here();
    let stop_at = if stop_at == 0 { usize::MAX } else { stop_at };
    let mut walk = Walk { after: pc.wrapping_add(1), sp, bp, pages: Pages::of(sp) };
    let mut skip = skip;
    let mut count = 0;
    while let Some(slot) = out.get_mut(count) {
        let Some(rule) = cache::get(walk.after).or_else(|| learn(walk.after)) else { break };
        let Some(return_address) = walk.step(rule) else { break };
        if walk.sp > stop_at {
            break;
        }
        if skip > 0 {
            skip -= 1;
        } else {
            *slot = return_address;
            count += 1;
        }
    }
    count
}

/// Gives the two optional symbols of the C library, or null. Before this, a stack has no frames.
///
/// # Safety
/// Each is null or the function of that name of this process's C library. Not from a hook: may take
/// the loader's lock.
pub(crate) unsafe fn init(dl_find_object: *const c_void, dl_iterate_phdr: *const c_void) {
    // SAFETY: passed on.
    unsafe { module::init(dl_find_object, dl_iterate_phdr) }
}

/// `hook` is told each module when a stack first passes through it: once, or again after a
/// [`flush`].
/// It runs inside a hook, on any thread, and must have the same manners.
pub(crate) fn set_module_hook(hook: module::Hook) {
    MODULE_HOOK.store(hook as *mut c_void, Release);
}

/// Something that is one for all code of a module and another for each module; none for code that lies
/// in no module, or in one without unwind tables.
pub(crate) fn module_mark(code: usize) -> Option<usize> {
    module::find(code).map(|module| module.unwind_header)
}

/// To be called when `dlopen` or `dlclose` has returned: addresses may mean something else now.
/// Not from a hook, since it may take the loader's lock.
pub(crate) fn flush() {
    cache::clear();
    Pages::forget();
    module::forget_told();
    module::refresh();
}

/// In the child of a fork, while it has one thread: its own table must hear of every module again.
/// Takes no lock, unlike [`flush`]: the loader's may have been held by a thread that is not here.
pub(crate) fn after_fork() {
    cache::clear();
    module::forget_told();
    module_copy::after_fork();
}

/// A cache miss: finds and keeps the rule for the address less one (see [`Walk::after`]).
/// What lies outside all modules is not kept: a module may be loaded there later.
#[cold]
#[inline(never)]
fn learn(after: usize) -> Option<Packed> {
    let pc = after.checked_sub(1)?;
    let module = module::find(pc)?;
    let hook = MODULE_HOOK.load(Acquire);
    if !hook.is_null() && module::is_first_meeting(&module) {
        // SAFETY: only `set_module_hook` stores here, and it stores a `Hook`.
        let hook = unsafe { core::mem::transmute::<*mut c_void, module::Hook>(hook) };
        hook(module.start, module.end, module.load_bias, module.name);
    }
    let rule = module.unwind_image().and_then(|image| cfi::rule(&image, module.unwind_header, pc));
    let packed = rule.and_then(Packed::new).unwrap_or(Packed::END);
    cache::put(after, packed);
    Some(packed)
}

/// The frame a walk stands in.
struct Walk {
    /// The return address into it; its rule is that of the byte before, since a call may be the
    /// last instruction of its function. An interrupted pc, whose rule is its own, is given plus
    /// one.
    after: usize,
    /// The CFA of the frame below, which is the stack pointer of this one.
    sp: usize,
    /// The frame pointer register, 0 when unknown.
    bp: usize,
    pages: Pages,
}

impl Walk {
    /// Goes to the caller's frame; gives the return address into it.
    #[inline(always)]
    fn step(&mut self, rule: Packed) -> Option<usize> {
        let Some(cfa) = rule.simple_cfa(self.sp, self.bp) else { return self.rare_step(rule) };
        self.check(cfa)?;
        let return_address = self.pages.read(cfa.wrapping_sub(RA_BELOW_CFA))?;
        if let Some(below) = rule.bp_below_cfa() {
            let at = cfa.wrapping_sub(below);
            // Below the stack pointer only where a signal hit between `pop rbp` and `ret`.
            if at < self.sp.wrapping_sub(RED_ZONE) {
                return None;
            }
            self.bp = self.pages.read(at)?;
        } else if !rule.keeps_bp() {
            self.bp = 0;
        }
        self.enter(return_address, cfa)
    }

    /// The forms that need another load first: realigned frames, OpenSSL's assembly, signal frames,
    /// the end.
    #[cold]
    #[inline(never)]
    fn rare_step(&mut self, rule: Packed) -> Option<usize> {
        let (cfa, bp) = match rule.unpack() {
            Rule::End => return None,
            Rule::Signal => return self.signal_step(),
            Rule::Step { cfa, bp } => (cfa, bp),
        };
        let cfa = match cfa {
            Cfa::AtBp(offset) => self.read_stack(self.bp.wrapping_add_signed(offset as isize))?,
            Cfa::AboveAtSp(offset) => {
                self.read_stack(self.sp.wrapping_add_signed(offset as isize))?.wrapping_add(WORD)
            }
            Cfa::Sp(_) | Cfa::Bp(_) => return None, // not a rare form
        };
        self.check(cfa)?;
        let return_address = self.pages.read(cfa.wrapping_sub(RA_BELOW_CFA))?;
        self.bp = match bp {
            Bp::Same => self.bp,
            Bp::Lost => 0,
            Bp::Pointee => self.read_stack(self.bp)?,
            Bp::AtCfa(offset) => self.read_stack(cfa.wrapping_add_signed(offset as isize))?,
        };
        self.enter(return_address, cfa)
    }

    /// Out of a signal handler, into what it interrupted. The handler may have had a stack of its
    /// own (`sigaltstack`), so the interrupted frame may lie anywhere; the kernel wrote where.
    fn signal_step(&mut self) -> Option<usize> {
        let pc = self.read_stack(self.sp.wrapping_add(SIGNAL_PC_AT))?;
        let sp = self.read_stack(self.sp.wrapping_add(SIGNAL_SP_AT))?;
        let bp = self.read_stack(self.sp.wrapping_add(SIGNAL_BP_AT))?;
        if sp == self.sp || !sp.is_multiple_of(WORD) {
            return None;
        }
        self.bp = bp;
        self.enter(pc.wrapping_add(1), sp)
    }

    /// A frame lies above the one before, word-aligned and near.
    #[inline(always)]
    fn check(&self, cfa: usize) -> Option<()> {
        let step = cfa.wrapping_sub(self.sp);
        (step.wrapping_sub(1) < STEP_MAX && cfa.is_multiple_of(WORD)).then_some(())
    }

    /// A word of this frame or a near one above.
    fn read_stack(&mut self, address: usize) -> Option<usize> {
        let is_near = address.wrapping_sub(self.sp) < STEP_MAX && address.is_multiple_of(WORD);
        if is_near { self.pages.read(address) } else { None }
    }

    #[inline(always)]
    fn enter(&mut self, return_address: usize, cfa: usize) -> Option<usize> {
        (self.after, self.sp) = (return_address, cfa);
        (return_address != 0).then_some(return_address)
    }
}

/// The page a walk reads from, and all pages found readable before.
///
/// A page may be unmapped after it was found readable; then only a walk that went astray could read
/// it, since a true frame is in a live stack. [`flush`] forgets all.
struct Pages {
    current: usize,
}

const PAGE_BITS: u32 = 12;
const READABLE_MAX: usize = 2048;
/// Page numbers, direct-mapped by their low bits. An entry is one word: it cannot be torn and needs
/// no order.
static READABLE: [AtomicUsize; READABLE_MAX] = [const { AtomicUsize::new(0) }; READABLE_MAX];

impl Pages {
    /// `sp`: our own stack pointer, whose page is ours.
    #[inline(always)]
    fn of(sp: usize) -> Self {
        Self { current: sp >> PAGE_BITS }
    }

    /// The word at an aligned address, if its page can be read.
    #[inline(always)]
    fn read(&mut self, address: usize) -> Option<usize> {
        let page = address >> PAGE_BITS;
        if page != self.current {
            if READABLE[page % READABLE_MAX].load(Relaxed) != page {
                Self::ask(page)?;
            }
            self.current = page;
        }
        // SAFETY: callers pass word-aligned addresses, and the page is mapped readable (see the
        // type's doc).
        // Volatile, since other frames' memory is no object of ours.
        Some(unsafe { ptr::read_volatile(address as *const usize) })
    }

    #[cold]
    #[inline(never)]
    fn ask(page: usize) -> Option<()> {
        if page == 0 || !arch::is_readable(page << PAGE_BITS) {
            return None;
        }
        READABLE[page % READABLE_MAX].store(page, Relaxed);
        Some(())
    }

    fn forget() {
        for page in &READABLE {
            page.store(0, Relaxed);
        }
    }
}
