//! One sync pass, next to what the disk alone takes for the same bytes.
//!
//! - `idle`: nothing has changed. The floor is one stat, the least that can tell that the file is there.
//! - `one change`: one issue has changed since the last pass.
//! - `full`: every issue is new, the file is not there yet.
//!
//! The floor of the last two is the same file written, fsynced, renamed and its directory fsynced.
//! `no disk` is the export into nothing: what is left of a pass between it and the floor is SQLite's
//! own commit, which is one more fsync.

mod in_turn;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use tempfile::TempDir;
use watertight_tracker::issue::{Issue, IssuePatch};
use watertight_tracker::jsonl;
use watertight_tracker::paths::Workspace;
use watertight_tracker::store::Store;
use watertight_tracker::sync::{SyncOptions, SyncReport, pass};

use in_turn::{Way, in_turn};

const SIZES: [(usize, &str); 2] = [(1_000, "1k"), (10_000, "10k")];

/// A workspace below cargo's target directory: /tmp may be memory, and an fsync there costs nothing.
struct Place {
    _dir: TempDir,
    workspace: Workspace,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let workspace = Workspace::create(dir.path()).expect("a workspace");
        Self { _dir: dir, workspace }
    }

    fn open(&self) -> Store {
        Store::open(&self.workspace.database()).expect("a store")
    }
}

/// An issue of a usual size, the same in every run.
fn issue(number: usize) -> Issue {
    serde_json::from_value(serde_json::json!({
        "id": format!("tt-{number:06}"),
        "title": format!("The tap in room {number} drips"),
        "description": "It drips about once a second, more at night. ".repeat(4),
        "priority": number % 5,
        "assignee": "plumber",
        "created_at": "2025-01-02T03:04:05Z",
        "updated_at": "2025-01-02T03:04:05Z",
        "labels": ["bathroom", "water"],
    }))
    .expect("an issue")
}

fn sync(store: &mut Store, workspace: &Workspace) -> SyncReport {
    pass(store, workspace, &SyncOptions::default()).expect("a pass")
}

/// The floor: the same bytes, safely in the place of a file.
fn replace(target: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = target.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, target)?;
    File::open(target.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Times only `work`, not what comes before it.
fn timed<T, R>(
    iterations: u64,
    mut before: impl FnMut() -> T,
    mut work: impl FnMut(&mut T) -> R,
) -> Duration {
    let mut time = Duration::ZERO;
    for _ in 0..iterations {
        let mut ready = before();
        let begun = Instant::now();
        let result = work(&mut ready);
        time += begun.elapsed();
        drop(result);
    }
    time
}

fn sync_loop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sync_loop");
    group
        .sample_size(15)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for (count, size) in SIZES {
        // A database in which every issue is dirty; closed, so that it is one file.
        let full = Place::new();
        let mut store = full.open();
        store.import((0..count).map(issue)).expect("an import");
        store.close().expect("a close");

        let place = Place::new();
        fs::copy(full.workspace.database(), place.workspace.database()).expect("a copy");
        let mut store = place.open();
        let written = sync(&mut store, &place.workspace);
        assert_eq!(written.exported.expect("an export").issues, count as u64);
        let bytes = fs::read(place.workspace.jsonl()).expect("the export");
        let floor = Place::new();
        let target = floor.workspace.jsonl();

        in_turn(
            &mut group,
            &format!("{size} issues, idle"),
            vec![
                Way::new("floor (stat)", |iterations| {
                    timed(iterations, || (), |()| fs::metadata(place.workspace.jsonl()).is_ok())
                }),
                Way::new("pass", |iterations| {
                    timed(
                        iterations,
                        || (),
                        |()| assert!(sync(&mut store, &place.workspace).is_idle()),
                    )
                }),
            ],
        );

        let mut changes = 0_u64;
        let change = |store: &mut Store| {
            changes += 1;
            let patch =
                IssuePatch { title: Some(format!("Changed {changes:9}")), ..IssuePatch::default() };
            store.update("tt-000007", &patch).expect("a change");
        };
        let changed = std::cell::RefCell::new((change, &mut store));
        in_turn(
            &mut group,
            &format!("{size} issues, one change"),
            vec![
                Way::new("floor (write, fsync, rename)", |iterations| {
                    timed(iterations, || (), |()| replace(&target, &bytes).expect("a file"))
                }),
                Way::new("pass", |iterations| {
                    let (change, store) = &mut *changed.borrow_mut();
                    let mut time = Duration::ZERO;
                    for _ in 0..iterations {
                        change(store);
                        time += timed(1, || (), |()| sync(store, &place.workspace));
                    }
                    time
                }),
                Way::new("no disk", |iterations| {
                    let (_, store) = &mut *changed.borrow_mut();
                    timed(
                        iterations,
                        || (),
                        |()| jsonl::export(store, &mut std::io::sink()).is_ok(),
                    )
                }),
            ],
        );
        store.close().expect("a close");

        in_turn(
            &mut group,
            &format!("{size} issues, full"),
            vec![
                Way::new("floor (write, fsync, rename)", |iterations| {
                    timed(iterations, || (), |()| replace(&target, &bytes).expect("a file"))
                }),
                Way::new("pass", |iterations| {
                    let fresh = || {
                        let place = Place::new();
                        fs::copy(full.workspace.database(), place.workspace.database())
                            .expect("a copy");
                        let store = place.open();
                        (place, store)
                    };
                    timed(iterations, fresh, |(place, store)| {
                        let report = sync(store, &place.workspace);
                        assert_eq!(report.changed, count as u64);
                    })
                }),
            ],
        );
    }
    group.finish();
}

criterion_group!(benches, sync_loop);
criterion_main!(benches);
