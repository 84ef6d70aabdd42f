//! Which local variable of which function holds something: a place on a stack that is known.

use super::root::{Root, Standing};
use crate::symbol::{LoadedModule, Local, StackFrame, Symbolizer};

/// Places on stacks that are looked at for one finding.
const PLACES_MAX: usize = 64;

/// What is known of a place on a stack.
pub(super) struct Found {
    /// The variable that lives there; none where nobody knows of one.
    pub(super) local: Option<Local>,
    /// A return address in the function whose frame it is.
    pub(super) function: u64,
    /// The word there that points into a block.
    pub(super) root: Root,
}

/// The best known one of some places on stacks: one that a variable is known of, else the first.
pub(super) fn find(
    symbols: &mut Symbolizer,
    modules: &[LoadedModule],
    threads: &[Standing],
    places: &[(usize, &Root)],
) -> Option<Found> {
    let mut first = None;
    let mut unwound: Option<(usize, Vec<StackFrame>)> = None;
    for &(thread, root) in places.iter().take(PLACES_MAX) {
        if unwound.as_ref().is_none_or(|(known, _)| *known != thread) {
            let standing = &threads[thread];
            let read = |address: u64| standing.word(address);
            let frames = symbols.stack_frames(modules, standing.registers.general, &read);
            unwound = Some((thread, frames));
        }
        let frames = unwound.as_ref().map(|(_, frames)| frames.as_slice()).unwrap_or_default();
        let Some(frame) = frames.iter().find(|frame| root.at < frame.end) else { continue };
        let Some(module) = modules.iter().find(|module| module.holds(frame.code)) else { continue };
        // As a return address it is one past.
        let function = frame.code + 1;
        let covers =
            |local: &Local| (local.address..local.address + local.bytes).contains(&root.at);
        let locals = symbols.locals(module, frame);
        // A variable in a larger one is the one that is meant: of a tuple's parts, of a moved value's copies.
        let local = locals.into_iter().filter(covers).min_by_key(|local| local.bytes);
        if local.is_some() {
            return Some(Found { local, function, root: *root });
        }
        first = first.or(Some(Found { local: None, function, root: *root }));
    }
    first
}
