//! Git, as far as a tracker needs it: commit one file, touch nothing else.
//!
//! Through the command line, with hooks, signing and background maintenance off: a sync must not
//! ask for a passphrase, run somebody's test suite, or leave a process behind.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{self, Ended, Interrupt, ProcessError};

/// Settings that hold for our calls only.
const SETTINGS: [&str; 10] = [
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "commit.gpgSign=false",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "core.fsmonitor=false",
];

/// What git sets for its hooks; a sync started from one must not follow it into another index.
const FOREIGN_VARIABLES: [&str; 6] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
];

/// What a commit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commit {
    /// There is a new commit.
    Done,
    /// The file is already as it was committed.
    Unchanged,
}

/// Why git did not commit. The file itself is written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// Git could not be run, took too long or was interrupted.
    #[error("git {verb}: {source}")]
    Run {
        /// The subcommand.
        verb: &'static str,
        /// What happened.
        source: ProcessError,
    },
    /// Git refused.
    #[error("git {verb}: {output}")]
    Refused {
        /// The subcommand.
        verb: &'static str,
        /// What it said.
        output: String,
    },
    /// A `.gitignore` hides the file.
    #[error("git ignores {}", path.display())]
    Ignored {
        /// The file, relative to the root.
        path: PathBuf,
    },
}

/// A directory in a git work tree, and the patience we have with it.
#[derive(Debug, Clone, Copy)]
pub struct Git<'a> {
    /// The directory git works in.
    pub root: &'a Path,
    /// How long one call may take.
    pub timeout: Duration,
    /// Ends a call early.
    pub interrupt: Option<&'a Interrupt>,
}

impl Git<'_> {
    /// Whether the root lies in a work tree.
    pub fn is_work_tree(&self) -> Result<bool, GitError> {
        let ended = self.end("rev-parse", &["--is-inside-work-tree"], &[])?;
        Ok(ended.status.success() && ended.output.trim() == "true")
    }

    /// Commits `path`, relative to the root, and nothing else that may be changed or staged.
    pub fn commit_path(&self, path: &Path, message: &str) -> Result<Commit, GitError> {
        let porcelain = ["--porcelain", "--ignored=matching", "--untracked-files=all"];
        let state = self.run("status", &porcelain, &[path])?;
        match state.get(..2) {
            None => return Ok(Commit::Unchanged),
            Some("!!") => return Err(GitError::Ignored { path: path.into() }),
            // `commit --only` knows no new files; this names the file to git and stages nothing.
            Some("??") => self.run("add", &["--intent-to-add"], &[path]).map(drop)?,
            Some(_) => {}
        }
        self.run("commit", &["--quiet", "--no-verify", "-m", message, "--only"], &[path])?;
        Ok(Commit::Done)
    }

    fn run(
        &self,
        verb: &'static str,
        options: &[&str],
        paths: &[&Path],
    ) -> Result<String, GitError> {
        let ended = self.end(verb, options, paths)?;
        if ended.status.success() {
            Ok(ended.output)
        } else {
            let output = ended.output.trim();
            let output = if output.is_empty() { ended.status.to_string() } else { output.into() };
            Err(GitError::Refused { verb, output })
        }
    }

    fn end(
        &self,
        verb: &'static str,
        options: &[&str],
        paths: &[&Path],
    ) -> Result<Ended, GitError> {
        let mut command = Command::new("git");
        command.current_dir(self.root).args(SETTINGS).arg(verb).args(options);
        if !paths.is_empty() {
            command.arg("--").args(paths);
        }
        for variable in FOREIGN_VARIABLES {
            command.env_remove(variable);
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        process::run(&mut command, self.timeout, self.interrupt)
            .map_err(|source| GitError::Run { verb, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn git(root: &Path, args: &[&str]) -> String {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
        let output =
            Command::new("git").current_dir(root).args(identity).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn repository() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q"]);
        git(dir.path(), &["config", "user.name", "t"]);
        git(dir.path(), &["config", "user.email", "t@example.org"]);
        dir
    }

    fn at(root: &Path) -> Git<'_> {
        Git { root, timeout: Duration::from_secs(60), interrupt: None }
    }

    #[test]
    fn one_path_is_committed_and_what_is_staged_stays_staged() {
        let dir = repository();
        let root = dir.path();
        fs::write(root.join("other"), "staged").unwrap();
        git(root, &["add", "other"]);
        fs::write(root.join("mine"), "1").unwrap();
        assert_eq!(at(root).commit_path(Path::new("mine"), "sync").unwrap(), Commit::Done);
        assert_eq!(at(root).commit_path(Path::new("mine"), "sync").unwrap(), Commit::Unchanged);
        fs::write(root.join("mine"), "2").unwrap();
        assert_eq!(at(root).commit_path(Path::new("mine"), "sync").unwrap(), Commit::Done);
        assert_eq!(git(root, &["ls-tree", "--name-only", "HEAD"]), "mine\n");
        assert_eq!(git(root, &["status", "--porcelain"]), "A  other\n");
        assert_eq!(git(root, &["rev-list", "--count", "HEAD"]), "2\n");
    }

    #[test]
    fn an_ignored_file_is_said() {
        let dir = repository();
        fs::write(dir.path().join(".gitignore"), "mine\n").unwrap();
        fs::write(dir.path().join("mine"), "1").unwrap();
        let refused = at(dir.path()).commit_path(Path::new("mine"), "sync");
        assert!(matches!(refused, Err(GitError::Ignored { .. })), "{refused:?}");
    }

    #[test]
    fn a_plain_directory_is_no_work_tree() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!at(dir.path()).is_work_tree().unwrap());
        assert!(at(repository().path()).is_work_tree().unwrap());
    }
}
