//! A file that stays where builds keep what they make: on purpose, for all that anyone can tell.

use std::fs;
use std::path::PathBuf;

use watertight::{Failed, Resource::File};

use super::{Kind, Source, source};

const SOURCE: Source = source!("elsewhere.rs");
const NAME: &str = "kinds-elsewhere";

/// The variable that says in which directory. The one who runs the binary removes it afterwards.
pub const ELSEWHERE: &str = "KINDS_ELSEWHERE";

pub(super) fn kinds() -> Vec<Kind> {
    let kind = Kind::new("file_elsewhere", SOURCE, &[File], NAME)
        .leaky(|_cx| {
            fs::write(directory()?.join(NAME), "left")?; // LEAK file_elsewhere
            Ok(())
        })
        .clean(|_cx| {
            let path = directory()?.join("kinds-elsewhere-for-a-moment");
            fs::write(&path, "not left")?;
            Ok(fs::remove_file(path)?)
        });
    vec![kind.listed_only()]
}

fn directory() -> Result<PathBuf, Failed> {
    match std::env::var_os(ELSEWHERE) {
        Some(directory) => Ok(directory.into()),
        None => Err(Failed::new(format!(
            "set {ELSEWHERE} to a directory that is not a temporary one, and remove it afterwards"
        ))),
    }
}
