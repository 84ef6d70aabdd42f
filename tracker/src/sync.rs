//! One sync pass: what changed goes into the JSONL file, and if asked to, into git.
//!
//! A plain function without a clock or a thread, so the daemon ticks it, the command line calls
//! it and a benchmark measures it. A pass with nothing to do reads two rows and stats one file.
//!
//! ```text
//! anything dirty? --no--> idle
//!      | yes
//! take sync.lock -> note the newest revision -> every issue, in one view -> temporary file
//!      -> rename -> forget what was dirty up to that revision -> git commit of that one path
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::git::{Commit, Git, GitError};
use crate::jsonl::{self, Exported, JsonlError};
use crate::paths::{Workspace, WorkspaceError};
use crate::process::Interrupt;
use crate::store::{Store, StoreError};

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
    /// In this pass.
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
    /// What was written; `None` if the file was up to date.
    pub exported: Option<Exported>,
    /// What git made of it; `None` if it is off or had nothing to do.
    pub commit: Option<Commit>,
}

impl SyncReport {
    /// Whether there was nothing to do.
    pub fn is_idle(&self) -> bool {
        self.exported.is_none() && self.commit.is_none()
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
    /// The workspace is not as it should be.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file could not be written.
    #[error(transparent)]
    Jsonl(#[from] JsonlError),
    /// The file is written, but git did not commit it.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Brings the JSONL file, and git if it is on, up to what is in the store.
pub fn pass(
    store: &mut Store,
    workspace: &Workspace,
    options: &SyncOptions,
) -> Result<SyncReport, SyncError> {
    if !is_export_due(store, workspace)? && !is_commit_due(store)? {
        return Ok(SyncReport::default());
    }
    // Two passes at once could rename an older view over a newer one.
    let _lock = lock(workspace, options.when_busy)?;
    let mut report = SyncReport::default();
    if is_export_due(store, workspace)? {
        let path = workspace.jsonl();
        jsonl::sweep_temporaries(&path)?;
        // Read before the export: what changes in between is exported too and merely stays dirty.
        let dirty = store.dirty()?;
        report.changed = dirty.issues;
        report.exported = Some(jsonl::export_file(store, &path)?);
        store.clear_dirty(dirty.revision, store.git_enabled()?)?;
    }
    if is_commit_due(store)? {
        report.commit = Some(commit(workspace, options, report.changed)?);
        store.set_commit_pending(false)?;
    }
    Ok(report)
}

fn is_export_due(store: &Store, workspace: &Workspace) -> Result<bool, StoreError> {
    // A file that somebody removed is written again, even if nothing has changed since.
    Ok(store.dirty()?.issues > 0 || (!workspace.jsonl().exists() && store.count()? > 0))
}

fn is_commit_due(store: &Store) -> Result<bool, StoreError> {
    Ok(store.commit_pending()? && store.git_enabled()?)
}

fn commit(workspace: &Workspace, options: &SyncOptions, changed: u64) -> Result<Commit, SyncError> {
    let git = Git {
        root: workspace.root(),
        timeout: options.git_timeout,
        interrupt: options.interrupt.as_deref(),
    };
    let file = workspace.jsonl();
    if !file.exists() {
        return Ok(Commit::Unchanged);
    }
    let path = file.strip_prefix(workspace.root()).unwrap_or(&file);
    let message = match changed {
        0 => "tracker: sync".to_owned(),
        1 => "tracker: sync 1 issue".to_owned(),
        many => format!("tracker: sync {many} issues"),
    };
    Ok(git.commit_path(path, &message)?)
}

/// Takes the lock of whoever writes the JSONL file; it is given back when the file is closed.
fn lock(workspace: &Workspace, when_busy: WhenBusy) -> Result<File, SyncError> {
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
    use super::*;
    use crate::issue::NewIssue;

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
    fn the_last_deleted_issue_leaves_an_empty_file() {
        let (_dir, workspace, mut store) = workspace();
        let issue = store.create(NewIssue::titled("a")).unwrap();
        sync(&mut store, &workspace);
        store.delete(&issue.id).unwrap();
        sync(&mut store, &workspace);
        assert_eq!(std::fs::read(workspace.jsonl()).unwrap(), b"");
        assert!(sync(&mut store, &workspace).is_idle());
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
