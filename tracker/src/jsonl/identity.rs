//! What tells a file that we wrote from one that somebody else has touched.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A file as it was at one moment.
///
/// The change time is the kernel's: unlike the modification time nobody can set it, so a checkout
/// that restores an old time is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileIdentity {
    pub(crate) fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// The file at `path`, if it can be looked at.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|found| Self::of(&found))
    }

    /// Whether it is this file with this content, under whatever name: a rename sets the change
    /// time.
    pub(crate) fn is_same_but_renamed(&self, other: &Self) -> bool {
        Self { changed: other.changed, ..*self } == *other
    }
}
