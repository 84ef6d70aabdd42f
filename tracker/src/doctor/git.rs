//! Git: whether it would take a commit of the file.

use super::{Finding, Patient};
use crate::failure::Failure;
use crate::git::{Git, GitError};
use crate::sync::GIT_TIMEOUT;

pub(super) fn look(patient: &Patient) -> Result<Finding, Failure> {
    if !patient.store.git_enabled().map_err(|error| Failure::from(&error))? {
        return Ok(Finding::fine("off"));
    }
    let root = patient.workspace.root();
    let git = Git { root, timeout: GIT_TIMEOUT, interrupt: None };
    if !git.is_work_tree().map_err(|error| Failure::from(&error))? {
        return Ok(Finding::wrong(
            format!("git is on, but {} is in no work tree", root.display()),
            "run `git init`, or `tracker config git false`",
        ));
    }
    if !patient.workspace.jsonl().exists() {
        return Ok(Finding::fine("on, nothing to commit yet"));
    }
    Ok(match git.check(&patient.workspace.jsonl_from_root()) {
        Ok(()) => Finding::fine("on"),
        // Its user is in the middle of something, or the next sync makes it good.
        Err(
            error @ (GitError::Off { .. } | GitError::Busy { .. } | GitError::LeftBehind { .. }),
        ) => {
            let Failure { message, hint, .. } = Failure::from(&error);
            Finding::note(message, hint)
        }
        Err(error) => return Err(Failure::from(&error)),
    })
}
