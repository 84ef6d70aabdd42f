//! Which ledgers a verb reads, and reading them: a line that cannot be read is said, and costs no other.

mod new;

use std::env;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use watertight_report::ledger::{LATEST, Records};
use watertight_report::model::Record;

use crate::exit::Usage;
use crate::talk::Talk;
pub(crate) use new::{begin, made, named, run_id};

/// Broken lines of one ledger that are said one by one: a file that is no ledger has nothing else.
pub(crate) const BROKEN_SAID_MAX: u64 = 50;

/// The ledgers to read: those that are named, else `WATERTIGHT_LEDGER`, else the last run's.
///
/// # Errors
/// [`Usage`] where one is not there.
pub(crate) fn chosen(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let named = match paths {
        [] => env::var_os("WATERTIGHT_LEDGER").filter(|path| !path.is_empty()).map(PathBuf::from),
        _ => None,
    };
    let paths: Vec<PathBuf> = paths.iter().cloned().chain(named).collect();
    if paths.is_empty() {
        let latest = latest().ok_or_else(|| {
            Usage("no run has left a ledger here; make one: cargo watertight test".to_owned())
        })?;
        return Ok(vec![latest]);
    }
    match paths.iter().find(|path| !path.exists()) {
        Some(missing) => Err(Usage(format!(
            "the ledger {} is not there; make one: WATERTIGHT_LEDGER={0} cargo watertight test",
            missing.display()
        ))
        .into()),
        None => Ok(paths),
    }
}

/// The last run's ledger: in cargo's target directory, from here upward to the workspace's root.
fn latest() -> Option<PathBuf> {
    let latest = Path::new("watertight").join(LATEST);
    if let Some(target) = told_target() {
        return Some(target.join(latest)).filter(|path| path.exists());
    }
    let here = env::current_dir().ok()?;
    // What lies above the root is another project's.
    let root = root_above(&here);
    let mut folders =
        here.ancestors().take_while(|folder| root.is_none_or(|root| folder.starts_with(root)));
    folders
        .find_map(|folder| Some(folder.join("target").join(&latest)).filter(|path| path.exists()))
}

/// The root of the workspace, from here upward.
pub(crate) fn workspace() -> Option<PathBuf> {
    root_above(&env::current_dir().ok()?).map(Path::to_owned)
}

/// Where cargo builds the workspace, unless its configuration says otherwise.
pub(crate) fn target(root: &Path) -> PathBuf {
    told_target().unwrap_or_else(|| root.join("target"))
}

fn told_target() -> Option<PathBuf> {
    env::var_os("CARGO_TARGET_DIR").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn root_above(here: &Path) -> Option<&Path> {
    here.ancestors().find(|folder| folder.join("Cargo.lock").exists())
}

/// Hands every record of the ledgers to `each`, with the ledger's place among them. Says every line that
/// cannot be read, and tells how many there were.
///
/// # Errors
/// A ledger cannot be opened.
pub(crate) fn read(
    paths: &[PathBuf],
    talk: &Talk,
    mut each: impl FnMut(usize, Record),
) -> anyhow::Result<u64> {
    let bytes = paths.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum();
    let bar = talk.progress("reading", bytes);
    let mut all = 0;
    for (index, path) in paths.iter().enumerate() {
        talk.detail(format_args!("reading {}", path.display()));
        let mut broken = 0;
        let file = File::open(path).with_context(|| {
            format!("cannot open the ledger {}; name another, or make it readable", path.display())
        })?;
        for record in Records::new(BufReader::new(bar.wrap_read(file))) {
            match record {
                Ok(record) => each(index, record),
                Err(error) => {
                    broken += 1;
                    if broken <= BROKEN_SAID_MAX {
                        let said = format!("{}: {}", path.display(), chain(&error));
                        bar.suspend(|| talk.warn(said));
                    }
                }
            }
        }
        if broken > BROKEN_SAID_MAX {
            let more = broken - BROKEN_SAID_MAX;
            talk.warn(format_args!("{}: {more} more lines cannot be read", path.display()));
        }
        all += broken;
    }
    bar.finish_and_clear();
    Ok(all)
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
