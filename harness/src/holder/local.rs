//! Which local variable of which function a place on a stack is.

use std::cell::OnceCell;

use super::root::Standing;
use crate::symbol::{LoadedModule, Local, StackFrame, Symbolizer};

/// The functions that a thread stands in, innermost first.
pub(super) struct Stack {
    frames: Vec<Frame>,
}

struct Frame {
    frame: StackFrame,
    locals: OnceCell<Vec<Local>>,
}

/// What is known of a place on a stack.
pub(super) struct Found {
    /// The variable that lives there; none where nobody knows of one.
    pub(super) local: Option<Local>,
    /// A return address in the function whose frame it is.
    pub(super) function: u64,
}

impl Stack {
    pub(super) fn of(
        symbols: &mut Symbolizer,
        modules: &[LoadedModule],
        thread: &Standing,
    ) -> Self {
        let read = |address: u64| thread.word(address);
        let frames = symbols.stack_frames(modules, thread.registers.general, &read);
        let frame = |frame| Frame { frame, locals: OnceCell::new() };
        Self { frames: frames.into_iter().map(frame).collect() }
    }

    /// What is known of the word at an address.
    pub(super) fn find(
        &self,
        symbols: &mut Symbolizer,
        modules: &[LoadedModule],
        at: u64,
    ) -> Option<Found> {
        let Frame { frame, locals } = self.frames.iter().find(|it| at < it.frame.end)?;
        let module = modules.iter().find(|module| module.holds(frame.code))?;
        let locals = locals.get_or_init(|| symbols.locals(module, frame));
        let covers = |local: &&Local| (local.address..local.address + local.bytes).contains(&at);
        // A variable in a larger one is the one that is meant: of a tuple's parts, of a moved value's copies.
        let local = locals.iter().filter(covers).min_by_key(|local| local.bytes);
        // As a return address it is one past.
        Some(Found { local: local.cloned(), function: frame.code + 1 })
    }
}
