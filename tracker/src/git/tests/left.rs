//! What a killed sync has left is cleared away, and what somebody else holds or has left is not.

use super::*;
use crate::git::held::{Held, lock_of};
use crate::git::place::Place;
use std::process::{Child, Stdio};

/// A commit that is nobody's.
const NOBODYS: &str = "1234567890123456789012345678901234567890";

impl Repository {
    /// Every process of a commit until its `update-ref` is killed, which holds both locks by then.
    fn kill_with_both_locks(&mut self) {
        let hooks = self.dir.path().join("hooks");
        fs::create_dir(&hooks).unwrap();
        // git-hooks(5): in this state the references are locked.
        let hook = "#!/bin/sh\nif [ $1 = prepared ]; then kill -9 $PPID; fi\n";
        let path = hooks.join("reference-transaction");
        let written = Command::new("sh")
            .args(["-c", r#"printf %s "$1" >"$0" && chmod +x "$0""#])
            .args([path.as_os_str(), hook.as_ref()])
            .status();
        assert!(written.unwrap().success());
        let with_hooks = format!("real -c core.hooksPath='{}' \"$@\"", hooks.display());
        self.shim(&format!(
            "[ $verb = update-ref ] && once && {{ \
             while [ \"$1\" != update-ref ]; do shift; done; {with_hooks}; exit; }}"
        ));
        self.write(FILE, "2\n");
        let killed = self.one_attempt();
        assert!(matches!(killed, Err(GitError::Refused { verb: "update-ref", .. })), "{killed:?}");
        let locks = [self.branch_lock(), self.head_lock()].map(|lock| lock.exists());
        assert_eq!(locks, [true, true], "it died too early or too late");
        assert!(self.note().exists());
        assert_eq!(self.committed(), "1\n");
    }

    fn branch_lock(&self) -> PathBuf {
        self.git_dir().join("refs/heads/main.lock")
    }

    fn head_lock(&self) -> PathBuf {
        self.git_dir().join("HEAD.lock")
    }

    fn index_lock(&self) -> PathBuf {
        self.git_dir().join("index.lock")
    }

    fn note(&self) -> PathBuf {
        self.git_dir().join("tracker-moves-branch")
    }

    /// A note of somebody who is dead.
    fn leave_note(&self, commit: &str) {
        let text = format!("{commit}\nrefs/heads/main\n");
        Held::create(&self.note(), text.as_bytes()).unwrap().leave();
    }

    fn check(&self) -> Result<(), GitError> {
        self.caller(&self.root(), |caller| {
            let place = Place::find(caller, Path::new(FILE)).unwrap();
            super::super::check(caller, &place, Path::new(FILE))
        })
    }

    /// A git of the user's that lives for as long as this does.
    fn users_git(&self) -> Running {
        let mut command = Command::new("git");
        command.current_dir(self.root()).args(["cat-file", "--batch-check"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        #[expect(clippy::disallowed_methods, reason = "killed and reaped when dropped")]
        let mut child = command.spawn().unwrap();
        // That it is a git by now.
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"HEAD\n").unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        Running(child)
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// That a commit is refused for a lock, which stays.
fn is_kept_out_by(repository: &Repository, lock: &Path) {
    let busy = repository.change_and_commit("2\n");
    assert!(matches!(&busy, Err(GitError::Busy { lock: held }) if held == lock), "{busy:?}");
    assert!(lock.exists());
    assert_eq!(repository.committed(), "1\n");
}

fn is_cleared(repository: &Repository) {
    assert_eq!(repository.commit().unwrap(), Commit::Done);
    assert_eq!(repository.committed(), "2\n");
    assert_eq!(repository.short_status(), "");
    assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
    assert!(!repository.note().exists());
    repository.git(&["fsck", "--strict"]);
}

#[test]
fn the_locks_of_a_git_that_was_killed_are_removed() {
    let mut repository = Repository::begun();
    repository.kill_with_both_locks();
    assert!(matches!(repository.check(), Err(GitError::LeftBehind { .. })));
    is_cleared(&repository);
}

#[test]
fn a_commit_goes_on_after_a_git_that_was_killed() {
    let mut repository = Repository::begun();
    repository.shim("[ $verb = update-ref ] && once && kill -9 $$");
    repository.shim_is_used_up(|repository| {
        assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    });
    assert!(!repository.note().exists());
}

#[test]
fn a_branch_that_has_moved_already_frees_head() {
    let mut repository = Repository::begun();
    repository.kill_with_both_locks();
    // A tick of the clock later, so that it is certain.
    let tick = |path: PathBuf| {
        let stat = fs::metadata(path).unwrap();
        (std::os::unix::fs::MetadataExt::ctime_nsec(&stat), stat.modified().unwrap())
    };
    let scratch = repository.dir.path().join("scratch");
    while {
        fs::write(&scratch, "x").unwrap();
        tick(scratch.clone()).0 == tick(repository.head_lock()).0
    } {}
    // As git would have done it next.
    fs::rename(repository.branch_lock(), repository.git_dir().join("refs/heads/main")).unwrap();
    assert_eq!(repository.commit().unwrap(), Commit::Unchanged);
    assert_eq!(repository.committed(), "2\n");
    assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
}

#[test]
fn a_lock_of_head_that_is_younger_than_our_move_is_the_users() {
    let repository = Repository::begun();
    let tip = repository.git(&["rev-parse", "HEAD"]);
    repository.leave_note(tip.trim());
    fs::write(repository.head_lock(), "").unwrap();
    is_kept_out_by(&repository, &repository.head_lock());
    // The note is done with: what is there now will never be ours.
    fs::remove_file(repository.head_lock()).unwrap();
    is_cleared(&repository);
}

#[test]
fn without_a_note_no_lock_is_ours() {
    let repository = Repository::begun();
    for lock in [repository.branch_lock(), repository.head_lock(), repository.index_lock()] {
        fs::write(&lock, "").unwrap();
        is_kept_out_by(&repository, &lock);
        assert!(matches!(repository.check(), Err(GitError::Busy { lock: held }) if held == lock));
        fs::File::options()
            .write(true)
            .open(&lock)
            .unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        let stale = repository.commit();
        assert!(matches!(&stale, Err(GitError::StaleLock { lock: held, .. }) if *held == lock));
        assert!(matches!(repository.check(), Err(GitError::StaleLock { .. })));
        fs::remove_file(&lock).unwrap();
    }
    is_cleared(&repository);
}

#[test]
fn a_lock_with_another_content_or_an_earlier_time_is_the_users() {
    let repository = Repository::begun();
    let lock = repository.branch_lock();
    repository.leave_note(NOBODYS);
    fs::write(&lock, repository.git(&["rev-parse", "HEAD"])).unwrap();
    is_kept_out_by(&repository, &lock);

    fs::write(&lock, "").unwrap();
    let of = |path: &Path| {
        let stat = fs::metadata(path).unwrap();
        use std::os::unix::fs::MetadataExt;
        (stat.ctime(), stat.ctime_nsec())
    };
    while {
        repository.leave_note(NOBODYS);
        of(&repository.note()) <= of(&lock)
    } {
        fs::remove_file(repository.note()).unwrap();
    }
    is_kept_out_by(&repository, &lock);
    // Nor is that of HEAD, where our git has not come so far.
    fs::remove_file(&lock).unwrap();
    repository.leave_note(NOBODYS);
    fs::write(repository.head_lock(), "").unwrap();
    is_kept_out_by(&repository, &repository.head_lock());
}

#[test]
fn an_empty_lock_is_ours_only_while_no_other_git_is_there() {
    let repository = Repository::begun();
    repository.leave_note(NOBODYS);
    fs::write(repository.branch_lock(), "").unwrap();
    let users = repository.users_git();
    is_kept_out_by(&repository, &repository.branch_lock());
    assert!(repository.note().exists());
    drop(users);
    is_cleared(&repository);
}

#[test]
fn a_git_that_outlives_its_tracker_is_waited_for() {
    let repository = Repository::begun();
    let text = format!("{NOBODYS}\nrefs/heads/main\n");
    let held = Held::create(&repository.note(), text.as_bytes()).unwrap();
    let orphan = {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(held.file().try_clone().unwrap());
        #[expect(clippy::disallowed_methods, reason = "killed and reaped when dropped")]
        Running(command.spawn().unwrap())
    };
    held.leave();
    fs::write(repository.branch_lock(), NOBODYS).unwrap();
    let busy = repository.change_and_commit("2\n");
    let note = repository.note();
    assert!(matches!(&busy, Err(GitError::Busy { lock }) if *lock == note), "{busy:?}");
    assert!(repository.branch_lock().exists());
    drop(orphan);
    is_cleared(&repository);
}

#[test]
fn a_note_that_was_cut_is_thrown_away() {
    let repository = Repository::begun();
    fs::write(repository.note(), "12345").unwrap();
    repository.write(FILE, "2\n");
    is_cleared(&repository);
}

#[test]
fn a_linked_work_tree_clears_its_own() {
    let repository = Repository::begun();
    let linked = repository.dir.path().join("linked");
    repository.git(&["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    let git_dir = repository.git_dir().join("worktrees/linked");
    let note = format!("{NOBODYS}\nrefs/heads/side\n");
    Held::create(&git_dir.join("tracker-moves-branch"), note.as_bytes()).unwrap().leave();
    let (side, main) =
        (repository.git_dir().join("refs/heads/side.lock"), repository.branch_lock());
    for lock in [&side, &main] {
        fs::write(lock, NOBODYS).unwrap();
    }
    fs::write(linked.join(FILE), "side\n").unwrap();
    assert_eq!(repository.commit_in(&linked, FILE).unwrap(), Commit::Done);
    assert_eq!((side.exists(), main.exists()), (false, true));
}

#[test]
fn our_lock_on_the_index_is_removed_when_its_maker_is_dead() {
    let repository = Repository::begun();
    let lock = repository.index_lock();
    let copy = repository.git_dir().join("tracker-index-killed");
    let held = Held::create(&lock, super::super::index::MARK).unwrap();
    fs::create_dir(&copy).unwrap();
    fs::write(lock_of(&copy.join("index")), "").unwrap();
    is_kept_out_by(&repository, &lock);
    assert!(copy.exists());
    held.leave();
    assert!(matches!(repository.check(), Err(GitError::LeftBehind { lock: left }) if left == lock));
    assert!(lock.exists(), "a look changes nothing");
    is_cleared(&repository);
    assert!(!copy.exists());
}

#[test]
fn objects_that_nobody_waits_for_are_swept() {
    let repository = Repository::begun();
    let left = |name: &str| {
        let dir = repository.git_dir().join("objects").join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("object"), "").unwrap();
        dir
    };
    let (dead, alive) = (left("tmp_objdir-tracker-dead"), left("tmp_objdir-tracker-alive"));
    let foreign = left("tmp_objdir-incoming-x");
    let lock = fs::File::open(&alive).unwrap();
    lock.lock().unwrap();
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    assert_eq!((dead.exists(), alive.exists(), foreign.exists()), (false, true, true));
}
