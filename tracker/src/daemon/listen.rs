//! Where the daemon listens: its socket, and loopback TCP if it is asked to.
//!
//! What a listener puts into the file system it takes out again when it is dropped.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::{DaemonError, FileId};
use crate::client::TcpEndpoint;
use crate::paths::{Workspace, ensure_private_dir};

/// The token: enough that nobody guesses it.
const TOKEN_BYTES: usize = 32;

/// The Unix socket, 0600 in a 0700 directory.
#[derive(Debug)]
pub(super) struct UnixSocket {
    pub(super) listener: UnixListener,
    pub(super) name: Published,
}

impl UnixSocket {
    /// Binds the workspace's socket. The caller holds the daemon lock, so a socket that is there
    /// already belongs to nobody.
    pub(super) fn bind(workspace: &Workspace) -> Result<Self, DaemonError> {
        let path = workspace.socket();
        let at = |source| DaemonError::Listen { at: path.display().to_string(), source };
        if let Some(dir) = path.parent() {
            ensure_private_dir(dir)?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(at)?;
        let name = Published::at(&path).map_err(at)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(at)?;
        listener.set_nonblocking(true).map_err(at)?;
        Ok(Self { listener, name })
    }
}

/// The loopback TCP transport, its address and token published in a 0600 file.
#[derive(Debug)]
pub(super) struct TcpSocket {
    pub(super) listener: TcpListener,
    pub(super) endpoint: TcpEndpoint,
    pub(super) name: Published,
}

impl TcpSocket {
    /// Binds `address`, whose port may be 0.
    pub(super) fn bind(workspace: &Workspace, address: SocketAddr) -> Result<Self, DaemonError> {
        if !address.ip().is_loopback() {
            return Err(DaemonError::NotLoopback { address });
        }
        let at = |source| DaemonError::Listen { at: address.to_string(), source };
        let listener = TcpListener::bind(address).map_err(at)?;
        listener.set_nonblocking(true).map_err(at)?;
        let address = listener.local_addr().map_err(at)?;
        let endpoint = TcpEndpoint { address, token: token().map_err(at)? };
        let path = workspace.tcp_file();
        let name = publish(&path, &endpoint)
            .map_err(|source| DaemonError::Listen { at: path.display().to_string(), source })?;
        Ok(Self { listener, endpoint, name })
    }
}

/// Removes what a killed daemon has published, for one that does not listen on TCP.
pub(super) fn forget_tcp(workspace: &Workspace) -> Result<(), DaemonError> {
    let path = workspace.tcp_file();
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(DaemonError::Listen { at: path.display().to_string(), source })
        }
        _ => Ok(()),
    }
}

/// A file that says where we are, removed when we are not there any more.
#[derive(Debug)]
pub(super) struct Published {
    path: PathBuf,
    identity: FileId,
}

impl Published {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), identity: FileId::of(path)? })
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // Not what somebody else has put there since.
        if FileId::of(&self.path).is_ok_and(|found| found == self.identity) {
            let _already_gone = fs::remove_file(&self.path);
        }
        // The directory in /tmp that a deep workspace needs is ours too; `run/` is never empty
        // while its pidfile is in it, and stays.
        if let Some(dir) = self.path.parent().filter(|dir| dir.starts_with("/tmp")) {
            let _not_empty = fs::remove_dir(dir);
        }
    }
}

/// Writes a file of its own and renames it, so that nobody reads half a token.
fn publish(path: &Path, endpoint: &TcpEndpoint) -> io::Result<Published> {
    let beside = path.with_extension("tcp.new");
    let _stale = fs::remove_file(&beside);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
    serde_json::to_writer(&mut file, endpoint)?;
    file.write_all(b"\n")?;
    fs::rename(&beside, path)?;
    Published::at(path)
}

fn token() -> io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
