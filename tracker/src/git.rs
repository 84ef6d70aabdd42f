//! Git, as far as a tracker needs it: commit one file, touch nothing else.
//!
//! ```text
//! place    where the file lies: git directory, object database, path from the top     rev-parse
//!          what a tracker that was killed here has left is removed
//!          not while a merge, a rebase ..., another git or an editor of its is at work
//! status   branch, tip, and the file's entry in tip and index                             status
//!          git sees no change, and the content is the tip's -> Unchanged   ls-tree, hash-object
//! new objects, in a quarantine beside the object database:
//!   the file's blob, as `git add` would store it; as in the tip? -> Unchanged       hash-object
//!   trees and commit, without any index             var (author, committer), fast-import
//! nothing of the user's has moved since? else look again
//! the quarantine is given over to the object database
//! the index's entry for the file, if it followed the tip                           update-index
//! the branch, from exactly the old tip                                               update-ref
//! ```
//!
//! The index comes before the branch: ended between the two, a plain `git commit` of the user's
//! takes our new content along. The other way round it would undo our commit.
//!
//! Through the command line, with hooks and background maintenance off, and by commands that
//! neither sign nor ask: a sync must not want a passphrase, run somebody's test suite, or leave a
//! process behind. Filters run, since they decide what is stored.

mod branch;
mod call;
mod held;
mod import;
mod index;
mod message;
mod place;
mod quarantine;
mod status;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::git::call::Caller;
use crate::git::import::Import;
use crate::git::place::Place;
use crate::git::quarantine::Quarantine;
use crate::git::status::{Sides, Status};
use crate::process::{Interrupt, ProcessError};

/// How often a commit is begun anew because the repository moved under it.
const ATTEMPTS_MAX: u32 = 3;

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
    /// The repository is in a state in which only its user should commit.
    #[error("git is off for now: {reason}")]
    Off {
        /// The state, as a person would say it.
        reason: &'static str,
    },
    /// Another git is at work.
    #[error("another git is at work: {} is there", lock.display())]
    Busy {
        /// Its lock.
        lock: PathBuf,
    },
    /// A git that is at work no more has left its lock.
    #[error("{} is {} old: a git that crashed left it", lock.display(), humantime::format_duration(*age))]
    StaleLock {
        /// The lock.
        lock: PathBuf,
        /// Since when it is there, in whole seconds.
        age: Duration,
    },
    /// A tracker that was killed has left a lock.
    #[error("a sync that was killed has left {}", lock.display())]
    LeftBehind {
        /// The lock.
        lock: PathBuf,
    },
    /// Git does not know in whose name to commit.
    #[error("git does not know who commits: {output}")]
    NoIdentity {
        /// What it said.
        output: String,
    },
    /// Each time the commit was ready, index or HEAD had changed.
    #[error("the repository changed {ATTEMPTS_MAX} times while a commit was made")]
    Moved,
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What it said.
        source: io::Error,
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
        is_work_tree(&Caller::new(self))
    }

    /// Commits `path`, relative to the root, to the branch that HEAD names, and nothing else.
    ///
    /// Four processes if nothing has changed since the last commit; nine, with the one that git
    /// itself starts, for a commit.
    /// Call it again after every error: what is half done is then finished or was never begun.
    pub fn commit_path(&self, path: &Path, message: &str) -> Result<Commit, GitError> {
        commit(&Caller::new(self), path, message)
    }

    /// Whether a rule hides `path`, relative to the root, be it there or not. One process.
    pub fn is_ignored(&self, path: &Path) -> Result<bool, GitError> {
        // The one command that takes no path literally; ours holds nothing that it would interpret.
        let caller = Caller::new(self).with([("GIT_LITERAL_PATHSPECS", "0".into())]);
        let ended = caller.call("check-ignore").args(["--quiet", "--"]).arg(path).end()?;
        Ok(ended.status.success())
    }

    /// Says why `path`, relative to the root, could not be committed now. Two processes; nothing
    /// is written.
    pub fn check(&self, path: &Path) -> Result<(), GitError> {
        let caller = Caller::new(self);
        check(&caller, &Place::find(&caller, path)?, path)
    }

    /// The size of the object database, in bytes: loose objects and packs. One process.
    pub fn objects_bytes(&self) -> Result<u64, GitError> {
        objects_bytes(&Caller::new(self))
    }
}

fn is_work_tree(caller: &Caller<'_>) -> Result<bool, GitError> {
    let answer = caller.call("rev-parse").args(["--is-inside-work-tree"]).end()?;
    Ok(answer.status.success() && answer.output.trim_ascii() == b"true")
}

fn commit(caller: &Caller<'_>, path: &Path, message: &str) -> Result<Commit, GitError> {
    let mut error = GitError::Moved;
    for _ in 0..ATTEMPTS_MAX {
        match attempt(caller, path, message) {
            Ok(Some(commit)) => return Ok(commit),
            Ok(None) => error = GitError::Moved,
            // Most likely the branch has moved; git says so in no form to rely on. What is wrong
            // for good will be so again.
            Err(refused @ GitError::Refused { verb: "update-ref", .. }) => error = refused,
            Err(error) => return Err(error),
        }
    }
    Err(error)
}

fn check(caller: &Caller<'_>, place: &Place, path: &Path) -> Result<(), GitError> {
    if let Some(lock) = index::left_behind(place)? {
        return Err(GitError::LeftBehind { lock });
    }
    place.check_at_rest()?;
    let status = Status::read(&caller.at(&place.dir), &place.name)?;
    let (branch, _) = status.committable(path)?;
    match branch::held_lock(place, branch)? {
        None => Ok(()),
        Some((lock, true)) => Err(GitError::LeftBehind { lock }),
        Some((lock, false)) => Err(place::lock_error(lock)),
    }
}

/// One attempt; `None` if the repository moved while the commit was made.
fn attempt(caller: &Caller<'_>, path: &Path, message: &str) -> Result<Option<Commit>, GitError> {
    let place = Place::find(caller, path)?;
    let caller = caller.at(&place.dir);
    index::clear(&place)?;
    branch::clear(&place)?;
    let before = place.glance();
    place.check_at_rest()?;
    let status = Status::read(&caller, &place.name)?;
    let (branch, differing) = status.committable(path)?;
    let hash = |caller: &Caller<'_>, options: &[&str]| {
        let call = caller.call("hash-object").args(options.iter().copied());
        call.arg("--").arg(&place.name).oid()
    };
    let sides = match differing {
        Some(sides) => sides.clone(),
        // So git says by the file's times, and they can lie.
        None => {
            let sides = Sides::of_head(&caller, &place.name)?;
            let now = sides.new_blob(hash(&caller, &[])?);
            if sides.tip.as_ref() == Some(&now) {
                return Ok(Some(Commit::Unchanged));
            }
            sides
        }
    };

    let quarantine = Quarantine::beside(&place.objects)?;
    let inside = caller.with(quarantine.environment());
    let new = sides.new_blob(hash(&inside, &["-w"])?);
    if sides.tip.as_ref() == Some(&new) {
        return Ok(Some(Commit::Unchanged));
    }
    let import = Import { tip: status.tip.as_deref(), blob: &new, path: &place.path, message };
    let commit = import.run(&inside, &place.git_dir)?;
    if place.glance() != before {
        return Ok(None);
    }
    quarantine.release()?;
    // Where it did not follow the tip, its user has staged something for the file: that stays. But
    // what we had entered before we were killed is ours to replace.
    if sides.index == sides.tip || index::has_entered(&place, sides.index.as_ref()) {
        index::enter(&new, &caller, &place)?;
    }
    branch::advance(&caller, &place, branch, status.tip.as_deref(), &commit, message)?;
    Ok(Some(Commit::Done))
}

/// The size in KiB is what git-count-objects(1) calls `size` (loose) and `size-pack`.
fn objects_bytes(caller: &Caller<'_>) -> Result<u64, GitError> {
    let answer = caller.call("count-objects").args(["-v"]).answer()?;
    let text = String::from_utf8_lossy(&answer);
    let size = |name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    match (size("size:"), size("size-pack:")) {
        (Some(loose), Some(packed)) => Ok((loose + packed) * 1024),
        _ => Err(GitError::Refused { verb: "count-objects", output: text.into_owned() }),
    }
}

fn off(reason: &'static str) -> GitError {
    GitError::Off { reason }
}

fn io_at(path: &Path, source: io::Error) -> GitError {
    GitError::Io { path: path.into(), source }
}
