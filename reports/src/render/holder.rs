//! Who keeps a leaked block, in words: the only place that has them, for every medium.
//!
//! ```text
//! held by static hb::registry::REGISTRY  src/hb.rs:8
//!         : OnceLock<Mutex<HashMap<usize, Arc<Engine>>>>
//!         -> HashMap<usize, Arc<Engine>>::insert, 288 B  .value  src/hb.rs:11
//!         -> Arc<Engine>::new, 56 B  src/hb.rs:12
//!         7 of 7 rounds; retains 15,162 B in 21 blocks; also reached from: a thread-local
//! ```
//!
//! Whoever follows pointers sees neither a tagged one nor an offset, so a block that nobody points to is
//! never said to be held by nothing without what that rests on: that no pointer was found.

mod advice;
mod clause;
mod noun;

use super::sentence;
use super::text::{self, list, name, quoted};
use crate::metric;
use crate::model::{Confidence, Frame, Holder, HolderClass, Hop};

pub(super) use advice::advice;
pub(super) use clause::clause;

/// Where the lines below the first start.
const BELOW: &str = "        ";
/// Hops shown of a chain that is cut, before the last: the first are nearest to the name that is known.
const HOPS_FIRST: usize = 3;
/// Hops that are shown without a cut: to leave out one takes a line as well.
const HOPS_MAX: usize = HOPS_FIRST + 2;
/// Places named where the blocks of a cycle were made.
const PLACES_MAX: usize = 4;

/// Everything known of a holder, in lines to stand below each other; `rounds` is what the trial's rounds are
/// called, none where it has none, and `paint` gives a place in the source its colour.
pub(super) fn lines(
    holder: &Holder,
    rounds: Option<&str>,
    paint: impl Fn(&str) -> String,
) -> Vec<String> {
    let mut below = Vec::new();
    if let Some(of_type) = known(holder.type_name.as_ref()).filter(|_| !says_type(holder)) {
        below.push(format!(": {}", name(of_type)));
    }
    below.extend(above(holder));
    below.extend(hops(holder, &paint));
    below.extend(facts(holder, rounds));
    let head = head(holder, rounds, &paint);
    let below = below.into_iter().map(|line| format!("{BELOW}{line}"));
    std::iter::once(head).chain(below).collect()
}

/// The first of the [`lines`], where there is room for no more.
pub(super) fn brief(holder: &Holder) -> String {
    head(holder, None, &str::to_owned)
}

/// `held by static hb::registry::REGISTRY  src/hb.rs:8`.
fn head(holder: &Holder, rounds: Option<&str>, paint: &impl Fn(&str) -> String) -> String {
    let sure = holder.confidence == Confidence::Sure || holder.class == HolderClass::Unmeasured;
    let held = if sure { "held by" } else { "possibly held by" };
    let place = holder.site.as_ref().and_then(place);
    let place = place.map_or_else(String::new, |place| format!("  {}", paint(&place)));
    let thread = known(holder.thread.as_ref()).map(|thread| format!("thread {}", quoted(thread)));
    let of_thread = match &thread {
        Some(thread) => format!(", of {thread}"),
        None => String::new(),
    };
    let a_thread = thread.unwrap_or_else(|| "a thread".to_owned());
    let named = known(holder.name.as_ref()).map(name);
    let function = known(holder.site.as_ref().map(|site| &site.function));
    let who = match holder.class {
        HolderClass::Static => match named {
            Some(named) => format!("static {named}{place}"),
            None => format!("a static{place}"),
        },
        HolderClass::ThreadLocal => match named {
            Some(named) => format!("thread-local {named}{place}{of_thread}"),
            None => format!("a thread-local{place}{of_thread}"),
        },
        HolderClass::PthreadKey => match named {
            Some(number) => format!("pthread key {number} of {a_thread}{place}"),
            None => format!("a pthread key of {a_thread}{place}"),
        },
        HolderClass::Local => {
            let variable = known(holder.name.as_ref()).map_or_else(
                || "a local variable".to_owned(),
                |it| format!("local {}", quoted(it)),
            );
            let of_type = known(holder.type_name.as_ref())
                .map_or_else(String::new, |of_type| format!(": {}", name(of_type)));
            let function =
                function.map_or_else(String::new, |function| format!(", in {}", name(function)));
            format!("{variable}{of_type} on the stack of {a_thread}{function}{place}")
        }
        HolderClass::Stack => {
            let function =
                function.map_or_else(String::new, |function| format!(", in {}", quoted(function)));
            let seen =
                seen(holder, rounds).map_or_else(String::new, |seen| format!("; seen in {seen}"));
            format!("a stack slot of {a_thread}{function}{place} (no live variable there{seen})")
        }
        HolderClass::Thread => format!("what the C library keeps of {a_thread}, or its registers"),
        HolderClass::TestRuntime => "the test's async runtime".to_owned(),
        HolderClass::Mapping => match named {
            Some(named) => format!("memory that the program mapped, {named}{place}"),
            None => format!("memory that the program mapped{place}"),
        },
        HolderClass::Cycle => format!("no one: no pointer found: {}", cycle(holder, paint)),
        HolderClass::Lost => {
            "no one: no pointer found (forgotten, or stored tagged or as an offset)".to_owned()
        }
        HolderClass::Unmeasured => match known(holder.reason.as_ref()) {
            Some(reason) => format!("unmeasured: {}", text::escape(reason)),
            None => "unmeasured".to_owned(),
        },
    };
    format!("{held} {who}")
}

/// Whether the first line has the type.
fn says_type(holder: &Holder) -> bool {
    holder.class == HolderClass::Local
}

/// `2 blocks point to each other, made at src/lib.rs:232 and src/lib.rs:233`.
fn cycle(holder: &Holder, paint: &impl Fn(&str) -> String) -> String {
    let said = match ring_blocks(holder) {
        0 => "blocks point to each other".to_owned(),
        1 => "1 block points to itself".to_owned(),
        many => format!("{} blocks point to each other", metric::count(many)),
    };
    let mut places: Vec<String> = Vec::new();
    for place in ring(holder).iter().filter_map(|hop| hop.site.as_ref().and_then(place)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if places.is_empty() {
        return said;
    }
    let mut shown: Vec<String> = places.iter().take(PLACES_MAX).map(|it| paint(it)).collect();
    match places.len().saturating_sub(PLACES_MAX) {
        0 => {}
        1 => shown.push("1 more line".to_owned()),
        more => shown.push(format!("{} more lines", metric::count(more as u64))),
    }
    format!("{said}, made at {}", list(&shown))
}

/// How many blocks point to each other: as told, else all that there are.
fn ring_blocks(holder: &Holder) -> u64 {
    if holder.ring_blocks > 0 { holder.ring_blocks } else { holder.hops.len() as u64 }
}

/// Those of them that are known.
fn ring(holder: &Holder) -> &[Hop] {
    let known = usize::try_from(ring_blocks(holder)).unwrap_or(usize::MAX);
    &holder.hops[..known.min(holder.hops.len())]
}

/// Whether the leaked thing is none of the blocks that nothing points to from outside, but below them.
fn is_below(holder: &Holder) -> bool {
    match holder.class {
        HolderClass::Lost => holder.hops.len() > 1,
        HolderClass::Cycle => holder.hops.len() > ring(holder).len(),
        _ => false,
    }
}

/// Of what nobody points to: that it is not the leaked thing, but what that hangs below.
fn above(holder: &Holder) -> Option<String> {
    let said = match holder.class {
        HolderClass::Lost => {
            "nothing was found that points to the first of these; the leaked thing hangs below it:"
        }
        _ => "the leaked thing is the last of these and hangs below them:",
    };
    is_below(holder).then(|| said.to_owned())
}

/// The way to the leaked thing, a line for each block; of a long one its ends.
fn hops(holder: &Holder, paint: &impl Fn(&str) -> String) -> Vec<String> {
    let hops = &holder.hops;
    let mut lines: Vec<String> = (hops.iter().enumerate())
        .map(|(at, hop)| {
            // Nothing points to the first of what is lost.
            let arrow = if at == 0 && holder.class.is_lost() { "" } else { "-> " };
            format!("{arrow}{}", block(hop, paint))
        })
        .collect();
    if hops.len() > HOPS_MAX {
        let more = metric::count((hops.len() - HOPS_FIRST - 1) as u64);
        lines.splice(HOPS_FIRST..hops.len() - 1, [format!("... {more} more")]);
    }
    lines
}

/// `Arc<Engine>::new, 56 B  .value  src/hb.rs:12`, as far as it is known.
fn block(hop: &Hop, paint: &impl Fn(&str) -> String) -> String {
    let made_by = Some(hop.made_by.as_str()).filter(|it| !it.is_empty()).map(name);
    let of_type = known(hop.type_name.as_ref()).map(name);
    let what = match (of_type, made_by) {
        (Some(of_type), Some(made_by)) => format!("{of_type}, made by {made_by}"),
        (Some(what), None) | (None, Some(what)) => what,
        (None, None) => "a block".to_owned(),
    };
    let mut said = match hop.bytes {
        0 => what,
        bytes => format!("{what}, {}", metric::bytes(bytes)),
    };
    if let Some(field) = known(hop.field.as_ref()) {
        said.push_str(&format!("  {}", name(field)));
    }
    if let Some(place) = hop.site.as_ref().and_then(place) {
        said.push_str(&format!("  {}", paint(&place)));
    }
    said
}

/// `7 of 7 rounds; retains 15,162 B in 21 blocks; also reached from: a thread-local`.
fn facts(holder: &Holder, rounds: Option<&str>) -> Option<String> {
    let mut told = Vec::new();
    if holder.class != HolderClass::Stack {
        told.extend(seen(holder, rounds));
    }
    if holder.retained_blocks > 0 {
        let bytes = metric::bytes(holder.retained_bytes);
        let blocks = match holder.retained_blocks {
            1 => "1 block".to_owned(),
            many => format!("{} blocks", metric::count(many)),
        };
        told.push(match holder.class.is_lost() {
            true => format!("{bytes} in {blocks} in all"),
            false => format!("retains {bytes} in {blocks}"),
        });
    }
    let mut also: Vec<String> = Vec::new();
    for class in &holder.also {
        let class = start(*class).to_owned();
        if !also.contains(&class) {
            also.push(class);
        }
    }
    if !also.is_empty() {
        told.push(format!("also reached from: {}", list(&also)));
    }
    (!told.is_empty()).then(|| told.join("; "))
}

/// `7 of 7 rounds`; of a single round there is nothing to say.
fn seen(holder: &Holder, rounds: Option<&str>) -> Option<String> {
    let is_told = holder.rounds > 1 && holder.rounds_seen > 0;
    rounds.filter(|_| is_told).map(|rounds| {
        let seen = metric::count(holder.rounds_seen.into());
        format!("{seen} of {} {rounds}", metric::count(holder.rounds.into()))
    })
}

/// Where a way starts, of which nothing else is told.
fn start(class: HolderClass) -> &'static str {
    match class {
        HolderClass::Static => "a static",
        HolderClass::ThreadLocal => "a thread-local",
        HolderClass::PthreadKey => "a pthread key",
        HolderClass::Local => "a local variable",
        HolderClass::Stack => "a stack slot",
        HolderClass::Thread => "what the C library keeps of a thread, or its registers",
        HolderClass::TestRuntime => "the test's async runtime",
        HolderClass::Mapping => "memory that the program mapped",
        HolderClass::Cycle => "blocks that point to each other",
        HolderClass::Lost => "a block to which no pointer was found",
        HolderClass::Unmeasured => "a place that could not be told",
    }
}

/// `file:line`, where the file is known.
fn place(site: &Frame) -> Option<String> {
    (!site.file.is_empty()).then(|| sentence::place(site))
}

/// A text that is there and says something.
fn known(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}
