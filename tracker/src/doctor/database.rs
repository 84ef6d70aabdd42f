//! The database: whether it can be used at all, and then what is in it.

use std::fs;
use std::io;

use super::{Check, Examination, Finding, Patient, Subject, Verdict};
use super::{contents, count, git, has_daemon, rows};
use crate::failure::Failure;
use crate::jsonl::{self, FileIdentity};
use crate::paths::{Workspace, WorkspaceError};
use crate::store::{SCHEMA_VERSION, Store, StoreError, collect};

/// A database that is read as it lies, and changes meanwhile, is looked at again, but not for ever.
const LOOKS_MAX: usize = 3;
/// As many faults of pages and indexes are told.
const FAULTS_MAX: usize = 3;

/// In this order: what is mended first is what the next ones read.
const EXAMINATIONS: [Examination<Patient>; 9] = [
    Examination { subject: Subject::Integrity, look: integrity, mend: None },
    Examination { subject: Subject::Rows, look: rows::look, mend: Some(rows::mend) },
    Examination {
        subject: Subject::Search,
        look: contents::search,
        mend: Some(contents::empty_search),
    },
    Examination { subject: Subject::Cycles, look: contents::cycles, mend: None },
    Examination { subject: Subject::Dangling, look: contents::dangling, mend: None },
    Examination {
        subject: Subject::Expired,
        look: contents::expired,
        mend: Some(contents::forget_expired),
    },
    Examination { subject: Subject::Held, look: contents::held, mend: Some(contents::take_in) },
    Examination { subject: Subject::InStep, look: contents::in_step, mend: Some(contents::sync) },
    Examination { subject: Subject::Git, look: git::look, mend: None },
];

pub(super) fn examine(workspace: &Workspace, fix: bool) -> Vec<Check> {
    for _ in 0..LOOKS_MAX {
        let before = stamp(workspace);
        let checks = examine_once(workspace, fix);
        if fix || stamp(workspace) == before {
            return checks;
        }
    }
    let mut checks = skipped("it changes faster than it can be looked at");
    let found = format!("{} is being written to again and again", workspace.dir().display());
    checks.insert(0, Finding::note(found, "try again later").check(Subject::Database));
    checks
}

/// What changes when somebody writes the database or the file.
fn stamp(workspace: &Workspace) -> [Option<FileIdentity>; 2] {
    [workspace.database(), workspace.jsonl()].map(|path| FileIdentity::at(&path))
}

fn examine_once(workspace: &Workspace, fix: bool) -> Vec<Check> {
    let (check, store) = open(workspace, fix);
    let mut checks = vec![check];
    let Some(store) = store else {
        checks.extend(skipped("the database cannot be used"));
        return checks;
    };
    let mut patient = Patient { workspace: workspace.clone(), store };
    let mut may_mend = fix;
    let mut is_damaged = false;
    for examination in &EXAMINATIONS {
        if is_damaged {
            checks.push(examination.skipped("the database is damaged"));
            continue;
        }
        let check = examination.run(&mut patient, may_mend);
        if check.verdict == Verdict::Wrong {
            // Of lines that cannot be read nothing is to reach the file.
            may_mend &= examination.subject != Subject::Rows;
            is_damaged |= examination.subject == Subject::Integrity;
        }
        checks.push(check);
    }
    if let Err(error) = patient.store.close() {
        checks[0] = Finding::from(Failure::from(&error)).check(Subject::Database);
    }
    checks
}

fn skipped(why: &str) -> Vec<Check> {
    EXAMINATIONS.iter().map(|examination| examination.skipped(why)).collect()
}

/// Opens the database, to look at it or to mend it, if it is one of ours and of this schema.
fn open(workspace: &Workspace, fix: bool) -> (Check, Option<Store>) {
    let path = workspace.database();
    let failed = |error: &StoreError| {
        let failure = Failure::from(error);
        let finding = match failure.code.as_str() {
            "corrupt" => Finding::wrong(failure.message, way_out(workspace)),
            _ => Finding::from(failure),
        };
        (finding.check(Subject::Database), None)
    };
    let found = match fs::metadata(&path) {
        Ok(found) if found.is_file() => Store::open_to_look(&path).and_then(|store| {
            let version = store.schema_version()?;
            let found = (version, store.is_blank()?);
            Ok((found, store))
        }),
        Ok(_) => {
            let what = format!("{} is not a file", path.display());
            let finding = Finding::wrong(what, "move it away, then `tracker init`");
            return (finding.check(Subject::Database), None);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = format!("no database at {}", path.display());
            let finding = Finding::wrong(what, afresh(workspace));
            return (finding.check(Subject::Database), None);
        }
        Err(source) => {
            let failure = Failure::from(&WorkspaceError::Io { path, source });
            return (Finding::from(failure).check(Subject::Database), None);
        }
    };
    let (found, looking) = match found {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    let finding = match found {
        (SCHEMA_VERSION, _) => Finding::fine(format!("schema {SCHEMA_VERSION}")),
        (0, true) => Finding::wrong(
            format!("{} is empty", path.display()),
            "`tracker doctor --fix` begins it anew and takes in the file; then `tracker config \
             prefix NAME`",
        ),
        (0, false) => Finding::wrong(
            format!("{} is not a database of tracker", path.display()),
            way_out(workspace),
        ),
        (version @ 1..SCHEMA_VERSION, _) => Finding::note(
            format!("of schema {version}, which the next command brings to {SCHEMA_VERSION}"),
            "`tracker doctor --fix`, or any other command",
        ),
        (found, _) => {
            return failed(&StoreError::Newer { path, found });
        }
    };
    let check = finding.check(Subject::Database);
    let is_ours = found != (0, false);
    match (fix && is_ours, check.verdict) {
        (false, Verdict::Ok) => (check, Some(looking)),
        (false, _) => (check, None),
        (true, verdict) => {
            drop(looking);
            // An empty one is begun anew.
            match Store::open(&path) {
                Ok(store) if verdict == Verdict::Ok => (check, Some(store)),
                Ok(store) => (Check { verdict: Verdict::Fixed, hint: None, ..check }, Some(store)),
                Err(error) => failed(&error),
            }
        }
    }
}

fn integrity(patient: &Patient) -> Result<Finding, Failure> {
    let mut faults = faults(&patient.store, &FAULTS_MAX.to_string())
        .unwrap_or_else(|error| vec![error.to_string()]);
    // Of the search index, which can be made anew and has a check of its own.
    faults.retain(|fault| !fault.starts_with("fts5:") && !fault.contains("FTS5 table"));
    Ok(match faults.is_empty() {
        true => Finding::fine("pages and indexes are whole"),
        false => Finding::wrong(faults.join("; "), way_out(&patient.workspace)),
    })
}

/// What SQLite finds wrong, up to a number of faults or in one table.
///
/// <https://www.sqlite.org/pragma.html#pragma_integrity_check>
pub(super) fn faults(store: &Store, what: &str) -> Result<Vec<String>, StoreError> {
    let sql = format!("PRAGMA integrity_check({what})");
    let mut faults: Vec<String> =
        collect(store.connection(), store.path(), &sql, [], |row| row.get(0))?;
    faults.retain(|fault| fault != "ok");
    Ok(faults)
}

/// What to do about a database that nobody can mend.
pub(super) fn way_out(workspace: &Workspace) -> String {
    let stop = match has_daemon(workspace) {
        Ok(false) => "",
        _ => "`tracker daemon stop`, ",
    };
    let database = workspace.database();
    format!("{stop}move {}* away, {}", database.display(), afresh(workspace))
}

/// How to begin again from the file.
fn afresh(workspace: &Workspace) -> String {
    let path = workspace.jsonl();
    const INIT: &str = "`tracker init`";
    match jsonl::check_file(&path) {
        Ok(issues) => {
            let issues = count(issues, "issue");
            format!("{INIT}, then `tracker sync` takes in the {issues} of {}", path.display())
        }
        Err(_) if !path.exists() => format!("{INIT}; there is no {} to take in", path.display()),
        Err(_) => format!(
            "{INIT}, then correct {} or take an older one (`git log -- FILE`), then `tracker sync`",
            path.display()
        ),
    }
}
