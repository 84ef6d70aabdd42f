//! What is still there when the last process of a trial has gone: files, directories, shared memory.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::descendant::Descendants;
use crate::probe::{file, shm};
use crate::region::{Noted, RegionMap};
use crate::run::Run;
use crate::table::{ENTRY_PATH, ENTRY_SYSV_SHM};

/// One thing that is left, and the process that made it.
pub(crate) struct Left {
    pub(crate) thing: Thing,
    /// None for the test's own process.
    pub(crate) maker: Option<u32>,
    pub(crate) stack: u32,
    pub(crate) round: u32,
}

/// What it is.
pub(crate) enum Thing {
    Path(file::Left),
    Segment(shm::Segment),
}

/// Looks at everything that the trial's processes have noted.
pub(super) fn left(
    run: &Run,
    region: Option<&RegionMap>,
    descendants: &Mutex<Descendants>,
) -> Vec<Left> {
    let mut noted: Vec<(Option<u32>, u32, Noted)> = Vec::new();
    let mut collect = |maker: Option<u32>, region: &RegionMap| {
        let entries = region.entries(&[ENTRY_PATH, ENTRY_SYSV_SHM]);
        noted.extend(entries.into_iter().map(|entry| (maker, region.process(), entry)));
    };
    if let Some(region) = region {
        collect(None, region);
    }
    let descendants = descendants.lock().unwrap_or_else(PoisonError::into_inner);
    for descendant in descendants.iter() {
        collect(Some(descendant.pid), &descendant.region);
    }
    let has_segments = noted.iter().any(|(_, _, entry)| entry.kind == ENTRY_SYSV_SHM);
    let segments = if has_segments { shm::segments() } else { Vec::new() };
    let thing = |pid: u32, entry: &Noted| match entry.kind {
        ENTRY_PATH => run.places.left(Path::new(&entry.text), entry.value).map(Thing::Path),
        _ => {
            let is_it = |segment: &&shm::Segment| segment.id == entry.identity;
            let segment = segments.iter().find(is_it).filter(|segment| segment.creator == pid)?;
            Some(Thing::Segment(segment.clone()))
        }
    };
    let mut left: Vec<Left> = noted
        .iter()
        .filter_map(|(maker, pid, entry)| {
            let (stack, round) = (entry.stack, entry.round);
            Some(Left { thing: thing(*pid, entry)?, maker: *maker, stack, round })
        })
        .collect();
    outermost(&mut left);
    left
}

/// Keeps of each path that is left the outermost directory: it speaks for what lies in it. What two
/// processes have noted is one thing.
fn outermost(left: &mut Vec<Left>) {
    let paths: Vec<_> = left
        .iter()
        .filter_map(|left| match &left.thing {
            Thing::Path(path) => Some(path.path.clone()),
            Thing::Segment(_) => None,
        })
        .collect();
    let mut told = Vec::new();
    left.retain(|left| match &left.thing {
        Thing::Segment(_) => true,
        Thing::Path(path) => {
            let is_below =
                paths.iter().any(|other| path.path != *other && path.path.starts_with(other));
            let is_first = !told.contains(&path.path);
            told.push(path.path.clone());
            is_first && !is_below
        }
    });
}
