//! Rules by call site: a direct-mapped table without locks, so that a warm frame costs a few
//! nanoseconds.
//!
//! Invariant: an entry is one 64-bit word that names its call site completely, so it cannot be torn
//! and needs no order.
//! The 47 bits of an address are split into an index (13 bits, which entry) and a tag (34 bits,
//! kept in the entry);
//! the index is the low bits xored with the tag, so index and tag together give the address back.
//! The other 30 bits are the rule. Two threads may race for an entry; either result is a true one,
//! and the loser decodes again some day.
//!
//! ```text
//! 63                    30 29   27 26              10 9       0
//! | tag = address >> 13   | kind  | CFA offset, words | bp field |     0 = empty
//! ```

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::arch::{ADDRESS_BITS, WORD};
use super::cfi::{Bp, Cfa, Rule};

/// 8192 call sites in 64 KiB of zero pages. Two sites that fall on one entry take turns, for the
/// price of a miss each.
const INDEX_BITS: u32 = 13;
const ENTRIES: usize = 1 << INDEX_BITS;
const RULE_BITS: u32 = 64 - (ADDRESS_BITS - INDEX_BITS);
const BP_BITS: u32 = 10;
const OFFSET_BITS: u32 = 17;
const OFFSET_SIGN: i64 = 1 << (OFFSET_BITS - 1);

const KIND_SP: u32 = 1;
const KIND_BP: u32 = 2;
const KIND_AT_BP: u32 = 3;
const KIND_ABOVE_AT_SP: u32 = 4;
const KIND_SIGNAL: u32 = 5;
const KIND_END: u32 = 6;

const BP_SAME: u32 = 0;
/// One word below the CFA is the return address, so this number is free to mean something else.
const BP_AT_BP: u32 = 1;
const BP_LOST: u32 = (1 << BP_BITS) - 1;

static TABLE: [AtomicU64; ENTRIES] = [const { AtomicU64::new(0) }; ENTRIES];

/// A rule in 30 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed(u32);

impl Packed {
    pub(crate) const END: Self = Self(KIND_END << (OFFSET_BITS + BP_BITS));

    /// `None` for a frame larger than 1 MiB, an odd offset, or a frame pointer saved more than 8
    /// KiB below the CFA.
    pub(crate) fn new(rule: Rule) -> Option<Self> {
        let (kind, offset, bp) = match rule {
            Rule::End => return Some(Self::END),
            Rule::Signal => (KIND_SIGNAL, 0, BP_SAME),
            Rule::Step { cfa, bp } => {
                let (kind, offset) = match cfa {
                    Cfa::Sp(offset) => (KIND_SP, unsigned(offset)?),
                    Cfa::Bp(offset) => (KIND_BP, unsigned(offset)?),
                    Cfa::AtBp(offset) => (KIND_AT_BP, signed(offset)?),
                    Cfa::AboveAtSp(offset) => (KIND_ABOVE_AT_SP, signed(offset)?),
                };
                let bp = match bp {
                    Bp::Same => BP_SAME,
                    Bp::Pointee => BP_AT_BP,
                    Bp::Lost => BP_LOST,
                    Bp::AtCfa(offset) => {
                        let below = words(offset.checked_neg()?)?;
                        u32::try_from(below).ok().filter(|below| (2..BP_LOST).contains(below))?
                    }
                };
                (kind, offset, bp)
            }
        };
        Some(Self(kind << (OFFSET_BITS + BP_BITS) | offset << BP_BITS | bp))
    }

    /// The common case without a branch on the kind: CFA = (stack or frame pointer) + offset.
    #[inline(always)]
    pub(crate) fn simple_cfa(self, sp: usize, bp: usize) -> Option<usize> {
        let kind = self.kind();
        if kind > KIND_BP {
            return None;
        }
        let base = if kind == KIND_SP { sp } else { bp };
        Some(base.wrapping_add(self.offset() as usize * WORD))
    }

    /// How far below the CFA the frame pointer is saved; `None` unless that is the rule.
    #[inline(always)]
    pub(crate) fn bp_below_cfa(self) -> Option<usize> {
        let field = self.bp_field();
        (field > BP_AT_BP && field < BP_LOST).then_some(field as usize * WORD)
    }

    #[inline(always)]
    pub(crate) fn keeps_bp(self) -> bool {
        self.bp_field() == BP_SAME
    }

    /// The rule in full.
    pub(crate) fn unpack(self) -> Rule {
        let unsigned = i64::from(self.offset()) * WORD as i64;
        let signed = (i64::from(self.offset()) - OFFSET_SIGN) * WORD as i64;
        let cfa = match self.kind() {
            KIND_SP => Cfa::Sp(unsigned),
            KIND_BP => Cfa::Bp(unsigned),
            KIND_AT_BP => Cfa::AtBp(signed),
            KIND_ABOVE_AT_SP => Cfa::AboveAtSp(signed),
            KIND_SIGNAL => return Rule::Signal,
            _ => return Rule::End,
        };
        let bp = match self.bp_field() {
            BP_SAME => Bp::Same,
            BP_AT_BP => Bp::Pointee,
            BP_LOST => Bp::Lost,
            below => Bp::AtCfa(-i64::from(below) * WORD as i64),
        };
        Rule::Step { cfa, bp }
    }

    #[inline(always)]
    fn kind(self) -> u32 {
        self.0 >> (OFFSET_BITS + BP_BITS)
    }

    #[inline(always)]
    fn offset(self) -> u32 {
        self.0 >> BP_BITS & ((1 << OFFSET_BITS) - 1)
    }

    #[inline(always)]
    fn bp_field(self) -> u32 {
        self.0 & ((1 << BP_BITS) - 1)
    }
}

fn words(bytes: i64) -> Option<i64> {
    (bytes % WORD as i64 == 0).then_some(bytes / WORD as i64)
}

fn unsigned(bytes: i64) -> Option<u32> {
    u32::try_from(words(bytes)?).ok().filter(|words| *words < 1 << OFFSET_BITS)
}

fn signed(bytes: i64) -> Option<u32> {
    u32::try_from(words(bytes)? + OFFSET_SIGN).ok().filter(|words| *words < 1 << OFFSET_BITS)
}

#[inline(always)]
fn split(address: usize) -> (&'static AtomicU64, u64) {
    let tag = address as u64 >> INDEX_BITS;
    // One xor spreads neighbouring 8 KiB blocks; a multiplication would lengthen every frame's
    // chain of dependent instructions.
    let index = (address as u64 ^ tag) as usize % ENTRIES;
    (&TABLE[index], tag)
}

/// The rule kept for `address`. An address of more than 47 bits has none.
#[inline(always)]
pub(crate) fn get(address: usize) -> Option<Packed> {
    let (entry, tag) = split(address);
    let word = entry.load(Relaxed);
    // An empty entry has tag 0, which is the first 8 KiB of memory, and kind 0, which is no rule.
    (word >> RULE_BITS == tag && word != 0)
        .then_some(Packed((word & ((1 << RULE_BITS) - 1)) as u32))
}

pub(crate) fn put(address: usize, rule: Packed) {
    if address >> ADDRESS_BITS == 0 {
        let (entry, tag) = split(address);
        entry.store(tag << RULE_BITS | u64::from(rule.0), Relaxed);
    }
}

pub(crate) fn clear() {
    for entry in &TABLE {
        entry.store(0, Relaxed);
    }
}
