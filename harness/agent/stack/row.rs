//! Call frame instructions (DWARF 5, 6.4.2): a small language whose program, run up to a program
//! counter, is a row:
//! for each register where the caller's value is. Three columns are kept, the others are parsed and
//! skipped.

use super::arch::{DWARF_BP, DWARF_RA, DWARF_SP, RA_BELOW_CFA, SIGNAL_SP_AT, WORD};
use super::cfi::{Bp, Cfa, Cie, Rule};
use super::reader::Reader;

/// How deep `DW_CFA_remember_state` may nest. Deeper is not understood.
const REMEMBERED_MAX: usize = 8;

/// Runs the CIE's instructions, then the FDE's, which starts at `begin`, up to `pc`. `None`: not
/// understood.
pub(crate) fn rule_at(
    cie: &Cie<'_>,
    fde: Reader<'_>,
    begin: usize,
    pc: usize,
    header: usize,
) -> Option<Rule> {
    let mut machine = Machine::new(cie, begin, pc, header);
    machine.run(cie.instructions, None)?;
    let initial = machine.row;
    machine.run(fde, Some(initial))?;
    machine.row.rule(cie.signal)
}

/// One row, reduced to our three columns.
#[derive(Clone, Copy)]
struct Row {
    cfa: CfaColumn,
    bp: Bp,
    ra: RaColumn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CfaColumn {
    Register {
        register: usize,
        offset: i64,
    },
    AtBp(i64),
    AboveAtSp(i64),
    /// `DW_OP_breg7 n; DW_OP_deref`: the kernel's signal frame.
    AtSp(i64),
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RaColumn {
    AtCfa(i64),
    Undefined,
    Unknown,
}

impl Row {
    fn rule(self, signal: bool) -> Option<Rule> {
        if signal {
            return (self.cfa == CfaColumn::AtSp(SIGNAL_SP_AT as i64)).then_some(Rule::Signal);
        }
        match self.ra {
            RaColumn::Undefined => return Some(Rule::End),
            RaColumn::AtCfa(at) if at == -(RA_BELOW_CFA as i64) => {}
            RaColumn::AtCfa(_) | RaColumn::Unknown => return None,
        }
        let cfa = match self.cfa {
            CfaColumn::Register { register: DWARF_SP, offset } => Cfa::Sp(offset),
            CfaColumn::Register { register: DWARF_BP, offset } => Cfa::Bp(offset),
            CfaColumn::AtBp(offset) => Cfa::AtBp(offset),
            CfaColumn::AboveAtSp(offset) => Cfa::AboveAtSp(offset),
            CfaColumn::Register { .. } | CfaColumn::AtSp(_) | CfaColumn::Unknown => return None,
        };
        Some(Rule::Step { cfa, bp: self.bp })
    }
}

/// The interpreter, run up to the row of `pc`.
struct Machine {
    row: Row,
    remembered: [Option<Row>; REMEMBERED_MAX],
    depth: usize,
    location: usize,
    pc: usize,
    code_align: usize,
    data_align: i64,
    pointer_encoding: u8,
    header: usize,
}

impl Machine {
    fn new(cie: &Cie<'_>, begin: usize, pc: usize, header: usize) -> Self {
        Self {
            row: Row { cfa: CfaColumn::Unknown, bp: Bp::Same, ra: RaColumn::Unknown },
            remembered: [None; REMEMBERED_MAX],
            depth: 0,
            location: begin,
            pc,
            code_align: cie.code_align,
            data_align: cie.data_align,
            pointer_encoding: cie.pointer_encoding,
            header,
        }
    }

    /// Ends at the end of the bytes or when the next row starts after `pc`. Every turn consumes a
    /// byte.
    fn run(&mut self, mut code: Reader<'_>, initial: Option<Row>) -> Option<()> {
        while !code.bytes.is_empty() {
            let opcode = code.u8()?;
            let operand = usize::from(opcode & 0x3f);
            match opcode & 0xc0 {
                0x40 => {
                    if !self.advance(operand) {
                        return Some(());
                    }
                    continue;
                }
                0x80 => {
                    let factored = code.uleb()?;
                    self.saved(operand, Some(self.factored(i64::try_from(factored).ok()?)?));
                    continue;
                }
                0xc0 => {
                    self.restore(operand, initial)?;
                    continue;
                }
                _ => {}
            }
            match opcode {
                0x00 => {} // nop
                0x01 => {
                    let location = code.pointer(self.pointer_encoding, self.header)?; // set_loc
                    if location > self.pc {
                        return Some(());
                    }
                    self.location = location;
                }
                0x02..=0x04 => {
                    let delta = match opcode {
                        0x02 => usize::from(code.u8()?),
                        0x03 => usize::from(code.u16()?),
                        _ => code.u32()? as usize,
                    };
                    if !self.advance(delta) {
                        return Some(());
                    }
                }
                0x05 | 0x11 | 0x2f => {
                    // offset_extended, offset_extended_sf, GNU_negative_offset_extended
                    let register = code.uleb()?;
                    let factored = match opcode {
                        0x05 => i64::try_from(code.uleb()?).ok()?,
                        0x11 => code.sleb()?,
                        _ => i64::try_from(code.uleb()?).ok()?.checked_neg()?,
                    };
                    self.saved(register, Some(self.factored(factored)?));
                }
                0x06 => {
                    let register = code.uleb()?; // restore_extended
                    self.restore(register, initial)?;
                }
                0x07 => match code.uleb()? {
                    DWARF_RA => self.row.ra = RaColumn::Undefined, // undefined
                    register => self.saved(register, None),
                },
                0x08 => match code.uleb()? {
                    DWARF_BP => self.row.bp = Bp::Same, // same_value
                    register => self.saved(register, None),
                },
                0x09 | 0x14 => {
                    // register, val_offset: not where we look
                    let register = code.uleb()?;
                    code.uleb()?;
                    self.saved(register, None);
                }
                0x15 => {
                    let register = code.uleb()?; // val_offset_sf
                    code.sleb()?;
                    self.saved(register, None);
                }
                0x0a => {
                    *self.remembered.get_mut(self.depth)? = Some(self.row); // remember_state
                    self.depth += 1;
                }
                0x0b => {
                    self.depth = self.depth.checked_sub(1)?; // restore_state
                    self.row = (*self.remembered.get(self.depth)?)?;
                }
                0x0c => {
                    let register = code.uleb()?; // def_cfa
                    let offset = i64::try_from(code.uleb()?).ok()?;
                    self.row.cfa = CfaColumn::Register { register, offset };
                }
                0x12 => {
                    let register = code.uleb()?; // def_cfa_sf
                    let offset = self.factored(code.sleb()?)?;
                    self.row.cfa = CfaColumn::Register { register, offset };
                }
                0x0d => {
                    let register = code.uleb()?; // def_cfa_register
                    self.row.cfa = match self.row.cfa {
                        CfaColumn::Register { offset, .. } => {
                            CfaColumn::Register { register, offset }
                        }
                        _ => CfaColumn::Unknown,
                    };
                }
                0x0e | 0x13 => {
                    // def_cfa_offset, def_cfa_offset_sf
                    let offset = match opcode {
                        0x0e => i64::try_from(code.uleb()?).ok()?,
                        _ => self.factored(code.sleb()?)?,
                    };
                    self.row.cfa = match self.row.cfa {
                        CfaColumn::Register { register, .. } => {
                            CfaColumn::Register { register, offset }
                        }
                        _ => CfaColumn::Unknown,
                    };
                }
                0x0f => self.row.cfa = cfa_expression(code.block()?), // def_cfa_expression
                0x10 => {
                    let register = code.uleb()?; // expression
                    let block = code.block()?;
                    self.saved(register, None);
                    if register == DWARF_BP && based(block) == Some((DWARF_BP, 0, &[])) {
                        self.row.bp = Bp::Pointee;
                    }
                }
                0x16 => {
                    let register = code.uleb()?; // val_expression
                    code.block()?;
                    self.saved(register, None);
                }
                0x2e => {
                    code.uleb()?; // GNU_args_size: for landing pads only
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// Moves to the next row; false when that row starts after `pc`.
    fn advance(&mut self, delta: usize) -> bool {
        let next = self.location.wrapping_add(delta.wrapping_mul(self.code_align));
        if next > self.pc {
            return false;
        }
        self.location = next;
        true
    }

    fn factored(&self, value: i64) -> Option<i64> {
        value.checked_mul(self.data_align)
    }

    /// The register is saved at this distance from the CFA; `None`: somewhere we do not look.
    fn saved(&mut self, register: usize, at: Option<i64>) {
        match register {
            DWARF_BP => self.row.bp = at.map_or(Bp::Lost, Bp::AtCfa),
            DWARF_RA => self.row.ra = at.map_or(RaColumn::Unknown, RaColumn::AtCfa),
            _ => {}
        }
    }

    /// Back to what the CIE said of the register.
    fn restore(&mut self, register: usize, initial: Option<Row>) -> Option<()> {
        let initial = initial?;
        match register {
            DWARF_BP => self.row.bp = initial.bp,
            DWARF_RA => self.row.ra = initial.ra,
            _ => {}
        }
        Some(())
    }
}

/// `DW_OP_bregN offset`, and what follows it (DWARF 5, 2.5.1.2).
fn based(block: &[u8]) -> Option<(usize, i64, &[u8])> {
    const DW_OP_BREG0: u8 = 0x70;
    const DW_OP_BREG31: u8 = 0x8f;
    let mut reader = Reader { bytes: block, address: 0 };
    let opcode = reader.u8()?;
    if !(DW_OP_BREG0..=DW_OP_BREG31).contains(&opcode) {
        return None;
    }
    let offset = reader.sleb()?;
    Some((usize::from(opcode - DW_OP_BREG0), offset, reader.bytes))
}

fn cfa_expression(block: &[u8]) -> CfaColumn {
    const DW_OP_DEREF: u8 = 0x06;
    const DW_OP_PLUS_UCONST: u8 = 0x23;
    const ABOVE: u8 = WORD as u8;
    match based(block) {
        Some((DWARF_BP, offset, [DW_OP_DEREF])) => CfaColumn::AtBp(offset),
        Some((DWARF_SP, offset, [DW_OP_DEREF])) => CfaColumn::AtSp(offset),
        Some((DWARF_SP, offset, [DW_OP_DEREF, DW_OP_PLUS_UCONST, ABOVE])) => {
            CfaColumn::AboveAtSp(offset)
        }
        _ => CfaColumn::Unknown,
    }
}
