//! Entries: what is made, taken or changed and has no slot of its own (mappings, paths, locks, watches,
//! process state), found by its key.
//!
//! Lock-free open addressing: a slot is claimed as busy, filled, and published by its key. An entry may
//! be stale (a raw system call, a close that takes a lock along); the supervisor asks the kernel.

use core::sync::atomic::Ordering::*;

use crate::local;
use crate::note;
use crate::sys;
use crate::table::{Control, ENTRIES, ENTRY_PROBES, ENTRY_TEXT, Entry, Region, STAGE_START, entry_key};

const FREE: u64 = 0;
const FORGOTTEN: u64 = 1;
const BUSY: u64 = 2;

/// Region and control of this process, where what it makes is to be entered: not while the main
/// process is still entering, where all that is made is the harness's own.
#[inline]
pub(crate) fn table() -> Option<(&'static Region, &'static Control)> {
    let region = local::region()?;
    let control = local::control()?;
    (control.stage.load(Relaxed) != STAGE_START).then_some((region, control))
}

/// The same in the trial's main process alone, once a round has begun.
#[inline]
pub(crate) fn main_table() -> Option<(&'static Region, &'static Control)> {
    let (region, control) = table()?;
    let is_main = control.main.load(Relaxed) == region.pid.load(Relaxed);
    (is_main && control.round.load(Relaxed) > 0).then_some((region, control))
}

/// What is known of an entry besides its key.
#[derive(Clone, Copy, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) value: u64,
    pub(crate) before: u64,
    pub(crate) text: &'a [u8],
}

/// Enters something with the caller's stack; what is known already gets the new stack, round and value
/// and keeps its `before`.
pub(crate) fn enter(kind: u32, identity: u64, facts: Facts<'_>) {
    if let Some((region, control)) = table() {
        put(region, control, kind, identity, note::stack_id(region, control), facts);
    }
}

/// The same for a change of the main process's state.
pub(crate) fn change(kind: u32, identity: u64, facts: Facts<'_>) {
    if let Some((region, control)) = main_table()
        && local::is_own(region)
    {
        put(region, control, kind, identity, note::stack_id(region, control), facts);
    }
}

/// Enters something under a stack that is known. What finds no room is counted: the supervisor must know
/// that it does not see all.
pub(crate) fn put(region: &Region, control: &Control, kind: u32, identity: u64, stack: u32, facts: Facts<'_>) {
    if facts.text.len() > ENTRY_TEXT {
        region.entries_dropped[kind as usize].fetch_add(1, Relaxed);
        return;
    }
    let round = control.round.load(Relaxed);
    if let Some(entry) = find(region, kind, identity) {
        entry.stack.store(stack, Relaxed);
        entry.value.store(facts.value, Relaxed);
        entry.round.store(round, Release);
        return;
    }
    let key = entry_key(kind, identity);
    let Some((at, entry)) = claim(region, key) else {
        region.entries_dropped[kind as usize].fetch_add(1, Relaxed);
        return;
    };
    entry.stack.store(stack, Relaxed);
    entry.round.store(round, Relaxed);
    entry.value.store(facts.value, Relaxed);
    entry.before.store(facts.before, Relaxed);
    for (slot, byte) in entry.text.bytes.iter().zip(facts.text) {
        slot.store(*byte, Relaxed);
    }
    entry.text.len.store(facts.text.len() as u32, Relaxed);
    entry.key.store(key, Release);
    region.entries_made[kind as usize].fetch_add(1, Relaxed);
    // A slot that was used before is in the index already.
    if let Some(at) = at {
        let next = region.entry_next.fetch_add(1, AcqRel) as usize;
        if let Some(index) = region.entry_index.get(next) {
            index.store(at as u32, Release);
        }
    }
}

/// Forgets something that is undone, where it was known.
pub(crate) fn forget(region: &Region, kind: u32, identity: u64) {
    if let Some(entry) = find(region, kind, identity) {
        entry.key.store(FORGOTTEN, Release);
        region.entries_gone[kind as usize].fetch_add(1, Relaxed);
    }
}

/// Whether there is room for a new entry of this key.
pub(crate) fn has_room(region: &Region, kind: u32, identity: u64) -> bool {
    window(region, entry_key(kind, identity)).any(|entry| entry.key.load(Relaxed) <= FORGOTTEN)
}

/// Forgets of the entries that stand where one of this key would those that are over.
pub(crate) fn forget_over(region: &Region, kind: u32, identity: u64, is_over: impl Fn(&Entry) -> bool) {
    for entry in window(region, entry_key(kind, identity)) {
        let key = entry.key.load(Acquire);
        let of_kind = key >> 56 == u64::from(kind);
        if of_kind && is_over(entry) && entry.key.compare_exchange(key, FORGOTTEN, AcqRel, Relaxed).is_ok() {
            region.entries_gone[kind as usize].fetch_add(1, Relaxed);
        }
    }
}

/// The slots where an entry of this key may stand.
fn window(region: &Region, key: u64) -> impl Iterator<Item = &Entry> {
    let home = home(key);
    (0..ENTRY_PROBES).map(move |probe| &region.entries[(home + probe) % ENTRIES])
}

/// The entry of a key.
pub(crate) fn find(region: &Region, kind: u32, identity: u64) -> Option<&Entry> {
    let key = entry_key(kind, identity);
    let slots = window(region, key).map(|entry| (entry, entry.key.load(Acquire)));
    let mut used = slots.take_while(|(_, found)| *found != FREE);
    used.find(|(_, found)| *found == key).map(|(entry, _)| entry)
}

/// A slot for a new key, claimed; its number where it was never used before.
fn claim(region: &Region, key: u64) -> Option<(Option<usize>, &Entry)> {
    let home = home(key);
    for probe in 0..ENTRY_PROBES {
        let at = (home + probe) % ENTRIES;
        let entry = &region.entries[at];
        let found = entry.key.load(Acquire);
        if found <= FORGOTTEN && entry.key.compare_exchange(found, BUSY, AcqRel, Relaxed).is_ok() {
            return Some(((found == FREE).then_some(at), entry));
        }
    }
    None
}

fn home(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % ENTRIES
}

/// Whether this is the thread that runs the body.
pub(crate) fn is_body_thread(control: &Control) -> bool {
    control.body_tp.load(Relaxed) == sys::thread_pointer()
}
