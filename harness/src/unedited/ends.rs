//! How the heap of a test looks at its end that keeps nothing: known by example, so that other tests of the
//! same program that end like it need no second run.
//!
//! At its end a program has blocks of libtest's and the C library's, now one more and now one less, as threads
//! come before or after each other. Three numbers tell all of these ends from one at which a test has kept a
//! block, however small: live bytes, live blocks, and how often the first thread has allocated. An end is
//! entered when a run with stacks has shown that nothing in it is the test's, and kept in a file for the other
//! processes of a run and for the next one.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// How the file of a program is called: `ends-<its identity>`.
pub(crate) const NAME: &str = "ends-";
/// More ends than this are not those of a program whose tests keep nothing.
const ENDS_MAX: usize = 64;

/// The heap at the end of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct End {
    pub(crate) bytes: i64,
    pub(crate) blocks: i64,
    /// Blocks that the first thread has been given so far.
    pub(crate) calls: u64,
}

/// The known ends of one program.
pub(crate) struct CleanEnds {
    path: PathBuf,
    known: Mutex<HashSet<End>>,
}

impl CleanEnds {
    /// Those that a file tells of.
    pub(crate) fn open(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let known = text.lines().filter_map(End::parse).take(ENDS_MAX).collect();
        Self { path, known: Mutex::new(known) }
    }

    pub(crate) fn has(&self, end: &End) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(end)
    }

    /// Enters one.
    pub(crate) fn add(&self, end: End) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < ENDS_MAX && known.insert(end) {
            let line = format!("{} {} {}\n", end.bytes, end.blocks, end.calls);
            let file = File::options().append(true).create(true).mode(0o600).open(&self.path);
            // One that is not kept costs the next process a run.
            let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
        }
    }
}

impl End {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let end = Self {
            bytes: words.next()?.parse().ok()?,
            blocks: words.next()?.parse().ok()?,
            calls: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_entered_is_known_to_the_next_process_and_broken_lines_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ends-7");
        let end = |blocks| End { bytes: 848, blocks, calls: 640 };
        let ends = CleanEnds::open(path.clone());
        assert!(!ends.has(&end(2)));
        ends.add(end(2));
        ends.add(end(3));
        ends.add(end(2));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        fs::write(&path, "848 2 640\n848 3\nx y z\n848 4 640 1\n").unwrap();
        let again = CleanEnds::open(path);
        assert!(again.has(&end(2)) && !again.has(&end(3)) && !again.has(&end(4)));
    }
}
