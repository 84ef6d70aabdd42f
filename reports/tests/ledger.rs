//! The ledger on a real file system: many writers, broken lines, and a folder kept in order.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use std::{env, thread};

use watertight_report::ledger::{self, KEPT, LATEST, Ledger, LineError};
use watertight_report::model::{Record, Run, Trial};

/// Set for a writer process: the ledger it writes to.
const WRITER_LEDGER: &str = "WATERTIGHT_TEST_WRITER_LEDGER";
/// Set for a writer process: its name.
const WRITER_NAME: &str = "WATERTIGHT_TEST_WRITER_NAME";

const PROCESSES: usize = 6;
const THREADS: usize = 4;
const RECORDS: usize = 40;

fn trial(case: impl Into<String>) -> Record {
    let mut trial = Trial::default();
    trial.case = case.into();
    Record::Trial(Box::new(trial))
}

fn run(id: &str) -> Run {
    let mut run = Run::default();
    run.run = id.into();
    run
}

/// The cases of a ledger, an error as its text.
fn told(path: &Path) -> Vec<String> {
    ledger::read(path)
        .unwrap()
        .map(|line| match line {
            Ok(Record::Trial(trial)) => trial.case,
            Ok(Record::Run(run)) => format!("run {}", run.run),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        })
        .collect()
}

/// Not a test of its own: one of the processes of `many_processes_lose_nothing`.
#[test]
#[ignore = "a writer process of another test"]
fn writer() {
    let (Some(path), Ok(name)) = (env::var_os(WRITER_LEDGER), env::var(WRITER_NAME)) else {
        return;
    };
    let ledger = Ledger::open(path).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (ledger, name) = (&ledger, &name);
            scope.spawn(move || {
                for record in 0..RECORDS {
                    // Longer than a page now and then, so that a torn write would show.
                    let padding = "x".repeat(record * 300);
                    let case = format!("{name}/{thread}/{record}/{padding}");
                    ledger.append(&trial(case)).unwrap();
                }
            });
        }
    });
}

#[test]
fn many_processes_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    thread::scope(|scope| {
        for process in 0..PROCESSES {
            let path = &path;
            scope.spawn(move || {
                let output = Command::new(env::current_exe().unwrap())
                    .args(["--exact", "writer", "--ignored"])
                    .env(WRITER_LEDGER, path)
                    .env(WRITER_NAME, process.to_string())
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{output:?}");
            });
        }
    });
    let mut cases = told(&path);
    assert_eq!(cases.len(), PROCESSES * THREADS * RECORDS);
    for case in &mut cases {
        let padding = case.bytes().rev().take_while(|byte| *byte == b'x').count();
        let record: usize = case.split('/').nth(2).unwrap().parse().unwrap();
        assert_eq!(padding, record * 300, "{case}");
        case.truncate(case.len() - padding);
    }
    cases.sort();
    cases.dedup();
    assert_eq!(cases.len(), PROCESSES * THREADS * RECORDS);
}

/// Handles of one process do not share a lock, its threads do not share a handle.
#[test]
fn only_the_first_begins_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let made = AtomicU32::new(0);
    let together = Barrier::new(16);
    let runs: Vec<Run> = thread::scope(|scope| {
        let begin = || {
            let ledger = Ledger::open(&path).unwrap();
            together.wait();
            let make = || {
                // Gives the others every chance to come in, which the lock must not let them.
                (0..1_000).for_each(|_| thread::yield_now());
                let mut run = run("ab12");
                run.started_ms = u64::from(made.fetch_add(1, Ordering::SeqCst)) + 7;
                run
            };
            ledger.begin("ab12", make).unwrap()
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(begin)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.load(Ordering::SeqCst), 1);
    assert!(runs.iter().all(|run| run.started_ms == 7));
    assert_eq!(told(&path), ["run ab12"]);
}

#[test]
fn a_ledger_may_hold_several_runs() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path().join("all.jsonl")).unwrap();
    for id in ["one", "two", "one"] {
        assert_eq!(ledger.begin(id, || run(id)).unwrap().run, id);
        ledger.append(&trial(id)).unwrap();
    }
    assert_eq!(told(ledger.path()), ["run one", "one", "run two", "two", "one"]);
}

#[test]
fn a_panic_while_the_lock_is_held_locks_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path().join("run.jsonl")).unwrap();
    let began = thread::scope(|scope| {
        scope.spawn(|| ledger.begin("ab12", || panic!("a canary panicked")).is_ok()).join()
    });
    assert!(began.is_err());
    ledger.append(&trial("after")).unwrap();
    Ledger::open(ledger.path()).unwrap().append(&trial("another")).unwrap();
    assert_eq!(told(ledger.path()), ["after", "another"]);
}

#[test]
fn every_bad_line_is_told_and_passed() {
    let text = concat!(
        "{\"type\":\"trial\",\"case\":\"first\"}\n",
        "{\"type\":\"trial\",\"case\":\"cut sho\n",
        "not a record\n",
        "\n",
        "{\"type\":\"trial\",\"schema\":99,\"case\":7}\n",
        "{\"type\":\"gossip\",\"schema\":99}\n",
        "[1]\n",
        "{\"type\":\"trial\",\"verdict\":\"spotless\"}\n",
        "{\"type\":\"trial\",\"case\":\"no newline\"}",
    );
    let records: Vec<_> = ledger::Records::new(text.as_bytes()).collect();
    let lines: Vec<String> = records
        .iter()
        .map(|line| match line {
            Ok(_) => "a record".to_owned(),
            Err(error) => error.to_string(),
        })
        .collect();
    assert_eq!(
        lines,
        [
            "a record",
            "line 2: cut short",
            "line 3: not a record",
            "line 5: written with schema 99, and this reader knows 1",
            "line 6: of the unknown type `gossip`",
            "line 7: not a record",
            "line 8: not a record",
            "a record",
        ]
    );
    assert!(matches!(&records[3], Err(error @ LineError::NewerSchema { .. }) if error.line() == 5));
}

#[test]
fn bytes_that_are_no_text_are_one_bad_line() {
    let bytes = b"\xff\xfe\0\n{\"type\":\"trial\",\"case\":\"good\"}\n";
    let records: Vec<_> = ledger::Records::new(bytes.as_slice()).collect();
    assert!(matches!(&records[0], Err(LineError::Malformed { line: 1, .. })));
    assert!(records[1].is_ok());
    assert_eq!(records.len(), 2);
}

/// A reader holds one line, so a file that is one endless line must not fill its memory.
#[test]
fn a_line_without_end_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    // A hole in the file: it takes no room on the disk.
    File::create(&path).unwrap().set_len(ledger::LINE_BYTES_MAX as u64 + 4_096).unwrap();
    Ledger::open(&path).unwrap().append(&trial("good")).unwrap();
    let lines = told(&path);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("line 1: longer than"), "{}", lines[0]);
    assert_eq!(lines[1], "good");
}

#[test]
fn the_folders_of_a_ledger_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = ledger::path_in(folder.path().join("deep/target"), "ab12");
    assert!(path.ends_with("deep/target/watertight/ab12.jsonl"));
    Ledger::open(&path).unwrap().append(&trial("x")).unwrap();
    assert_eq!(told(&path), ["x"]);
}

#[test]
fn a_run_cannot_name_its_way_out_of_the_folder() {
    let names = ["../../etc/passwd", "", ".", "..", "a b/é", "ok-1.2_3"];
    let shown = names.map(|name| ledger::path_in("t", name));
    let wanted = [
        "t/watertight/_.._.._etc_passwd.jsonl",
        "t/watertight/_.jsonl",
        "t/watertight/_..jsonl",
        "t/watertight/_...jsonl",
        "t/watertight/a_b__.jsonl",
        "t/watertight/ok-1.2_3.jsonl",
    ];
    assert_eq!(shown, wanted.map(PathBuf::from));
    let long = ledger::path_in("t", &"x".repeat(5_000));
    assert!(long.file_name().unwrap().len() < 255);
}

#[test]
fn an_error_names_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let error = Ledger::open(folder.path()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot open the ledger {}", folder.path().display()));
    assert!(ledger::read(folder.path().join("none")).is_err());
}

#[cfg(unix)]
#[test]
fn latest_follows_the_ledger_opened_last() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join(LATEST);
    for run in ["one", "two", "two", "one"] {
        let ledger = Ledger::open(folder.path().join(format!("{run}.jsonl"))).unwrap();
        ledger::point_latest(ledger.path()).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new(&format!("{run}.jsonl")));
    }
    thread::scope(|scope| {
        for n in 0..16 {
            let ledger = folder.path().join(if n % 2 == 0 { "one.jsonl" } else { "two.jsonl" });
            scope.spawn(move || ledger::point_latest(ledger).unwrap());
        }
    });
    assert!(fs::read_link(&link).is_ok());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "a temporary name was left");
}

fn aged(folder: &Path, name: &str, hours: u64) {
    let file = File::create(folder.join(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3_600 * hours)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_oldest_ledgers_go_and_the_current_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    for hours in 0..30 {
        aged(folder.path(), &format!("{hours:02}.jsonl"), hours);
    }
    aged(folder.path(), "notes.txt", 900);
    let current = folder.path().join("29.jsonl");
    assert_eq!(ledger::keep_last(folder.path(), KEPT, &current).unwrap(), 10);
    let left = names(folder.path());
    assert_eq!(left.iter().filter(|name| name.ends_with(".jsonl")).count(), KEPT);
    assert!(left.contains(&"29.jsonl".to_owned()));
    assert!(left.contains(&"18.jsonl".to_owned()));
    assert!(!left.contains(&"19.jsonl".to_owned()));
    assert!(left.contains(&"notes.txt".to_owned()));
    assert_eq!(ledger::keep_last(folder.path(), KEPT, &current).unwrap(), 0);
    assert_eq!(ledger::keep_last(folder.path(), 0, &current).unwrap(), KEPT - 1);
    assert_eq!(names(folder.path()), ["29.jsonl", "notes.txt"]);
}

#[test]
fn several_may_keep_the_folder_in_order_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for hours in 0..200 {
        aged(folder.path(), &format!("{hours:03}.jsonl"), hours);
    }
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                ledger::keep_last(folder.path(), KEPT, folder.path().join("000.jsonl")).unwrap()
            });
        }
    });
    assert_eq!(names(folder.path()).len(), KEPT);
}

/// A device has no beginning to look for a run in, and some never end.
#[test]
fn a_device_is_written_and_not_read() {
    let ledger = Ledger::open("/dev/zero").expect("it can be opened");
    let begun = ledger.begin("r1", || {
        let mut run = Run::default();
        run.run = "r1".to_owned();
        run
    });
    assert_eq!(begun.expect("it takes everything").run, "r1");
    let full = Ledger::open("/dev/full").expect("it can be opened");
    assert!(full.begin("r1", Run::default).is_err(), "nothing fits there");
}
