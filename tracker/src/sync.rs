//! One sync pass: what changed goes into the JSONL file, and if asked to, into git.
//!
//! A plain function without a clock or a thread, so the daemon ticks it, the command line calls
//! it and a benchmark measures it. A pass with nothing to do reads a few rows and stats one file.
//!
//! ```text
//! has anything changed, here or in the file? --no--> idle
//!      | yes
//! take sync.lock -> merge in what somebody else has written -> splice in what has changed since
//!      the last pass, or write the file anew -> exchange it with the one that is there
//!      -> remember revision and file -> git commit of that one path
//! ```
//!
//! Whatever is in the file is merged before it is replaced, so an empty or an older database does
//! not cost an issue, and neither does a checkout in the middle of a pass.

mod file;
mod memory;

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::git::{Commit, Git, GitError};
use crate::jsonl::{Exported, FileIdentity, JsonlError};
use crate::paths::{Workspace, WorkspaceError};
use crate::process::Interrupt;
use crate::store::{ImportReport, Store, StoreError};

pub(crate) use file::{Standing, standing};

/// How long one call of git may take.
pub const GIT_TIMEOUT: Duration = Duration::from_secs(30);

/// How a pass behaves where there is a choice.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// How long one call of git may take.
    pub git_timeout: Duration,
    /// Ends a call of git early; the commit is then made up for by the next pass.
    pub interrupt: Option<Arc<Interrupt>>,
    /// What to do while another process syncs.
    pub when_busy: WhenBusy,
    /// When what is written is committed, if git is on.
    pub commit: WhenToCommit,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            git_timeout: GIT_TIMEOUT,
            interrupt: None,
            when_busy: WhenBusy::Wait,
            commit: WhenToCommit::Now,
        }
    }
}

/// When what is written is committed.
///
/// A commit stores the whole file again (1 MB for 10,000 issues, compressed), so one at every
/// edit would grow a repository by most of a gigabyte in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenToCommit {
    /// In this pass, if git does not hold what the file does, whoever knows since when.
    Now,
    /// In the first pass that is at least this long after the last commit.
    AtMostEvery(Duration),
}

/// What to do while another process syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenBusy {
    /// Wait for it; its own deadlines bound the wait.
    Wait,
    /// Return [`SyncError::Busy`].
    Refuse,
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SyncReport {
    /// Issues that had changed since the last pass.
    pub changed: u64,
    /// What was taken in; `None` if nobody else had touched the file.
    #[serde(default)]
    pub imported: Option<ImportReport>,
    /// What was written; `None` if the file was up to date.
    pub exported: Option<Exported>,
    /// What git made of it; `None` if it is off or had nothing to do.
    pub commit: Option<Commit>,
}

impl SyncReport {
    /// Whether there was nothing to do.
    pub fn is_idle(&self) -> bool {
        self.imported.is_none() && self.exported.is_none() && self.commit.is_none()
    }
}

impl fmt::Display for SyncReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.exported {
            Some(exported) => {
                write!(f, "synced: {} changed, {} written", self.changed, exported.issues)?;
            }
            None => f.write_str("synced: the file is up to date")?,
        }
        if let Some(imported) = &self.imported {
            write!(f, "; taken in from it: {imported}")?;
        }
        match self.commit {
            Some(Commit::Done) => f.write_str(", committed"),
            Some(Commit::Unchanged) => f.write_str(", nothing to commit"),
            None => Ok(()),
        }
    }
}

/// Why a pass did not finish. What it did not finish stays dirty for the next one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// Another process syncs this workspace.
    #[error("another process is syncing {}", workspace.display())]
    Busy {
        /// The workspace.
        workspace: PathBuf,
    },
    /// The lock could not be taken.
    #[error("{}: {source}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Somebody replaces the file faster than it can be merged.
    #[error("{} is changed again and again by somebody else", path.display())]
    Unsettled {
        /// The file.
        path: PathBuf,
    },
    /// The workspace is not as it should be.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file could not be written.
    #[error(transparent)]
    Jsonl(#[from] JsonlError),
    /// The file is in step, but git did not commit it.
    #[error("{source}")]
    Git {
        /// What the pass did before.
        report: Box<SyncReport>,
        /// What git said.
        source: GitError,
    },
}

/// Brings the JSONL file, and git if it is on, up to what is in the store, and the store up to
/// what somebody else has put into the file.
pub fn pass(
    store: &mut Store,
    workspace: &Workspace,
    options: &SyncOptions,
) -> Result<SyncReport, SyncError> {
    let path = workspace.jsonl();
    if file::look(store, &path)?.is_none() && !memory::is_commit_due(store, options.commit)? {
        return Ok(SyncReport::default());
    }
    // Two passes at once could rename an older view over a newer one.
    let _lock = lock(workspace, options.when_busy)?;
    let mut report = SyncReport::default();
    file::bring_up_to_date(store, &path, &mut report)?;
    if memory::is_commit_due(store, options.commit)? {
        match commit(workspace, options, report.changed) {
            Ok(commit) => {
                memory::set_committed(store, commit)?;
                report.commit = Some(commit);
            }
            Err(source) => return Err(SyncError::Git { report: Box::new(report), source }),
        }
    }
    Ok(report)
}

/// The file as the last pass has left it, where one has written it or taken it in.
pub(crate) fn left(store: &Store) -> Option<FileIdentity> {
    Some(memory::written(store).ok()??.identity)
}

fn commit(workspace: &Workspace, options: &SyncOptions, changed: u64) -> Result<Commit, GitError> {
    let git = Git {
        root: workspace.root(),
        timeout: options.git_timeout,
        interrupt: options.interrupt.as_deref(),
    };
    if !workspace.jsonl().exists() {
        return Ok(Commit::Unchanged);
    }
    let message = match changed {
        0 => "tracker: sync".to_owned(),
        1 => "tracker: sync 1 issue".to_owned(),
        many => format!("tracker: sync {many} issues"),
    };
    git.commit_path(&workspace.jsonl_from_root(), &message)
}

/// Takes the lock of whoever writes the JSONL file; it is given back when the file is closed.
pub(crate) fn lock(workspace: &Workspace, when_busy: WhenBusy) -> Result<File, SyncError> {
    workspace.ensure_run_dir()?;
    let path = workspace.sync_lock();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| SyncError::Lock { path: path.clone(), source })?;
    let taken = match when_busy {
        WhenBusy::Wait => file.lock().map_err(TryLockError::Error),
        WhenBusy::Refuse => file.try_lock(),
    };
    match taken {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SyncError::Busy { workspace: workspace.dir().into() }),
        Err(TryLockError::Error(source)) => Err(SyncError::Lock { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::file::SPLICED_MAX;
    use super::*;
    use crate::issue::NewIssue;
    use crate::jsonl;

    fn workspace() -> (tempfile::TempDir, Workspace, Store) {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::create(dir.path()).unwrap();
        let store = Store::open(&workspace.database()).unwrap();
        (dir, workspace, store)
    }

    fn sync(store: &mut Store, workspace: &Workspace) -> SyncReport {
        pass(store, workspace, &SyncOptions::default()).unwrap()
    }

    #[test]
    fn the_second_export_of_a_changed_subset_holds_every_issue() {
        let (_dir, workspace, mut store) = workspace();
        for title in ["a", "b", "c"] {
            store.create(NewIssue::titled(title)).unwrap();
        }
        assert_eq!(sync(&mut store, &workspace).changed, 3);
        let one = store.list(Some(1)).unwrap().remove(0);
        store.close_issue(&one.id).unwrap();
        let second = sync(&mut store, &workspace);
        assert_eq!((second.changed, second.exported.unwrap().issues), (1, 3));
        assert_eq!(jsonl::read_file(&workspace.jsonl()).unwrap().len(), 3);
    }

    #[test]
    fn an_idle_pass_writes_nothing_and_an_empty_store_makes_no_file() {
        let (_dir, workspace, mut store) = workspace();
        assert!(sync(&mut store, &workspace).is_idle());
        assert!(!workspace.jsonl().exists());
        store.create(NewIssue::titled("a")).unwrap();
        assert!(!sync(&mut store, &workspace).is_idle());
        let written = std::fs::metadata(workspace.jsonl()).unwrap().modified().unwrap();
        assert!(sync(&mut store, &workspace).is_idle());
        assert_eq!(std::fs::metadata(workspace.jsonl()).unwrap().modified().unwrap(), written);
    }

    #[test]
    fn a_deleted_issue_stays_in_the_file_until_nobody_can_bring_it_back() {
        let (_dir, workspace, mut store) = workspace();
        let issue = store.create(NewIssue::titled("a")).unwrap();
        store.create(NewIssue::titled("b")).unwrap();
        sync(&mut store, &workspace);
        let before = std::fs::read(workspace.jsonl()).unwrap();
        store.delete(&issue.id, Some("twice")).unwrap();
        assert_eq!(sync(&mut store, &workspace).exported.unwrap().issues, 2);
        std::fs::write(workspace.jsonl(), before).unwrap();
        assert_eq!(sync(&mut store, &workspace).imported.unwrap().kept, 1);
        assert_eq!(store.count().unwrap(), 1, "an old file does not bring it back");

        let mut dead = jsonl::read_file(&workspace.jsonl()).unwrap();
        let long_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(31 * 24);
        dead.retain(|issue| issue.is_tombstone());
        dead[0].deleted_at = Some(long_ago);
        dead[0].touch();
        store.import(dead).unwrap();
        store.remember(&[("expired_at", None)]).unwrap();
        assert_eq!(sync(&mut store, &workspace).exported.unwrap().issues, 1);
        assert_eq!(jsonl::read_file(&workspace.jsonl()).unwrap()[0].title, "b");
        assert!(sync(&mut store, &workspace).is_idle());
    }

    #[test]
    fn what_somebody_else_writes_is_taken_in_before_the_file_is_replaced() {
        let (_dir, workspace, mut store) = workspace();
        store.create(NewIssue::titled("ours")).unwrap();
        sync(&mut store, &workspace);
        let mut other = Store::open_in_memory().unwrap();
        jsonl::import_file(&mut other, &workspace.jsonl()).unwrap();
        other.create(NewIssue::titled("theirs")).unwrap();
        store.create(NewIssue::titled("ours too")).unwrap();
        jsonl::export_file(&other, &workspace.jsonl()).unwrap();
        let report = sync(&mut store, &workspace);
        let imported = report.imported.unwrap();
        assert_eq!((imported.created, imported.unchanged), (1, 1));
        assert_eq!(report.exported.unwrap().issues, 3);
        assert_eq!(store.count().unwrap(), 3);
        assert!(sync(&mut store, &workspace).is_idle());
    }

    #[test]
    fn an_empty_database_takes_a_full_file_in() {
        let (_dir, workspace, mut store) = workspace();
        let mut other = Store::open_in_memory().unwrap();
        for title in ["a", "b"] {
            other.create(NewIssue::titled(title)).unwrap();
        }
        jsonl::export_file(&other, &workspace.jsonl()).unwrap();
        let written = std::fs::metadata(workspace.jsonl()).unwrap().modified().unwrap();
        let report = sync(&mut store, &workspace);
        assert_eq!((report.imported.unwrap().created, report.exported), (2, None));
        assert_eq!(std::fs::metadata(workspace.jsonl()).unwrap().modified().unwrap(), written);
        assert!(sync(&mut store, &workspace).is_idle());
    }

    #[test]
    fn a_file_with_another_content_and_the_old_time_is_noticed() {
        let (_dir, workspace, mut store) = workspace();
        let issue = store.create(NewIssue::titled("old")).unwrap();
        sync(&mut store, &workspace);
        let text = std::fs::read_to_string(workspace.jsonl()).unwrap();
        let file = File::options().write(true).open(workspace.jsonl()).unwrap();
        let times = file.metadata().unwrap().modified().unwrap();
        let same_length = text.replace("\"old\"", "\"new\"");
        std::os::unix::fs::FileExt::write_all_at(&file, same_length.as_bytes(), 0).unwrap();
        file.set_modified(times).unwrap();
        assert_eq!(sync(&mut store, &workspace).imported.unwrap().updated, 1);
        assert_eq!(store.show(&issue.id).unwrap().title, "new");
    }

    #[test]
    fn a_file_in_the_middle_of_a_merge_is_left_as_it_is() {
        let (_dir, workspace, mut store) = workspace();
        store.create(NewIssue::titled("a")).unwrap();
        sync(&mut store, &workspace);
        let text = format!(
            "<<<<<<< ours\n{}>>>>>>> theirs\n",
            std::fs::read_to_string(workspace.jsonl()).unwrap()
        );
        std::fs::write(workspace.jsonl(), &text).unwrap();
        store.create(NewIssue::titled("b")).unwrap();
        let refused = pass(&mut store, &workspace, &SyncOptions::default()).unwrap_err();
        assert!(matches!(refused, SyncError::Jsonl(JsonlError::Conflicted { .. })), "{refused}");
        assert_eq!(std::fs::read_to_string(workspace.jsonl()).unwrap(), text);
        assert_eq!(store.count().unwrap(), 2);
    }

    #[test]
    fn what_is_on_its_way_is_exported_once() {
        let (_dir, workspace, mut store) = workspace();
        for n in 0..SPLICED_MAX + 10 {
            store.create(NewIssue::titled(n.to_string())).unwrap();
        }
        sync(&mut store, &workspace);
        for issue in store.list(Some(3)).unwrap() {
            store.close_issue(&issue.id).unwrap();
        }
        let report = sync(&mut store, &workspace);
        assert_eq!((report.changed, report.exported.unwrap().issues), (3, SPLICED_MAX + 10));
        assert!(jsonl::is_up_to_date(&store, &workspace.jsonl()).unwrap());
        assert!(sync(&mut store, &workspace).is_idle());
    }

    #[test]
    fn what_is_no_file_is_told_and_not_waited_for() {
        let (_dir, workspace, mut store) = workspace();
        store.create(NewIssue::titled("a")).unwrap();
        let refused = |store: &mut Store| {
            pass(store, &workspace, &SyncOptions::default()).unwrap_err().to_string()
        };
        std::os::unix::fs::symlink("nowhere", workspace.jsonl()).unwrap();
        assert!(refused(&mut store).contains("a link to"));
        std::fs::remove_file(workspace.jsonl()).unwrap();
        nix::unistd::mkfifo(&workspace.jsonl(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(refused(&mut store).contains("no regular file"));
    }

    #[test]
    fn a_removed_file_comes_back() {
        let (_dir, workspace, mut store) = workspace();
        store.create(NewIssue::titled("a")).unwrap();
        sync(&mut store, &workspace);
        std::fs::remove_file(workspace.jsonl()).unwrap();
        assert_eq!(sync(&mut store, &workspace).exported.unwrap().issues, 1);
    }

    #[test]
    fn a_second_sync_is_told_to_wait() {
        let (_dir, workspace, mut store) = workspace();
        store.create(NewIssue::titled("a")).unwrap();
        let _held = lock(&workspace, WhenBusy::Refuse).unwrap();
        let options = SyncOptions { when_busy: WhenBusy::Refuse, ..SyncOptions::default() };
        assert!(matches!(pass(&mut store, &workspace, &options), Err(SyncError::Busy { .. })));
    }
}
