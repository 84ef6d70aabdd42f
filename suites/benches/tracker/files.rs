//! The JSONL file: written whole, written for one changed issue, read.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use criterion::Criterion;
use rusqlite::Connection;
use tempfile::TempDir;
use watertight_suites::Workspace;
use watertight_tracker::jsonl;
use watertight_tracker::store::Store;
use watertight_tracker::sync::{SyncOptions, pass};

use crate::place::{FLOOR, Place, empty_workspace, folder, run, tracker};
use crate::table::Bound;
use crate::{Benches, timed};

pub(crate) fn all(benches: &Benches, place: &Place, criterion: &mut Criterion) {
    export(benches, place, criterion);
    one_change(benches, place, criterion);
    let bound = match place.size {
        "10k" => Bound::Ms(200.0),
        "100k" => Bound::Ms(2_000.0),
        _ => Bound::None,
    };
    import(benches, place, criterion, bound);
}

/// Replaces a file safely: whatever happens, the old one is there or the new one.
fn replace(target: &Path, fill: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>) {
    let temporary = target.with_extension("tmp");
    let file = File::create(&temporary).expect("a file");
    let mut out = BufWriter::with_capacity(64 * 1024, &file);
    fill(&mut out).and_then(|()| out.flush()).and_then(|()| file.sync_all()).expect("written");
    fs::rename(&temporary, target).expect("renamed");
    let folder = target.parent().expect("a folder");
    File::open(folder).and_then(|folder| folder.sync_all()).expect("its folder is synced");
}

/// The floor reads the same lines from SQLite in the same order, and replaces a file by them.
fn export(benches: &Benches, place: &Place, criterion: &mut Criterion) {
    benches.compare(
        criterion,
        "full export",
        place.size,
        Bound::Times(1.5),
        |iterations| {
            let filled = place.filled();
            let target = filled.dir.path().join("ours.jsonl");
            let store = filled.workspace.store().expect("a store");
            let export = |()| {
                jsonl::export_file(&store, &target).expect("an export");
            };
            let time = timed(iterations, || (), export);
            store.close().expect("a close");
            time
        },
        |iterations| {
            let filled = place.filled();
            let target = filled.dir.path().join("floor.jsonl");
            #[expect(clippy::disallowed_methods, reason = "what the store is compared with")]
            let connection = Connection::open(&filled.table).expect("a database");
            let mut select =
                connection.prepare("SELECT line FROM issues ORDER BY id").expect("SQL");
            let export = |()| {
                replace(&target, |out| {
                    let mut rows = select.query([]).expect("rows");
                    while let Some(row) = rows.next().expect("a row") {
                        out.write_all(row.get_ref(0).expect("a line").as_bytes().expect("text"))?;
                        out.write_all(b"\n")?;
                    }
                    Ok(())
                });
            };
            timed(iterations, || (), export)
        },
    );
}

/// A pass after one issue has changed. The floor reads the file, puts another line into it and replaces it.
fn one_change(benches: &Benches, place: &Place, criterion: &mut Criterion) {
    let id = place.id();
    let number = Cell::new(0_u64);
    let changed = |workspace: &Workspace| {
        number.set(number.get() + 1);
        let title = format!("changed {:06}", number.get());
        run(tracker(workspace.root()).args(["update", &id, "--title", &title]));
    };
    benches.compare(
        criterion,
        "one changed issue",
        place.size,
        Bound::Times(2.0),
        |iterations| {
            let workspace = &place.filled().workspace;
            let mut store = workspace.store().expect("a store");
            let sync = |store: &mut Store| {
                let options = SyncOptions::default();
                let report = pass(store, workspace.paths(), &options).expect("a pass");
                assert!(!report.is_idle(), "nothing was written");
            };
            // Whatever else is new is not in the time.
            changed(workspace);
            sync(&mut store);
            let time = timed(iterations, || changed(workspace), |()| sync(&mut store));
            store.close().expect("a close");
            time
        },
        |iterations| {
            let target = place.filled().dir.path().join("spliced.jsonl");
            fs::copy(&place.filled().file, &target).expect("a copy");
            // Where the line begins is known, and stays so.
            let text = fs::read_to_string(&target).expect("the file");
            let wanted = format!("{{\"id\":\"{id}\"");
            let begin = text.find(&wanted).expect("the line");
            drop(text);
            let splice = |line: String| {
                let bytes = fs::read(&target).expect("the file");
                let length = bytes[begin..].iter().position(|byte| *byte == b'\n');
                let end = begin + length.expect("its end");
                replace(&target, |out| {
                    out.write_all(&bytes[..begin])?;
                    out.write_all(line.as_bytes())?;
                    out.write_all(&bytes[end..])
                });
            };
            let line = || {
                number.set(number.get() + 1);
                format!("{wanted},\"title\":\"changed {:06}\"}}", number.get())
            };
            timed(iterations, line, splice)
        },
    );
}

/// A process that reads a file into an empty database. The floor parses each line and inserts it.
fn import(benches: &Benches, place: &Place, criterion: &mut Criterion, bound: Bound) {
    benches.compare(
        criterion,
        "import",
        place.size,
        bound,
        |iterations| {
            // It is gone with what comes out of the closure, after the clock.
            let mut gone: Vec<Workspace> = Vec::new();
            timed(iterations, empty_workspace, |workspace| {
                run(tracker(workspace.root()).arg("import").arg(&place.filled().file));
                gone.push(workspace);
            })
        },
        |iterations| {
            let mut gone: Vec<TempDir> = Vec::new();
            let empty = || -> (TempDir, PathBuf) {
                let dir = folder();
                let table = dir.path().join("floor.db");
                run(Command::new(FLOOR).arg("make").arg(&table));
                (dir, table)
            };
            timed(iterations, empty, |(dir, table)| {
                run(Command::new(FLOOR).arg("import").arg(table).arg(&place.filled().file));
                gone.push(dir);
            })
        },
    );
}
