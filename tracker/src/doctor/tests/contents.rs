//! What is in the database.

use super::*;

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
