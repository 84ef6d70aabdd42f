//! Mappings that the program made: which of them are still there, and how much of each.
//!
//! `/proc/PID/maps` (proc(5)) merges neighbours and splits by protection, so its lines are no things.
//! What is a thing the agent has seen; the kernel says how many of its bytes are mapped still. Cost: a
//! microsecond a line, so it is read only where the agent has seen a mapping stay.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};

use memchr::memchr_iter;

use super::{Unavailable, read};
use crate::region::Noted;

/// A mapping of the program's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) address: u64,
    /// Bytes of it that are mapped still.
    pub(crate) bytes: u64,
    /// The mapped file's path; none for anonymous memory.
    pub(crate) file: Option<String>,
    pub(crate) stack: u32,
    /// Round in which it was made.
    pub(crate) round: u32,
}

/// What is still mapped of what the agent has noted.
pub(crate) fn confirmed(pid: u32, noted: &[Noted]) -> Result<Vec<Mapping>, Unavailable> {
    if noted.is_empty() {
        return Ok(Vec::new());
    }
    Ok(overlap(&parse(&text(pid)?), noted))
}

/// How many areas the kernel keeps: what `vm.max_map_count` limits.
pub(crate) fn count(pid: u32) -> Result<u64, Unavailable> {
    const AT_ONCE: usize = 64 * 1024;
    let path = format!("/proc/{pid}/maps");
    let lines = || -> io::Result<u64> {
        let mut maps = File::open(&path)?;
        let mut part = vec![0; AT_ONCE];
        let mut lines = 0;
        loop {
            match maps.read(&mut part)? {
                0 => return Ok(lines),
                len => lines += memchr_iter(b'\n', &part[..len]).count() as u64,
            }
        }
    };
    lines().map_err(|error| Unavailable::path(&path, &error))
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Area {
    start: u64,
    end: u64,
    file: Option<String>,
}

/// The text of `/proc/PID/maps`.
pub(crate) fn text(pid: u32) -> Result<String, Unavailable> {
    read(&format!("/proc/{pid}/maps"))
}

/// `55d0-55d4 r-xp 00000000 08:01 1234   /usr/bin/x`
fn parse(maps: &str) -> Vec<Area> {
    let line = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let path = rest.find('/').map(|at| rest[at..].to_owned());
        Some(Area {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            file: path,
        })
    };
    maps.lines().filter_map(line).collect()
}

/// The bytes of each noted mapping that lie in an area. A later mapping has taken the place of an
/// earlier one, so every byte counts once.
fn overlap(areas: &[Area], noted: &[Noted]) -> Vec<Mapping> {
    let mut latest: Vec<&Noted> = noted.iter().collect();
    latest.sort_by_key(|note| std::cmp::Reverse(note.before));
    let mut taken = Taken::default();
    let mut mappings = Vec::new();
    for note in latest {
        let (start, end) = (note.identity, note.identity.saturating_add(note.value));
        let mut bytes = 0;
        let mut file = None;
        let free = taken.take(start, end);
        let first = areas.partition_point(|area| area.end <= start);
        for area in areas[first..].iter().take_while(|area| area.start < end) {
            for (from, to) in &free {
                let inside = (*to).min(area.end).saturating_sub((*from).max(area.start));
                if inside > 0 {
                    bytes += inside;
                    file = file.or_else(|| area.file.clone());
                }
            }
        }
        if bytes > 0 {
            let (stack, round) = (note.stack, note.round);
            mappings.push(Mapping { address: start, bytes, file, stack, round });
        }
    }
    mappings.sort_by_key(|mapping| mapping.address);
    mappings
}

/// Ranges that have been taken: by their ends, and none overlaps another.
#[derive(Default)]
struct Taken(BTreeMap<u64, u64>);

impl Taken {
    /// Takes a range, and gives what of it was free.
    fn take(&mut self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut free = Vec::new();
        let (mut at, mut from) = (start, start);
        let mut swallowed = Vec::new();
        // Those that end in it or behind it, as far as they begin before its end.
        for (known_end, known_start) in self.0.range(start..).take_while(|(_, from)| **from <= end)
        {
            if *known_start > at {
                free.push((at, *known_start));
            }
            at = at.max(*known_end);
            from = from.min(*known_start);
            swallowed.push(*known_end);
        }
        if at < end {
            free.push((at, end));
        }
        for known in swallowed {
            self.0.remove(&known);
        }
        self.0.insert(at.max(end), from);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(address: u64, bytes: u64, sequence: u64) -> Noted {
        Noted { identity: address, value: bytes, before: sequence, round: 1, ..Noted::default() }
    }

    #[test]
    fn what_is_taken_is_never_given_twice() {
        let mut taken = Taken::default();
        assert_eq!(taken.take(10, 20), [(10, 20)]);
        assert_eq!(taken.take(30, 40), [(30, 40)]);
        assert_eq!(taken.take(5, 35), [(5, 10), (20, 30)]);
        assert_eq!(taken.take(0, 50), [(0, 5), (40, 50)]);
        assert_eq!(taken.take(20, 21), []);
        assert_eq!(taken.take(50, 60), [(50, 60)], "next to it");
        assert_eq!(taken.0.len(), 1);
    }

    const MAPS: &str = "\
1000-3000 rw-p 00000000 00:00 0 \n\
3000-6000 ---p 00000000 00:00 0 \n\
8000-9000 r--s 00000000 08:01 77                         /data/with space (deleted)\n";

    #[test]
    fn neighbours_that_the_kernel_merges_are_told_apart() {
        let seen = overlap(&parse(MAPS), &[noted(0x1000, 0x1000, 1), noted(0x2000, 0x3000, 2)]);
        let sizes: Vec<_> = seen.iter().map(|mapping| (mapping.address, mapping.bytes)).collect();
        assert_eq!(sizes, [(0x1000, 0x1000), (0x2000, 0x3000)]);
    }

    #[test]
    fn areas_are_counted_line_by_line() {
        let own = std::process::id();
        assert!(count(own).unwrap() > 10);
        assert!(count(u32::MAX).unwrap_err().reason.contains("cannot be read"));
    }

    #[test]
    fn what_was_unmapped_elsewhere_does_not_count() {
        assert_eq!(overlap(&parse(MAPS), &[noted(0x6000, 0x2000, 1)]), []);
        let seen = overlap(&parse(MAPS), &[noted(0x5000, 0x4000, 1)]);
        assert_eq!(seen[0].bytes, 0x2000, "one page before the hole, one after it");
        assert_eq!(seen[0].file.as_deref(), Some("/data/with space (deleted)"));
    }

    #[test]
    fn a_byte_belongs_to_the_latest_mapping() {
        let seen = overlap(&parse(MAPS), &[noted(0x1000, 0x5000, 1), noted(0x2000, 0x1000, 2)]);
        let sizes: Vec<_> = seen.iter().map(|mapping| mapping.bytes).collect();
        assert_eq!(sizes, [0x4000, 0x1000]);
    }
}
