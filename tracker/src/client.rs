//! The blocking client: one connection for as many calls as you like, closed when dropped.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::issue::{Dependency, DependencyKind, Issue, IssuePatch, NewIssue};
use crate::paths::Workspace;
use crate::protocol::{
    DepParams, Hello, HelloParams, IdParams, LINE_BYTES_MAX, LimitParams, Request, Response,
    RpcError, Status, UpdateParams,
};
use crate::sync::SyncReport;

/// How long a client waits for an answer: longer than the daemon lets a request take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);
/// How long a client waits for a TCP connection, which on loopback is there at once or never.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer may hold many issues, so it may be longer than a request.
const ANSWER_BYTES_MAX: u64 = 256 * LINE_BYTES_MAX as u64;

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Its socket.
    Unix(PathBuf),
    /// Its second transport.
    Tcp(TcpEndpoint),
}

/// Address and token of the TCP transport: the content of `daemon.tcp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpEndpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// What `hello` must present.
    pub token: String,
}

impl TcpEndpoint {
    /// The endpoint that the daemon of `workspace` has published.
    pub fn of(workspace: &Workspace) -> Result<Self, ClientError> {
        let path = workspace.tcp_file();
        let unreachable = |source| ClientError::Unreachable { at: path.clone(), source };
        let text = fs::read_to_string(&path).map_err(unreachable)?;
        serde_json::from_str(&text).map_err(|error| unreachable(error.into()))
    }
}

/// Why a call got no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers there.
    #[error("no daemon answers at {}: {source}", at.display())]
    Unreachable {
        /// The socket, address or file.
        at: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket belongs to another user.
    #[error("the daemon at {} belongs to user {uid}", at.display())]
    Foreign {
        /// The socket.
        at: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// The connection broke, or the daemon took too long.
    #[error("lost the daemon: {0}")]
    Lost(#[source] io::Error),
    /// The daemon closed the connection without an answer.
    #[error("the daemon closed the connection")]
    Closed,
    /// The daemon said something that is not an answer.
    #[error("cannot read the daemon's answer: {0}")]
    Malformed(String),
    /// The daemon refused.
    #[error(transparent)]
    Refused(#[from] RpcError),
}

/// One connection to a daemon.
///
/// After an error other than [`ClientError::Refused`] the connection is of no use any more.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<Stream>,
    last_id: u64,
}

impl Client {
    /// Connects to the daemon of a workspace by its socket.
    pub fn connect(workspace: &Workspace) -> Result<Self, ClientError> {
        Self::connect_to(&Endpoint::Unix(workspace.socket()))
    }

    /// Connects to the daemon of a workspace by TCP, as it has published.
    pub fn connect_tcp(workspace: &Workspace) -> Result<Self, ClientError> {
        Self::connect_to(&Endpoint::Tcp(TcpEndpoint::of(workspace)?))
    }

    /// Connects to an endpoint; over TCP this includes the handshake.
    pub fn connect_to(endpoint: &Endpoint) -> Result<Self, ClientError> {
        let stream = match endpoint {
            Endpoint::Unix(path) => Stream::Unix(connect_unix(path)?),
            Endpoint::Tcp(tcp) => Stream::Tcp(connect_tcp(tcp.address)?),
        };
        stream.set_timeouts(ANSWER_TIMEOUT).map_err(ClientError::Lost)?;
        let mut client = Self { reader: BufReader::new(stream), last_id: 0 };
        if let Endpoint::Tcp(tcp) = endpoint {
            client.hello(Some(tcp.token.clone()))?;
        }
        Ok(client)
    }

    /// How long to wait for an answer, 35 s at first.
    pub fn set_timeout(&self, timeout: Duration) -> Result<(), ClientError> {
        self.reader.get_ref().set_timeouts(timeout).map_err(ClientError::Lost)
    }

    /// Calls any method.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, ClientError> {
        self.last_id += 1;
        let request = Request {
            jsonrpc: "2.0".into(),
            id: Some(self.last_id.into()),
            method: method.into(),
            params,
        };
        let mut line = serde_json::to_vec(&request).map_err(malformed)?;
        line.push(b'\n');
        let sent = self.reader.get_mut().write_all(&line);
        // A daemon that is full or shutting down answers before it reads, so look for its words
        // even if it no longer wants ours.
        let response = match (self.receive(), sent) {
            (Ok(response), _) => response,
            (Err(_), Err(error)) => return Err(lost(error)),
            (Err(error), Ok(())) => return Err(error),
        };
        if response.id != self.last_id && !(response.id.is_null() && response.error.is_some()) {
            return Err(ClientError::Malformed(format!("answer to {}", response.id)));
        }
        match (response.result, response.error) {
            (_, Some(error)) => Err(error.into()),
            (result, None) => Ok(result.unwrap_or_default()),
        }
    }

    /// Presents the token, which TCP wants first.
    pub fn hello(&mut self, token: Option<String>) -> Result<Hello, ClientError> {
        self.typed("hello", &HelloParams { token })
    }

    /// Asks for a sign of life.
    pub fn ping(&mut self) -> Result<(), ClientError> {
        self.call("ping", json!({})).map(drop)
    }

    /// How the daemon is.
    pub fn status(&mut self) -> Result<Status, ClientError> {
        self.typed("status", &json!({}))
    }

    /// Creates an issue.
    pub fn create(&mut self, new: &NewIssue) -> Result<Issue, ClientError> {
        self.typed("create", new)
    }

    /// All issues, most urgent first.
    pub fn list(&mut self, limit: Option<u32>) -> Result<Vec<Issue>, ClientError> {
        self.typed("list", &LimitParams { limit })
    }

    /// One issue.
    pub fn show(&mut self, id: &str) -> Result<Issue, ClientError> {
        self.typed("show", &IdParams { id: id.into() })
    }

    /// Changes an issue.
    pub fn update(&mut self, id: &str, patch: IssuePatch) -> Result<Issue, ClientError> {
        self.typed("update", &UpdateParams { id: id.into(), patch })
    }

    /// Closes an issue (and not this client, which closes when dropped).
    pub fn close_issue(&mut self, id: &str) -> Result<Issue, ClientError> {
        self.typed("close", &IdParams { id: id.into() })
    }

    /// Opens a closed issue again.
    pub fn reopen_issue(&mut self, id: &str) -> Result<Issue, ClientError> {
        self.typed("reopen", &IdParams { id: id.into() })
    }

    /// Deletes an issue.
    pub fn delete(&mut self, id: &str) -> Result<Issue, ClientError> {
        self.typed("delete", &IdParams { id: id.into() })
    }

    /// Makes one issue depend on another.
    pub fn add_dependency(
        &mut self,
        id: &str,
        depends_on: &str,
        kind: DependencyKind,
    ) -> Result<Dependency, ClientError> {
        self.typed("dep.add", &DepParams { id: id.into(), depends_on: depends_on.into(), kind })
    }

    /// What could be started on.
    pub fn ready(&mut self, limit: Option<u32>) -> Result<Vec<Issue>, ClientError> {
        self.typed("ready", &LimitParams { limit })
    }

    /// Syncs now.
    pub fn sync(&mut self) -> Result<SyncReport, ClientError> {
        self.typed("sync", &json!({}))
    }

    /// Asks the daemon to end; it answers first and ends then.
    pub fn shutdown(&mut self) -> Result<(), ClientError> {
        self.call("shutdown", json!({})).map(drop)
    }

    fn typed<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<T, ClientError> {
        let params = serde_json::to_value(params).map_err(malformed)?;
        serde_json::from_value(self.call(method, params)?).map_err(malformed)
    }

    fn receive(&mut self) -> Result<Response, ClientError> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.reader).take(ANSWER_BYTES_MAX);
        bounded.read_until(b'\n', &mut line).map_err(lost)?;
        if line.is_empty() {
            return Err(ClientError::Closed);
        }
        serde_json::from_slice(&line).map_err(malformed)
    }
}

/// Either transport.
#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn set_timeouts(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Some(timeout);
        match self {
            Self::Unix(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
            Self::Tcp(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(buffer),
            Self::Tcp(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect_unix(path: &Path) -> Result<UnixStream, ClientError> {
    let unreachable = |source| ClientError::Unreachable { at: path.into(), source };
    let stream = UnixStream::connect(path).map_err(unreachable)?;
    // In /tmp anybody may have put a socket there; nobody else's gets to read our issues.
    let peer = getsockopt(&stream, PeerCredentials).map_err(|error| unreachable(error.into()))?;
    let ours = nix::unistd::geteuid().as_raw();
    if peer.uid() != ours && peer.uid() != 0 && ours != 0 {
        return Err(ClientError::Foreign { at: path.into(), uid: peer.uid() });
    }
    Ok(stream)
}

fn connect_tcp(address: SocketAddr) -> Result<TcpStream, ClientError> {
    let unreachable = |source| ClientError::Unreachable { at: address.to_string().into(), source };
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(unreachable)?;
    // A request is one small write that waits for its answer: Nagle would hold it back.
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}

/// A socket's timeout comes as `EAGAIN`, which tells a person nothing.
fn lost(error: io::Error) -> ClientError {
    ClientError::Lost(match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
        _ => error,
    })
}

fn malformed(error: serde_json::Error) -> ClientError {
    ClientError::Malformed(error.to_string())
}
