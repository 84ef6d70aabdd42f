//! States in which only the user should commit. Each is made by git itself, and ends.

use super::*;

/// `main` and `side` have changed the same line of `other`.
fn forked() -> Repository {
    fork(Repository::begun())
}

fn fork(repository: Repository) -> Repository {
    repository.git(&["switch", "-qc", "side"]);
    repository.write("other", "side\n");
    repository.git(&["commit", "-qam", "side"]);
    repository.git(&["switch", "-q", "main"]);
    repository.write("other", "main\n");
    repository.git(&["commit", "-qam", "main"]);
    repository
}

fn stops_on(repository: &Repository, begin: &[&str], words: &str, end: &[&str]) {
    let (tip, count) = (repository.git(&["rev-parse", "main"]), repository.count());
    repository.try_git(begin);
    // Written anew, as the daemon would, but for git the same: `--abort` needs it so.
    let off = repository.change_and_commit("2\n");
    assert!(is_off(&off, words), "{begin:?}: {off:?}");
    assert_eq!(repository.git(&["rev-parse", "main"]), tip);
    repository.write(FILE, "1\n");
    repository.git(end);
    assert_eq!(repository.count(), count);
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done, "after {begin:?}");
    assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
}

#[test]
fn a_merge_is_the_users() {
    stops_on(&forked(), &["merge", "side"], "a merge", &["merge", "--abort"]);
}

#[test]
fn a_rebase_is_the_users() {
    let (merge, apply) = (["rebase", "side"], ["rebase", "--apply", "side"]);
    stops_on(&forked(), &merge, "a rebase", &["rebase", "--abort"]);
    stops_on(&forked(), &apply, "a rebase or `git am`", &["rebase", "--abort"]);
}

#[test]
fn a_cherry_pick_is_the_users() {
    let end = ["cherry-pick", "--abort"];
    stops_on(&forked(), &["cherry-pick", "side"], "a cherry-pick", &end);
    // Between two commits: the one that conflicted is committed, the next one not yet picked.
    let repository = forked();
    repository.git(&["branch", "-q", "start", "main"]);
    repository.git(&["switch", "-q", "side"]);
    repository.write("third", "1\n");
    repository.git(&["add", "third"]);
    repository.git(&["commit", "-qm", "third"]);
    repository.git(&["switch", "-q", "main"]);
    repository.try_git(&["cherry-pick", "side~1", "side"]);
    repository.write("other", "both\n");
    repository.git(&["commit", "-qam", "picked"]);
    assert!(!repository.git_dir().join("CHERRY_PICK_HEAD").exists());
    assert!(is_off(&repository.change_and_commit("2\n"), "a cherry-pick"));
}

#[test]
fn a_revert_is_the_users() {
    let repository = forked();
    let first = repository.git(&["rev-parse", "HEAD"]);
    repository.write("other", "later\n");
    repository.git(&["commit", "-qam", "later"]);
    stops_on(&repository, &["revert", first.trim()], "a revert", &["revert", "--abort"]);
}

#[test]
fn a_bisection_is_the_users() {
    stops_on(&forked(), &["bisect", "start"], "a bisection", &["bisect", "reset"]);
}

#[test]
fn a_cherry_pick_is_seen_where_references_are_no_files() {
    let repository = fork(Repository::begun_with(&["--ref-format=reftable"]));
    stops_on(&repository, &["cherry-pick", "side"], "a cherry-pick", &["cherry-pick", "--abort"]);
}

#[test]
fn a_detached_head_has_no_branch_to_commit_to() {
    let detach = ["switch", "-q", "--detach"];
    stops_on(&forked(), &detach, "HEAD is detached", &["switch", "-q", "main"]);
}

#[test]
fn a_file_in_conflict_is_the_users() {
    // Left by `stash pop`, which is in progress nowhere else.
    let repository = Repository::begun();
    repository.write(FILE, "stashed\n");
    repository.git(&["stash", "-q"]);
    repository.write(FILE, "committed\n");
    repository.git(&["commit", "-qam", "committed"]);
    assert!(!repository.try_git(&["stash", "pop"]).0);
    let off = repository.change_and_commit("2\n");
    assert!(is_off(&off, "conflict"), "{off:?}");
    repository.git(&["add", FILE]);
    assert_eq!(repository.change_and_commit("3\n").unwrap(), Commit::Done);
}

#[test]
fn a_bare_repository_has_no_work_tree() {
    let repository = Repository::begun();
    let bare = repository.dir.path().join("bare");
    repository.git(&["init", "-q", "--bare", bare.to_str().unwrap()]);
    fs::write(bare.join("file"), "1\n").unwrap();
    assert!(is_off(&repository.commit_in(&bare, "file"), "bare"));
    fs::write(repository.git_dir().join("file"), "1\n").unwrap();
    assert!(is_off(&repository.commit_in(&repository.git_dir(), "file"), "work tree"));
    fs::write(repository.dir.path().join("file"), "1\n").unwrap();
    assert!(is_off(&repository.commit_in(repository.dir.path(), "file"), "no git repository"));
}

#[test]
fn a_commit_whose_message_is_being_written_is_not_overtaken() {
    use std::io::{Read, Write};
    // Such a commit is refused by git if the branch moves, be it the first one or a later one.
    for repository in [Repository::new(), Repository::begun()] {
        let pipe = |name: &str| {
            let path = repository.dir.path().join(name);
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
            // Opened for reading and writing, a pipe waits for nobody.
            fs::File::options().read(true).write(true).open(path).unwrap()
        };
        let (mut began, mut go) = (pipe("began"), pipe("go"));
        let here = repository.dir.path().display();
        let editor =
            format!("sh -c 'echo theirs >\"$1\"; echo >{here}/began; read go <{here}/go' -");
        repository.git(&["config", "core.editor", &editor]);
        std::thread::scope(|scope| {
            let theirs = scope.spawn(|| {
                let mut command = Command::new("git");
                command.args(["commit", "--quiet", "--allow-empty"]);
                command.current_dir(repository.root().join(".tracker"));
                command.envs(repository.environment.iter().cloned()).env_remove("GIT_EDITOR");
                command.status().unwrap().success()
            });
            began.read_exact(&mut [0]).unwrap();
            let off = repository.change_and_commit("2\n");
            go.write_all(b"go\n").unwrap();
            assert!(is_off(&off, "a message"), "{off:?}");
            assert!(theirs.join().unwrap());
        });
        assert_eq!(repository.commit().unwrap(), Commit::Done);
        assert_eq!(repository.git(&["log", "-2", "--format=%s"]), "tracker: sync\ntheirs\n");
    }
}

#[test]
fn a_message_that_was_given_up_stops_nothing() {
    let repository = Repository::begun();
    fs::remove_file(repository.git_dir().join("COMMIT_EDITMSG")).unwrap();
    // The editor of the tests leaves the message empty.
    assert!(!repository.try_git(&["commit", "--allow-empty"]).0);
    assert!(repository.git_dir().join("COMMIT_EDITMSG").exists());
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
}
