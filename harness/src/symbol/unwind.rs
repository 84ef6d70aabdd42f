//! From one frame of a thread that stands still to the one that called it, by `.eh_frame` (System V ABI for
//! x86-64, 3.7; DWARF 4, 6.4).
//!
//! Rules that are expressions are not evaluated: compilers write them for signal frames and jump tables
//! alone, and a thread is unwound as far as its rules go.

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, ParsedEhFrameHdr, Register, RegisterRule,
    UnwindContext, UnwindSection as _,
};
use object::read::NativeFile;
use object::{Object as _, ObjectSection as _};

use super::bytes::Bytes;
use super::image::Reader;

/// Registers by DWARF's numbers: the last one is the return address.
pub(crate) type Registers = [u64; 17];

const STACK_POINTER: usize = 7;
const RETURN_ADDRESS: usize = 16;

/// The unwind tables of one file.
pub(super) struct Unwind {
    header: ParsedEhFrameHdr<Reader>,
    frames: EhFrame<Reader>,
    bases: BaseAddresses,
}

impl Unwind {
    pub(super) fn of(file: &Bytes) -> Option<Self> {
        let elf = NativeFile::parse(&**file).ok()?;
        let whole = Reader::new(file.clone(), gimli::NativeEndian);
        let section = |name: &str| {
            let section = elf.section_by_name(name)?;
            let (start, len) = section.file_range()?;
            let (start, len) = (usize::try_from(start).ok()?, usize::try_from(len).ok()?);
            let fits = start.checked_add(len)? <= whole.bytes().len();
            fits.then(|| (section.address(), whole.range(start..start + len)))
        };
        let (header_at, header) = section(".eh_frame_hdr")?;
        let (frames_at, frames) = section(".eh_frame")?;
        let mut bases =
            BaseAddresses::default().set_eh_frame_hdr(header_at).set_eh_frame(frames_at);
        if let Some(text) = elf.section_by_name(".text") {
            bases = bases.set_text(text.address());
        }
        let header = EhFrameHdr::from(header).parse(&bases, size_of::<u64>() as u8).ok()?;
        Some(Self { header, frames: EhFrame::from(frames), bases })
    }

    /// The registers of the caller of the function that `address` of the file lies in, and the canonical frame
    /// address between the two; `read` gives words of the stack.
    pub(super) fn caller(
        &self,
        address: u64,
        registers: &Registers,
        read: impl Fn(u64) -> Option<u64>,
    ) -> Option<(Registers, u64)> {
        let mut context = UnwindContext::new();
        let row = self.header.table()?.unwind_info_for_address(
            &self.frames,
            &self.bases,
            &mut context,
            address,
            EhFrame::cie_from_offset,
        );
        let row = row.ok()?;
        let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return None };
        let cfa = registers.get(usize::from(register.0))?.wrapping_add_signed(*offset);
        let mut caller = *registers;
        for (number, value) in (0u16..).zip(&mut caller) {
            match row.register(Register(number)) {
                Some(RegisterRule::Offset(offset)) => {
                    *value = read(cfa.wrapping_add_signed(offset))?
                }
                Some(RegisterRule::ValOffset(offset)) => *value = cfa.wrapping_add_signed(offset),
                Some(RegisterRule::Register(other)) => {
                    *value = *registers.get(usize::from(other.0))?
                }
                // The outermost function has nowhere to return to.
                Some(RegisterRule::Undefined) if usize::from(number) == RETURN_ADDRESS => {
                    return None;
                }
                _ => {}
            }
        }
        caller[STACK_POINTER] = cfa;
        // A function that did not save its return address would be its own caller for ever.
        (caller[RETURN_ADDRESS] != 0 && cfa > registers[STACK_POINTER]).then_some((caller, cfa))
    }
}
