//! Open files, and files that stay on the disk.

use std::fs::{self, File};

use watertight::Resource::{Fd, File as Left};
use watertight::{Context, Failed};

use super::{Kind, MANIFEST, MANIFEST_NAME, Source, lose, source};

const SOURCE: Source = source!("files.rs");
const DELETED: &str = "kinds-deleted";
const TEMP_DIR: &str = "kinds-temp-dir-";
const TEMP_FILE: &str = "kinds-temp-file";

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("file", SOURCE, &[Fd], MANIFEST_NAME)
            .leaky(|_cx| {
                lose(File::open(MANIFEST)?); // LEAK file
                Ok(())
            })
            .clean(|_cx| {
                drop(File::open(MANIFEST)?);
                Ok(())
            }),
        Kind::new("deleted_file", SOURCE, &[Fd], "kinds-deleted (deleted)")
            .leaky(|_cx| {
                let directory = tempfile::tempdir()?;
                lose(File::create(directory.path().join(DELETED))?); // LEAK deleted_file
                Ok(directory.close()?)
            })
            .clean(|_cx| {
                let directory = tempfile::tempdir()?;
                drop(File::create(directory.path().join(DELETED))?);
                Ok(directory.close()?)
            }),
        Kind::new("temp_dir", SOURCE, &[Left], TEMP_DIR).leaky(keep_a_directory).clean(|_cx| {
            drop(tempfile::Builder::new().prefix(TEMP_DIR).tempdir()?);
            Ok(())
        }),
        Kind::new("temp_file", SOURCE, &[Left], TEMP_FILE)
            .leaky(|_cx| {
                fs::write(std::env::temp_dir().join(TEMP_FILE), "left")?; // LEAK temp_file
                Ok(())
            })
            .clean(|_cx| {
                let directory = tempfile::tempdir()?;
                fs::write(directory.path().join(TEMP_FILE), "not left")?;
                Ok(directory.close()?)
            }),
    ]
}

fn keep_a_directory(_cx: &Context) -> Result<(), Failed> {
    let directory = tempfile::Builder::new().prefix(TEMP_DIR).tempdir()?; // LEAK temp_dir
    fs::write(directory.keep().join("left"), "left")?;
    Ok(())
}
