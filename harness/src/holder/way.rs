//! The blocks on the way from a holder to what leaked: by which field of what is before it each is reached, and
//! what it is.
//!
//! What a block is, is told by the call that made it, or else by the type of what points to it.

use watertight_report::model::Hop;

use super::graph::Edges;
use crate::symbol::{Symbolizer, Value, Word};

/// One block on the way.
pub(super) struct Step {
    pub(super) hop: Hop,
    /// What the call that made it has made, where that is told.
    pub(super) value: Option<Value>,
}

/// A word of the holder's that points into the first block.
pub(super) struct Start {
    /// What holds it.
    pub(super) value: Value,
    /// How far into that it lies, in bytes.
    pub(super) distance: i64,
    /// Where in the first block it points, in bytes.
    pub(super) inside: u64,
}

/// The way to what leaked.
pub(super) struct Way<'a> {
    pub(super) steps: &'a mut [Step],
    /// The block of each step.
    pub(super) path: &'a [u32],
    pub(super) edges: &'a Edges,
}

/// What lies in a block, and where in it, in bytes.
type Content = Option<(Value, u64)>;

impl Way<'_> {
    /// Adds fields and types to the steps; the first `ring` of them point to each other.
    pub(super) fn describe(self, symbols: &mut Symbolizer, start: Option<Start>, ring: usize) {
        let steps = self.steps.len();
        let made = self.steps.iter_mut().map(|step| step.value.take().map(|value| (value, 0)));
        let mut contents: Vec<Content> = made.collect();
        // A ring may begin with a block of which only the last one knows what it is.
        let rounds = if ring == 0 { 1 } else { 2 };
        for at in (0..steps).cycle().take(steps * rounds) {
            let before = at.checked_sub(1).or(ring.checked_sub(1)).filter(|it| *it < steps);
            let (word, inside) = match (before, &start) {
                (Some(before), _) => self.reached(symbols, before, at, &contents[before]),
                (None, Some(start)) => {
                    let word = symbols.word(&start.value, start.distance);
                    (word.unwrap_or_default(), start.inside)
                }
                (None, None) => Default::default(),
            };
            let step = &mut self.steps[at];
            step.hop.field = word.field;
            if let Some(target) = word.target.as_ref().filter(|_| !tells_type(&step.hop.made_by)) {
                let room = step.hop.bytes.saturating_sub(inside);
                step.hop.type_name = symbols.value_name(target, room);
            }
            if contents[at].is_none() {
                contents[at] = word.target.map(|target| (target, inside));
            }
        }
    }

    /// The word of one block that points to another, and where in that it points.
    fn reached(
        &self,
        symbols: &mut Symbolizer,
        from: usize,
        to: usize,
        content: &Content,
    ) -> (Word, u64) {
        let Some(pointer) = self.edges.pointer(self.path[from], self.path[to]) else {
            return Default::default();
        };
        let known = content.as_ref();
        let word = known.and_then(|(value, at)| symbols.word(value, pointer.distance(*at)));
        (word.unwrap_or_default(), pointer.inside())
    }
}

/// Whether the call that made a block says what it is: `Arc<Engine>::new`.
fn tells_type(made_by: &str) -> bool {
    made_by.contains('<')
}
