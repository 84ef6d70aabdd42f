//! Mappings that are never taken away.

use std::fs::File;

use memmap2::{Mmap, MmapMut};
use watertight::Resource::Mapping;
use watertight::{Context, Failed};

use super::{Kind, MANIFEST, MANIFEST_NAME, Source, lose, source};

const SOURCE: Source = source!("mappings.rs");
const BYTES: usize = 256 << 10;

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("mapping_anonymous", SOURCE, &[Mapping], "anonymous")
            .leaky(|_cx| {
                let mut mapping = MmapMut::map_anon(BYTES)?; // LEAK mapping_anonymous
                mapping.fill(1);
                lose(mapping);
                Ok(())
            })
            .clean(|_cx| {
                let mut mapping = MmapMut::map_anon(BYTES)?;
                mapping.fill(1);
                Ok(())
            }),
        Kind::new("mapping_file", SOURCE, &[Mapping], MANIFEST_NAME).leaky(leave_a_file).clean(
            |_cx| {
                // SAFETY: nobody writes the file while it is mapped.
                let mapping = unsafe { Mmap::map(&File::open(MANIFEST)?)? };
                assert!(mapping.starts_with(b"[package]"));
                Ok(())
            },
        ),
    ]
}

fn leave_a_file(_cx: &Context) -> Result<(), Failed> {
    let file = File::open(MANIFEST)?;
    // SAFETY: nobody writes the file while it is mapped.
    let mapping = unsafe { Mmap::map(&file)? }; // LEAK mapping_file
    assert!(mapping.starts_with(b"[package]"));
    lose(mapping);
    Ok(())
}
