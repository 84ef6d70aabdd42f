//! Who holds it: the static, thread or cycle that keeps leaked heap blocks alive.
//!
//! Counters see the same thing for a block that was forgotten and for one that a registry still holds. So at
//! the end of an explain run the process is stopped and its pointers are followed:
//!
//! ```text
//!  stop every thread ─► registers, modules ─► roots: statics, thread-locals, stacks ...   (words that point
//!                           │                 edges: every word of every live block          into a block)
//!                           └─ let go
//!  rank the roots by what they are ─► who reaches each block first ─► a finding's topmost blocks ─► holder
//! ```
//!
//! What makes that true: all threads stand still at one moment; the agent fills blocks with zeroes before the
//! program gets them, so that no pointer of an earlier owner is in them; only memory that is known is looked
//! at; and a holder of the blocks of one round alone is only possible. What could not be read makes the whole
//! unavailable: blind is never "nobody".
//!
//! It cannot see a pointer that is stored in another form: with tags in its high bits, as an offset, in the
//! kernel. So it says "no pointer found" and not "nobody holds it".

mod account;
mod block;
mod graph;
mod local;
mod memory;
mod module;
mod name;
mod owner;
mod root;
mod stop;
mod way;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Acquire;
use std::time::SystemTime;

use block::Blocks;
use graph::Edges;
use memory::Memory;
use module::Module;
use root::Roots;
use stop::Stopped;

use crate::probe::{Unavailable, process};
use crate::region::RegionMap;
use crate::table::ENTRY_MAPPING;

pub(crate) use account::Among;
pub(crate) use name::Holders;

/// The heap of a process at one moment: its blocks, who points to whom, and from where.
pub(crate) struct Heap {
    blocks: Blocks,
    edges: Edges,
    roots: Roots,
    modules: Vec<Module>,
    /// The program that it ran.
    program: PathBuf,
    /// When the agent came: a file that was written later is another program.
    seen: Option<SystemTime>,
}

/// A heap, or why it could not be had.
pub(crate) type Looked = Result<Heap, Unavailable>;

/// Whether holders are asked for: not where `WATERTIGHT_HELD_BY=0`.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os("WATERTIGHT_HELD_BY").is_none_or(|asked| asked != "0")
}

/// The heap of a process that runs, where holders are asked for.
pub(crate) fn look_at(pid: u32, region: &RegionMap) -> Option<Looked> {
    if !is_wanted() {
        return None;
    }
    let program = process::executable(pid);
    let program = program.ok_or_else(|| Unavailable::new("its executable is not known"));
    Some(program.and_then(|program| look(pid, region, &program)))
}

/// Stops a process, follows its pointers, and lets it go on.
///
/// # Errors
/// Why it cannot be said who holds what: nothing was noted, it could not be stopped, or a part of its memory
/// could not be read.
fn look(pid: u32, region: &RegionMap, program: &Path) -> Looked {
    if crate::run::is_blinded("holder") {
        return Err(Unavailable::new("it was switched off (WATERTIGHT_BLIND)"));
    }
    // The kernel takes requests from the thread that has stopped the others, and lets them go with it.
    let looked = std::thread::scope(|scope| {
        let looker = std::thread::Builder::new().name("holder".to_owned());
        let looker = looker.spawn_scoped(scope, || read(pid, region, program));
        looker.map(|looker| looker.join())
    });
    match looked {
        Ok(Ok(heap)) => heap,
        Ok(Err(_)) => Err(Unavailable::new("the search for it failed")),
        Err(error) => Err(Unavailable::new(format!("no thread could be started: {error}"))),
    }
}

fn read(pid: u32, region: &RegionMap, program: &Path) -> Looked {
    let stopped = Stopped::stop(pid)?;
    let blocks = Blocks::read(region)?;
    let memory = Memory::open(pid)?;
    let (modules, layout) = module::modules(pid, &memory, program)?;
    let mappings = region.entries(&[ENTRY_MAPPING]);
    let early_end = region.early_end.load(Acquire) as u64;
    let roots =
        root::roots(&memory, &blocks, &modules, &layout, &stopped.threads, &mappings, early_end)?;
    let edges = Edges::read(&memory, &blocks)?;
    drop(stopped);
    let (program, seen) = (program.to_owned(), region.created());
    Ok(Heap { blocks, edges, roots, modules, program, seen })
}
