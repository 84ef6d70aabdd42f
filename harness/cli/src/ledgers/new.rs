//! The ledger of a run that begins.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use watertight_report::ledger::{self, Ledger};

use crate::exit::Usage;

/// The ledger of a run: the one that `WATERTIGHT_LEDGER` names, else one of its own below cargo's target
/// folder, to which `latest` then points.
///
/// # Errors
/// [`Usage`] where what is named is no file; else the ledger cannot be made.
pub(crate) fn begin(target: &Path, run: &str) -> anyhow::Result<PathBuf> {
    if let Some(named) = named()? {
        return Ok(named);
    }
    let path = ledger::path_in(target, run);
    // Made at once, so that `latest` and its readers speak of this run also where it ends early.
    Ledger::open(&path)?;
    ledger::point_latest(&path)?;
    if let Some(folder) = path.parent() {
        // Old ledgers that cannot be removed are no reason not to go on.
        let _ = ledger::keep_last(folder, ledger::KEPT, &path);
    }
    Ok(path)
}

/// The ledger that `WATERTIGHT_LEDGER` names, made if it is not there: a run in which nobody writes has one
/// all the same.
///
/// # Errors
/// As [`begin`].
pub(crate) fn named() -> anyhow::Result<Option<PathBuf>> {
    let Some(named) = std::env::var_os("WATERTIGHT_LEDGER").filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    made(Path::new(&named), "WATERTIGHT_LEDGER").map(Some)
}

/// A ledger that somebody has named by an option or variable, made if it is not there.
///
/// # Errors
/// As [`begin`].
pub(crate) fn made(named: &Path, by: &str) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(named)?;
    // A device takes what is written and never ends when it is read.
    if path.metadata().is_ok_and(|it| !it.is_file()) {
        let path = path.display();
        let said = format!("{by} names {path}, which is no file; name one, or leave it out");
        return Err(Usage(said).into());
    }
    Ledger::open(&path)?;
    Ok(path)
}

/// Given by whoever starts several commands for one run; else made of the moment and this process.
pub(crate) fn run_id() -> String {
    std::env::var("WATERTIGHT_RUN").ok().filter(|run| !run.is_empty()).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{:x}-{}", now.as_millis(), std::process::id())
    })
}
