//! The lines that made what grew in a program that nobody has told us the project of.

use std::sync::Mutex;

use super::census::{Group, Key};
use super::notes::Notes;
use crate::explain::Namer;
use crate::judge::Made;
use crate::symbol::Symbolizer;

/// Places that are named for one process: each costs a symbolised stack.
const NAMED_MAX: usize = 24;

/// Names what grew, largest first within its resource.
pub(crate) fn made(
    grown: Vec<(Key, Group, u64)>,
    notes: Option<&Notes>,
    symbols: &Mutex<Symbolizer>,
) -> Vec<Made> {
    let stack = |key: &Key| match key {
        Key::Stack(_, stack) => Some(*stack),
        Key::Name(..) => None,
    };
    let stacks: Vec<u32> =
        grown.iter().filter_map(|(key, ..)| stack(key)).take(NAMED_MAX).collect();
    let namer =
        notes.map(|notes| Namer::of_program(symbols, &notes.region, &notes.program, &stacks));
    let creation = |key: &Key| {
        let (notes, namer) = notes.zip(namer.as_ref())?;
        namer.creation(&notes.region, &notes.program, stack(key).filter(|it| stacks.contains(it))?)
    };
    let named = grown.into_iter().map(|(key, group, growth)| Made {
        resource: key.resource(),
        what: match &key {
            Key::Name(_, name) => name.clone(),
            Key::Stack(..) => group.what,
        },
        growth,
        creation: creation(&key),
    });
    named.collect()
}
