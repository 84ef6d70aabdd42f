//! The directory of running processes, and what keeps it and the database out of git.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::{Examination, Finding, Subject};
use crate::failure::Failure;
use crate::paths::{Workspace, WorkspaceError};

pub(super) const EXAMINATIONS: &[Examination<Workspace>] = &[
    Examination { subject: Subject::RunDir, look: run_dir, mend: Some(make_private) },
    Examination { subject: Subject::GitIgnore, look: git_ignore, mend: Some(add_ignores) },
];

fn run_dir(workspace: &Workspace) -> Result<Finding, Failure> {
    let path = workspace.run_dir();
    let found = match fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Finding::fine("not made yet"));
        }
        Err(source) => return Err(Failure::from(&WorkspaceError::Io { path, source })),
    };
    if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(Failure::from(&WorkspaceError::NotPrivate { path }));
    }
    let mode = found.permissions().mode() & 0o777;
    Ok(match mode & 0o077 {
        0 => Finding::fine("ours alone"),
        _ => Finding::mendable(format!("others may look into {} ({mode:04o})", path.display())),
    })
}

fn make_private(workspace: &mut Workspace) -> Result<(), Failure> {
    workspace.ensure_run_dir().map_err(|error| Failure::from(&error))
}

fn git_ignore(workspace: &Workspace) -> Result<Finding, Failure> {
    let missing = workspace.missing_ignores().map_err(|error| Failure::from(&error))?;
    Ok(match missing.is_empty() {
        true => Finding::fine("has its lines"),
        false => {
            let path = workspace.gitignore();
            Finding::mendable(format!("{} does not say {}", path.display(), missing.join(", ")))
        }
    })
}

fn add_ignores(workspace: &mut Workspace) -> Result<(), Failure> {
    workspace.add_missing_ignores().map_err(|error| Failure::from(&error))
}
