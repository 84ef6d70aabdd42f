//! What is there when the trial is over: zombies, processes that outlived it, files, shared memory.

use std::sync::PoisonError;

use watertight_report::model::{ProcessFacts, ProcessState, Resource};

use crate::explain::Namer;
use crate::judge::{Creation, Remain};
use crate::observe::{Left, Observation, Thing};
use crate::probe::file::Place;
use crate::trial::Part;

/// Zombies, survivors, and what lies about.
pub(super) fn remains(part: &Part<'_>, namer: &Namer<'_>) -> Vec<Remain> {
    let seen = part.seen;
    let mut remains = Vec::new();
    for zombie in &seen.zombies {
        let (creation, round) = spawn_site(seen, namer, zombie.pid);
        if part.claims(round) {
            let facts = ProcessFacts::new(zombie.pid, ProcessState::Zombie);
            let round = round.and_then(part.round_of);
            remains.push(Remain::process(zombie.name.clone(), facts, creation, round));
        }
    }
    for survivor in &seen.survivors {
        let (creation, round) = spawn_site(seen, namer, survivor.pid);
        if part.claims(round) {
            let mut facts = ProcessFacts::new(survivor.pid, ProcessState::Outlived);
            facts.cwd = survivor.cwd.clone();
            facts.age_ms = survivor.age_ms;
            let round = round.and_then(part.round_of);
            remains.push(Remain::process(survivor.command.clone(), facts, creation, round));
        }
    }
    let claimed = seen.left.iter().filter(|left| part.claims(Some(left.round)));
    remains.extend(claimed.map(|left| lying_about(part, namer, left)));
    remains
}

/// Something in the file system, or a segment of shared memory.
fn lying_about(part: &Part<'_>, namer: &Namer<'_>, left: &Left) -> Remain {
    let (resource, what, listed) = match &left.thing {
        Thing::Segment(segment) => {
            let what = format!("SysV shared memory {} ({} B)", segment.id, segment.bytes);
            (Resource::Shm, what, false)
        }
        Thing::Path(path) => {
            let slash = if path.is_directory { "/" } else { "" };
            let what = format!("{}{slash}", path.path.display());
            match path.place {
                Place::Temporary => (Resource::File, what, false),
                Place::SharedMemory => (Resource::Shm, what, false),
                Place::Elsewhere => (Resource::File, what, true),
            }
        }
    };
    let seen = part.seen;
    let mut remain = Remain {
        resource,
        what,
        round: (part.round_of)(left.round),
        listed,
        subject: None,
        facts: None,
        creation: None,
    };
    let Some(maker) = left.maker else {
        remain.creation = namer.own(seen.region.as_ref(), left.stack);
        return remain;
    };
    {
        let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(descendant) = descendants.of(maker) {
            remain.subject = Some(descendant.command.clone());
            remain.creation =
                namer.creation(&descendant.region, &descendant.executable, left.stack);
        }
    }
    // A program of somebody else's says nothing of where to look: whoever started it does.
    if remain.creation.as_ref().is_none_or(|creation| creation.site.is_none()) {
        remain.creation = spawn_site(seen, namer, maker).0.or(remain.creation);
    }
    remain
}

/// The line that started a process, and in which round: followed up to the test's own process, because
/// that is where the reader can do something. The call that made the process itself is `via` then.
fn spawn_site(seen: &Observation, namer: &Namer<'_>, pid: u32) -> (Option<Creation>, Option<u32>) {
    const GENERATIONS: usize = 16;
    let descendants = seen.descendants.lock().unwrap_or_else(PoisonError::into_inner);
    let mut nearest: Option<Creation> = None;
    let mut child = pid;
    for _ in 0..GENERATIONS {
        if let Some((stack, round)) = seen.region.as_ref().and_then(|region| region.spawn(child)) {
            let mut creation = namer.own(seen.region.as_ref(), stack);
            if let Some(creation) = creation.as_mut().filter(|creation| creation.via.is_none()) {
                creation.via = nearest.and_then(|nearest| nearest.site);
            }
            return (creation, Some(round));
        }
        let parent = descendants.iter().find_map(|descendant| {
            let (stack, _) = descendant.region.spawn(child)?;
            Some((
                descendant.pid,
                namer.creation(&descendant.region, &descendant.executable, stack),
            ))
        });
        let Some((parent, creation)) = parent.filter(|(parent, _)| *parent != child) else { break };
        nearest = nearest.or(creation);
        child = parent;
    }
    (nearest, None)
}
