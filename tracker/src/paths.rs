//! Where everything lies: the one place that knows a file name.
//!
//! ```text
//! .tracker/            the workspace
//!   tracker.db         the database (and its -wal and -shm)
//!   issues.jsonl       what git sees
//!   .gitignore         keeps the rest out of git, itself too
//!   run/               0700, what belongs to running processes
//!     daemon.pid       the daemon's pid, locked for as long as it lives
//!     daemon.sock      its socket, 0600
//!     daemon.tcp       address and token of the second transport, 0600, only with --tcp
//!     daemon.log       what it said, and before that in daemon.log.1
//!     sync.lock        held by whoever writes issues.jsonl
//! ```

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The name of the workspace directory.
pub const WORKSPACE_DIR: &str = ".tracker";

/// The longest path a Unix socket can have: `sun_path` is 108 bytes, one of them the final zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Everything but the JSONL file stays out of git, and this file does too: it is made with the
/// workspace, so nobody has to commit it.
const GITIGNORE: &str = "*\n!issues.jsonl\n";

/// A workspace: an absolute path to a `.tracker` directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Workspace {
    dir: PathBuf,
}

/// Why a workspace could not be found or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// Neither the directory nor any parent holds one.
    #[error("no {WORKSPACE_DIR} directory in {} or any parent", start.display())]
    NotFound {
        /// Where the search began.
        start: PathBuf,
    },
    /// There is one already.
    #[error("{} is already a workspace", dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// A directory that must be ours alone is not.
    #[error("{} is not a directory of ours with mode 0700", path.display())]
    NotPrivate {
        /// The directory.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl Workspace {
    /// The workspace that `start` lies in: the nearest `.tracker` at or above it.
    pub fn find(start: &Path) -> Result<Self, WorkspaceError> {
        let absolute = fs::canonicalize(start).map_err(|source| at(start, source))?;
        absolute
            .ancestors()
            .map(|parent| parent.join(WORKSPACE_DIR))
            .find(|dir| dir.is_dir())
            .map(|dir| Self { dir })
            .ok_or(WorkspaceError::NotFound { start: absolute.clone() })
    }

    /// Makes the directories of a new workspace in `parent`; the caller then creates the store.
    pub fn create(parent: &Path) -> Result<Self, WorkspaceError> {
        let parent = fs::canonicalize(parent).map_err(|source| at(parent, source))?;
        let workspace = Self { dir: parent.join(WORKSPACE_DIR) };
        if fs::metadata(workspace.database()).is_ok_and(|found| found.len() > 0) {
            return Err(WorkspaceError::Exists { dir: workspace.dir });
        }
        fs::create_dir_all(&workspace.dir).map_err(|source| at(&workspace.dir, source))?;
        let ignore = workspace.gitignore();
        fs::write(&ignore, GITIGNORE).map_err(|source| at(&ignore, source))?;
        workspace.ensure_run_dir()?;
        Ok(workspace)
    }

    /// The `.tracker` directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory that holds `.tracker`: the project.
    pub fn root(&self) -> &Path {
        self.dir.parent().unwrap_or(&self.dir)
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.dir.join("tracker.db")
    }

    /// The JSONL file that git sees.
    pub fn jsonl(&self) -> PathBuf {
        self.dir.join("issues.jsonl")
    }

    /// The same from the root, as git is told.
    pub fn jsonl_from_root(&self) -> PathBuf {
        let file = self.jsonl();
        file.strip_prefix(self.root()).map(Into::into).unwrap_or(file)
    }

    /// The directory of what belongs to running processes.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// The pidfile, locked for as long as the daemon lives.
    pub fn pidfile(&self) -> PathBuf {
        self.run_dir().join("daemon.pid")
    }

    /// The daemon's log.
    pub fn log(&self) -> PathBuf {
        self.run_dir().join("daemon.log")
    }

    /// The part of the log that was put aside when it had grown long.
    pub fn log_aside(&self) -> PathBuf {
        self.run_dir().join("daemon.log.1")
    }

    /// Address and token of the TCP transport.
    pub fn tcp_file(&self) -> PathBuf {
        self.run_dir().join("daemon.tcp")
    }

    /// The lock of whoever writes the JSONL file.
    pub fn sync_lock(&self) -> PathBuf {
        self.run_dir().join("sync.lock")
    }

    /// The daemon's socket.
    ///
    /// In `run/`, unless that path is longer than a socket address can be.
    /// Then in a directory of `/tmp` named by user and workspace: never by the environment, on which
    /// a daemon and its clients (a login, a cron job, a container's exec) may not agree.
    pub fn socket(&self) -> PathBuf {
        let near = self.run_dir().join("daemon.sock");
        if near.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return near;
        }
        let uid = nix::unistd::geteuid();
        let hash = fnv(self.dir.as_os_str().as_bytes());
        PathBuf::from(format!("/tmp/tracker-{uid}-{hash:016x}/daemon.sock"))
    }

    /// The file that keeps all but the JSONL file out of git.
    pub fn gitignore(&self) -> PathBuf {
        self.dir.join(".gitignore")
    }

    /// The lines that it should have and has not.
    pub(crate) fn missing_ignores(&self) -> Result<Vec<&'static str>, WorkspaceError> {
        let path = self.gitignore();
        let text = match fs::read(&path) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(at(&path, source)),
        };
        Ok(GITIGNORE
            .lines()
            .filter(|line| !text.lines().any(|it| it.trim_end() == *line))
            .collect())
    }

    /// Adds them at its end.
    pub(crate) fn add_missing_ignores(&self) -> Result<(), WorkspaceError> {
        let missing = self.missing_ignores()?;
        let path = self.gitignore();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(at(&path, source)),
        };
        let end = if text.is_empty() || text.ends_with(b"\n") { "" } else { "\n" };
        let added: String = missing.iter().map(|line| format!("{line}\n")).collect();
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| {
            io::Write::write_all(&mut file, (end.to_owned() + &added).as_bytes())
        })
        .map_err(|source| at(&path, source))
    }

    /// Makes `run/` if it is not there, readable by its owner alone.
    pub fn ensure_run_dir(&self) -> Result<(), WorkspaceError> {
        ensure_private_dir(&self.run_dir())
    }
}

/// Makes `path` a directory of ours with mode 0700, or says why it cannot be.
pub(crate) fn ensure_private_dir(path: &Path) -> Result<(), WorkspaceError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(at(path, source)),
    }
    // Not through a link: somebody else may have put it there.
    let found = fs::symlink_metadata(path).map_err(|source| at(path, source))?;
    if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(WorkspaceError::NotPrivate { path: path.into() });
    }
    if found.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|source| at(path, source))?;
    }
    Ok(())
}

fn at(path: &Path, source: io::Error) -> WorkspaceError {
    WorkspaceError::Io { path: path.into(), source }
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |state, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_workspace_gets_a_short_socket_path() {
        let near = Workspace { dir: "/home/a/.tracker".into() };
        assert_eq!(near.socket(), Path::new("/home/a/.tracker/run/daemon.sock"));
        let deep = Workspace { dir: PathBuf::from(format!("/{}/.tracker", "d".repeat(200))) };
        assert!(deep.socket().as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        let other = Workspace { dir: PathBuf::from(format!("/{}/.tracker", "e".repeat(200))) };
        assert_ne!(deep.socket(), other.socket());
    }

    #[test]
    fn the_nearest_workspace_above_is_found() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        assert!(matches!(Workspace::find(&inner), Err(WorkspaceError::NotFound { .. })));
        let made = Workspace::create(root.path()).unwrap();
        assert_eq!(Workspace::find(&inner).unwrap(), made);
    }
}
