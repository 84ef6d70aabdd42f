//! `cargo watertight report`, as it is called: which ledgers, where the data goes, and the exit codes.

#![expect(clippy::unwrap_used, reason = "a step that fails is to fail its test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use watertight_report::ledger::{LATEST, Ledger};
use watertight_report::model::{Finding, Frame, Record, Resource, Run, SCHEMA, Trial, Verdict};

const MEDIA: [&str; 7] =
    ["--all", "--json", "--markdown", "--junit", "--github", "--folded=fd", "--folded=bytes"];

/// The command in `folder`, with nothing of this process's environment that it looks at.
fn report(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-watertight"));
    for variable in [
        "WATERTIGHT_LEDGER",
        "CARGO_TARGET_DIR",
        "GITHUB_STEP_SUMMARY",
        "GITHUB_WORKSPACE",
        "WATERTIGHT_STACKS",
    ] {
        command.env_remove(variable);
    }
    command.current_dir(folder).args(["watertight", "report"]).args(arguments);
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn leak(case: &str) -> Record {
    let mut finding = Finding::leak(Resource::Fd, "/tmp/a.db", 3);
    finding.site = Some(Frame::new("src/store.rs", 31, "app::store::open"));
    let mut heap = finding.clone();
    (heap.resource, heap.growth) = (Resource::Heap, 4_096);
    let mut trial = Trial::default();
    trial.schema = SCHEMA;
    trial.run = "ab12".into();
    trial.suite = "stores".into();
    trial.case = case.into();
    trial.verdict = Verdict::Leaked;
    trial.findings = vec![finding, heap];
    Record::Trial(Box::new(trial))
}

/// A ledger at `path` of `cases` that leak.
fn ledger(path: &Path, cases: &[&str]) {
    let ledger = Ledger::open(path).unwrap();
    let mut run = Run::default();
    run.schema = SCHEMA;
    run.run = "ab12".into();
    ledger.append(&Record::Run(run)).unwrap();
    cases.iter().for_each(|case| ledger.append(&leak(case)).unwrap());
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_last_run_is_found_from_below() {
    let project = folder();
    ledger(&project.path().join("target/watertight").join(LATEST), &["opens"]);
    let below = project.path().join("src/deep");
    fs::create_dir_all(&below).unwrap();
    let (code, out, talk) = run(&mut report(&below, &[]));
    assert_eq!((code, talk.as_str()), (Some(0), ""));
    assert!(out.starts_with("2 leaks in 1 of 1 case\n"), "{out}");
    assert!(out.contains("at  src/store.rs:31  app::store::open"), "{out}");
}

#[test]
fn what_is_named_comes_before_the_environment() {
    let project = folder();
    let at = |name: &str| project.path().join(name);
    ledger(&at("named.jsonl"), &["a", "b", "c"]);
    ledger(&at("set.jsonl"), &["a", "b"]);
    ledger(&at("elsewhere/watertight").join(LATEST), &["a"]);
    let mut command = report(project.path(), &[]);
    command.env("CARGO_TARGET_DIR", at("elsewhere"));
    assert!(run(&mut command).1.starts_with("2 leaks in 1 of 1 case\n"));
    command.env("WATERTIGHT_LEDGER", at("set.jsonl"));
    assert!(run(&mut command).1.starts_with("2 leaks in 2 of 2 cases\n"));
    command.arg("named.jsonl");
    assert!(run(&mut command).1.starts_with("2 leaks in 3 of 3 cases\n"));
    // Of the same run: a case that both have is one case.
    command.arg("set.jsonl");
    assert!(run(&mut command).1.starts_with("2 leaks in 3 of 3 cases\n"));
}

#[test]
fn without_a_ledger_it_says_how_to_make_one() {
    let project = folder();
    // What lies above it is another project's.
    fs::write(project.path().join("Cargo.lock"), "").unwrap();
    for arguments in [&[][..], &["gone.jsonl"]] {
        let (code, out, talk) = run(&mut report(project.path(), arguments));
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert!(talk.contains("cargo watertight test"), "{talk}");
    }
}

#[test]
fn broken_lines_are_said_and_cost_no_other() {
    let project = folder();
    let path = project.path().join("a.jsonl");
    ledger(&path, &["first"]);
    let whole = fs::read_to_string(&path).unwrap();
    let newer = r#"{"type":"trial","schema":999,"case":"x"}"#;
    fs::write(&path, format!("{whole}{{\"type\":\"tri\nnot JSON\n{newer}\n")).unwrap();
    Ledger::open(&path).unwrap().append(&leak("last")).unwrap();
    for medium in MEDIA {
        let (code, out, talk) = run(&mut report(project.path(), &["a.jsonl", medium]));
        assert_eq!(code, Some(4), "{medium}: {talk}");
        for line in ["line 3", "line 4", "line 5"] {
            assert_eq!(talk.matches(line).count(), 1, "{medium}: {talk}");
        }
        assert!(!out.is_empty(), "{medium}");
    }
    let (_, out, _) = run(&mut report(project.path(), &["a.jsonl"]));
    assert!(out.contains("stores::first and stores::last"), "{out}");
    assert!(out.contains("could not be read: 3"), "{out}");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let project = folder();
    ledger(&project.path().join("a.jsonl"), &["opens"]);
    for medium in MEDIA {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = report(project.path(), &["-q", "a.jsonl", medium]);
        let (code, _, talk) = run(command.stdout(writer));
        assert_eq!((code, talk.as_str()), (Some(0), ""), "{medium}");
    }
}

#[test]
fn a_file_takes_the_data_and_stderr_the_talk() {
    let project = folder();
    ledger(&project.path().join("a.jsonl"), &["opens"]);
    let (code, out, talk) =
        run(&mut report(project.path(), &["a.jsonl", "--junit", "-o", "junit.xml"]));
    assert_eq!((code, out.as_str()), (Some(0), ""));
    assert!(talk.contains("junit.xml"), "{talk}");
    let file = fs::read_to_string(project.path().join("junit.xml")).unwrap();
    assert!(file.contains("<failure"), "{file}");
    let (_, _, talk) =
        run(&mut report(project.path(), &["-q", "a.jsonl", "--json", "-o", "report.json"]));
    assert_eq!(talk, "");
    // There is no folder of that name.
    let (code, _, talk) = run(&mut report(project.path(), &["a.jsonl", "-o", "no/where"]));
    assert_eq!(code, Some(3));
    assert!(talk.contains("no/where"), "{talk}");
}

#[test]
fn a_ledger_is_not_written_over() {
    let project = folder();
    let path = project.path().join("a.jsonl");
    ledger(&path, &["opens"]);
    let before = fs::read(&path).unwrap();
    let (code, _, talk) = run(&mut report(project.path(), &["a.jsonl", "-o", "./a.jsonl"]));
    assert_eq!(code, Some(2), "{talk}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn in_a_workflow_the_page_goes_to_the_step_summary() {
    let project = folder();
    ledger(&project.path().join("a.jsonl"), &["opens"]);
    let (code, out, talk) = run(&mut report(project.path(), &["a.jsonl", "--github"]));
    assert_eq!(code, Some(0));
    assert!(out.starts_with("::error file=src/store.rs,line=31,"), "{out}");
    assert!(talk.contains("GITHUB_STEP_SUMMARY is not set"), "{talk}");

    let summary = project.path().join("summary.md");
    fs::write(&summary, "before\n").unwrap();
    let mut command = report(project.path(), &["a.jsonl", "--github"]);
    let (_, again, talk) = run(command.env("GITHUB_STEP_SUMMARY", &summary));
    assert_eq!(again, out);
    assert!(talk.contains("summary.md"), "{talk}");
    let page = fs::read_to_string(&summary).unwrap();
    assert!(page.starts_with("before\n"), "{page}");
    assert!(page.contains("## Watertight: 2 leaks in 1 of 1 case"), "{page}");
}

#[test]
fn a_workspace_below_the_repositorys_root_is_annotated_from_that_root() {
    let repository = folder();
    let workspace = repository.path().join("crates/rust");
    fs::create_dir_all(&workspace).unwrap();
    fs::write(workspace.join("Cargo.lock"), "").unwrap();
    ledger(&workspace.join("a.jsonl"), &["opens"]);
    let mut command = report(&workspace, &["a.jsonl", "--github"]);
    let (code, out, _) = run(command.env("GITHUB_WORKSPACE", repository.path()));
    assert_eq!(code, Some(0));
    assert!(out.starts_with("::error file=crates/rust/src/store.rs,line=31,"), "{out}");
}

#[test]
fn a_full_step_summary_is_not_made_too_large() {
    let project = folder();
    ledger(&project.path().join("a.jsonl"), &["opens"]);
    let summary = project.path().join("summary.md");
    fs::write(&summary, "x".repeat(1_000 << 10)).unwrap();
    let mut command = report(project.path(), &["a.jsonl", "--github"]);
    let (code, _, _) = run(command.env("GITHUB_STEP_SUMMARY", &summary));
    assert_eq!(code, Some(0));
    assert!(fs::metadata(&summary).unwrap().len() < 1 << 20);
}

#[test]
fn one_medium_at_a_time() {
    let (code, _, talk) = run(&mut report(folder().path(), &["--json", "--junit"]));
    assert_eq!(code, Some(2));
    assert!(talk.contains("--junit"), "{talk}");
}

#[test]
fn help_starts_with_examples() {
    let (code, out, _) = run(&mut report(folder().path(), &["--help"]));
    assert_eq!(code, Some(0));
    assert!(out.starts_with("Examples:\n  cargo watertight report"), "{out}");
}

#[test]
fn colours_are_for_those_who_ask() {
    let project = folder();
    ledger(&project.path().join("a.jsonl"), &["opens"]);
    let (_, plain, _) = run(&mut report(project.path(), &["a.jsonl"]));
    assert!(!plain.contains('\x1b'));
    let (_, coloured, _) = run(&mut report(project.path(), &["a.jsonl", "--color", "always"]));
    assert!(coloured.contains('\x1b'));
}
