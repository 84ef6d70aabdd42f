//! What becomes of the user's index.

use super::*;

/// Every entry with its stat, but for the file's own.
fn others(repository: &Repository) -> String {
    let all = repository.git(&["ls-files", "--stage", "--debug", "--", ".", &format!(":!{FILE}")]);
    assert!(all.contains("other"), "{all}");
    all
}

#[test]
fn what_is_staged_stays_staged_and_what_is_not_stays_so() {
    let repository = Repository::begun();
    repository.write("partly", "1\n");
    repository.git(&["add", "partly"]);
    repository.write("partly", "1\n2\n");
    repository.write("other", "2\n");
    repository.git(&["rm", "-q", "--cached", "other"]);
    repository.write("untracked", "1\n");
    repository.git(&["add", "--intent-to-add", "untracked"]);
    repository.write("other", "3\n");
    repository.git(&["add", "other"]);
    let (status, entries) = (repository.short_status(), others(&repository));
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    assert_eq!(others(&repository), entries);
    assert_eq!(repository.short_status(), status);
    assert_eq!(repository.git(&["show", "HEAD:other"]), "1\n");
}

#[test]
fn the_users_next_commit_undoes_nothing() {
    let repository = Repository::begun();
    repository.write("other", "2\n");
    repository.git(&["add", "other"]);
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    assert_eq!(repository.short_status(), "M  other\n");
    repository.git(&["commit", "-qm", "by the user"]);
    assert_eq!(repository.committed(), "2\n");
    assert_eq!(repository.git(&["show", "--format=", "--name-only", "HEAD"]), "other\n");
}

#[test]
fn an_index_that_does_not_exist_yet_follows_too() {
    let repository = Repository::new();
    repository.git(&["commit", "-q", "--allow-empty", "-m", "begun"]);
    let _absent_or_empty = fs::remove_file(repository.git_dir().join("index"));
    assert_eq!(repository.commit().unwrap(), Commit::Done);
    assert_eq!(repository.short_status(), "");
}

#[test]
fn what_we_had_entered_when_we_were_killed_follows() {
    let repository = Repository::begun();
    // As after `index::enter` and before the branch has moved.
    repository.write(FILE, "2\n");
    repository.git(&["add", FILE]);
    let entered = repository.staged();
    let oid = entered.split(' ').nth(1).unwrap();
    fs::write(repository.git_dir().join("tracker-entered"), oid).unwrap();
    assert_eq!(repository.change_and_commit("3\n").unwrap(), Commit::Done);
    assert_eq!(repository.short_status(), "");
    assert_eq!(repository.committed(), "3\n");
}

#[test]
fn what_the_user_has_staged_for_the_file_stays() {
    let repository = Repository::begun();
    repository.write(FILE, "staged\n");
    repository.git(&["add", FILE]);
    let staged = repository.staged();
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    assert_eq!(repository.staged(), staged);
    assert_eq!(repository.committed(), "2\n");

    // A file that is staged for the first time as well.
    let repository = Repository::new();
    repository.git(&["add", FILE]);
    let staged = repository.staged();
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    assert_eq!(repository.staged(), staged);
}

#[test]
fn a_file_that_the_user_takes_out_of_git_is_not_put_back_into_the_index() {
    let repository = Repository::begun();
    repository.git(&["rm", "-q", "--cached", FILE]);
    let staged = repository.staged();
    assert_eq!(repository.commit().unwrap(), Commit::Unchanged);
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    assert_eq!(repository.staged(), staged);
}

#[test]
fn a_file_that_is_only_announced_follows() {
    let repository = Repository::begun();
    repository.write("new.jsonl", "1\n");
    repository.git(&["add", "--intent-to-add", "new.jsonl"]);
    assert_eq!(repository.commit_in(&repository.root(), "new.jsonl").unwrap(), Commit::Done);
    assert_eq!(repository.short_status(), "");
}

#[test]
fn a_commit_that_ends_before_the_branch_moves_stages_what_is_true() {
    let mut repository = Repository::begun();
    repository.shim("[ $verb = update-ref ] && once && exit 1");
    let tip = repository.git(&["rev-parse", "HEAD"]);
    repository.shim_is_used_up(|repository| {
        repository.write(FILE, "2\n");
        let refused = repository.one_attempt();
        assert!(matches!(refused, Err(GitError::Refused { verb: "update-ref", .. })));
        assert_eq!(repository.git(&["rev-parse", "HEAD"]), tip);
    });
    assert_eq!(repository.short_status(), format!("M  {FILE}\n"));
    assert_eq!(repository.commit().unwrap(), Commit::Done);
    assert_eq!(repository.short_status(), "");
    assert_eq!(repository.committed(), "2\n");
}

#[test]
fn a_lock_on_the_index_is_waited_for() {
    let repository = Repository::begun();
    let lock = repository.git_dir().join("index.lock");
    fs::write(&lock, "").unwrap();
    let tip = repository.git(&["rev-parse", "HEAD"]);
    let busy = repository.change_and_commit("2\n");
    assert!(matches!(&busy, Err(GitError::Busy { lock: held }) if *held == lock), "{busy:?}");
    assert_eq!(repository.git(&["rev-parse", "HEAD"]), tip);
    fs::remove_file(&lock).unwrap();
    assert_eq!(repository.commit().unwrap(), Commit::Done);
}

#[test]
fn a_lock_that_nobody_holds_any_more_is_named() {
    let repository = Repository::begun();
    let lock = repository.git_dir().join("index.lock");
    let held = fs::File::create(&lock).unwrap();
    held.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).unwrap();
    let stale = repository.change_and_commit("2\n").unwrap_err();
    assert!(matches!(stale, GitError::StaleLock { .. }), "{stale:?}");
    assert!(stale.to_string().contains(lock.to_str().unwrap()), "{stale}");
    assert!(crate::failure::Failure::from(&stale).hint.contains("remove"));
    assert!(lock.exists());
}

#[test]
fn a_lock_that_comes_late_leaves_branch_and_index_alone() {
    let mut repository = Repository::begun();
    let lock = repository.git_dir().join("index.lock");
    repository.shim(&format!("[ $verb = fast-import ] && once && : >'{}'", lock.display()));
    let (tip, staged) = (repository.git(&["rev-parse", "HEAD"]), repository.staged());
    let busy = repository.change_and_commit("2\n");
    assert!(matches!(&busy, Err(GitError::Busy { lock: held }) if *held == lock), "{busy:?}");
    fs::remove_file(&lock).unwrap();
    assert_eq!((repository.git(&["rev-parse", "HEAD"]), repository.staged()), (tip, staged));
    assert_eq!(repository.commit().unwrap(), Commit::Done);
    assert_eq!(repository.short_status(), "");
}

#[test]
fn the_users_git_is_kept_out_while_the_index_is_replaced() {
    let mut repository = Repository::begun();
    let refused = repository.dir.path().join("refused");
    let act = format!("{{ user add other 2>/dev/null || : >'{}'; }}", refused.display());
    repository.shim(&format!("[ $verb = update-index ] && once && {act}"));
    repository.write("other", "2\n");
    repository.shim_is_used_up(|repository| {
        assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    });
    assert!(refused.exists());
    assert_eq!(repository.short_status(), " M other\n");
    assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
}

#[test]
fn a_lock_on_the_branch_is_waited_for() {
    let repository = Repository::begun();
    let lock = repository.git_dir().join("refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    let busy = repository.change_and_commit("2\n");
    assert!(matches!(&busy, Err(GitError::Busy { .. })), "{busy:?}");
    fs::remove_file(&lock).unwrap();
    assert_eq!(repository.commit().unwrap(), Commit::Done);
    assert_eq!(repository.short_status(), "");
}
