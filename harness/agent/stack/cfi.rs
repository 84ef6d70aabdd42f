//! From a program counter to the rule that undoes its frame: `.eh_frame_hdr`, `.eh_frame`, then
//! [`row`].
//!
//! Pure and bounded: bytes in, a [`Rule`] out, no pointer is followed, so it is tested like any
//! parser.
//! It is the slow path: it runs once for every call site, then the cache answers.
//!
//! Sources: DWARF 5, section 6.4 (call frame information) and 7.24 (its encoding);
//! Linux Standard Base Core 5.0, chapter 10 (`.eh_frame`, `.eh_frame_hdr`, pointer encodings,
//! augmentations);
//! System V ABI, x86_64 supplement, figure 3.36 (register numbers).
//!
//! A walk needs three things only: the canonical frame address (CFA: the stack pointer before the
//! call), the caller's frame pointer, and the return address. All other registers are skipped.

use super::arch::DWARF_RA;
use super::reader::Reader;
use super::row;

/// An FDE or CIE longer than this is not believed.
const ENTRY_BYTES_MAX: usize = 1 << 20;
/// Read-only segments of a module. Up to five were seen (node); the rest are ignored.
const SEGMENTS_MAX: usize = 8;

/// How the frame of one call site is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The caller's frame follows from the CFA; the return address lies at a fixed distance below
    /// it.
    Step { cfa: Cfa, bp: Bp },
    /// The kernel's signal frame: the interrupted registers are in the `ucontext` at the stack
    /// pointer.
    Signal,
    /// The outermost frame: its return address is declared undefined (`_start`, `clone3`).
    End,
}

/// Where the CFA is. Offsets are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cfa {
    /// Stack pointer plus offset: nearly everything built without frame pointers.
    Sp(i64),
    /// Frame pointer plus offset.
    Bp(i64),
    /// The word stored at frame pointer plus offset: gcc's realigned frames (`DW_OP_breg6 n;
    /// DW_OP_deref`).
    AtBp(i64),
    /// A word above the one stored at stack pointer plus offset: OpenSSL's assembly
    /// (`DW_OP_breg7 n; DW_OP_deref; DW_OP_plus_uconst 8`).
    AboveAtSp(i64),
}

/// Where the caller's frame pointer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bp {
    Same,
    /// Saved at CFA plus this many bytes (negative).
    AtCfa(i64),
    /// Saved where the frame pointer points: the companion of [`Cfa::AtBp`].
    Pointee,
    /// Undefined, or kept where we do not look: the walk goes on, and ends if a later frame needs
    /// it.
    Lost,
}

/// The read-only bytes of a loaded module. Linkers put all unwind data in one segment, but BOLT
/// leaves the old entries where they were and adds its own elsewhere, with one table for both
/// (rustc's own libraries are such).
#[derive(Clone, Copy, Default)]
pub(crate) struct Image<'a> {
    segments: [Segment<'a>; SEGMENTS_MAX],
    count: usize,
}

/// Bytes, and the address they are mapped at.
#[derive(Clone, Copy, Default)]
pub(crate) struct Segment<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) address: usize,
}

impl<'a> Image<'a> {
    /// False when it is full.
    pub(crate) fn add(&mut self, segment: Segment<'a>) -> bool {
        let Some(slot) = self.segments.get_mut(self.count) else { return false };
        *slot = segment;
        self.count += 1;
        true
    }

    fn reader(&self, address: usize) -> Option<Reader<'a>> {
        self.segments.iter().find_map(|segment| {
            let bytes = segment.bytes.get(address.checked_sub(segment.address)?..)?;
            (!bytes.is_empty()).then_some(Reader { bytes, address })
        })
    }
}

/// The rule at `pc`, with the `.eh_frame_hdr` at `header`; `None` where nothing is said or we do
/// not understand it.
///
/// For a return address pass the address less one: a call may be the last instruction of its
/// function, and then the return address belongs to the next one.
pub(crate) fn rule(image: &Image<'_>, header: usize, pc: usize) -> Option<Rule> {
    let fde = find_fde(image, header, pc)?;
    let mut entry = Entry::read(image, fde)?;
    let cie_field = entry.body.address;
    let cie_distance = entry.body.u32()? as usize;
    if cie_distance == 0 {
        return None; // this is a CIE, the table is wrong
    }
    let cie = Cie::read(image, cie_field.checked_sub(cie_distance)?)?;

    let begin = entry.body.pointer(cie.pointer_encoding, header)?;
    // The length has the format of the pointer, and is not relative to anything.
    let length = entry.body.pointer(cie.pointer_encoding & 0x0f, header)?;
    if pc.wrapping_sub(begin) >= length {
        return None;
    }
    if cie.sized {
        let augmentation = entry.body.uleb()?;
        entry.body.skip(augmentation)?;
    }

    row::rule_at(&cie, entry.body, begin, pc, header)
}

/// Binary search in the sorted table of `.eh_frame_hdr` (LSB, chapter 10): the entry that starts at
/// or before `pc`.
/// Only the form every linker writes is read; without a table there is no answer.
fn find_fde(image: &Image<'_>, header: usize, pc: usize) -> Option<usize> {
    const DATAREL_SDATA4: u8 = 0x3b;
    let mut reader = image.reader(header)?;
    let [version, eh_frame, count, table] =
        [reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?];
    if version != 1 || table != DATAREL_SDATA4 {
        return None;
    }
    reader.pointer(eh_frame, header)?;
    let count = reader.pointer(count, header)?;
    let rows = reader.bytes.get(..count.checked_mul(8)?)?;
    let field = |row: usize, at: usize| -> Option<usize> {
        let at = row * 8 + at;
        let bytes = rows.get(at..at + 4)?.first_chunk()?;
        Some(header.wrapping_add_signed(i32::from_le_bytes(*bytes) as isize))
    };
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if field(middle, 0)? <= pc {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    field(low.checked_sub(1)?, 4)
}

/// What a CIE or an FDE have in common: a length, then that many bytes.
struct Entry<'a> {
    body: Reader<'a>,
}

impl<'a> Entry<'a> {
    fn read(image: &Image<'a>, address: usize) -> Option<Self> {
        let mut reader = image.reader(address)?;
        // Zero ends the section; the 64-bit form (0xffff_ffff) is written by nobody for 4 GiB of
        // unwind data.
        let length = reader.u32()? as usize;
        if length == 0 || length > ENTRY_BYTES_MAX {
            return None;
        }
        Some(Self { body: Reader { bytes: reader.bytes.get(..length)?, address: reader.address } })
    }
}

/// What the FDEs of one compilation unit share.
pub(crate) struct Cie<'a> {
    pub(crate) code_align: usize,
    pub(crate) data_align: i64,
    pub(crate) pointer_encoding: u8,
    /// FDEs carry the length of their augmentation data (`z`).
    sized: bool,
    /// The code is the kernel's signal trampoline (`S`).
    pub(crate) signal: bool,
    pub(crate) instructions: Reader<'a>,
}

impl<'a> Cie<'a> {
    fn read(image: &Image<'a>, address: usize) -> Option<Self> {
        let mut body = Entry::read(image, address)?.body;
        if body.u32()? != 0 {
            return None; // this is an FDE
        }
        let version = body.u8()?;
        if version != 1 && version != 3 {
            return None;
        }
        let mut augmentation = Reader { bytes: body.bytes, address: body.address };
        while body.u8()? != 0 {}

        let code_align = body.uleb()?;
        let data_align = body.sleb()?;
        let return_register = if version == 1 { usize::from(body.u8()?) } else { body.uleb()? };
        if return_register != DWARF_RA {
            return None;
        }

        let (mut pointer_encoding, mut sized, mut signal) = (0, false, false);
        let mut data = body;
        loop {
            match augmentation.u8()? {
                0 => break,
                b'z' => {
                    sized = true;
                    let length = data.uleb()?;
                    body = data;
                    body.skip(length)?;
                }
                b'R' => pointer_encoding = data.u8()?,
                b'L' => data.skip(1)?,
                b'P' => {
                    let encoding = data.u8()?;
                    data.pointer(encoding & 0x7f, 0)?;
                }
                b'S' => signal = true,
                // An unknown letter has data of unknown length; with `z` the instructions are still
                // found, but an `R` behind it would be missed.
                _ => return None,
            }
        }
        if !sized {
            body = data;
        }
        Some(Self { code_align, data_align, pointer_encoding, sized, signal, instructions: body })
    }
}
