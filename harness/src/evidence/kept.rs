//! What is still held or still changed at the end: locks, inotify watches, the process's own state.
//!
//! The kernel tells that it is so (handlers and variables: the agent), the agent's entry tells which
//! call made it so, and in which round it did so last.

use watertight_report::model::Resource;

use crate::explain::Namer;
use crate::judge::Kept;
use crate::probe::state::{Disposition, State, limit_name, limit_text, signal_name};
use crate::region::{Noted, RegionMap};
use crate::snapshot::{Counts, LOCKS};
use crate::table::{
    ENTRY_CWD, ENTRY_ENV, ENTRY_HANDLER, ENTRY_MASK, ENTRY_RLIMIT, ENTRY_UMASK, ENTRY_WATCH,
};
use crate::trial::Part;

/// Signals that libc keeps for itself (nptl(7)).
const LIBC_SIGNALS: [u64; 2] = [32, 33];

/// Everything that is not as it was before the first round.
pub(super) fn kept(part: &Part<'_>, namer: &Namer<'_>) -> Vec<Kept> {
    let (Some(first), Some(last)) = (part.counts.first(), part.counts.last()) else {
        return Vec::new();
    };
    if part.counts.len() < 2 {
        return Vec::new();
    }
    let region = part.seen.region.as_ref();
    let finder = Finder { part, namer, region };
    let mut kept = finder.locks(first, last);
    kept.extend(finder.watches(first, last));
    kept.extend(finder.kernel_state(&first.state, &last.state));
    kept.extend(finder.own_state(&last.state));
    kept
}

struct Finder<'a> {
    part: &'a Part<'a>,
    namer: &'a Namer<'a>,
    region: Option<&'a RegionMap>,
}

impl Finder<'_> {
    fn entries(&self, kinds: &[u32]) -> Vec<Noted> {
        self.region.map(|region| region.entries(kinds)).unwrap_or_default()
    }

    /// One thing, if it is this case's. Without an entry it was made by a call that no hook sees;
    /// `seen` is then the boundary at which it was first there.
    fn kept(
        &self,
        resource: Resource,
        what: String,
        entry: Option<&Noted>,
        seen: impl Fn(&Counts) -> bool,
    ) -> Option<Kept> {
        let last_made = match entry {
            Some(entry) if self.part.claims(Some(entry.round)) => (self.part.round_of)(entry.round),
            Some(_) => return None,
            None if self.part.takes_rest => {
                self.part.counts.iter().position(seen).map(|at| at as u32)
            }
            None => return None,
        };
        let creation = entry.and_then(|entry| self.namer.own(self.region, entry.stack));
        Some(Kept { resource, what, last_made, creation })
    }

    fn locks(&self, first: &Counts, last: &Counts) -> Vec<Kept> {
        let mut held = last.locks.clone();
        for lock in &first.locks {
            if let Some(at) = held.iter().position(|it| it == lock) {
                held.remove(at);
            }
        }
        let fds = &self.part.seen.last.fds;
        let inode = |fd: u64| fds.iter().find(|it| u64::from(it.number) == fd).map(|it| it.inode);
        let mut entries = self.entries(&LOCKS);
        entries.retain(|entry| entry.round > 0);
        let mut kept = Vec::new();
        for lock in &held {
            // The latest call that may have taken it, and not another one like it.
            let at = entries
                .iter()
                .enumerate()
                .filter(|(_, entry)| {
                    entry.kind == lock.kind && inode(entry.value) == Some(lock.inode)
                })
                // A start may have been given relative to the file's position.
                .max_by_key(|(_, entry)| (entry.before == lock.start, entry.round))
                .map(|(at, _)| at);
            let entry = at.map(|at| entries.remove(at));
            let path = fds.iter().find(|fd| fd.inode == lock.inode).map(|fd| fd.link.as_str());
            let what = format!("{} on {}", lock.name(), path.unwrap_or("a file that is closed"));
            let seen = |counts: &Counts| counts.locks.contains(lock);
            kept.extend(self.kept(Resource::Lock, what, entry.as_ref(), seen));
        }
        kept
    }

    fn watches(&self, first: &Counts, last: &Counts) -> Vec<Kept> {
        let there = last.watches.iter().filter(|watch| !first.watches.contains(watch));
        let entries = self.entries(&[ENTRY_WATCH]);
        let kept = |watch: &(u64, u64)| {
            let entry = entries.iter().find(|entry| (entry.value, entry.before) == *watch);
            let what = match entry {
                Some(entry) => format!("inotify watch on {}", entry.text),
                None => format!("inotify watch {} of descriptor {}", watch.1, watch.0),
            };
            self.kept(Resource::InotifyWatch, what, entry, |counts| counts.watches.contains(watch))
        };
        there.filter_map(kept).collect()
    }

    /// State that the kernel shows.
    fn kernel_state(&self, first: &State, last: &State) -> Vec<Kept> {
        let entries = self.entries(&[ENTRY_CWD, ENTRY_UMASK, ENTRY_MASK, ENTRY_RLIMIT]);
        let state = |kind: u32, identity: u64, what: String| {
            let entry =
                entries.iter().find(|entry| (entry.kind, entry.identity) == (kind, identity));
            self.kept(Resource::State, what, entry, |_| false)
        };
        let mut kept = Vec::new();
        if first.cwd != last.cwd {
            let what = format!("working directory {} (was {})", last.cwd, first.cwd);
            kept.extend(state(ENTRY_CWD, 0, what));
        }
        if first.umask != last.umask {
            let what = format!("umask {:04o} (was {:04o})", last.umask, first.umask);
            kept.extend(state(ENTRY_UMASK, 0, what));
        }
        for signal in 1..=u64::from(u64::BITS) {
            let is_set = |blocked: u64| blocked >> (signal - 1) & 1 != 0;
            let (before, now) = (is_set(first.blocked), is_set(last.blocked));
            if before != now && !LIBC_SIGNALS.contains(&signal) {
                let how = if now { "blocked" } else { "unblocked" };
                let what = format!("signal mask: {} {how}", signal_name(signal));
                kept.extend(state(ENTRY_MASK, signal, what));
            }
        }
        for (number, (before, now)) in first.limits.iter().zip(&last.limits).enumerate() {
            if let (Some(before), Some(now)) = (before, now)
                && before != now
            {
                let name = limit_name(number);
                let what = format!("{name} {} (was {})", limit_text(now.0), limit_text(before.0));
                kept.extend(state(ENTRY_RLIMIT, number as u64, what));
            }
        }
        kept
    }

    /// State that only the process knows.
    fn own_state(&self, last: &State) -> Vec<Kept> {
        let changed = |entry: &Noted| {
            if entry.value == entry.before {
                return None;
            }
            if entry.kind == ENTRY_HANDLER {
                // The kernel itself takes one back that was installed for once (SA_RESETHAND).
                let now = last.disposition(entry.identity);
                if now != Disposition::of(entry.value) && now == Disposition::of(entry.before) {
                    return None;
                }
            }
            let name = &entry.text;
            let what = match (entry.kind, entry.before, entry.value) {
                (ENTRY_ENV, _, 0) => format!("environment variable {name} (it was removed)"),
                (ENTRY_ENV, 0, _) => format!("environment variable {name} (it was not set)"),
                (ENTRY_ENV, ..) => format!("environment variable {name} (it had another value)"),
                _ => format!("handler of {}", signal_name(entry.identity)),
            };
            self.kept(Resource::State, what, Some(entry), |_| false)
        };
        self.entries(&[ENTRY_ENV, ENTRY_HANDLER]).iter().filter_map(changed).collect()
    }
}
