//! Pointers that are not stored as what they are, and those in memory that the allocator knows nothing of.
//!
//! What is tagged in the low bits points into its own block and is found. Where the high bits are used, or
//! what is stored is no address at all, nobody who follows pointers can find it: such a block is called
//! lost, and the text that goes with it says that it may be this. Never may another be named.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, OnceLock};

use memmap2::MmapMut;
use watertight::{Context, Failed};
use watertight_report::model::HolderClass::{self, Lost, Mapping, Static};

use super::{Engine, Held, Source, lock, source};

const SOURCE: Source = source!("disguised.rs");
/// A bit that no pointer to an [`Aligned`] has.
const LOW_TAG: usize = 1;
/// Above the 47 bits that a pointer of a program has on this machine.
const HIGH_TAG: usize = 0xA11C << 48;
const KEY: usize = 0x5bd1_e995_5bd1_e995;

/// Whoever sees through a disguise names the static.
const DISGUISED: &[HolderClass] = &[Lost, Static];

pub(super) fn held() -> Vec<Held> {
    vec![
        Held::new("low_tag", SOURCE, &[Static], |cx| {
            let engine = Box::new(Aligned { _engine: Engine::new(cx.round()) }); // MADE low_tag
            lock(&TAGGED_LOW).push(address(engine) | LOW_TAG);
            Ok(())
        })
        .named(&["disguised::TAGGED_LOW"])
        .typed(&["Vec<", "usize"])
        .declared(),
        Held::new("high_tag", SOURCE, DISGUISED, |cx| {
            let engine = Box::new(Engine::new(cx.round())); // MADE high_tag
            lock(&TAGGED_HIGH).push(address(engine) | HIGH_TAG);
            Ok(())
        })
        .named(&["disguised::TAGGED_HIGH"])
        .disguised(),
        Held::new("xor", SOURCE, DISGUISED, |cx| {
            let engine = Box::new(Engine::new(cx.round())); // MADE xor
            lock(&MANGLED).push(address(engine) ^ KEY);
            Ok(())
        })
        .named(&["disguised::MANGLED"])
        .disguised(),
        Held::new("offset", SOURCE, DISGUISED, |cx| {
            let engine = Box::new(Engine::new(cx.round())); // MADE offset
            lock(&OFFSETS).push(offset(address(engine))?);
            Ok(())
        })
        .named(&["disguised::OFFSETS"])
        .disguised(),
        // The static leads to the mapping, and that to the block: both are said truly.
        Held::new("own_mapping", SOURCE, &[Mapping, Static], |cx| {
            let engine = Box::new(Engine::new(cx.round())); // MADE own_mapping
            let mut region = REGION.get_or_init(region).as_ref().map_err(told).map(lock)?;
            put(&mut region, cx, address(engine))
        })
        .named(&["disguised::REGION"]),
        Held::new("hidden_mapping", SOURCE, &[Mapping], |cx| {
            let engine = Box::new(Engine::new(cx.round())); // MADE hidden_mapping
            put(hidden_region()?, cx, address(engine))
        }),
    ]
}

static TAGGED_LOW: Mutex<Vec<usize>> = Mutex::new(Vec::new()); // HELD low_tag
static TAGGED_HIGH: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static MANGLED: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static OFFSETS: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static REGION: OnceLock<std::io::Result<Mutex<MmapMut>>> = OnceLock::new();

/// Something that has no low bits of its own.
#[repr(align(16))]
struct Aligned {
    _engine: Engine,
}

fn address<T>(block: Box<T>) -> usize {
    Box::into_raw(block).expose_provenance()
}

/// How far a block lies from where the program has begun to count, in words.
fn offset(block: usize) -> Result<u32, Failed> {
    static BASE: AtomicUsize = AtomicUsize::new(0);
    /// The first block is somewhere in the middle.
    const HALF: usize = 1 << 33;
    let first = BASE.compare_exchange(0, !block, Relaxed, Relaxed).unwrap_or_else(|base| base);
    // Kept inverted: the first block is as lost as all others.
    let base = if first == 0 { block } else { !first };
    Ok(u32::try_from((block + HALF - base) / size_of::<usize>())?)
}

/// So many that each round has a word of its own.
const REGION_BYTES: usize = 64 << 10;

fn region() -> std::io::Result<Mutex<MmapMut>> {
    MmapMut::map_anon(REGION_BYTES).map(Mutex::new)
}

/// A region of which nobody but this function knows where it is.
fn hidden_region() -> Result<&'static mut [u8], Failed> {
    static INVERTED: AtomicUsize = AtomicUsize::new(0);
    if INVERTED.load(Relaxed) == 0 {
        let mut region = MmapMut::map_anon(REGION_BYTES)?;
        INVERTED.store(!region.as_mut_ptr().expose_provenance(), Relaxed);
        crate::kinds::lose(region);
    }
    let start = std::ptr::with_exposed_provenance_mut(!INVERTED.load(Relaxed));
    // SAFETY: the region was mapped with this length and is never unmapped; only the one thread of the
    // test asks for it, and has let go of it before it asks again.
    Ok(unsafe { std::slice::from_raw_parts_mut(start, REGION_BYTES) })
}

/// Writes an address into this round's word of a region.
fn put(region: &mut [u8], cx: &Context, address: usize) -> Result<(), Failed> {
    let (words, _) = region.as_chunks_mut::<{ size_of::<usize>() }>();
    let word = words.get_mut(cx.round() as usize).ok_or(Failed::new("the region is full"))?;
    *word = address.to_le_bytes();
    Ok(())
}

fn told(error: &std::io::Error) -> Failed {
    Failed::new(error.to_string())
}
