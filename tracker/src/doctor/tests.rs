//! Each defect planted, caught, mended where that can be, and gone at the second look.

mod around;
mod contents;
mod database;
mod file;
mod git;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use super::*;
use crate::daemon::DaemonLock;
use crate::issue::{DependencyKind, Issue, NewIssue};
use crate::jsonl;
use crate::sync::{self, SyncOptions, WhenBusy};

/// A workspace of two issues, synced.
struct Case {
    workspace: Workspace,
    ids: [String; 2],
    _dir: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        Self::below("")
    }

    fn below(path: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(path)).unwrap();
        let workspace = Workspace::create(&dir.path().join(path)).unwrap();
        let mut store = Store::open(&workspace.database()).unwrap();
        let ids = ["the tap drips", "a washer"]
            .map(|title| store.create(NewIssue::titled(title)).unwrap().id);
        store.add_dependency(&ids[0], &ids[1], DependencyKind::Blocks).unwrap();
        let patch =
            crate::issue::IssuePatch { add_labels: vec!["wet".into()], ..Default::default() };
        store.update(&ids[0], &patch).unwrap();
        sync::pass(&mut store, &workspace, &SyncOptions::default()).unwrap();
        store.search("tap", None).unwrap();
        store.close().unwrap();
        Self { workspace, ids, _dir: dir }
    }

    fn with_store<T>(&self, body: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = Store::open_existing(&self.workspace.database()).unwrap();
        let value = body(&mut store);
        store.close().unwrap();
        value
    }

    /// Does to the database what no program of ours does.
    fn sql(&self, sql: &str) {
        self.with_store(|store| store.connection().execute_batch(sql).unwrap());
    }

    fn look(&self) -> Vec<Check> {
        examine(&self.workspace, false)
    }

    fn fix(&self) -> Vec<Check> {
        examine(&self.workspace, true)
    }

    /// The check of a subject, with nothing else wrong.
    #[track_caller]
    fn only(&self, subject: Subject) -> Check {
        let checks = self.look();
        let others: Vec<_> = checks.iter().filter(|it| it.check != subject).collect();
        assert!(others.iter().all(|it| it.verdict == Verdict::Ok), "{others:#?}");
        one(&checks, subject)
    }

    /// It is found, mended, and not found any more, and nothing else is ever wrong.
    #[track_caller]
    fn is_mended(&self, subject: Subject, verdict: Verdict) {
        let found = one(&self.look(), subject);
        assert_eq!(found.verdict, verdict, "{found:?}");
        assert!(found.hint.is_some(), "{found:?}");
        let fixed = self.fix();
        assert_eq!(one(&fixed, subject).verdict, Verdict::Fixed, "{fixed:#?}");
        assert!(is_well(&fixed), "{fixed:#?}");
        self.is_clean();
    }

    #[track_caller]
    fn is_clean(&self) {
        let checks = self.look();
        assert!(checks.iter().all(|check| check.verdict == Verdict::Ok), "{checks:#?}");
        assert!(checks.iter().all(|check| check.hint.is_none()), "{checks:#?}");
    }
}

#[track_caller]
fn one(checks: &[Check], subject: Subject) -> Check {
    let found: Vec<_> = checks.iter().filter(|check| check.check == subject).collect();
    assert_eq!(found.len(), 1, "{checks:#?}");
    found[0].clone()
}

/// Everything below a directory: names, sizes, times.
fn everything(dir: &Path) -> Vec<(std::path::PathBuf, crate::jsonl::FileIdentity)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let found = entry.metadata().unwrap();
        all.push((entry.path(), crate::jsonl::FileIdentity::of(&found)));
        if found.is_dir() {
            all.extend(everything(&entry.path()));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn a_clean_workspace_is_fine_looked_at_without_a_trace_and_left_alone() {
    let case = Case::new();
    let before = everything(case.workspace.root());
    case.is_clean();
    assert_eq!(everything(case.workspace.root()), before);
    let fixed = case.fix();
    assert!(fixed.iter().all(|check| check.verdict == Verdict::Ok), "{fixed:#?}");
    case.is_clean();
}

#[test]
fn a_new_workspace_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::create(dir.path()).unwrap();
    Store::open(&workspace.database()).unwrap().close().unwrap();
    let checks = examine(&workspace, false);
    assert!(checks.iter().all(|check| check.verdict == Verdict::Ok), "{checks:#?}");
}
