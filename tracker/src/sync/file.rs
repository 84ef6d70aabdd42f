//! The JSONL file and the database, brought in step.

use std::fs;
use std::io;
use std::path::Path;

use super::{SyncError, SyncReport, memory};
use crate::jsonl::{self, FileIdentity, Here, JsonlError, Replaced, Written};
use crate::store::Store;

/// Lines that are worth being put into the file one by one; more, and it is written anew.
pub(super) const SPLICED_MAX: u64 = 256;
/// A file that changes under a pass is merged again, but not for ever.
const ROUNDS_MAX: usize = 8;

/// What is to be done about the file.
pub(super) enum Due {
    /// Somebody else has written it: take in what is there.
    Merge(FileIdentity),
    /// It is as we left it, and behind.
    Update(Written),
    /// There is none.
    Create,
}

/// What is to be done about the file; `None` for nothing.
pub(super) fn look(store: &Store, path: &Path) -> Result<Option<Due>, SyncError> {
    let is_no_file = |what: &str| {
        let source = io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
        Err(JsonlError::Io { path: path.into(), source }.into())
    };
    let found = match fs::metadata(path) {
        // To read a pipe would be to wait for somebody to write it.
        Ok(found) if !found.is_file() => return is_no_file("it is no regular file"),
        Ok(found) => FileIdentity::of(&found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                return is_no_file("it is a link to a file that is not there");
            }
            // One that somebody removed is written again, even if nothing has changed since.
            return Ok((store.dirty()?.newest > 0).then_some(Due::Create));
        }
        Err(source) => return Err(JsonlError::Io { path: path.into(), source }.into()),
    };
    let dirty = store.dirty()?;
    Ok(match memory::written(store)?.filter(|written| written.identity == found) {
        None => Some(Due::Merge(found)),
        Some(written) if dirty.newest > dirty.exported => Some(Due::Update(written)),
        Some(_) => None,
    })
}

/// How the JSONL file stands to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It holds what the database does.
    InStep,
    /// There is none, and there is something to write.
    Missing,
    /// So many issues have changed since.
    Behind(u64),
    /// Somebody else has written it.
    Foreign,
}

/// How the JSONL file at `path` stands to the database.
pub(crate) fn standing(store: &Store, path: &Path) -> Result<Standing, SyncError> {
    Ok(match look(store, path)? {
        None => Standing::InStep,
        Some(Due::Create) => Standing::Missing,
        Some(Due::Update(_)) => Standing::Behind(store.dirty()?.issues),
        Some(Due::Merge(_)) => Standing::Foreign,
    })
}

/// Takes in what others have written and writes what is newer here, until the file is as it
/// should be. For the holder of the sync's lock.
pub(super) fn bring_up_to_date(
    store: &mut Store,
    path: &Path,
    report: &mut SyncReport,
) -> Result<(), SyncError> {
    jsonl::sweep_temporaries(path)?;
    for _ in 0..ROUNDS_MAX {
        let Some(due) = look(store, path)? else { return Ok(()) };
        let here = match &due {
            Due::Create => Here::Nothing,
            Due::Update(written) => Here::This(written.identity),
            Due::Merge(found) => {
                merge_in(store, path, report)?;
                // Read before the comparison: what changes after it stays to be exported.
                let newest = store.dirty()?.newest;
                // What was checked out or restored as it was, or edited as we would write it, is
                // let be.
                if jsonl::is_up_to_date(store, path)? {
                    let issues = store.lines()?;
                    memory::set_exported(store, newest, Written { identity: *found, issues })?;
                    continue;
                }
                Here::This(*found)
            }
        };
        memory::forget_expired(store)?;
        // Read before the export: what changes in between is exported too and merely stays dirty.
        let dirty = store.dirty()?;
        report.changed = report.changed.max(dirty.issues);
        let spliced = match due {
            Due::Update(written) if dirty.exported > 0 && dirty.issues <= SPLICED_MAX => {
                jsonl::splice(store, path, dirty.exported, written)?
            }
            _ => None,
        };
        let (exported, replaced) = match spliced {
            Some(spliced) => spliced,
            None => jsonl::write_file(store, path, here)?,
        };
        let (identity, theirs) = match replaced {
            Replaced::Appeared => continue,
            Replaced::Done(identity) => (identity, None),
            Replaced::Swapped(identity, theirs) => (identity, Some(theirs)),
        };
        report.exported = Some(exported);
        memory::set_exported(store, dirty.newest, Written { identity, issues: exported.issues })?;
        // What has changed here since then is the next pass's.
        let Some(theirs) = theirs else { return Ok(()) };
        if let Err(error) = merge_in(store, &theirs, report) {
            // It cannot be taken in, so it must not be lost: back to where they put it.
            theirs
                .persist(path)
                .map_err(|error| JsonlError::Io { path: path.into(), source: error.error })?;
            return Err(error);
        }
    }
    Err(SyncError::Unsettled { path: path.into() })
}

fn merge_in(store: &mut Store, path: &Path, report: &mut SyncReport) -> Result<(), SyncError> {
    let more = jsonl::import_file(store, path)?;
    let before = report.imported.take().unwrap_or_default();
    report.imported = Some(before.and(more));
    Ok(())
}
