//! What a hook writes down besides its own slot: the creation stack, interned, and the modules on it.

use core::ffi::c_char;
use core::sync::atomic::Ordering::*;

use crate::heap;
use crate::local;
use crate::stack;
use crate::table::{Control, FRAMES, MODULE_PATH, MODULES, Region, STACK_PLACES, STACK_PROBES, STACKS, stack_hash};

/// Captures the caller's stack and gives its number in the region; 0 where there is no room.
#[inline(never)]
pub(crate) fn stack_id(region: &Region, control: &Control) -> u32 {
    let mut frames = [0usize; FRAMES];
    let own = control.body_tp.load(Relaxed) == crate::sys::thread_pointer();
    let stop_at = if own { control.body_sp.load(Relaxed) } else { 0 };
    // SAFETY: called on the thread's own live stack.
    let len = unsafe { stack::capture(&mut frames, 0, stop_at) };
    let parent = heap::shard(region).creation.load(Relaxed);
    intern(region, &frames[..len.min(FRAMES)], parent)
}

/// The number of a stack: found by its hash, or entered. Lock-free: the slot is written first and then
/// published in the index. Of two threads that enter the same stack at once one writes a slot in vain.
fn intern(region: &Region, frames: &[usize], parent: u32) -> u32 {
    let hash = stack_hash(frames, parent);
    let home = (hash >> 20) as usize;
    let mut own = None;
    for probe in 0..STACK_PROBES {
        let place = &region.stack_index[(home + probe) & (STACK_PLACES - 1)];
        let mut found = place.load(Acquire);
        if found == 0 {
            let Some(new) = own.or_else(|| write(region, hash, frames, parent)) else { break };
            own = Some(new);
            match place.compare_exchange(0, new, AcqRel, Acquire) {
                Ok(_) => return new,
                Err(other) => found = other,
            }
        }
        if region.stacks.get(found as usize).is_some_and(|slot| slot.hash.load(Relaxed) == hash) {
            return found;
        }
    }
    region.dropped.fetch_add(1, Relaxed);
    0
}

/// Writes a stack into the next slot; none where all are used.
fn write(region: &Region, hash: u64, frames: &[usize], parent: u32) -> Option<u32> {
    if region.stack_next.load(Relaxed) as usize >= STACKS - 1 {
        return None;
    }
    let at = region.stack_next.fetch_add(1, AcqRel) + 1;
    let slot = region.stacks.get(at as usize)?;
    for (to, from) in slot.frames.iter().zip(frames) {
        to.store(*from, Relaxed);
    }
    slot.parent.store(parent, Relaxed);
    slot.hash.store(hash, Relaxed);
    slot.len.store(frames.len() as u32, Release);
    Some(at)
}

/// The unwinder has met a module: the supervisor will need its place to name addresses.
pub(crate) fn module(start: usize, end: usize, bias: usize, name: *const c_char) {
    let Some(region) = local::region() else { return };
    let known = (region.module_next.load(Acquire) as usize).min(MODULES);
    let same = |at: usize| region.modules[at].start.load(Acquire) == start;
    if (0..known).any(same) {
        return;
    }
    let at = region.module_next.fetch_add(1, AcqRel) as usize;
    let Some(slot) = region.modules.get(at) else { return };
    let mut len = 0;
    if !name.is_null() {
        // SAFETY: the dynamic linker's names end with NUL and live as long as the module.
        while len < MODULE_PATH {
            let byte = unsafe { *name.add(len) } as u8;
            if byte == 0 {
                break;
            }
            slot.path.bytes[len].store(byte, Relaxed);
            len += 1;
        }
    }
    slot.path.len.store(len as u32, Relaxed);
    slot.end.store(end, Relaxed);
    slot.bias.store(bias, Relaxed);
    slot.start.store(start, Release);
}
