//! Where a file lies in its repository, and whether anybody else is at work there.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::git::call::{Caller, refusal};
use crate::git::{GitError, io_at, message, off};

/// A lock that is older belongs to a git that is gone: no git of a person holds one so long, but
/// for an editor that `git commit --only` or `--all` waits for.
const LOCK_AGE_MAX: Duration = Duration::from_secs(600);

/// What lies in the git directory while something is going on, and what that is.
const IN_PROGRESS: [(&str, &str); 8] = [
    ("MERGE_HEAD", "a merge is in progress"),
    ("rebase-merge", "a rebase is in progress"),
    ("rebase-apply", "a rebase or `git am` is in progress"),
    ("CHERRY_PICK_HEAD", "a cherry-pick is in progress"),
    ("REVERT_HEAD", "a revert is in progress"),
    // Between two commits of a cherry-pick or a revert of several.
    ("sequencer", "a cherry-pick or a revert is in progress"),
    ("BISECT_LOG", "a bisection is in progress"),
    ("BISECT_START", "a bisection is in progress"),
];

/// Where a file lies in its repository.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory that really holds the file, whatever symbolic links lead there: git follows
    /// none inside of a work tree.
    pub(super) dir: PathBuf,
    /// The file's name in it.
    pub(super) name: OsString,
    /// The file from the top of the work tree.
    pub(super) path: PathBuf,
    /// The top of the work tree.
    pub(super) top: PathBuf,
    /// The git directory of this work tree.
    pub(super) git_dir: PathBuf,
    /// The git directory that linked work trees share: it has the branches.
    pub(super) common: PathBuf,
    /// The object database, which they share too.
    pub(super) objects: PathBuf,
}

impl Place {
    /// Looks for the file that `path` leads to, from the caller's directory.
    pub(super) fn find(caller: &Caller<'_>, path: &Path) -> Result<Self, GitError> {
        let path = caller.dir().join(path);
        let file = fs::canonicalize(&path).map_err(|source| io_at(&path, source))?;
        let (Some(dir), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(off("the file is the root directory"));
        };
        let asked = [
            "--is-bare-repository",
            "--is-inside-work-tree",
            "--absolute-git-dir",
            "--git-common-dir",
            "--show-prefix",
        ];
        let answer = caller.at(dir).call("rev-parse").args(asked).end()?;
        if answer.errors.contains("not a git repository") {
            return Err(off("the file is in no git repository"));
        } else if !answer.status.success() {
            return Err(refusal("rev-parse", &answer));
        }
        let lines: Vec<_> =
            answer.output.split(|byte| *byte == b'\n').map(OsStr::from_bytes).collect();
        // The last line is the empty one after the final newline.
        let [bare, inside, git_dir, common_dir, prefix, _] = lines[..] else {
            return Err(off("the repository has a line end in its path"));
        };
        if bare == "true" {
            return Err(off("the repository is bare: it has no work tree"));
        } else if inside != "true" {
            return Err(off("the file is not in the repository's work tree"));
        }
        let common = dir.join(common_dir);
        let common = fs::canonicalize(&common).map_err(|source| io_at(&common, source))?;
        Ok(Self {
            path: Path::new(prefix).join(name),
            top: dir.ancestors().nth(Path::new(prefix).iter().count()).unwrap_or(dir).into(),
            git_dir: git_dir.into(),
            objects: common.join("objects"),
            common,
            dir: dir.into(),
            name: name.into(),
        })
    }

    /// Refuses while something is in progress or another git is at work.
    pub(super) fn check_at_rest(&self) -> Result<(), GitError> {
        for (name, reason) in IN_PROGRESS {
            if self.git_dir.join(name).exists() {
                return Err(off(reason));
            }
        }
        // There, CHERRY_PICK_HEAD and REVERT_HEAD are no files.
        if self.git_dir.join("reftable").exists() && self.git_dir.join("MERGE_MSG").exists() {
            return Err(off("a cherry-pick, a revert or a merge is in progress"));
        }
        let lock = self.git_dir.join("index.lock");
        if lock.exists() {
            return Err(lock_error(lock));
        }
        if message::is_being_written(&self.git_dir, &self.top) {
            return Err(off("a message for `git commit` is being written"));
        }
        Ok(())
    }

    /// What tells that a git has changed HEAD or the index, or is about to.
    ///
    /// A checkout writes the work tree first, the index next and HEAD last. Where all of this is
    /// the same before and after, what we read in between belongs to one branch.
    pub(super) fn glance(&self) -> Glance {
        ["HEAD", "reftable/tables.list", "index", "index.lock"].map(|name| {
            let stat = fs::symlink_metadata(self.git_dir.join(name)).ok()?;
            let changed = (stat.ctime(), stat.ctime_nsec());
            Some((stat.dev(), stat.ino(), stat.size(), stat.mtime_nsec(), changed))
        })
    }
}

type Stat = (u64, u64, u64, i64, (i64, i64));

/// Git replaces each of these files to change it.
pub(super) type Glance = [Option<Stat>; 4];

/// What a lock that is there means.
pub(super) fn lock_error(lock: PathBuf) -> GitError {
    let modified = fs::metadata(&lock).and_then(|stat| stat.modified());
    // One that has just gone, or comes from the future, is as good as new.
    let age = modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    match age.map(|age| Duration::from_secs(age.as_secs())) {
        Some(age) if age > LOCK_AGE_MAX => GitError::StaleLock { lock, age },
        _ => GitError::Busy { lock },
    }
}
