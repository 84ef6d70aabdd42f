//! Where ledgers are kept: `<run>.jsonl` each, `latest` pointing to one, old ones removed.
//!
//! Several runs may keep one folder in order at the same time, so a file that is gone by the time
//! it is looked at is no error.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::LedgerError;

/// How many ledgers are kept in a folder: enough to compare with last week's, few enough to list.
pub const KEPT: usize = 20;

/// The symlink beside the ledgers that points to the one opened last.
pub const LATEST: &str = "latest";

/// File names may have 255 bytes on every common file system.
const RUN_NAME_BYTES_MAX: usize = 200;

/// The ledger of `run` in a target folder: `<target>/watertight/<run>.jsonl`.
///
/// A run may be named by the user, so whatever could lead out of the folder is replaced.
pub fn path_in(target: impl AsRef<Path>, run: &str) -> PathBuf {
    let mut name: String = run
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
        .take(RUN_NAME_BYTES_MAX)
        .collect();
    if name.is_empty() || name.starts_with('.') {
        name.insert(0, '_');
    }
    name.push_str(".jsonl");
    target.as_ref().join("watertight").join(name)
}

/// Points `latest`, beside `ledger`, to `ledger`. On systems without symlinks nothing is done.
pub fn point_latest(ledger: impl AsRef<Path>) -> Result<(), LedgerError> {
    let ledger = ledger.as_ref();
    let (Some(folder), Some(name)) = (ledger.parent(), ledger.file_name()) else {
        return Ok(());
    };
    let link = folder.join(LATEST);
    if fs::read_link(&link).is_ok_and(|target| target == Path::new(name)) {
        return Ok(());
    }
    replace_symlink(folder, Path::new(name), &link)
        .map_err(|source| LedgerError::Link { path: link, source })
}

/// Makes the symlink under a name of its own and renames it, so that `link` always points to
/// something.
#[cfg(unix)]
fn replace_symlink(folder: &Path, target: &Path, link: &Path) -> io::Result<()> {
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(0);

    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    let own = folder.join(format!(".{LATEST}.{}.{serial}", std::process::id()));
    // A process of the same id may have been killed between the two steps.
    ignore_missing(fs::remove_file(&own))?;
    std::os::unix::fs::symlink(target, &own)?;
    fs::rename(&own, link).inspect_err(|_| {
        let _ = fs::remove_file(&own);
    })
}

#[cfg(not(unix))]
fn replace_symlink(_folder: &Path, _target: &Path, _link: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes the oldest ledgers of `folder` until `kept` are left, and says how many were removed.
///
/// `current`, the ledger of this run, counts among the kept ones and is never removed.
pub fn keep_last(
    folder: impl AsRef<Path>,
    kept: usize,
    current: impl AsRef<Path>,
) -> Result<usize, LedgerError> {
    let folder = folder.as_ref();
    let unlisted = |source| LedgerError::List { path: folder.to_owned(), source };
    let mut others = Vec::new();
    let mut current_found = false;
    for entry in fs::read_dir(folder).map_err(unlisted)? {
        let entry = entry.map_err(unlisted)?;
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        if path.file_name() == current.as_ref().file_name() {
            current_found = true;
            continue;
        }
        // Of the entry, not of what it points to: a symlink is nobody's ledger.
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => {
                others.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), path));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(unlisted(source)),
        }
    }
    others.sort_unstable();
    let surplus = others.len().saturating_sub(kept.saturating_sub(usize::from(current_found)));
    for (_, path) in others.drain(..surplus) {
        ignore_missing(fs::remove_file(&path))
            .map_err(|source| LedgerError::Remove { path, source })?;
    }
    Ok(surplus)
}

/// Somebody else may have removed it first.
fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
