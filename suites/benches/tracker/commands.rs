//! Commands as a person has them: from the start of the process to its end.
//!
//! Their floor is a process that opens a database of the same lines, reads or writes one of them, or fifty, and
//! closes it. Nothing else runs, so each of them is the last to close its database, which folds in the log.

use std::cell::{Cell, OnceCell};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use criterion::Criterion;
use watertight_suites::Workspace;

use crate::place::{FLOOR, Place, USUAL, empty_workspace, run, tracker};
use crate::table::Bound;
use crate::{Benches, timed};

pub(crate) fn all(benches: &Benches, place: &Place, criterion: &mut Criterion) {
    let bound = |ms| if place.size == USUAL { Bound::Ms(ms) } else { Bound::None };
    create(benches, place, criterion, bound(8.0));

    let id = place.id();
    let (count, id) = (|count: &str| count.to_owned(), id.as_str());
    let commands = [
        ("show", vec!["show", id], vec![count("1"), id.to_owned()], 6.0),
        ("list --limit 50", vec!["list", "--limit", "50"], vec![count("50")], 10.0),
        ("ready --limit 10", vec!["ready", "--limit", "10"], vec![count("10")], 20.0),
    ];
    for (name, ours, floor, ms) in commands {
        benches.compare(
            criterion,
            name,
            place.size,
            bound(ms),
            |iterations| {
                let root = place.filled().workspace.root();
                timed(iterations, || (), |()| run(tracker(root).args(&ours)))
            },
            |iterations| {
                let table = &place.filled().table;
                timed(
                    iterations,
                    || (),
                    |()| run(Command::new(FLOOR).arg("rows").arg(table).args(&floor)),
                )
            },
        );
    }
}

/// The title of what is created; the rest is one description, so that both write as many bytes.
const TITLE: &str = "The tap drips again since the washer was replaced";

fn create(benches: &Benches, place: &Place, criterion: &mut Criterion, bound: Bound) {
    let line = place.issues.line(0);
    // What the tracker adds to title and description: id, dates and the names of the fields.
    let description = "d".repeat(line.len().saturating_sub(TITLE.len() + 200));
    let number = Cell::new(0_u64);
    // Copies: what is created here must not be in what others compare.
    let copies: OnceCell<(Workspace, PathBuf)> = OnceCell::new();
    let copies = || {
        copies.get_or_init(|| {
            let (filled, copy) = (place.filled(), empty_workspace());
            let (database, table) = (copy.paths().database(), copy.root().join("floor.db"));
            fs::copy(filled.workspace.paths().database(), database).expect("a copy");
            fs::copy(&filled.table, &table).expect("a copy");
            (copy, table)
        })
    };
    benches.compare(
        criterion,
        "create",
        place.size,
        bound,
        |iterations| {
            let (workspace, _) = copies();
            let create = |()| {
                let mut command = tracker(workspace.root());
                run(command.args(["create", "-q", TITLE, "--description", &description]));
            };
            timed(iterations, || (), create)
        },
        |iterations| {
            let (_, table) = copies();
            let insert = |id: String| {
                let mut command = Command::new(FLOOR);
                run(command.arg("insert").arg(table).args([&id, &line]));
            };
            let id = || {
                number.set(number.get() + 1);
                format!("new-{}", number.get())
            };
            timed(iterations, id, insert)
        },
    );
}
