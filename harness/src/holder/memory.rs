//! The memory of a stopped process: `/proc/PID/mem` and `/proc/PID/maps` (proc(5)).

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};

use crate::probe::Unavailable;

/// How much is read at once.
const AT_ONCE: usize = 1 << 20;
pub(super) const WORD: u64 = 8;

/// Reads words where they are.
pub(super) struct Memory {
    file: File,
    areas: Vec<MemoryMap>,
}

impl Memory {
    pub(super) fn open(pid: u32) -> Result<Self, Unavailable> {
        let path = format!("/proc/{pid}/mem");
        let file = File::open(&path)
            .map_err(|error| Unavailable::new(format!("{path} cannot be read: {error}")))?;
        let maps = Process::new(pid as i32).and_then(|process| process.maps());
        let areas = maps.map_err(|error| Unavailable::new(error.to_string()))?.0;
        Ok(Self { file, areas })
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

    /// A text that ends with NUL.
    pub(super) fn text(&self, address: u64) -> Result<Vec<u8>, Unavailable> {
        const PAGE: u64 = 4096;
        const LONGEST: usize = 4096;
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < LONGEST {
            // Never past a page: the next one may not be there.
            let mut part = vec![0; (PAGE - at % PAGE) as usize];
            self.read(at, &mut part)?;
            if let Some(end) = memchr::memchr(0, &part) {
                text.extend_from_slice(&part[..end]);
                break;
            }
            at += part.len() as u64;
            text.append(&mut part);
        }
        Ok(text)
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

    /// The area that an address lies in.
    pub(super) fn area(&self, address: u64) -> Option<(u64, u64)> {
        let at = self.areas.partition_point(|area| area.address.1 <= address);
        let area = self.areas.get(at)?;
        (area.address.0 <= address).then_some(area.address)
    }

    /// The parts of a range that are mapped and can be read and written by the program.
    pub(super) fn writable(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
        const BOTH: MMPermissions = MMPermissions::READ.union(MMPermissions::WRITE);
        let from = self.areas.partition_point(|area| area.address.1 <= start);
        let inside = self.areas[from..].iter().take_while(move |area| area.address.0 < end);
        let readable =
            inside.filter(|area| area.perms.contains(BOTH) && !is_device(&area.pathname));
        readable.map(move |area| (area.address.0.max(start), area.address.1.min(end)))
    }
}

/// Whether reading may have effects, or may fail: memory of a device.
fn is_device(path: &MMapPath) -> bool {
    matches!(path, MMapPath::Path(path) if path.starts_with("/dev") && !path.starts_with("/dev/shm") && !path.starts_with("/dev/zero"))
}

/// The words of a buffer.
pub(super) fn words_of(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (words, _) = bytes.as_chunks::<{ WORD as usize }>();
    words.iter().map(|word| u64::from_ne_bytes(*word))
}
