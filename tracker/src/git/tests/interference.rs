//! Somebody else is at work while a commit is made, or git does not come to an end.

use super::*;
use crate::process::ProcessError;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// Every subcommand of one commit, in order.
const VERBS: [&str; 7] =
    ["rev-parse", "status", "hash-object", "var", "fast-import", "update-index", "update-ref"];

impl Repository {
    /// One attempt of a commit instead of several.
    pub(super) fn one_attempt(&self) -> Result<Option<Commit>, GitError> {
        let path = Path::new(FILE);
        self.caller(&self.root(), |caller| super::super::attempt(caller, path, "tracker: sync"))
    }

    /// Does what the shim spoils once, and checks that it did.
    pub(super) fn shim_is_used_up(&self, act: impl FnOnce(&Self)) {
        act(self);
        assert!(self.dir.path().join("once").exists(), "the shim did nothing");
    }
}

#[test]
fn a_branch_that_moves_on_keeps_both_commits() {
    for verb in ["hash-object", "fast-import", "update-ref"] {
        let mut repository = Repository::begun();
        repository.shim(&format!("[ $verb = {verb} ] && once && theirs"));
        repository.shim_is_used_up(|repository| {
            assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done, "{verb}");
        });
        let log = repository.git(&["log", "--format=%s"]);
        assert_eq!(log, "tracker: sync\ntheirs\nbegun\n", "{verb}");
        assert_eq!(repository.short_status(), "", "{verb}");
    }
}

#[test]
fn what_the_user_throws_away_does_not_come_back() {
    // A branch that goes back is one that fast-import itself would move on from the old tip.
    for verb in ["hash-object", "fast-import", "update-ref"] {
        let mut repository = Repository::begun();
        repository.git(&["commit", "-q", "--allow-empty", "-m", "thrown away"]);
        repository.shim(&format!("[ $verb = {verb} ] && once && user reset -q --soft HEAD~1"));
        repository.shim_is_used_up(|repository| {
            assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done, "{verb}");
        });
        assert_eq!(repository.git(&["log", "--format=%s"]), "tracker: sync\nbegun\n", "{verb}");
    }
}

#[test]
fn a_commit_of_the_users_between_index_and_branch_takes_the_file_along() {
    // On a branch with commits, and as the first of all.
    for mut repository in [Repository::begun(), Repository::new()] {
        repository.shim("[ $verb = update-ref ] && once && user commit -q --allow-empty -m theirs");
        repository.shim_is_used_up(|repository| {
            assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Unchanged);
        });
        assert_eq!(repository.git(&["log", "-1", "--format=%s"]), "theirs\n");
        assert_eq!(repository.committed(), "2\n");
        assert_eq!(repository.short_status(), "");
    }
}

#[test]
fn a_switch_in_mid_commit_mixes_no_branches() {
    for verb in ["status", "hash-object", "fast-import"] {
        let mut repository = Repository::begun();
        repository.git(&["switch", "-qc", "side"]);
        repository.write(FILE, "of the side\n");
        repository.git(&["commit", "-qam", "side"]);
        repository.git(&["switch", "-q", "main"]);
        let main = repository.git(&["rev-parse", "main"]);
        repository.shim(&format!("[ $verb = {verb} ] && once && user switch -q --force side"));
        repository.shim_is_used_up(|repository| {
            assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Unchanged, "{verb}");
        });
        assert_eq!(repository.git(&["rev-parse", "main"]), main, "{verb}");
        assert_eq!(repository.committed(), "of the side\n", "{verb}");
        assert_eq!(repository.short_status(), "", "{verb}");
    }
}

#[test]
fn a_commit_follows_head_to_another_branch_of_the_same_tip() {
    for init in [["--ref-format=files"], ["--ref-format=reftable"]] {
        let mut repository = Repository::with(&init);
        repository.commit().unwrap();
        repository.git(&["branch", "side"]);
        let main = repository.git(&["rev-parse", "main"]);
        // The index stays as it is.
        let act = "user symbolic-ref HEAD refs/heads/side";
        repository.shim(&format!("[ $verb = fast-import ] && once && {act}"));
        repository.shim_is_used_up(|repository| {
            assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done, "{init:?}");
        });
        assert_eq!(repository.git(&["rev-parse", "main", "side^"]), main.repeat(2), "{init:?}");
    }
}

#[test]
fn a_state_that_begins_in_mid_commit_is_the_users() {
    let mut repository = Repository::begun();
    repository.shim("[ $verb = fast-import ] && once && user switch -q --detach");
    repository.shim_is_used_up(|repository| {
        assert!(is_off(&repository.change_and_commit("2\n"), "detached"));
    });
    assert_eq!(repository.git(&["rev-parse", "main"]), repository.git(&["rev-parse", "HEAD"]));
}

#[test]
fn a_repository_that_never_rests_is_left_alone() {
    for (verb, act) in [
        ("fast-import", "theirs && user update-index --force-write-index"),
        ("update-ref", "theirs"),
    ] {
        let mut repository = Repository::begun();
        repository.shim(&format!("[ $verb = {verb} ] && {act}"));
        let error = repository.change_and_commit("2\n").unwrap_err();
        match verb {
            "update-ref" => assert!(error.to_string().contains("but expected"), "{error}"),
            _ => assert!(matches!(error, GitError::Moved), "{error:?}"),
        }
        let log = repository.git(&["log", "--format=%s"]);
        assert_eq!(log, "theirs\n".repeat(3) + "begun\n");
        assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
    }
}

#[test]
fn what_is_staged_for_the_file_in_mid_commit_stays() {
    let mut repository = Repository::begun();
    repository.shim("[ $verb = fast-import ] && once && user rm -q --cached .tracker/issues.jsonl");
    repository.shim_is_used_up(|repository| {
        assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    });
    assert!(!repository.staged().contains(FILE), "{}", repository.staged());
}

#[test]
fn a_git_that_hangs_is_ended_and_leaves_nothing() {
    for verb in VERBS {
        let mut repository = Repository::begun();
        let pid = repository.dir.path().join("pid");
        let script =
            format!("[ $verb = {verb} ] && {{ echo $$ >'{}'; exec sleep 1000; }}", pid.display());
        repository.shim(&script);
        repository.timeout = Duration::from_secs(1);
        let tip = repository.git(&["rev-parse", "HEAD"]);
        let hung = repository.change_and_commit("2\n");
        let source = ProcessError::TimedOut(repository.timeout);
        let said = GitError::Run { verb, source }.to_string();
        assert_eq!(hung.unwrap_err().to_string(), said);
        let pid: i32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        assert_eq!(kill(Pid::from_raw(pid), None), Err(nix::errno::Errno::ESRCH), "{verb}");
        assert_eq!(repository.git(&["rev-parse", "HEAD"]), tip, "{verb}");
        assert_eq!(repository.rubbish(), Vec::<PathBuf>::new(), "{verb}");
        repository.environment.retain(|(name, _)| *name != "PATH");
        repository.timeout = Duration::from_secs(60);
        assert_eq!(repository.commit().unwrap(), Commit::Done, "{verb}");
        assert_eq!(repository.short_status(), "", "{verb}");
    }
}

#[test]
fn a_hung_count_is_ended() {
    let mut repository = Repository::begun();
    repository.shim("[ $verb = count-objects ] && exec sleep 1000");
    repository.timeout = Duration::from_millis(100);
    let hung = repository.caller(&repository.root(), super::super::objects_bytes);
    assert!(
        matches!(hung, Err(GitError::Run { source: ProcessError::TimedOut(_), .. })),
        "{hung:?}"
    );
}

#[test]
fn an_import_that_is_ended_half_way_leaves_no_pack() {
    let mut repository = Repository::begun();
    // It has all but the end of its input, and its temporary pack is open.
    let begun = repository.dir.path().join("begun");
    let see = format!(
        "until ls '{root}'/.git/objects/*/pack/tmp_pack_* >'{begun}' 2>&1; do :; done",
        root = repository.root().display(),
        begun = begun.display()
    );
    repository.shim(&format!(
        "[ $verb = fast-import ] && {{ {{ head -c 50; {see}; exec sleep 1000; }} | real \"$@\"; exit; }}"
    ));
    repository.timeout = Duration::from_secs(2);
    let hung = repository.change_and_commit("2\n");
    assert!(matches!(hung, Err(GitError::Run { verb: "fast-import", .. })), "{hung:?}");
    assert!(fs::read_to_string(begun).unwrap().contains("tmp_pack_"));
    assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
}

#[test]
fn an_import_that_ends_too_early_leaves_no_commit_and_no_report() {
    let mut repository = Repository::begun();
    repository.shim("[ $verb = fast-import ] && { head -c 150 | real \"$@\"; exit; }");
    let (tip, staged) = (repository.git(&["rev-parse", "HEAD"]), repository.staged());
    let refused = repository.change_and_commit("2\n");
    let Err(GitError::Refused { verb: "fast-import", output }) = refused else {
        panic!("{refused:?}")
    };
    // That there was a report to take away.
    assert!(output.contains("crash report"), "{output}");
    assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
    assert_eq!((repository.git(&["rev-parse", "HEAD"]), repository.staged()), (tip, staged));
}

#[test]
fn a_filter_that_hangs_is_ended_with_its_git() {
    let mut repository = Repository::begun();
    repository.git(&["config", "filter.slow.clean", "sleep 1000"]);
    repository.write(".git/info/attributes", "*.jsonl filter=slow\n");
    repository.timeout = Duration::from_secs(1);
    let hung = repository.change_and_commit("longer than it was\n");
    assert!(matches!(hung, Err(GitError::Run { verb: "hash-object", .. })), "{hung:?}");
    assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
}

#[test]
fn an_interrupt_ends_a_commit() {
    let mut repository = Repository::begun();
    let interrupt = Interrupt::new().unwrap();
    interrupt.raise().unwrap();
    repository.interrupt = Some(interrupt);
    repository.shim("exec sleep 1000");
    let ended = repository.change_and_commit("2\n");
    let interrupted = |source: &ProcessError| matches!(source, ProcessError::Interrupted);
    assert!(
        matches!(&ended, Err(GitError::Run { source, .. }) if interrupted(source)),
        "{ended:?}"
    );
}
