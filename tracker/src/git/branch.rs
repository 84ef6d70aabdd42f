//! Moving the branch, with a note that outlives whoever is killed over it.
//!
//! `git update-ref` takes `refs/heads/BRANCH.lock`, writes the new commit's name into it, takes the
//! empty `HEAD.lock`, renames the first and removes the second. Killed in between, it leaves them,
//! and the user's own git then refuses to commit. So there is a note in the git directory for as
//! long as the call lasts, a [`Held`] file that git has open too. Once no process has it, what was
//! left is ours
//!
//! - for certain, if it holds the commit's name, which nobody but us knows; or if it is `HEAD.lock`
//!   and older than the branch's move to that commit, because git moves a branch only while it
//!   holds HEAD's lock too;
//! - if it came within a minute after the note, is empty, stays as it is for a second, and no other
//!   git is at work in this repository: our git was killed within microseconds after it took it.
//!   The same goes for the lock of a reftable, which never tells whose it is.
//!
//! Everything else is left where it is and told.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::file_id::is_gone;
use crate::git::call::Caller;
use crate::git::held::{Held, Left, lock_of};
use crate::git::place::{Place, lock_error};
use crate::git::{GitError, io_at};

/// The note's name in the git directory.
const NOTE: &str = "tracker-moves-branch";
/// The one lock of a repository that keeps its references in tables.
const TABLES_LOCK: &str = "tables.list.lock";
/// How long a git is waited for that has outlived its tracker.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);
/// A lock that came longer after the note is not of the git that the note is about.
const CALL_MAX: Duration = Duration::from_secs(60);
/// A git holds the lock of a branch for some milliseconds, and waits for one for 100 ms.
const REST: Duration = Duration::from_secs(1);

/// Moves a branch from exactly `tip` to `commit`.
pub(super) fn advance(
    caller: &Caller<'_>,
    place: &Place,
    branch: &OsStr,
    tip: Option<&str>,
    commit: &str,
    message: &str,
) -> Result<(), GitError> {
    let kind = if tip.is_some() { "commit" } else { "commit (initial)" };
    let reason = format!("{kind}: {}", message.lines().next().unwrap_or_default());
    let call = caller.call("update-ref").args(["-m", &reason]).arg(branch);
    // git-update-ref(1): an empty old value means that there must be no such branch yet.
    let call = call.args([commit, tip.unwrap_or_default()]);

    let path = place.git_dir.join(NOTE);
    let note = Note { commit: commit.into(), branch: branch.into() };
    let held = Held::create(&path, &note.text()).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => GitError::Busy { lock: path.clone() },
        _ => io_at(&path, source),
    })?;
    // What comes now came after the note.
    if let Some(lock) = note.first_lock(place) {
        return Err(lock_error(lock));
    }
    let moved = call.holding(held.file()).answer();
    if moved.is_err() && note.all_locks(place).iter().any(|lock| lock.exists()) {
        // It was ended by force, or somebody else was faster: the next look tells.
        held.leave();
    }
    moved.map(drop)
}

/// Removes what is ours of what a tracker that was killed has left.
pub(super) fn clear(place: &Place) -> Result<(), GitError> {
    let path = place.git_dir.join(NOTE);
    let deadline = Instant::now() + END_PATIENCE;
    let (held, text) = loop {
        match take_over(&path)? {
            Left::Nothing => return Ok(()),
            Left::Dead(held, text) => break (held, text),
            Left::Alive if Instant::now() < deadline => pause(),
            Left::Alive => return Err(GitError::Busy { lock: path }),
        }
    };
    // One that is not whole was never acted upon.
    let Some(note) = Note::parse(&text) else { return Ok(()) };
    match note.clear(place, &held) {
        Ok(()) => Ok(()),
        Err(error) => {
            // Not now, but perhaps the next time.
            held.leave();
            Err(error)
        }
    }
}

/// A lock of `branch`, and whether a tracker that was killed may have left it.
pub(super) fn held_lock(
    place: &Place,
    branch: &OsStr,
) -> Result<Option<(PathBuf, bool)>, GitError> {
    let note = Note { commit: String::new(), branch: branch.into() };
    let Some(lock) = note.first_lock(place) else {
        return Ok(None);
    };
    let is_left = match take_over(&place.git_dir.join(NOTE))? {
        Left::Nothing | Left::Alive => false,
        Left::Dead(held, text) => {
            held.leave();
            Note::parse(&text).is_some_and(|left| left.branch == note.branch)
        }
    };
    Ok(Some((lock, is_left)))
}

fn take_over(path: &Path) -> Result<Left, GitError> {
    Held::take_over(path, |_| true).map_err(|source| io_at(path, source))
}

/// Which branch moves, and where to.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    commit: String,
    /// With its `refs/heads/`.
    branch: OsString,
}

/// Whose a lock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    Theirs,
    /// Ours, if it stays as it is while no other git is at work.
    OursAtRest,
}

impl Note {
    /// git-check-ref-format(1): no reference has a line end in its name.
    fn text(&self) -> Vec<u8> {
        [self.commit.as_bytes(), b"\n", self.branch.as_bytes(), b"\n"].concat()
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let [commit, branch, b""] = text.split(|byte| *byte == b'\n').collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let commit = std::str::from_utf8(commit).ok()?.to_owned();
        Some(Self { commit, branch: OsStr::from_bytes(branch).into() })
    }

    /// What `update-ref` locks, in this order.
    fn locks(&self, place: &Place) -> Vec<PathBuf> {
        let reftable = place.common.join("reftable");
        if reftable.exists() {
            return vec![reftable.join(TABLES_LOCK)];
        }
        let branch = lock_of(&place.common.join(&self.branch));
        vec![branch, place.git_dir.join("HEAD.lock")]
    }

    /// Those, and what it may lock after the branch has moved, to put tables together.
    fn all_locks(&self, place: &Place) -> Vec<PathBuf> {
        let mut locks = self.locks(place);
        let tables = fs::read_dir(place.common.join("reftable"));
        let tables = tables.into_iter().flatten().flatten().map(|entry| entry.path());
        locks.extend(tables.filter(|path| path.as_os_str().as_bytes().ends_with(b".ref.lock")));
        locks
    }

    /// The first one that keeps everybody out.
    fn first_lock(&self, place: &Place) -> Option<PathBuf> {
        self.locks(place).into_iter().find(|lock| lock.exists())
    }

    fn clear(&self, place: &Place, held: &Held) -> Result<(), GitError> {
        let written = held.file().metadata().map_err(|source| io_at(&place.git_dir, source))?;
        let mut ours = Vec::new();
        for lock in self.all_locks(place) {
            let Some(stat) = stat(&lock)? else { continue };
            match self.whose(place, &lock, &stat, &written, !ours.is_empty())? {
                Whose::Theirs => continue,
                Whose::OursAtRest => {
                    if !stays_at_rest(&lock, &stat)? {
                        continue;
                    }
                    if is_git_at_work(place) {
                        return Err(GitError::Busy { lock });
                    }
                }
                Whose::Ours => {}
            }
            ours.push(lock);
        }
        for lock in ours {
            fs::remove_file(&lock).map_err(|source| io_at(&lock, source))?;
            tracing::info!(lock = %lock.display(), "removed what a killed sync had left");
        }
        Ok(())
    }

    /// Whose a lock is; `has_branch` if that of the branch is there and ours.
    fn whose(
        &self,
        place: &Place,
        lock: &Path,
        stat: &Metadata,
        written: &Metadata,
        has_branch: bool,
    ) -> Result<Whose, GitError> {
        let text = fs::read(lock).map_err(|source| io_at(lock, source))?;
        if text.trim_ascii() == self.commit.as_bytes() {
            return Ok(Whose::Ours);
        }
        let came = changed(stat);
        let note = changed(written);
        let is_table = lock.ends_with(TABLES_LOCK);
        if !(text.is_empty() || is_table) || came < note || came > note + CALL_MAX {
            return Ok(Whose::Theirs);
        }
        if lock.file_name() != Some(OsStr::new("HEAD.lock")) {
            return Ok(Whose::OursAtRest);
        }
        // Git takes this one when the other holds the commit's name, and for the branch that HEAD
        // names; while it is there, HEAD names no other.
        let head = fs::read(place.git_dir.join("HEAD")).unwrap_or_default();
        if head.strip_prefix(b"ref: ").map(<[u8]>::trim_ascii) != Some(self.branch.as_bytes()) {
            return Ok(Whose::Theirs);
        } else if has_branch {
            return Ok(Whose::OursAtRest);
        }
        let branch = place.common.join(&self.branch);
        let has_moved =
            fs::read(&branch).is_ok_and(|commit| commit.trim_ascii() == self.commit.as_bytes());
        Ok(match fs::symlink_metadata(&branch) {
            Ok(moved) if has_moved && came < changed(&moved) => Whose::Ours,
            // Within one tick of the clock.
            Ok(moved) if has_moved && came == changed(&moved) => Whose::OursAtRest,
            _ => Whose::Theirs,
        })
    }
}

/// Waits until a lock has been as it is for some time; `false` if it has gone or changed.
fn stays_at_rest(lock: &Path, before: &Metadata) -> Result<bool, GitError> {
    let identity = |stat: &Metadata| (stat.dev(), stat.ino(), stat.len(), changed(stat));
    let deadline = Instant::now() + REST;
    loop {
        let Some(now) = stat(lock)? else { return Ok(false) };
        if identity(&now) != identity(before) {
            return Ok(false);
        }
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + changed(&now));
        if age.is_ok_and(|age| age >= REST) || Instant::now() >= deadline {
            return Ok(true);
        }
        pause();
    }
}

/// Whether a process that is called git, and that we can see, works in this repository, or in a
/// place that we cannot see.
fn is_git_at_work(place: &Place) -> bool {
    // Who cannot be asked for may be there.
    let Ok(processes) = procfs::process::all_processes() else { return true };
    let ours: Vec<_> = [&place.top, &place.git_dir, &place.common]
        .into_iter()
        .filter_map(|dir| fs::canonicalize(dir).ok())
        .collect();
    processes.flatten().any(|process| {
        let Ok(stat) = process.stat() else { return false };
        if !stat.comm.starts_with("git") || ['Z', 'X'].contains(&stat.state) {
            return false;
        }
        match process.cwd() {
            Ok(cwd) => ours.iter().any(|dir| cwd.starts_with(dir)),
            Err(procfs::ProcError::NotFound(_)) => false,
            Err(_) => true,
        }
    })
}

fn stat(path: &Path) -> Result<Option<Metadata>, GitError> {
    match fs::symlink_metadata(path) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(source) => Err(io_at(path, source)),
    }
}

/// When a file was made, changed or renamed last, since 1970: nobody can set this time.
fn changed(stat: &Metadata) -> Duration {
    let seconds = u64::try_from(stat.ctime()).unwrap_or_default();
    Duration::new(seconds, u32::try_from(stat.ctime_nsec()).unwrap_or_default())
}

fn pause() {
    #[expect(clippy::disallowed_methods, reason = "between two looks, with a deadline")]
    std::thread::sleep(PAUSE);
}
