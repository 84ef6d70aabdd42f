//! The end of the sentence on a failure: where what was left stays.

use super::noun::noun;
use super::{is_below, known, ring_blocks};
use crate::metric;
use crate::model::{Confidence, Holder, HolderClass};
use crate::render::text::quoted;

/// ``3 `Engine` a round stay in `tracker::engine::REGISTRY` ``, to follow where they were made; `a_round` is
/// empty where growth is not told by the round. None where it is not sure, or long to say.
pub(in crate::render) fn clause(holder: &Holder, a_round: &str) -> Option<String> {
    if holder.confidence != Confidence::Sure {
        return None;
    }
    let variable = match holder.class {
        HolderClass::Static => match known(holder.name.as_ref()) {
            Some(name) => quoted(name),
            None => "a static".to_owned(),
        },
        HolderClass::ThreadLocal => match known(holder.name.as_ref()) {
            Some(name) => format!("the thread-local {}", quoted(name)),
            None => "a thread-local".to_owned(),
        },
        HolderClass::TestRuntime => "the test's async runtime".to_owned(),
        HolderClass::Cycle => {
            let said = match ring_blocks(holder) {
                _ if is_below(holder) => "the blocks hang below others that point to each other",
                1 => "each block points to itself",
                _ => "the blocks point to each other",
            };
            return Some(said.to_owned());
        }
        HolderClass::Lost => {
            let said = match is_below(holder) {
                true => "the blocks hang below others that nothing points to any more",
                false => "nothing points to the blocks any more",
            };
            return Some(said.to_owned());
        }
        _ => return None,
    };
    let each = holder.rounds > 1 && holder.things_per_round > 0 && !a_round.is_empty();
    let (many, a_round) =
        if each { (holder.things_per_round, a_round) } else { (holder.things, "") };
    let things = match (many, noun(holder)) {
        (0, _) => "the blocks".to_owned(),
        (many, Some(noun)) => format!("{} {}", metric::count(many), quoted(&noun)),
        (1, None) => "1 thing".to_owned(),
        (many, None) => format!("{} things", metric::count(many)),
    };
    let stay = if many == 1 { "stays" } else { "stay" };
    Some(format!("{things}{a_round} {stay} in {variable}"))
}
