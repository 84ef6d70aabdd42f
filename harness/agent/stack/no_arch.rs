//! An architecture without an unwinder yet: the walk finds no first rule, so every stack is empty.

/// Register numbers that no call frame instruction names, so that no rule is ever complete.
pub(crate) const DWARF_BP: usize = usize::MAX - 1;
pub(crate) const DWARF_SP: usize = usize::MAX - 2;
pub(crate) const DWARF_RA: usize = usize::MAX - 3;

pub(crate) const WORD: usize = 8;
pub(crate) const RA_BELOW_CFA: usize = 8;
pub(crate) const RED_ZONE: usize = 128;
pub(crate) const SIGNAL_BP_AT: usize = 0;
pub(crate) const SIGNAL_SP_AT: usize = 0;
pub(crate) const SIGNAL_PC_AT: usize = 0;
pub(crate) const ADDRESS_BITS: u32 = 47;

/// See the x86_64 file.
#[derive(Clone, Copy)]
pub(crate) struct Registers {
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    pub(crate) bp: usize,
}

impl Registers {
    #[inline(always)]
    pub(crate) fn here() -> Self {
        Self { pc: 0, sp: 0, bp: 0 }
    }
}

pub(crate) fn is_readable(_address: usize) -> bool {
    false
}
