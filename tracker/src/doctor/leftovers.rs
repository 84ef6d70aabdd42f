//! What killed processes have left: a daemon's files, under its lock, and a sync's, under that.
//!
//! As long as somebody holds the lock of the daemon, its files are his and are not looked at.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Examination, Finding, Subject, count, has_daemon};
use crate::daemon::DaemonLock;
use crate::failure::Failure;
use crate::file_id::is_gone;
use crate::jsonl::{self, JsonlError};
use crate::paths::{Workspace, WorkspaceError};
use crate::sync::{self, SyncError, WhenBusy};

pub(super) const EXAMINATIONS: &[Examination<Workspace>] = &[
    Examination {
        subject: Subject::Pidfile,
        look: |workspace| left(workspace, &[workspace.pidfile()]),
        // Whoever gives the lock back removes the pidfile.
        mend: Some(|workspace| alone(workspace).map(drop)),
    },
    Examination {
        subject: Subject::Socket,
        look: |workspace| left(workspace, &sockets(workspace)),
        mend: Some(|workspace| remove(workspace, &sockets(workspace))),
    },
    Examination {
        subject: Subject::TcpFile,
        look: |workspace| left(workspace, &[workspace.tcp_file()]),
        mend: Some(|workspace| remove(workspace, &[workspace.tcp_file()])),
    },
    Examination {
        subject: Subject::Pieces,
        look: |workspace| left(workspace, &pieces(workspace)),
        mend: Some(|workspace| remove(workspace, &pieces(workspace))),
    },
    Examination { subject: Subject::Temporaries, look: temporaries, mend: Some(sweep) },
    Examination { subject: Subject::File, look: file, mend: None },
];

/// The socket, and the directory in `/tmp` that only a deep workspace has.
fn sockets(workspace: &Workspace) -> Vec<PathBuf> {
    let socket = workspace.socket();
    let dir = socket.parent().filter(|dir| *dir != workspace.run_dir()).map(Path::to_path_buf);
    std::iter::once(socket).chain(dir).collect()
}

/// What a daemon writes before it renames it.
fn pieces(workspace: &Workspace) -> [PathBuf; 2] {
    [workspace.tcp_file().with_extension("tcp.new"), workspace.log().with_extension("log.new")]
}

/// Those of a daemon's files that are there without a daemon.
fn left(workspace: &Workspace, paths: &[PathBuf]) -> Result<Finding, Failure> {
    if has_daemon(workspace).map_err(|error| Failure::from(&error))? {
        return Ok(Finding::fine("the daemon's"));
    }
    let mut there = Vec::new();
    for path in paths {
        match fs::symlink_metadata(path) {
            Ok(found) if found.uid() == nix::unistd::geteuid().as_raw() => {
                there.push(path.display().to_string());
            }
            Ok(_) => {
                let what = format!("{} belongs to another user", path.display());
                return Ok(Finding::wrong(what, "ask that user to remove it"));
            }
            Err(error) if is_gone(&error) => {}
            Err(source) => return Err(failed(path, source)),
        }
    }
    Ok(match there.is_empty() {
        true => Finding::fine("nothing left behind"),
        false => Finding::mendable(format!("no daemon runs, but there is {}", there.join(", "))),
    })
}

/// Takes the daemon's lock, so that there is none while we hold it.
fn alone(workspace: &Workspace) -> Result<DaemonLock, Failure> {
    workspace.ensure_run_dir().map_err(|error| Failure::from(&error))?;
    DaemonLock::acquire(&workspace.pidfile()).map_err(|error| Failure::from(&error))
}

fn remove(workspace: &Workspace, paths: &[PathBuf]) -> Result<(), Failure> {
    let _lock = alone(workspace)?;
    for path in paths {
        let removed = match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => fs::remove_dir(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if !is_gone(&error) => return Err(failed(path, error)),
            _ => {}
        }
    }
    Ok(())
}

fn temporaries(workspace: &Workspace) -> Result<Finding, Failure> {
    let path = workspace.jsonl();
    let look = || jsonl::temporaries(&path).map_err(|error| Failure::from(&error));
    if look()?.is_empty() {
        return Ok(Finding::fine("none left behind"));
    }
    // A daemon does not wait for the lock, and removes them itself.
    if has_daemon(workspace).map_err(|error| Failure::from(&error))? {
        return Ok(Finding::fine("the daemon's"));
    }
    let lock = workspace.sync_lock();
    // Held while we look again, so that none of them is of a sync under way.
    let _held = match File::open(&lock) {
        Err(error) if is_gone(&error) => None,
        Err(source) => return Err(failed(&lock, source)),
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) => return Ok(Finding::fine("of a sync under way")),
            Err(TryLockError::Error(source)) => return Err(failed(&lock, source)),
        },
    };
    Ok(match look()?.len() {
        0 => Finding::fine("none left behind"),
        number => {
            let what = count(number, "temporary file");
            Finding::mendable(format!("{what} of a killed export beside {}", path.display()))
        }
    })
}

fn sweep(workspace: &mut Workspace) -> Result<(), Failure> {
    let lock = match sync::lock(workspace, WhenBusy::Refuse) {
        // Whoever has it sweeps.
        Err(SyncError::Busy { .. }) => return Ok(()),
        lock => lock.map_err(|error| Failure::from(&error))?,
    };
    let swept = jsonl::sweep_temporaries(&workspace.jsonl());
    drop(lock);
    swept.map(drop).map_err(|error| Failure::from(&error))
}

fn file(workspace: &Workspace) -> Result<Finding, Failure> {
    let path = workspace.jsonl();
    match fs::metadata(&path) {
        Err(error) if is_gone(&error) => return Ok(Finding::fine("not written yet")),
        _ => {}
    }
    match jsonl::check_file(&path) {
        Ok(issues) => Ok(Finding::fine(count(issues, "line"))),
        Err(error @ JsonlError::Conflicted { .. }) => Ok(Finding::wrong(
            error.to_string(),
            "finish the merge, or take the marker lines out and leave those of both sides; then \
             `tracker sync`",
        )),
        Err(error @ JsonlError::Broken { .. }) => {
            Ok(Finding::wrong(error.to_string(), "correct these lines, then `tracker sync`"))
        }
        Err(error) => Err(Failure::from(&error)),
    }
}

fn failed(path: &Path, source: io::Error) -> Failure {
    Failure::from(&WorkspaceError::Io { path: path.into(), source })
}
