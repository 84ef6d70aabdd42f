//! The JSONL file.

use super::*;

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
