//! Git.

use super::*;

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
