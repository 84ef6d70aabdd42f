//! System V shared memory segments, from `/proc/sysvipc/shm` (proc(5), sysvipc(7); 10 us). A segment
//! stays until somebody removes it, also after its last process. One that is marked to be removed
//! goes with its last user and is none.

use super::read;

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) bytes: u64,
    /// The process that made it.
    pub(crate) creator: u32,
}

/// All segments of the machine's (or container's) IPC namespace.
pub(crate) fn segments() -> Vec<Segment> {
    read("/proc/sysvipc/shm").map(|text| parse(&text)).unwrap_or_default()
}

/// `key shmid perms size cpid lpid nattch ...`
fn parse(text: &str) -> Vec<Segment> {
    /// linux/shm.h: destroyed when nobody is attached any more.
    const SHM_DEST: u32 = 0o1000;
    let segment = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().take(5).collect();
        let perms = u32::from_str_radix(words.get(2)?, 8).ok()?;
        let segment = Segment {
            id: words.get(1)?.parse().ok()?,
            bytes: words.get(3)?.parse().ok()?,
            creator: words.get(4)?.parse().ok()?,
        };
        (perms & SHM_DEST == 0).then_some(segment)
    };
    text.lines().skip(1).filter_map(segment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_is_going_is_none() {
        let text = "       key      shmid perms                  size  cpid  lpid nattch\n\
                    0          3   600                  4096  1234  1234      0\n\
                    0          4  1600                  4096  1234  1234      1\n";
        assert_eq!(parse(text), [Segment { id: 3, bytes: 4096, creator: 1234 }]);
    }
}
