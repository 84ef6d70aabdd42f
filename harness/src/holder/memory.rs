//! The memory of a stopped process: `/proc/PID/mem` and `/proc/PID/maps` (proc(5)).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};

use crate::probe::Unavailable;

/// How much is read at once.
const AT_ONCE: usize = 1 << 20;
pub(super) const WORD: u64 = 8;
/// In mappings larger than this pages that were never written are passed over.
const SPARSE_BYTES_MIN: u64 = 1 << 20;
const BOTH: MMPermissions = MMPermissions::READ.union(MMPermissions::WRITE);

/// Reads words where they are.
pub(super) struct Memory {
    file: File,
    pages: File,
    areas: Vec<MemoryMap>,
}

impl Memory {
    pub(super) fn open(pid: u32) -> Result<Self, Unavailable> {
        let open = |path: String| {
            let opened = File::open(&path);
            opened.map_err(|error| Unavailable::new(format!("{path} cannot be read: {error}")))
        };
        let (file, pages) =
            (open(format!("/proc/{pid}/mem"))?, open(format!("/proc/{pid}/pagemap"))?);
        let maps = Process::new(pid as i32).and_then(|process| process.maps());
        let areas = maps.map_err(|error| Unavailable::new(error.to_string()))?.0;
        Ok(Self { file, pages, areas })
    }

    /// Fills a buffer from an address.
    pub(super) fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Unavailable> {
        self.file.read_exact_at(to, address).map_err(|error| {
            Unavailable::new(format!("its memory at {address:#x} cannot be read: {error}"))
        })
    }

    pub(super) fn word(&self, address: u64) -> Result<u64, Unavailable> {
        let mut bytes = [0; WORD as usize];
        self.read(address, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// Gives every aligned word of a range, with its address.
    pub(super) fn words(
        &self,
        start: u64,
        end: u64,
        buffer: &mut Vec<u8>,
        mut each: impl FnMut(u64, u64),
    ) -> Result<(), Unavailable> {
        let mut at = start.next_multiple_of(WORD);
        while at + WORD <= end {
            let len = ((end - at) as usize).min(AT_ONCE) & !(WORD as usize - 1);
            buffer.resize(len, 0);
            self.read(at, buffer)?;
            for (address, word) in (at..).step_by(WORD as usize).zip(words_of(buffer)) {
                each(address, word);
            }
            at += len as u64;
        }
        Ok(())
    }

    /// Where an address lies: the areas that follow each other without a gap and that the program can read and
    /// write. The kernel splits a stack where a page of it is locked.
    pub(super) fn area(&self, address: u64) -> Option<(u64, u64)> {
        let at = self.at(address)?;
        let whole = |area: &&MemoryMap| area.perms.contains(BOTH);
        let (mut start, mut end) = self.areas[at].address;
        for area in self.areas[..at].iter().rev().take_while(whole) {
            if area.address.1 != start {
                break;
            }
            start = area.address.0;
        }
        for area in self.areas[at + 1..].iter().take_while(whole) {
            if area.address.0 != end {
                break;
            }
            end = area.address.1;
        }
        Some((start, end))
    }

    /// The main thread's stack.
    pub(super) fn main_stack(&self) -> Option<(u64, u64)> {
        let stack = self.areas.iter().find(|area| area.pathname == MMapPath::Stack)?;
        self.area(stack.address.0)
    }

    /// The file that is mapped at an address, with its inode, and where its first byte is mapped.
    pub(super) fn file(&self, address: u64) -> Option<(PathBuf, u64, u64)> {
        let area = &self.areas[self.at(address)?];
        let MMapPath::Path(path) = &area.pathname else { return None };
        let same = |other: &&MemoryMap| {
            other.inode == area.inode && other.dev == area.dev && other.offset == 0
        };
        // The nearest before it: the same file may be loaded twice.
        let first = self.areas.iter().rfind(|other| same(other) && other.address.0 <= address)?;
        Some((path.clone(), area.inode, first.address.0))
    }

    fn at(&self, address: u64) -> Option<usize> {
        let at = self.areas.partition_point(|area| area.address.1 <= address);
        self.areas.get(at).filter(|area| area.address.0 <= address).map(|_| at)
    }

    /// The parts of a range that are mapped and can be read, as far as there is something in them.
    pub(super) fn readable(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let from = self.areas.partition_point(|area| area.address.1 <= start);
        let inside = self.areas[from..].iter().take_while(move |area| area.address.0 < end);
        let readable = inside
            .filter(|area| area.perms.contains(MMPermissions::READ) && !is_device(&area.pathname));
        let mut parts = Vec::new();
        for area in readable {
            let (start, end) = (area.address.0.max(start), area.address.1.min(end));
            let is_private = area.perms.contains(MMPermissions::PRIVATE) && area.inode == 0;
            if is_private && end - start > SPARSE_BYTES_MIN {
                self.touched(start, end, &mut parts);
            } else {
                parts.push((start, end));
            }
        }
        parts
    }

    /// Where the heap that grows by brk(2) begins.
    pub(super) fn heap_start(&self) -> Option<u64> {
        let heap = self.areas.iter().find(|area| area.pathname == MMapPath::Heap)?;
        Some(heap.address.0)
    }

    /// System V segments: the kernel names them by their key.
    pub(super) fn segments(&self) -> impl Iterator<Item = (u64, u64)> {
        let is_segment = |area: &&MemoryMap| matches!(area.pathname, MMapPath::Vsys(_));
        self.areas.iter().filter(is_segment).map(|area| area.address)
    }

    /// The pages of private memory that have ever been written, by `/proc/PID/pagemap` (kernel's
    /// admin-guide/mm/pagemap.rst): of address space that was only reserved there are none.
    fn touched(&self, start: u64, end: u64, parts: &mut Vec<(u64, u64)>) {
        const PAGE: u64 = 4096;
        const IS_THERE: u64 = 0b11 << 62;
        let mut entries = vec![0; AT_ONCE];
        let mut at = start;
        while at < end {
            let pages = ((end - at) / PAGE).min(AT_ONCE as u64 / WORD);
            let read = &mut entries[..(pages * WORD) as usize];
            if self.pages.read_exact_at(read, at / PAGE * WORD).is_err() {
                // Rather all of it than none.
                parts.push((at, end));
                return;
            }
            for (page, entry) in (at..).step_by(PAGE as usize).zip(words_of(read)) {
                if entry & IS_THERE == 0 {
                    continue;
                }
                match parts.last_mut() {
                    Some(last) if last.1 == page => last.1 = page + PAGE,
                    _ => parts.push((page, page + PAGE)),
                }
            }
            at += pages * PAGE;
        }
    }
}

/// Whether reading may have effects, or may fail: memory of a device. Shared memory without a name has that of
/// `/dev/zero`, which the kernel calls deleted.
fn is_device(path: &MMapPath) -> bool {
    const MEMORY: [&str; 3] = ["/dev/shm/", "/dev/zero", "/dev/hugepages/"];
    let MMapPath::Path(path) = path else { return false };
    let path = path.to_string_lossy();
    path.starts_with("/dev/") && !MEMORY.iter().any(|memory| path.starts_with(memory))
}

/// The words of a buffer.
pub(super) fn words_of(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (words, _) = bytes.as_chunks::<{ WORD as usize }>();
    words.iter().map(|word| u64::from_ne_bytes(*word))
}
