//! What is in the database, and how the file stands to it.

use std::time::Duration;

use jiff::Timestamp;

use super::{Finding, Patient, count, database, has_daemon, some};
use crate::client::Client;
use crate::failure::Failure;
use crate::issue::Issue;
use crate::jsonl;
use crate::store::{StoreError, collect};
use crate::sync::{self, Standing, SyncOptions};

/// How long a daemon may take to sync: as long as it lets a request take, and some.
const SYNC_TIMEOUT: Duration = Duration::from_secs(35);

/// What should be in the search index is there; what has changed since the last search is not yet.
/// Issues that are gone altogether may still be in it: nobody finds them.
pub(super) fn search(patient: &Patient) -> Result<Finding, Failure> {
    let store = &patient.store;
    if let Some(fault) = database::faults(store, "search").map_err(failure)?.first() {
        return Ok(Finding::mendable(fault));
    }
    let faults = store.read(|| {
        let indexed = store.indexed()?;
        let counted = |sql: &str| -> Result<i64, StoreError> {
            // Each has one parameter, used or not.
            let rows = collect(store.connection(), store.path(), sql, [indexed], |row| row.get(0))?;
            Ok(rows.first().copied().unwrap_or(0))
        };
        let mut faults = 0;
        for sql in [
            "SELECT count(*) FROM issues WHERE revision <= ?1 AND status <> 'tombstone'
             AND id NOT IN (SELECT issue_id FROM searchable)",
            "SELECT count(*) FROM searchable JOIN issues ON id = issue_id
             WHERE revision <= ?1 AND status = 'tombstone'",
            "SELECT count(*) FROM searchable
             WHERE ?1 >= 0 AND number NOT IN (SELECT id FROM search_docsize)",
            "SELECT count(*) FROM search_docsize
             WHERE ?1 >= 0 AND id NOT IN (SELECT number FROM searchable)",
        ] {
            faults += counted(sql)?;
        }
        // It may only be ahead of a database that was put back to what it was before.
        Ok::<_, StoreError>(if indexed > store.dirty()?.newest { faults + 1 } else { faults })
    });
    Ok(match faults.map_err(failure)? {
        0 => Finding::fine("holds what it should"),
        faults => Finding::mendable(format!(
            "the index differs from the issues in {}",
            count(usize::try_from(faults).unwrap_or_default(), "place")
        )),
    })
}

pub(super) fn empty_search(patient: &mut Patient) -> Result<(), Failure> {
    patient.store.empty_search().map_err(failure)
}

pub(super) fn cycles(patient: &Patient) -> Result<Finding, Failure> {
    let cycles = patient.store.cycles().map_err(failure)?;
    let Some(first) = cycles.first() else { return Ok(Finding::fine("none")) };
    let each: Vec<_> = cycles.iter().map(|cycle| cycle.join(" -> ")).collect();
    let hint = match first.as_slice() {
        [id, depends_on, ..] => {
            format!("`tracker dep remove {id} {depends_on}`, or another of them")
        }
        _ => "`tracker dep cycles` lists them".into(),
    };
    Ok(Finding::wrong(format!("{}: {}", count(cycles.len(), "cycle"), some(&each)), hint))
}

pub(super) fn dangling(patient: &Patient) -> Result<Finding, Failure> {
    let sql = "SELECT issue_id, depends_on_id FROM dependencies
               WHERE depends_on_id NOT IN (SELECT id FROM issues) ORDER BY issue_id, depends_on_id";
    let edges: Vec<(String, String)> =
        collect(patient.store.connection(), patient.store.path(), sql, [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(failure)?;
    let Some((id, depends_on)) = edges.first() else { return Ok(Finding::fine("none")) };
    let each: Vec<_> = edges.iter().map(|(id, on)| format!("{id} -> {on}")).collect();
    Ok(Finding::note(
        format!("on issues that are not here, which block nobody: {}", some(&each)),
        format!("import what is missing, or `tracker dep remove {id} {depends_on}`"),
    ))
}

pub(super) fn expired(patient: &Patient) -> Result<Finding, Failure> {
    let now = Timestamp::now();
    let sql = "SELECT line FROM issues WHERE status = 'tombstone'";
    let store = &patient.store;
    let lines: Vec<String> =
        collect(store.connection(), store.path(), sql, [], |row| row.get(0)).map_err(failure)?;
    let expired = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Issue>(line).ok())
        .filter(|issue| issue.is_expired(now))
        .count();
    Ok(match expired {
        0 => Finding::fine("none"),
        _ => Finding::note(
            format!("{} remembered longer than need be", count(expired, "deletion")),
            "a sync forgets them, once a day; `tracker doctor --fix` does now",
        ),
    })
}

pub(super) fn forget_expired(patient: &mut Patient) -> Result<(), Failure> {
    patient.store.forget_expired().map(drop).map_err(failure)
}

/// What is in a file that we wrote must be in the database. Where somebody else has written it, the
/// next sync takes it in.
pub(super) fn held(patient: &Patient) -> Result<Finding, Failure> {
    let path = patient.workspace.jsonl();
    let standing = sync::standing(&patient.store, &path).map_err(|error| Failure::from(&error))?;
    match standing {
        Standing::Missing => return Ok(Finding::fine("there is no file yet")),
        Standing::Foreign => return Ok(Finding::fine("the next sync takes in what is new there")),
        Standing::InStep | Standing::Behind(_) => {}
    }
    let loss = jsonl::loss(&patient.store, &path).map_err(|error| Failure::from(&error))?;
    Ok(match loss {
        None => Finding::fine("nothing"),
        Some(loss) if loss.missing + loss.newer == 0 => Finding::fine("nothing that can be read"),
        Some(loss) => Finding::mendable(format!("{} holds {loss}", path.display())),
    })
}

pub(super) fn take_in(patient: &mut Patient) -> Result<(), Failure> {
    let path = patient.workspace.jsonl();
    let taken = jsonl::import_file(&mut patient.store, &path);
    taken.map(drop).map_err(|error| Failure::from(&error))
}

pub(super) fn in_step(patient: &Patient) -> Result<Finding, Failure> {
    let path = patient.workspace.jsonl();
    let standing = sync::standing(&patient.store, &path).map_err(|error| Failure::from(&error))?;
    let what = match standing {
        Standing::InStep => return Ok(Finding::fine("file and database")),
        Standing::Missing => format!("{} is not there", path.display()),
        Standing::Behind(0) => format!("{} holds what is forgotten here", path.display()),
        Standing::Behind(issues) => {
            let issues = usize::try_from(issues).unwrap_or(usize::MAX);
            format!("{} not in the file yet", count(issues, "changed issue"))
        }
        Standing::Foreign => match jsonl::is_up_to_date(&patient.store, &path) {
            Ok(true) => "somebody else has written the file, with the same issues".into(),
            _ => "somebody else has written the file".into(),
        },
    };
    Ok(Finding::note(what, "`tracker sync` brings them in step, and so does a running daemon"))
}

/// Syncs; a daemon that has the workspace is asked to, for it would not wait for us.
pub(super) fn sync(patient: &mut Patient) -> Result<(), Failure> {
    if has_daemon(&patient.workspace).map_err(|error| Failure::from(&error))? {
        let asked = Client::connect_within(&patient.workspace, SYNC_TIMEOUT)
            .and_then(|mut client| client.sync());
        return asked.map(drop).map_err(|error| Failure::from(&error));
    }
    let passed = sync::pass(&mut patient.store, &patient.workspace, &SyncOptions::default());
    passed.map(drop).map_err(|error| Failure::from(&error))
}

fn failure(error: StoreError) -> Failure {
    Failure::from(&error)
}
