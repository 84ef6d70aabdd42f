//! What is committed, where, and in whose name.

use super::*;
use crate::failure::Failure;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::SystemTime;

#[test]
fn the_first_commit_of_all_is_ours() {
    let repository = Repository::new();
    repository.write("other", "untracked");
    assert_eq!(repository.commit().unwrap(), Commit::Done);
    assert_eq!(repository.git(&["ls-tree", "-r", "--name-only", "HEAD"]), format!("{FILE}\n"));
    assert_eq!(repository.git(&["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    assert_eq!(repository.short_status(), "?? other\n");
    assert_eq!(
        repository.git(&["log", "--format=%an <%ae> %cn <%ce> %s"]),
        "T <t@example.org> T <t@example.org> tracker: sync\n"
    );
    let reflog = repository.git(&["reflog", "--format=%gs"]);
    assert_eq!(reflog, "commit (initial): tracker: sync\n");
    assert_eq!(repository.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main\n");
    repository.git(&["fsck", "--strict"]);
    assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
}

#[test]
fn the_parents_tree_is_kept_but_for_one_path() {
    let repository = Repository::begun();
    let root = repository.root();
    repository.write("run", "#!/bin/sh\n");
    fs::set_permissions(root.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("other", root.join("link")).unwrap();
    repository.write(".tracker/.gitignore", "*.db\n");
    repository.git(&["add", "."]);
    let tip = repository.git(&["rev-parse", "HEAD"]);
    let submodule = format!("160000,{},module", tip.trim());
    repository.git(&["update-index", "--add", "--cacheinfo", &submodule]);
    repository.git(&["commit", "-qm", "all kinds"]);
    let before = repository.tree();
    let tip = repository.git(&["rev-parse", "HEAD"]);

    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    let (before, after) = (before.lines(), repository.tree());
    let changed: Vec<_> = before.zip(after.lines()).filter(|(old, new)| old != new).collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].1.starts_with("100644") && changed[0].1.ends_with(FILE), "{changed:?}");
    assert_eq!(repository.git(&["rev-parse", "HEAD^"]), tip);
    assert_eq!(repository.committed(), "2\n");
    repository.git(&["fsck", "--strict"]);
}

#[test]
fn a_mode_is_committed_as_git_add_would() {
    let repository = Repository::begun();
    let mode = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(repository.root().join(FILE), mode(0o755)).unwrap();
    assert_eq!(repository.commit().unwrap(), Commit::Done);
    assert!(repository.tree().starts_with("100755"), "{}", repository.tree());
    assert_eq!(repository.short_status(), "");
    repository.git(&["config", "core.fileMode", "false"]);
    fs::set_permissions(repository.root().join(FILE), mode(0o644)).unwrap();
    assert_eq!(repository.commit().unwrap(), Commit::Unchanged);
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    assert!(repository.tree().starts_with("100755"), "{}", repository.tree());
}

#[test]
fn where_nothing_has_changed_nothing_is_written() {
    let repository = Repository::begun();
    repository.change_and_commit("2\n").unwrap();
    let state = || {
        let mut files = Vec::new();
        let mut dirs = vec![repository.git_dir()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let stat = fs::symlink_metadata(&path).unwrap();
                files.push((path.clone(), stat.ino(), stat.ctime(), stat.ctime_nsec()));
                if stat.is_dir() {
                    dirs.push(path);
                }
            }
        }
        files.sort();
        files
    };
    let before = state();
    assert_eq!(repository.commit().unwrap(), Commit::Unchanged);
    // Looked into once more, for its stat is new.
    repository.write(FILE, "2\n");
    assert_eq!(repository.commit().unwrap(), Commit::Unchanged);
    assert_eq!(state(), before);
    repository.change_and_commit("3\n").unwrap();
    assert_ne!(state(), before);
}

#[test]
fn an_old_time_hides_no_change() {
    let repository = Repository::begun();
    repository.git(&["config", "core.checkStat", "minimal"]);
    repository.git(&["config", "core.trustctime", "false"]);
    let write_with_old_time = |text: &str| {
        let file = fs::File::create(repository.root().join(FILE)).unwrap();
        (&file).write_all(text.as_bytes()).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
    };
    write_with_old_time("2\n");
    repository.git(&["commit", "-qam", "old"]);
    write_with_old_time("3\n");
    assert_eq!(repository.short_status(), "", "git itself does not see it");
    assert_eq!(repository.commit().unwrap(), Commit::Done);
    assert_eq!(repository.committed(), "3\n");
}

#[test]
fn it_lands_on_the_branch_that_head_names() {
    let repository = Repository::begun();
    let main = repository.git(&["rev-parse", "main"]);
    repository.git(&["switch", "-qc", "feature/x"]);
    // A tag of the same name does not confuse.
    repository.git(&["tag", "feature/x"]);
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    assert_eq!(repository.git(&["rev-parse", "main"]), main);
    assert_eq!(repository.git(&["rev-parse", "heads/feature/x^"]), main);
    assert_eq!(repository.git(&["rev-parse", "tags/feature/x"]), main);
    assert_eq!(repository.git(&["symbolic-ref", "HEAD"]), "refs/heads/feature/x\n");
}

#[test]
fn a_linked_work_tree_has_a_branch_and_an_index_of_its_own() {
    let repository = Repository::begun();
    let linked = repository.dir.path().join("linked");
    repository.git(&["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    let main = repository.git(&["rev-parse", "main"]);
    fs::write(linked.join(FILE), "side\n").unwrap();
    assert_eq!(repository.commit_in(&linked, FILE).unwrap(), Commit::Done);
    assert_eq!(repository.git(&["show", &format!("side:{FILE}")]), "side\n");
    assert_eq!(repository.try_git_in(&linked, &["status", "--porcelain"]), (true, "".into()));
    assert_eq!(repository.git(&["rev-parse", "main"]), main);
    assert_eq!(repository.short_status(), "");
    assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
    // A merge in one is no business of the other's.
    fs::write(repository.git_dir().join("MERGE_HEAD"), &main).unwrap();
    fs::write(linked.join(FILE), "side again\n").unwrap();
    assert_eq!(repository.commit_in(&linked, FILE).unwrap(), Commit::Done);
    assert!(is_off(&repository.change_and_commit("2\n"), "merge"));
}

#[test]
fn a_workspace_may_lie_deep_in_the_work_tree() {
    let repository = Repository::begun();
    repository.write("a b/c/.tracker/issues.jsonl", "1\n");
    let root = repository.root().join("a b/c");
    assert_eq!(repository.commit_in(&root, FILE).unwrap(), Commit::Done);
    assert_eq!(repository.commit_in(&root, FILE).unwrap(), Commit::Unchanged);
    assert_eq!(repository.git(&["show", "HEAD:a b/c/.tracker/issues.jsonl"]), "1\n");
    assert_eq!(repository.tree().lines().count(), 3);
    assert_eq!(repository.short_status(), "");
}

#[test]
fn a_symbolic_link_leads_to_the_file_that_is_committed() {
    let repository = Repository::begun();
    repository.write("kept/elsewhere/issues.jsonl", "1\n");
    let project = repository.root().join("project");
    fs::create_dir(&project).unwrap();
    symlink("../kept/elsewhere", project.join(".tracker")).unwrap();
    assert_eq!(repository.commit_in(&project, FILE).unwrap(), Commit::Done);
    assert_eq!(repository.git(&["show", "HEAD:kept/elsewhere/issues.jsonl"]), "1\n");

    // Out of this repository, into another one, or into none.
    let other = Repository::begun();
    other.write(FILE, "2\n");
    let link = repository.root().join("link");
    symlink(other.root().join(".tracker"), &link).unwrap();
    assert_eq!(repository.commit_in(&link, "issues.jsonl").unwrap(), Commit::Done);
    assert_eq!(other.committed(), "2\n");
    let none = tempfile::tempdir().unwrap();
    fs::write(none.path().join("issues.jsonl"), "1\n").unwrap();
    fs::remove_file(&link).unwrap();
    symlink(none.path(), &link).unwrap();
    assert!(is_off(&repository.commit_in(&link, "issues.jsonl"), "in no git repository"));
}

#[test]
fn the_blob_is_what_git_add_would_store() {
    let repository = Repository::begun();
    repository.git(&["config", "core.autocrlf", "true"]);
    repository.git(&["config", "core.safecrlf", "true"]);
    repository.git(&["config", "filter.loud.clean", "tr a-z A-Z"]);
    assert_eq!(repository.change_and_commit("x\r\ny\r\n").unwrap(), Commit::Done);
    assert_eq!(repository.committed(), "x\ny\n");
    assert_eq!(repository.short_status(), "");
    // The same once it is filtered is the same.
    assert_eq!(repository.change_and_commit("x\r\ny\n").unwrap(), Commit::Unchanged);

    repository.write(".gitattributes", "*.jsonl filter=loud\n");
    assert_eq!(repository.change_and_commit("loud\n").unwrap(), Commit::Done);
    assert_eq!(repository.committed(), "LOUD\n");
    let ours = repository.git(&["rev-parse", &format!("HEAD:{FILE}")]);
    repository.git(&["-c", "core.safecrlf=false", "add", FILE]);
    assert_eq!(repository.git(&["rev-parse", &format!(":{FILE}")]), ours);
}

#[test]
fn repositories_of_other_formats_are_served() {
    for init in [["--object-format=sha256"], ["--ref-format=reftable"]] {
        let repository = Repository::with(&init);
        assert_eq!(repository.commit().unwrap(), Commit::Done, "{init:?}");
        assert_eq!(repository.commit().unwrap(), Commit::Unchanged, "{init:?}");
        assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done, "{init:?}");
        assert_eq!((repository.committed(), repository.count()), ("2\n".into(), "2\n".into()));
        assert_eq!(repository.short_status(), "");
        repository.git(&["fsck", "--strict"]);
        assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
    }
}

#[test]
fn an_ignored_file_is_said_and_a_tracked_one_is_not_ignored() {
    for pattern in ["issues.jsonl\n", ".tracker/\n", "/.tracker\n"] {
        let repository = Repository::new();
        repository.write(".gitignore", pattern);
        let refused = repository.commit();
        assert!(matches!(refused, Err(GitError::Ignored { .. })), "{pattern}: {refused:?}");
        repository.git(&["add", "--force", FILE]);
        repository.git(&["commit", "-qm", "tracked"]);
        assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    }
}

#[test]
fn no_hook_runs() {
    let repository = Repository::begun();
    let seen = repository.dir.path().join("seen");
    let hooks = [
        "pre-commit",
        "prepare-commit-msg",
        "commit-msg",
        "post-commit",
        "reference-transaction",
        "post-index-change",
        "fsmonitor-watchman",
        "pre-auto-gc",
        "post-rewrite",
    ];
    for hook in hooks {
        let path = repository.git_dir().join("hooks").join(hook);
        let script = format!("#!/bin/sh\necho {hook} >>'{}'\n", seen.display());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    repository.git(&["config", "core.fsmonitor", ".git/hooks/fsmonitor-watchman"]);
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    assert!(!seen.exists(), "{:?}", fs::read_to_string(seen));
    repository.write("other", "2\n");
    repository.git(&["commit", "-qam", "by the user"]);
    let seen = fs::read_to_string(seen).unwrap();
    for hook in &hooks[..7] {
        assert!(seen.contains(hook), "{hook}: {seen}");
    }
}

#[test]
fn nothing_is_signed() {
    let repository = Repository::begun();
    repository.git(&["config", "commit.gpgSign", "true"]);
    repository.git(&["config", "gpg.program", "/does/not/exist"]);
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    repository.write("other", "2\n");
    assert!(!repository.try_git(&["commit", "-qam", "by the user"]).0);
}

#[test]
fn author_and_committer_are_those_of_git() {
    let mut repository = Repository::begun();
    repository.git(&["config", "author.name", "Ä \"A\" Author"]);
    repository.environment.push(("GIT_COMMITTER_DATE", "1700000000 +0530".into()));
    repository.environment.push(("GIT_COMMITTER_EMAIL", "c@example.org".into()));
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    let who = repository.git(&["log", "-1", "--format=%an|%ae|%cn|%ce|%cd", "--date=raw"]);
    let committer = "T|c@example.org|1700000000 +0530\n";
    assert_eq!(who, format!("Ä \"A\" Author|t@example.org|{committer}"));
}

#[test]
fn nobody_commits_without_a_name() {
    let repository = Repository::begun();
    repository.git(&["config", "user.useConfigOnly", "true"]);
    repository.git(&["config", "--unset", "user.email"]);
    let error = repository.change_and_commit("2\n").unwrap_err();
    assert!(matches!(error, GitError::NoIdentity { .. }), "{error:?}");
    assert!(!error.to_string().contains('\n'), "{error}");
    let failure = Failure::from(&error);
    assert!(failure.hint.contains("git config user.email"), "{failure:?}");
    assert_eq!(repository.rubbish(), Vec::<PathBuf>::new());
    repository.git(&["config", "user.email", "t@example.org"]);
    assert_eq!(repository.commit().unwrap(), Commit::Done);
}

#[test]
fn any_name_of_a_file_will_do() {
    let repository = Repository::begun();
    for name in ["a \"quoted\" \\ one", "two\nlines", "stars*?[x]", ":(top)ä", "--option", "tab\t"]
    {
        repository.write(name, name);
        assert_eq!(repository.commit_in(&repository.root(), name).unwrap(), Commit::Done);
        assert_eq!(repository.commit_in(&repository.root(), name).unwrap(), Commit::Unchanged);
        assert_eq!(repository.git(&["cat-file", "blob", &format!("HEAD:{name}")]), name);
    }
    assert_eq!(repository.short_status(), "");
    assert_eq!(repository.tree().lines().count(), 8);
}

#[test]
fn a_name_need_not_be_text() {
    let repository = Repository::begun();
    let name = Path::new(std::ffi::OsStr::from_bytes(b"\xff.jsonl"));
    fs::write(repository.root().join(name), "1\n").unwrap();
    assert_eq!(repository.commit_in(&repository.root(), name).unwrap(), Commit::Done);
    assert_eq!(repository.commit_in(&repository.root(), name).unwrap(), Commit::Unchanged);
    assert!(repository.tree().contains(r#""\377.jsonl""#), "{}", repository.tree());
    assert_eq!(repository.short_status(), "");
}

#[test]
fn any_name_of_the_repository_will_do() {
    let repository = Repository::begun();
    let odd = repository.dir.path().join("a:\"b\" ü");
    fs::rename(repository.root(), &odd).unwrap();
    fs::write(odd.join(FILE), "2\n").unwrap();
    assert_eq!(repository.commit_in(&odd, FILE).unwrap(), Commit::Done);
    assert_eq!(repository.try_git_in(&odd, &["show", &format!("HEAD:{FILE}")]).1, "2\n");
}

#[test]
fn a_name_that_differs_in_case_is_another_one() {
    let repository = Repository::begun();
    repository.write(".TRACKER/theirs", "1\n");
    repository.git(&["add", "."]);
    repository.git(&["commit", "-qm", "theirs"]);
    repository.git(&["config", "core.ignoreCase", "true"]);
    assert_eq!(repository.change_and_commit("2\n").unwrap(), Commit::Done);
    assert_eq!(repository.committed(), "2\n");
    assert_eq!(repository.tree().lines().count(), 3, "{}", repository.tree());
}

#[test]
fn a_file_that_is_not_there_is_said() {
    let repository = Repository::begun();
    let refused = repository.commit_in(&repository.root(), "absent");
    assert!(matches!(refused, Err(GitError::Io { .. })), "{refused:?}");
}

#[test]
fn the_object_database_is_measured() {
    let repository = Repository::begun();
    let bytes = || repository.caller(&repository.root(), super::super::objects_bytes).unwrap();
    let before = bytes();
    // Text that does not compress well: each line is a hash.
    let mut state = 1_u64;
    let text: String = (0..20_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:016x}", state ^ (state >> 29))
        })
        .collect();
    assert_eq!(repository.change_and_commit(&text).unwrap(), Commit::Done);
    let loose = bytes();
    assert!((100_000..400_000).contains(&(loose - before)), "{before} -> {loose}");
    repository.git(&["gc", "-q"]);
    assert!((100_000..loose).contains(&bytes()), "{} after {loose}", bytes());
}

#[test]
fn a_commit_makes_no_pack() {
    let repository = Repository::begun();
    repository.git(&["config", "fastimport.unpackLimit", "1"]);
    repository.git(&["config", "gc.auto", "1"]);
    for text in ["2\n", "3\n"] {
        assert_eq!(repository.change_and_commit(text).unwrap(), Commit::Done);
    }
    assert_eq!(fs::read_dir(repository.git_dir().join("objects/pack")).unwrap().count(), 0);
    assert!(repository.git(&["count-objects", "-v"]).contains("in-pack: 0\n"));
}

#[test]
fn what_leads_a_call_elsewhere_is_taken_away() {
    let repository = Repository::new();
    for name in repository.git(&["rev-parse", "--local-env-vars"]).lines() {
        let foreign = super::super::call::FOREIGN_VARIABLES.contains(&name);
        // Given by people and containers, never by git.
        assert_eq!(foreign, name != "GIT_CONFIG_COUNT", "{name}");
    }
}

#[test]
fn a_plain_directory_is_no_work_tree() {
    let repository = Repository::new();
    let is_work_tree = |dir: &Path| repository.caller(dir, super::super::is_work_tree).unwrap();
    assert!(is_work_tree(&repository.root()));
    assert!(!is_work_tree(&repository.git_dir()));
    assert!(!is_work_tree(repository.dir.path()));
}
