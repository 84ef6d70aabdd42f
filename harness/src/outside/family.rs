//! The descendants of a process.
//!
//! A child whose parent ends is given to another, and is not found below its forebear any more. So those
//! that were seen once stay in the family while they live. One that was made and given away between two
//! looks is not seen.

use std::collections::BTreeSet;

use super::{Reading, Unavailable};
use crate::probe::process;

/// Every living descendant of a process, and its zombies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Family {
    /// By number.
    pub descendants: Vec<Relative>,
    /// How many of them are children.
    pub children: u64,
    /// How many of them have ended, and their parents have not asked how.
    pub zombies: u64,
    /// Whether there were more than are looked at.
    pub is_cut: bool,
}

/// One descendant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relative {
    /// Process id.
    pub pid: u32,
    /// Start in clock ticks since boot.
    pub started: u64,
    /// Its parent now.
    pub parent: u32,
    /// Its command's name, at most 15 bytes.
    pub name: String,
    /// Whether it has ended.
    pub is_zombie: bool,
}

impl Relative {
    fn of(stat: process::Stat) -> Self {
        let is_zombie = stat.is_zombie();
        let process::Stat { pid, started, parent, name, .. } = stat;
        Self { pid, started, parent, name, is_zombie }
    }

    /// The same process as it is now; none where it is gone.
    fn still(&self) -> Option<process::Stat> {
        process::stat(self.pid).ok().filter(|stat| stat.started == self.started)
    }

    /// What names it for good.
    pub(super) fn identity(&self) -> (u32, u64) {
        (self.pid, self.started)
    }
}

/// More descendants are not looked at.
const DESCENDANTS_MAX: usize = 2048;

/// Looks for all below a process, and below those that were found before. `root` is the thread that the
/// process is read by; none once it is over.
pub(super) fn read(pid: u32, root: Option<u32>, known: &[Relative]) -> Reading<Family> {
    let mut next = match root {
        Some(root) => children(root)?,
        None => Vec::new(),
    };
    // After the children, so that one that is given away meanwhile is found in either place.
    next.extend(known.iter().filter_map(Relative::still));
    let mut family = Family::default();
    let mut seen = BTreeSet::from([pid]);
    while let Some(stat) = next.pop() {
        if !seen.insert(stat.pid) {
            continue;
        }
        if family.descendants.len() == DESCENDANTS_MAX {
            family.is_cut = true;
            break;
        }
        if !stat.is_zombie() {
            next.extend(children(stat.pid).unwrap_or_default());
        }
        family.children += u64::from(stat.parent == pid);
        family.zombies += u64::from(stat.is_zombie());
        family.descendants.push(Relative::of(stat));
    }
    family.descendants.sort_by_key(Relative::identity);
    Ok(family)
}

fn children(pid: u32) -> Result<Vec<process::Stat>, Unavailable> {
    Ok(process::children(pid)?.into_iter().filter_map(|pid| process::stat(pid).ok()).collect())
}
