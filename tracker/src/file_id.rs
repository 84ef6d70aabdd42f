//! Which file a name means, whatever it is called: its device and inode; or that it means none.

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A file's device and inode. Nobody else gets them while somebody has the file open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// What `path` names itself, also if that is a link.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(Self::from)
    }

    /// What `path` leads to.
    pub fn behind(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(Self::from)
    }

    /// What is open there.
    pub fn of_open(file: impl AsFd) -> io::Result<Self> {
        let found = nix::sys::stat::fstat(file)?;
        Ok(Self { device: found.st_dev, inode: found.st_ino })
    }
}

impl From<Metadata> for FileId {
    fn from(found: Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

/// Whether an error says that nothing bears the name.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
