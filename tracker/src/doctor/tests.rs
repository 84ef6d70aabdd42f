//! Each defect planted, caught, mended where that can be, and gone at the second look.

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

// The database itself.

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

// What is in it.

#[test]
fn columns_labels_and_dependencies_are_made_anew_from_the_lines() {
    for sql in [
        "UPDATE issues SET title = 'other' WHERE title = 'a washer'",
        "UPDATE issues SET status = 'closed' WHERE title = 'a washer'",
        "UPDATE issues SET priority = 'urgent'",
        "UPDATE issues SET updated_us = updated_us + 1",
        "DELETE FROM labels",
        "UPDATE labels SET label = 'dry'",
        "INSERT INTO labels VALUES ('x', 'tt-nobody')",
        "DELETE FROM dependencies",
        "UPDATE dependencies SET type = 'related'",
        "INSERT INTO dependencies VALUES ('tt-nobody', 'tt-else', 'blocks')",
        "UPDATE issues SET id = 'tt-renamed' WHERE title = 'a washer'",
    ] {
        let case = Case::new();
        let before = case.with_store(|store| store.list(None).unwrap());
        case.sql(sql);
        let found = one(&case.look(), Subject::Rows);
        assert_eq!(found.verdict, Verdict::Wrong, "{sql}: {found:?}");
        let fixed = case.fix();
        assert_eq!(one(&fixed, Subject::Rows).verdict, Verdict::Fixed, "{sql}: {fixed:#?}");
        assert!(is_well(&fixed), "{sql}: {fixed:#?}");
        case.is_clean();
        assert_eq!(case.with_store(|store| store.list(None).unwrap()), before, "{sql}");
    }
}

#[test]
fn a_line_keeps_its_words_when_its_row_is_made_anew() {
    let case = Case::new();
    let words =
        r#"{ "title": "in other words", "id": "tt-words", "created_at": "2026-01-02T03:04:05Z" }"#;
    jsonl::import(
        &mut Store::open_existing(&case.workspace.database()).unwrap(),
        Path::new("words"),
        words.as_bytes(),
    )
    .unwrap();
    let line = || {
        let sql = "SELECT line FROM issues WHERE id = 'tt-words'";
        case.with_store(|store| {
            store.connection().query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
        })
    };
    let before = line();
    case.sql("UPDATE issues SET title = 'other'");
    assert_eq!(one(&case.fix(), Subject::Rows).verdict, Verdict::Fixed);
    assert_eq!(line(), before);
    case.is_clean();
}

#[test]
fn a_line_that_cannot_be_read_is_told_and_does_not_reach_the_file() {
    for line in ["'{\"id\":'", "x'00ff'", "42"] {
        let case = Case::new();
        case.sql(&format!("UPDATE issues SET line = {line} WHERE title = 'a washer'"));
        case.with_store(|store| store.create(NewIssue::titled("new")).unwrap());
        let file = fs::read(case.workspace.jsonl()).unwrap();
        let checks = case.fix();
        let found = one(&checks, Subject::Rows);
        assert_eq!(found.verdict, Verdict::Wrong, "{line}: {found:?}");
        assert!(found.found.contains(&case.ids[1]), "{found:?}");
        assert!(found.hint.unwrap().contains("the 2 issues of"));
        assert_eq!(fs::read(case.workspace.jsonl()).unwrap(), file);
    }
}

#[test]
fn a_search_index_that_differs_is_made_anew() {
    for sql in [
        "DELETE FROM searchable",
        "DELETE FROM searchable WHERE number = 1",
        "DELETE FROM search WHERE rowid = 1",
        "INSERT OR REPLACE INTO meta VALUES ('indexed', '99999')",
        "DELETE FROM search_data WHERE id > 10",
        "UPDATE search_data SET block = x'00112233' WHERE id > 10",
    ] {
        let case = Case::new();
        case.sql(sql);
        assert_eq!(case.only(Subject::Search).verdict, Verdict::Wrong, "{sql}");
        case.is_mended(Subject::Search, Verdict::Wrong);
        let found = case.with_store(|store| store.search("tap", None).unwrap());
        assert_eq!(found.len(), 1, "{sql}");
        case.is_clean();
    }
}

#[test]
fn a_search_index_that_is_only_behind_is_fine() {
    let case = Case::new();
    case.with_store(|store| {
        store.create(NewIssue::titled("new")).unwrap();
        store.delete(&case.ids[1], None).unwrap();
    });
    assert_eq!(one(&case.look(), Subject::Search).verdict, Verdict::Ok);
}

#[test]
fn cycles_are_told_and_left() {
    let case = Case::new();
    case.with_store(|store| {
        let mut other = store.show(&case.ids[1]).unwrap();
        let mut edge = store.show(&case.ids[0]).unwrap().dependencies.remove(0);
        (edge.issue_id, edge.depends_on_id) = (case.ids[1].clone(), case.ids[0].clone());
        other.dependencies.push(edge);
        other.touch();
        store.import([other]).unwrap();
        sync::pass(store, &case.workspace, &SyncOptions::default()).unwrap();
    });
    let found = case.only(Subject::Cycles);
    assert_eq!(found.verdict, Verdict::Wrong);
    assert!(found.hint.unwrap().contains("dep remove"));
    assert_eq!(one(&case.fix(), Subject::Cycles).verdict, Verdict::Wrong);
}

#[test]
fn a_dependency_on_nobody_is_worth_a_note() {
    let case = Case::new();
    case.with_store(|store| {
        let mut issue = store.show(&case.ids[0]).unwrap();
        issue.dependencies[0].depends_on_id = "tt-elsewhere".into();
        issue.touch();
        store.import([issue]).unwrap();
        sync::pass(store, &case.workspace, &SyncOptions::default()).unwrap();
    });
    let found = case.only(Subject::Dangling);
    assert!(found.verdict == Verdict::Note && found.found.contains("tt-elsewhere"), "{found:?}");
    assert!(is_well(&case.look()));
}

#[test]
fn deletions_of_long_ago_are_forgotten() {
    let case = Case::new();
    case.with_store(|store| {
        store.delete(&case.ids[1], None).unwrap();
        let mut dead = store.any_version(&case.ids[1]).unwrap().unwrap();
        dead.deleted_at = Some(Timestamp::now() - SignedDuration::from_hours(31 * 24));
        dead.touch();
        store.import([dead]).unwrap();
        sync::pass(store, &case.workspace, &SyncOptions::default()).unwrap();
        // What it depended on it does no more: it blocks nobody, and is nowhere afterwards.
        store.remove_dependency(&case.ids[0], &case.ids[1], None).unwrap();
    });
    case.is_mended(Subject::Expired, Verdict::Note);
    assert_eq!(jsonl::read_file(&case.workspace.jsonl()).unwrap().len(), 1);
}

// The file.

#[test]
fn broken_lines_and_conflict_markers_are_told_by_number() {
    let case = Case::new();
    let good = fs::read_to_string(case.workspace.jsonl()).unwrap();
    for (line, said) in [("{\"id\":", "line 3"), ("<<<<<<< HEAD", "conflict marker")] {
        fs::write(case.workspace.jsonl(), format!("{good}{line}\n")).unwrap();
        for checks in [case.look(), case.fix()] {
            let found = one(&checks, Subject::File);
            assert!(found.verdict == Verdict::Wrong && found.found.contains(said), "{found:?}");
            assert!(!is_well(&checks));
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let case = Case::new();
    fs::remove_file(case.workspace.jsonl()).unwrap();
    fs::create_dir(case.workspace.jsonl()).unwrap();
    assert_eq!(one(&case.look(), Subject::File).verdict, Verdict::Wrong);
    assert!(!is_well(&case.fix()));
}

#[test]
fn a_file_that_is_behind_missing_or_of_somebody_else_is_no_fault_and_synced() {
    let plant: [fn(&Case); 3] = [
        |case| case.with_store(|store| drop(store.create(NewIssue::titled("new")).unwrap())),
        |case| fs::remove_file(case.workspace.jsonl()).unwrap(),
        |case| {
            let mut issues = jsonl::read_file(&case.workspace.jsonl()).unwrap();
            issues.push(Issue { id: "tt-zzz".into(), ..issues[1].clone() });
            let last = issues.last_mut().unwrap();
            last.dependencies.clear();
            let lines: Vec<_> = issues.iter().map(|issue| issue.to_line() + "\n").collect();
            fs::write(case.workspace.jsonl(), lines.concat()).unwrap();
        },
    ];
    for plant in plant {
        let case = Case::new();
        plant(&case);
        assert!(is_well(&case.look()));
        case.is_mended(Subject::InStep, Verdict::Note);
    }
}

#[test]
fn what_only_our_own_file_holds_is_taken_in() {
    let case = Case::new();
    let sql = "DELETE FROM issues WHERE title = 'a washer'";
    case.sql(sql);
    assert_eq!(one(&case.look(), Subject::Held).verdict, Verdict::Wrong);
    let fixed = case.fix();
    assert_eq!(one(&fixed, Subject::Held).verdict, Verdict::Fixed, "{fixed:#?}");
    assert_eq!(case.with_store(|store| store.count().unwrap()), 2);
    case.is_clean();
}

// What lies around.

#[test]
fn a_run_directory_that_others_may_enter_is_closed() {
    let case = Case::new();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(case.workspace.run_dir(), open).unwrap();
    assert_eq!(case.only(Subject::RunDir).verdict, Verdict::Wrong);
    case.is_mended(Subject::RunDir, Verdict::Wrong);
    fs::remove_dir_all(case.workspace.run_dir()).unwrap();
    case.is_clean();
    std::os::unix::fs::symlink("/tmp", case.workspace.run_dir()).unwrap();
    assert_eq!(one(&case.look(), Subject::RunDir).verdict, Verdict::Wrong);
    assert_eq!(one(&case.fix(), Subject::RunDir).verdict, Verdict::Wrong);
}

#[test]
fn lines_that_are_missing_from_the_gitignore_are_added_to_it() {
    let case = Case::new();
    fs::write(case.workspace.gitignore(), "mine\ntracker.db").unwrap();
    assert_eq!(case.only(Subject::GitIgnore).verdict, Verdict::Wrong);
    case.is_mended(Subject::GitIgnore, Verdict::Wrong);
    let text = fs::read_to_string(case.workspace.gitignore()).unwrap();
    assert_eq!(text, "mine\ntracker.db\n*\n!issues.jsonl\n");
    fs::remove_file(case.workspace.gitignore()).unwrap();
    case.is_mended(Subject::GitIgnore, Verdict::Wrong);
}

/// What a daemon that was killed can leave.
fn left_by_a_daemon(workspace: &Workspace) -> [(Subject, std::path::PathBuf); 5] {
    [
        (Subject::Pidfile, workspace.pidfile()),
        (Subject::Socket, workspace.socket()),
        (Subject::TcpFile, workspace.tcp_file()),
        (Subject::Pieces, workspace.run_dir().join("daemon.log.new")),
        (Subject::Pieces, workspace.run_dir().join("daemon.tcp.new")),
    ]
}

#[test]
fn what_a_killed_daemon_has_left_is_removed() {
    let case = Case::new();
    for (subject, path) in left_by_a_daemon(&case.workspace) {
        fs::write(&path, "1\n").unwrap();
        assert_eq!(case.only(subject).verdict, Verdict::Wrong, "{}", path.display());
        case.is_mended(subject, Verdict::Wrong);
        assert!(!path.exists());
    }
}

#[test]
fn the_same_of_a_daemon_that_lives_is_left_alone() {
    let case = Case::new();
    let lock = DaemonLock::acquire(&case.workspace.pidfile()).unwrap();
    for (subject, path) in left_by_a_daemon(&case.workspace).into_iter().skip(1) {
        fs::write(&path, "1\n").unwrap();
        for checks in [case.look(), case.fix()] {
            assert_eq!(one(&checks, subject).verdict, Verdict::Ok);
            assert_eq!(one(&checks, Subject::Pidfile).verdict, Verdict::Ok);
            // It holds the lock, and that is all it does.
            assert_eq!(one(&checks, Subject::Daemon).verdict, Verdict::Wrong);
        }
        assert!(path.exists());
    }
    assert!(lock.is_in_place());
}

#[test]
fn the_directory_of_a_deep_workspaces_socket_is_removed() {
    let case = Case::below(&["d".repeat(100), "e".repeat(100)].join("/"));
    let socket = case.workspace.socket();
    assert!(socket.starts_with("/tmp") && !socket.starts_with(case.workspace.dir()));
    case.is_clean();
    let dir = socket.parent().unwrap();
    crate::paths::ensure_private_dir(dir).unwrap();
    assert_eq!(case.only(Subject::Socket).verdict, Verdict::Wrong);
    fs::write(&socket, "").unwrap();
    case.is_mended(Subject::Socket, Verdict::Wrong);
    assert!(!dir.exists());
}

#[test]
fn temporaries_of_a_killed_export_are_removed_and_those_of_a_live_one_are_not() {
    let case = Case::new();
    let temporary = case.workspace.dir().join(".issues.jsonl.a1b2.tmp");
    fs::write(&temporary, "{").unwrap();
    let held = sync::lock(&case.workspace, WhenBusy::Refuse).unwrap();
    for checks in [case.look(), case.fix()] {
        assert_eq!(one(&checks, Subject::Temporaries).verdict, Verdict::Ok);
    }
    assert!(temporary.exists());
    drop(held);
    assert_eq!(case.only(Subject::Temporaries).verdict, Verdict::Wrong);
    case.is_mended(Subject::Temporaries, Verdict::Wrong);
    assert!(!temporary.exists());
}

// Git.

fn git(case: &Case, args: &[&str]) {
    let mut command = Command::new("git");
    for variable in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"] {
        command.env(variable, "/dev/null");
    }
    let said = command
        .current_dir(case.workspace.root())
        .args(["-c", "user.name=T", "-c", "user.email=t@example.org"])
        .args(args)
        .output()
        .unwrap();
    assert!(said.status.success(), "git {args:?}: {said:?}");
}

/// A workspace that is a work tree, committed.
fn in_git() -> Case {
    let case = Case::new();
    git(&case, &["init", "-q", "-b", "main"]);
    git(&case, &["add", "."]);
    git(&case, &["commit", "-qm", "begun"]);
    case.with_store(|store| {
        store.set_git_enabled(true).unwrap();
        sync::pass(store, &case.workspace, &SyncOptions::default()).unwrap();
    });
    case.is_clean();
    case
}

#[test]
fn git_without_a_work_tree_is_told() {
    let case = Case::new();
    case.with_store(|store| store.set_git_enabled(true).unwrap());
    let found = case.only(Subject::Git);
    assert!(found.verdict == Verdict::Wrong && found.hint.unwrap().contains("config git false"));
}

#[test]
fn what_the_user_of_git_is_in_the_middle_of_is_worth_a_note() {
    let case = in_git();
    let dir = case.workspace.root().join(".git");
    for (name, said) in [("MERGE_HEAD", "merge"), ("index.lock", "another git")] {
        fs::write(dir.join(name), "").unwrap();
        let found = case.only(Subject::Git);
        assert!(found.verdict == Verdict::Note && found.found.contains(said), "{found:?}");
        fs::remove_file(dir.join(name)).unwrap();
        case.is_clean();
    }
    git(&case, &["checkout", "-q", "--detach"]);
    let found = case.only(Subject::Git);
    assert!(found.verdict == Verdict::Note && found.found.contains("detached"), "{found:?}");
}

#[test]
fn a_stale_lock_of_git_is_told_and_never_removed() {
    let case = in_git();
    let path = case.workspace.root().join(".git/index.lock");
    let lock = fs::File::create(&path).unwrap();
    lock.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(case.only(Subject::Git).verdict, Verdict::Wrong);
    assert_eq!(one(&case.fix(), Subject::Git).verdict, Verdict::Wrong);
    assert!(path.exists());
}

#[test]
fn what_a_killed_sync_has_left_in_git_is_worth_a_note_and_gone_with_the_next() {
    let case = in_git();
    let dir = case.workspace.root().join(".git");
    let nobodys = "1234567890123456789012345678901234567890";
    fs::write(dir.join("tracker-moves-branch"), format!("{nobodys}\nrefs/heads/main\n")).unwrap();
    let lock = dir.join("refs/heads/main.lock");
    fs::write(&lock, nobodys).unwrap();
    let found = case.only(Subject::Git);
    assert!(found.verdict == Verdict::Note && found.found.contains("killed"), "{found:?}");
    assert!(found.hint.unwrap().contains("tracker sync"));
    assert!(lock.exists());
    case.with_store(|store| {
        store.create(NewIssue::titled("one more")).unwrap();
        sync::pass(store, &case.workspace, &SyncOptions::default()).unwrap();
    });
    assert!(!lock.exists());
    case.is_clean();
    // One that nobody knows of is told as it is.
    fs::write(&lock, "").unwrap();
    assert!(case.only(Subject::Git).found.contains("another git"));
}

#[test]
fn an_ignored_file_is_told() {
    let case = in_git();
    git(&case, &["rm", "-q", "--cached", ".tracker/issues.jsonl"]);
    git(&case, &["commit", "-qm", "not ours"]);
    fs::write(case.workspace.root().join(".gitignore"), ".tracker/\n").unwrap();
    let found = case.only(Subject::Git);
    assert!(found.verdict == Verdict::Wrong && found.found.contains("ignores"), "{found:?}");
}
