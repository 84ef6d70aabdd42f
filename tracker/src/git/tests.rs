//! Real repositories in temporary directories, kept apart from the machine's configuration.

mod commits;
mod index;
mod interference;
mod left;
mod states;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::git::call::Caller;
use crate::git::{Commit, Git, GitError};
use crate::process::Interrupt;

/// The file that is committed.
const FILE: &str = ".tracker/issues.jsonl";

/// A repository with its user, and a `git` that can be made to misbehave.
struct Repository {
    dir: tempfile::TempDir,
    timeout: Duration,
    interrupt: Option<Interrupt>,
    environment: Vec<(&'static str, OsString)>,
}

impl Repository {
    fn new() -> Self {
        Self::with(&[])
    }

    /// One with further options for `git init`.
    fn with(init: &[&str]) -> Self {
        let repository = Self {
            dir: tempfile::tempdir().unwrap(),
            timeout: Duration::from_secs(60),
            interrupt: None,
            environment: ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"]
                .map(|name| (name, "/dev/null".into()))
                .into(),
        };
        fs::create_dir(repository.root()).unwrap();
        repository.git(&[&["init", "-q", "-b", "main"], init].concat());
        repository.git(&["config", "user.name", "T"]);
        repository.git(&["config", "user.email", "t@example.org"]);
        // Whatever the user's git does is done when it ends.
        repository.git(&["config", "gc.auto", "0"]);
        repository.git(&["config", "maintenance.auto", "false"]);
        repository.write(FILE, "1\n");
        repository
    }

    /// One in which `other` and the file are committed already.
    fn begun() -> Self {
        Self::begun_with(&[])
    }

    fn begun_with(init: &[&str]) -> Self {
        let repository = Self::with(init);
        repository.write("other", "1\n");
        repository.git(&["add", "."]);
        repository.git(&["commit", "-qm", "begun"]);
        repository
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn git_dir(&self) -> PathBuf {
        self.root().join(".git")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What the user does with git.
    fn git(&self, args: &[&str]) -> String {
        let (success, output) = self.try_git(args);
        assert!(success, "git {args:?}: {output}");
        output
    }

    fn try_git(&self, args: &[&str]) -> (bool, String) {
        self.try_git_in(&self.root(), args)
    }

    fn try_git_in(&self, dir: &Path, args: &[&str]) -> (bool, String) {
        let mut command = Command::new("git");
        command.current_dir(dir).args(args).env("LC_ALL", "C").env("GIT_EDITOR", "true");
        for (name, value) in &self.environment {
            // The user's git is not the one that misbehaves.
            if *name != "PATH" {
                command.env(name, value);
            }
        }
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// What we do with git.
    fn caller<T>(&self, dir: &Path, act: impl FnOnce(&Caller<'_>) -> T) -> T {
        let git = Git { root: dir, timeout: self.timeout, interrupt: self.interrupt.as_ref() };
        act(&Caller::new(&git).with(self.environment.iter().cloned()))
    }

    fn commit_in(&self, dir: &Path, path: impl AsRef<Path>) -> Result<Commit, GitError> {
        self.caller(dir, |caller| super::commit(caller, path.as_ref(), "tracker: sync"))
    }

    fn commit(&self) -> Result<Commit, GitError> {
        self.commit_in(&self.root(), FILE)
    }

    /// Makes the file different and commits that.
    fn change_and_commit(&self, text: &str) -> Result<Commit, GitError> {
        self.write(FILE, text);
        self.commit()
    }

    /// Puts a `git` first in our PATH that runs `script` before the real one.
    ///
    /// The script knows the subcommand as `$verb`, and has `user ...` for what the user does, and
    /// `theirs` for a commit of the user's that leaves the index alone.
    fn shim(&mut self, script: &str) {
        let path = std::env::var_os("PATH").unwrap();
        let real = std::env::split_paths(&path)
            .map(|dir| dir.join("git"))
            .find(|git| git.is_file())
            .unwrap();
        let (real, root) = (real.display(), self.root());
        let text = format!(
            r#"#!/bin/sh
for verb; do case $verb in -* | *=*) ;; *) break ;; esac; done
user() {{ (
    unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_OPTIONAL_LOCKS GIT_INDEX_FILE
    cd '{root}' && '{real}' "$@" >/dev/null </dev/null
) }}
theirs() {{ (
    unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
    user update-ref HEAD $(real commit-tree -p HEAD -m theirs HEAD^{{tree}})
) }}
once() {{ [ ! -e '{here}/once' ] && : >'{here}/once'; }}
real() {{ '{real}' "$@"; }}
{script}
exec '{real}' "$@"
"#,
            root = root.display(),
            here = self.dir.path().display(),
        );
        let bin = self.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        // Written by another process: one that this process still had open for writing, through
        // a child that another test is just starting, could not be executed.
        let written = Command::new("sh")
            .args(["-c", r#"printf %s "$1" >"$0" && chmod +x "$0""#])
            .args([bin.join("git").as_os_str(), text.as_ref()])
            .status();
        assert!(written.unwrap().success());
        let dirs = std::iter::once(bin).chain(std::env::split_paths(&path));
        self.environment.push(("PATH", std::env::join_paths(dirs).unwrap()));
    }

    /// The tip's files, with their modes and objects.
    fn tree(&self) -> String {
        self.git(&["ls-tree", "-r", "HEAD"])
    }

    fn staged(&self) -> String {
        self.git(&["ls-files", "--stage"])
    }

    fn count(&self) -> String {
        self.git(&["rev-list", "--count", "HEAD"])
    }

    fn committed(&self) -> String {
        self.git(&["show", &format!("HEAD:{FILE}")])
    }

    fn short_status(&self) -> String {
        self.git(&["status", "--porcelain"])
    }

    /// Every file in the git directory that no git may leave behind.
    fn rubbish(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut dirs = vec![self.git_dir()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let is_rubbish = name.starts_with("tmp_")
                    || name.starts_with("fast_import_crash")
                    || name.ends_with(".lock")
                    || name == "tracker";
                if is_rubbish {
                    found.push(path);
                } else if path.is_dir() {
                    dirs.push(path);
                }
            }
        }
        found
    }
}

fn is_off(result: &Result<Commit, GitError>, words: &str) -> bool {
    matches!(result, Err(GitError::Off { reason }) if reason.contains(words))
}
