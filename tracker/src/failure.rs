//! The shape in which every failure reaches a person or a program: what happened and what to do.

use serde::{Deserialize, Serialize};

use crate::client::ClientError;
use crate::daemon::{ControlError, DaemonError, LockError};
use crate::exit_code::Exit;
use crate::git::GitError;
use crate::jsonl::JsonlError;
use crate::paths::WorkspaceError;
use crate::protocol::RpcError;
use crate::store::StoreError;
use crate::sync::SyncError;

/// What a caller is told when something did not work: `--json` prints exactly this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Failure {
    /// A stable word for programs, such as `not_found` or `cycle`.
    pub code: String,
    /// What happened, as a lowercase fragment.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// The exit status that belongs to it.
    #[serde(skip, default = "failure_exit")]
    pub exit: Exit,
}

fn failure_exit() -> Exit {
    Exit::Failure
}

impl Failure {
    /// A failure of its parts.
    pub fn new(
        exit: Exit,
        code: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { code: code.into(), message: message.into(), hint: hint.into(), exit }
    }
}

impl From<&WorkspaceError> for Failure {
    fn from(error: &WorkspaceError) -> Self {
        let (exit, code, hint) = match error {
            WorkspaceError::NotFound { .. } => (
                Exit::Usage,
                "not_initialised",
                "run `tracker init --prefix NAME` in the project, or name one with --dir",
            ),
            WorkspaceError::Exists { .. } => {
                (Exit::Conflict, "exists", "run `tracker list`: it is ready to use")
            }
            WorkspaceError::NotPrivate { .. } => {
                (Exit::Failure, "not_private", "remove it, or run as the user it belongs to")
            }
            WorkspaceError::Io { .. } => (Exit::Failure, "io", CHECK_PERMISSIONS),
        };
        Self::new(exit, code, error.to_string(), hint)
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        let (exit, code, hint) = match error {
            StoreError::Missing { .. } => (
                Exit::Usage,
                "not_initialised",
                "run `tracker init`, then `tracker sync`, which takes in .tracker/issues.jsonl",
            ),
            StoreError::Newer { .. } => {
                (Exit::Failure, "newer_schema", "use the version of tracker that made it")
            }
            StoreError::Busy { .. } => {
                (Exit::Busy, "busy", "try again; `fuser FILE` names who holds it")
            }
            StoreError::NotFound { .. } => (
                Exit::NotFound,
                "not_found",
                "`tracker list` shows every id; what came with a `git pull` is there after \
                 `tracker sync`",
            ),
            StoreError::Ambiguous { .. } => {
                (Exit::NotFound, "ambiguous", "give more of the id you mean")
            }
            StoreError::Cycle { .. } => {
                (Exit::Conflict, "cycle", "leave one of these dependencies out")
            }
            StoreError::Invalid(_) => {
                (Exit::Validation, "invalid", "`tracker VERB --help` shows what is allowed")
            }
            StoreError::Deleted { id } => {
                let hint = format!("`tracker restore {id}` brings it back");
                return Self::new(Exit::NotFound, "deleted", error.to_string(), hint);
            }
            StoreError::Full { .. } => {
                (Exit::Failure, "disk_full", "nothing was changed; make room and try again")
            }
            StoreError::ReadOnly { .. } => (
                Exit::Failure,
                "read_only",
                "nothing was changed; check the permissions of the file and of its directory",
            ),
            StoreError::NoFreeId { .. } => {
                (Exit::Failure, "no_free_id", "try again, or use another prefix")
            }
            StoreError::Corrupt { .. } => (Exit::Failure, "corrupt", START_AFRESH),
            StoreError::Sqlite { source, .. } if is_damage(source) => {
                (Exit::Failure, "corrupt", START_AFRESH)
            }
            StoreError::Sqlite { .. } | StoreError::Close { .. } | StoreError::Consumer(_) => {
                (Exit::Failure, "io", CHECK_PERMISSIONS)
            }
        };
        Self::new(exit, code, error.to_string(), hint)
    }
}

impl From<&JsonlError> for Failure {
    fn from(error: &JsonlError) -> Self {
        match error {
            JsonlError::Store(error) => error.into(),
            JsonlError::Io { .. } => {
                Self::new(Exit::Failure, "io", error.to_string(), CHECK_PERMISSIONS)
            }
            JsonlError::Conflicted { .. } => Self::new(
                Exit::Validation,
                "conflict",
                error.to_string(),
                "nothing was changed; finish the merge, or take the marker lines out and leave \
                 the lines of both sides: the same issue twice is merged; a line \
                 `.tracker/issues.jsonl merge=union` in .gitattributes has git do that",
            ),
            JsonlError::Lossy { loss, .. } if loss.unreadable > 0 => Self::new(
                Exit::Conflict,
                "lossy",
                error.to_string(),
                "nothing was written; name another file, or --force writes over this one",
            ),
            JsonlError::Lossy { path, .. } => Self::new(
                Exit::Conflict,
                "lossy",
                error.to_string(),
                format!(
                    "nothing was written; `tracker import {}` takes it in first, --force writes \
                     over it",
                    path.display()
                ),
            ),
            JsonlError::Broken { .. } => Self::new(
                Exit::Validation,
                "broken_file",
                error.to_string(),
                "nothing was changed; correct these lines and try again",
            ),
        }
    }
}

impl From<&GitError> for Failure {
    fn from(error: &GitError) -> Self {
        let (exit, code, hint) = match error {
            GitError::Ignored { .. } => (
                Exit::Failure,
                "git",
                "take the file out of .gitignore, or `tracker config git false`",
            ),
            GitError::Off { .. } => (
                Exit::Failure,
                "git_off",
                "the file is written; commits go on by themselves when that is over",
            ),
            GitError::Busy { .. } => {
                (Exit::Busy, "git_busy", "the file is written and the next sync commits it; wait")
            }
            GitError::StaleLock { .. } => {
                (Exit::Busy, "git_busy", "if no git is running here, remove that file")
            }
            GitError::LeftBehind { .. } => {
                (Exit::Busy, "git_busy", "the next sync removes it; run `tracker sync`")
            }
            GitError::NoIdentity { .. } => (
                Exit::Failure,
                "git_identity",
                "run `git config user.name NAME` and `git config user.email ADDRESS`",
            ),
            GitError::Io { .. } => (Exit::Failure, "io", CHECK_PERMISSIONS),
            GitError::Run { .. } | GitError::Refused { .. } | GitError::Moved => (
                Exit::Failure,
                "git",
                "the file is written and the next sync commits it; see `git status`",
            ),
        };
        Self::new(exit, code, error.to_string(), hint)
    }
}

impl From<&SyncError> for Failure {
    fn from(error: &SyncError) -> Self {
        match error {
            SyncError::Workspace(error) => error.into(),
            SyncError::Store(error) => error.into(),
            SyncError::Jsonl(error) => error.into(),
            SyncError::Git { source, .. } => source.into(),
            SyncError::Unsettled { .. } => Self::new(
                Exit::Busy,
                "unsettled",
                error.to_string(),
                "nothing is lost; find out who writes it (`fuser FILE`), and sync again",
            ),
            SyncError::Busy { .. } => {
                Self::new(Exit::Busy, "busy", error.to_string(), "it writes your changes too; wait")
            }
            SyncError::Lock { .. } => {
                Self::new(Exit::Failure, "io", error.to_string(), CHECK_PERMISSIONS)
            }
        }
    }
}

impl From<&ClientError> for Failure {
    fn from(error: &ClientError) -> Self {
        match error {
            ClientError::Refused(refused) => refused.into(),
            ClientError::OtherVersion { .. } => Self::new(
                Exit::Busy,
                "other_version",
                error.to_string(),
                "run `tracker daemon restart`",
            ),
            ClientError::OtherWorkspace { .. } => Self::new(
                Exit::Busy,
                "other_workspace",
                error.to_string(),
                "end that daemon where it belongs (`tracker --dir DIR daemon stop`), then start yours",
            ),
            _ => Self::new(
                Exit::Busy,
                "unreachable",
                error.to_string(),
                "run `tracker daemon status`, or `tracker daemon start`",
            ),
        }
    }
}

impl From<&RpcError> for Failure {
    fn from(error: &RpcError) -> Self {
        match &error.data {
            // The exit does not travel in the failure but in the code of the error around it.
            Some(failure) => Self { exit: error.exit(), ..Failure::clone(failure) },
            None => Self::new(
                error.exit(),
                "refused",
                error.message.clone(),
                "check that client and daemon are of one version",
            ),
        }
    }
}

impl From<&LockError> for Failure {
    fn from(error: &LockError) -> Self {
        match error {
            LockError::Held { .. } => Self::new(
                Exit::Conflict,
                "already_running",
                error.to_string(),
                "use it, or end it with `tracker daemon stop`",
            ),
            LockError::Io { .. } => {
                Self::new(Exit::Failure, "io", error.to_string(), CHECK_PERMISSIONS)
            }
        }
    }
}

impl From<&DaemonError> for Failure {
    fn from(error: &DaemonError) -> Self {
        match error {
            DaemonError::Workspace(error) => error.into(),
            DaemonError::Lock(error) => error.into(),
            DaemonError::Store(error) => error.into(),
            DaemonError::NotLoopback { .. } => Self::new(
                Exit::Usage,
                "not_loopback",
                error.to_string(),
                "use 127.0.0.1:0 or [::1]:0, or forward the port with ssh",
            ),
            _ => Self::new(Exit::Failure, "io", error.to_string(), CHECK_PERMISSIONS),
        }
    }
}

impl From<&ControlError> for Failure {
    fn from(error: &ControlError) -> Self {
        match error {
            ControlError::Refused(failure) => failure.clone(),
            ControlError::StillThere { .. } => Self::new(
                Exit::Busy,
                "still_there",
                error.to_string(),
                "see the log (.tracker/run/daemon.log), then `kill -9` that pid",
            ),
            ControlError::Workspace(error) => error.into(),
            ControlError::Lock(error) => error.into(),
            _ => Self::new(
                Exit::Failure,
                "daemon",
                error.to_string(),
                "see the log (.tracker/run/daemon.log), or try `tracker daemon run`",
            ),
        }
    }
}

const CHECK_PERMISSIONS: &str = "check that the path exists, its permissions and the disk's space";
const START_AFRESH: &str =
    "move the database away, `tracker init`, and `tracker import .tracker/issues.jsonl`";

/// Whether SQLite found the file itself to be broken.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}
