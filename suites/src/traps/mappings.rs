//! Mappings that come and go.

use memmap2::{MmapMut, RemapOptions};
use watertight::{Case, Context, Failed};

use super::trap;

const BYTES: usize = 1 << 20;

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("mapping_taken_away", |_cx| {
            MmapMut::map_anon(BYTES)?.fill(1);
            Ok(())
        }),
        trap("mapping_that_grows_and_shrinks", mapping_that_grows_and_shrinks),
        trap("mapping_opened_once_that_grows_and_shrinks", mapping_opened_once),
        trap("large_block_that_is_a_mapping", |_cx| {
            // Above its threshold the C library maps a block and unmaps it.
            drop(std::hint::black_box(vec![1u8; 64 * BYTES]));
            Ok(())
        }),
    ]
}

fn mapping_that_grows_and_shrinks(_cx: &Context) -> Result<(), Failed> {
    resize(&mut MmapMut::map_anon(BYTES)?)
}

fn mapping_opened_once(_cx: &Context) -> Result<(), Failed> {
    use std::sync::{Mutex, OnceLock, PoisonError};
    static MAPPING: OnceLock<Mutex<std::io::Result<MmapMut>>> = OnceLock::new();
    let mapping = MAPPING.get_or_init(|| Mutex::new(MmapMut::map_anon(BYTES)));
    match &mut *mapping.lock().unwrap_or_else(PoisonError::into_inner) {
        Ok(mapping) => resize(mapping),
        Err(error) => Err(Failed::new(error.to_string())),
    }
}

fn resize(mapping: &mut MmapMut) -> Result<(), Failed> {
    for bytes in [8 * BYTES, BYTES] {
        // SAFETY: nothing points into the mapping.
        unsafe { mapping.remap(bytes, RemapOptions::new().may_move(true))? };
        mapping.fill(1);
    }
    Ok(())
}
