//! The database itself.

use super::*;

#[test]
fn a_database_that_is_not_there_is_told_with_the_way_to_a_new_one() {
    let case = Case::new();
    fs::remove_file(case.workspace.database()).unwrap();
    for checks in [case.look(), case.fix()] {
        let found = one(&checks, Subject::Database);
        assert_eq!(found.verdict, Verdict::Wrong);
        let hint = found.hint.unwrap();
        assert!(hint.contains("tracker init") && hint.contains("the 2 issues of"), "{hint}");
        assert_eq!(one(&checks, Subject::Rows).verdict, Verdict::Skipped);
        assert_eq!(one(&checks, Subject::File).verdict, Verdict::Ok);
    }
    assert!(!case.workspace.database().exists());
}

#[test]
fn what_is_no_database_is_told_with_the_way_out_and_not_touched() {
    let case = Case::new();
    let text = "not a database, but long enough to be looked at as one\n".repeat(40);
    fs::write(case.workspace.database(), &text).unwrap();
    for checks in [case.look(), case.fix()] {
        let found = one(&checks, Subject::Database);
        assert_eq!(found.verdict, Verdict::Wrong);
        let hint = found.hint.unwrap();
        assert!(hint.starts_with("move ") && hint.contains("the 2 issues of"), "{hint}");
    }
    assert_eq!(fs::read_to_string(case.workspace.database()).unwrap(), text);

    fs::write(case.workspace.jsonl(), "<<<<<<< HEAD\n").unwrap();
    let hint = one(&case.look(), Subject::Database).hint.unwrap();
    assert!(hint.contains("correct"), "{hint}");
    fs::remove_file(case.workspace.jsonl()).unwrap();
    let hint = one(&case.look(), Subject::Database).hint.unwrap();
    assert!(hint.contains("there is no"), "{hint}");
}

#[test]
fn a_directory_and_a_database_of_somebody_else_are_told() {
    let case = Case::new();
    let path = case.workspace.database();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let found = one(&case.fix(), Subject::Database);
    assert!(found.verdict == Verdict::Wrong && found.found.contains("not a file"), "{found:?}");
    fs::remove_dir(&path).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a database that is none of a store's")]
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    other.close().unwrap();
    let before = fs::read(&path).unwrap();
    let found = one(&case.fix(), Subject::Database);
    assert!(found.verdict == Verdict::Wrong && found.found.contains("not a database of tracker"));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn an_empty_database_is_begun_anew_from_the_file() {
    let case = Case::new();
    fs::write(case.workspace.database(), "").unwrap();
    case.is_mended(Subject::Database, Verdict::Wrong);
    assert_eq!(case.with_store(|store| store.count().unwrap()), 2);
}

#[test]
fn a_newer_schema_is_left_alone_and_an_older_one_brought_up() {
    let case = Case::new();
    case.sql("PRAGMA user_version = 99");
    for checks in [case.look(), case.fix()] {
        let found = one(&checks, Subject::Database);
        assert!(found.verdict == Verdict::Wrong && found.found.contains("99"), "{found:?}");
    }

    let case = Case::new();
    fs::remove_file(case.workspace.database()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a database of the first schema")]
    let old = Connection::open(case.workspace.database()).unwrap();
    old.execute_batch(
        "CREATE TABLE meta (key, value); CREATE TABLE labels (issue_id, label);
         CREATE TABLE issues (id, title, description, status, priority, issue_type, assignee,
             created_at, updated_at, closed_at, extra);
         CREATE TABLE dependencies (issue_id, depends_on_id, type, created_at, extra);
         CREATE TABLE comments (issue_id, position, id, author, text, created_at, extra);
         CREATE TABLE dirty (issue_id); PRAGMA user_version = 1;",
    )
    .unwrap();
    old.close().unwrap();
    case.is_mended(Subject::Database, Verdict::Note);
}

#[test]
fn damaged_pages_are_told_and_nothing_is_written_from_them() {
    let case = Case::new();
    case.with_store(|store| {
        for number in 0..200 {
            store.create(NewIssue::titled(format!("more {number}"))).unwrap();
        }
    });
    let mut bytes = fs::read(case.workspace.database()).unwrap();
    let (page, whole) = (4096, bytes.len());
    for byte in &mut bytes[page * 2..(page * 12).min(whole)] {
        *byte ^= 0x55;
    }
    fs::write(case.workspace.database(), bytes).unwrap();
    let file = fs::read(case.workspace.jsonl()).unwrap();
    for checks in [case.look(), case.fix()] {
        assert!(!is_well(&checks));
        let wrong = checks.iter().find(|check| check.verdict == Verdict::Wrong).unwrap();
        let hint = wrong.hint.clone().unwrap();
        assert!(hint.starts_with("move ") && hint.contains("`tracker sync`"), "{wrong:?}");
        assert_eq!(one(&checks, Subject::InStep).verdict, Verdict::Skipped);
    }
    assert_eq!(fs::read(case.workspace.jsonl()).unwrap(), file);
}

#[test]
fn a_locked_database_can_be_looked_at_and_is_not_mended() {
    let case = Case::new();
    case.sql("UPDATE issues SET title = 'other' WHERE title = 'a washer'");
    let holder = Store::open_existing(&case.workspace.database()).unwrap();
    holder.connection().execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(one(&case.look(), Subject::Rows).verdict, Verdict::Wrong);
    let found = one(&case.fix(), Subject::Rows);
    assert!(found.verdict == Verdict::Wrong && found.found.contains("locked"), "{found:?}");
    holder.connection().execute_batch("ROLLBACK").unwrap();
    holder.close().unwrap();
    case.is_mended(Subject::Rows, Verdict::Wrong);
}

#[test]
fn what_a_killed_process_has_left_in_the_log_is_looked_at_too() {
    let case = Case::new();
    let store = Store::open_existing(&case.workspace.database()).unwrap();
    store.connection().execute_batch("UPDATE labels SET label = 'dry'").unwrap();
    let other = Case::new();
    for suffix in ["", "-wal"] {
        let name = format!("tracker.db{suffix}");
        fs::copy(case.workspace.dir().join(&name), other.workspace.dir().join(&name)).unwrap();
    }
    fs::copy(case.workspace.jsonl(), other.workspace.jsonl()).unwrap();
    store.close().unwrap();
    assert_eq!(one(&other.look(), Subject::Rows).verdict, Verdict::Wrong);
    other.fix();
    other.is_clean();
}
