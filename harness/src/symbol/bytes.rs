//! Bytes that debug info is read from: a mapped file, or a section that had to be decompressed.
//!
//! The one file of this module with `unsafe`.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

/// Shared, unchanging bytes. A mapped file costs memory only where it is read, and the kernel can
/// take that back.
#[derive(Debug, Clone)]
pub(crate) struct Bytes(Arc<Owner>);

#[derive(Debug)]
enum Owner {
    File(Mmap),
    Memory(Vec<u8>),
}

impl Bytes {
    /// Maps the file at a path.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        Self::map(&File::open(path).ok()?)
    }

    /// Maps a whole file.
    pub(super) fn map(file: &File) -> Option<Self> {
        // SAFETY: the mapping is private and read-only, and nothing in this process writes the file.
        // Others replace a program's file, which leaves this mapping as it was; one who writes into
        // it would change what is read here (wrong names) or cut it short (SIGBUS), so the file's
        // version is compared each time before the mapping is used.
        let map = unsafe { Mmap::map(file) }.ok()?;
        Some(Self(Arc::new(Owner::File(map))))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Owner::Memory(bytes)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.0 {
            Owner::File(map) => map,
            Owner::Memory(bytes) => bytes,
        }
    }
}

// SAFETY: the bytes are behind an `Arc` and are never exchanged, so moving a `Bytes` does not move
// what it dereferences to.
unsafe impl gimli::StableDeref for Bytes {}

// SAFETY: a clone shares the `Arc`, so it dereferences to the same bytes, and keeps them alive.
unsafe impl gimli::CloneStableDeref for Bytes {}
