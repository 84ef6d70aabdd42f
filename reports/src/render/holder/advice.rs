//! What to do about a holder: unlike the advice on a line, it knows where the block has to be let go.

use super::{is_below, known, place, ring};
use crate::model::{Confidence, Holder, HolderClass, Status};
use crate::render::text::{list, quoted};

/// Fields of a cycle that are named: of more it does not help to know them all.
const FIELDS_MAX: usize = 4;

/// What to do about what `holder` keeps; none where it is not sure.
pub(in crate::render) fn advice(holder: &Holder, status: Status) -> Option<String> {
    if holder.confidence != Confidence::Sure {
        return None;
    }
    Some(match holder.class {
        HolderClass::Static | HolderClass::ThreadLocal => {
            let variable = variable(holder);
            match status {
                // Seen in one run alone: a cache is held in the same way.
                Status::Unconfirmed => {
                    format!("see whether {variable} is meant to keep them, and what removes them")
                }
                _ => format!(
                    "remove them from {variable} when they are done (nothing does), or bound it"
                ),
            }
        }
        HolderClass::PthreadKey | HolderClass::Local | HolderClass::Stack | HolderClass::Thread => {
            let thread = match known(holder.thread.as_ref()) {
                Some(thread) => format!("the thread {}", quoted(thread)),
                None => "that thread".to_owned(),
            };
            format!("let {thread} end, or have it drop what it holds")
        }
        HolderClass::TestRuntime => {
            "end the task that has them before the test ends, or have it drop them".to_owned()
        }
        HolderClass::Mapping => {
            "remove them from the memory that the program mapped, or unmap it".to_owned()
        }
        HolderClass::Cycle => format!("break the cycle: {}", where_to_open(holder)),
        HolderClass::Lost => {
            let what = match is_below(holder) {
                true => above(holder),
                false => "it".to_owned(),
            };
            format!(
                "drop {what}: look for `mem::forget`, `Box::leak`, `into_raw`, a C handle never freed"
            )
        }
        HolderClass::Unmeasured => return None,
    })
}

/// Which of the fields that close a cycle could be let go, where some of them are known.
fn where_to_open(holder: &Holder) -> String {
    let fields = ring(holder).iter().filter_map(|hop| known(hop.field.as_ref()).map(quoted));
    let mut fields: Vec<String> = fields.collect();
    fields.sort();
    fields.dedup();
    match fields.as_slice() {
        [one] => format!("make {one} `Weak` where it leads back, or clear it"),
        fields if (2..=FIELDS_MAX).contains(&fields.len()) => {
            format!("make one of {} `Weak`, or clear it", list(fields))
        }
        _ => "make one direction `Weak`".to_owned(),
    }
}

fn variable(holder: &Holder) -> String {
    match (known(holder.name.as_ref()), holder.class) {
        (Some(name), _) => quoted(name),
        (None, HolderClass::ThreadLocal) => "that thread-local".to_owned(),
        (None, _) => "that static".to_owned(),
    }
}

/// The lost block that the leaked thing hangs below.
fn above(holder: &Holder) -> String {
    let made = holder.hops.first().and_then(|hop| hop.site.as_ref()).and_then(place);
    match made {
        Some(place) => format!("what holds it, made at {place}"),
        None => "what holds it".to_owned(),
    }
}
