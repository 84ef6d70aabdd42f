//! The blocking client: one connection for as many calls as you like, closed when dropped.
//!
//! It begins with `hello`, one round trip, so that nobody talks to a daemon that does not mean the
//! same by the same words, or that serves another workspace.

mod verbs;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::sockopt::{PeerCredentials, SendTimeout};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, getsockopt, setsockopt, socket,
};
use nix::sys::time::TimeVal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::daemon::FileId;
use crate::paths::Workspace;
use crate::protocol::{
    Hello, HelloParams, LINE_BYTES_MAX, Metrics, PROTOCOL_VERSION, RpcError, Status,
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
    /// The daemon is of another version.
    #[error(
        "the daemon (version {version}) speaks protocol {protocol}, we speak {PROTOCOL_VERSION}"
    )]
    OtherVersion {
        /// Of its program.
        version: String,
        /// Of what it says.
        protocol: u32,
    },
    /// The daemon is not that of this workspace.
    #[error("the daemon at {} serves {workspace}, not this workspace", at.display())]
    OtherWorkspace {
        /// The socket or address.
        at: PathBuf,
        /// What it serves.
        workspace: String,
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
        Self::connect_within(workspace, ANSWER_TIMEOUT)
    }

    /// The same, waiting only so long for this and for each answer.
    pub fn connect_within(workspace: &Workspace, timeout: Duration) -> Result<Self, ClientError> {
        let endpoint = Endpoint::Unix(workspace.socket());
        let mut client = Self::open(&endpoint, timeout)?;
        client.introduce(&endpoint, Some(workspace))?;
        Ok(client)
    }

    /// Connects to the daemon of a workspace by TCP, as it has published.
    pub fn connect_tcp(workspace: &Workspace) -> Result<Self, ClientError> {
        let endpoint = Endpoint::Tcp(TcpEndpoint::of(workspace)?);
        let mut client = Self::open(&endpoint, ANSWER_TIMEOUT)?;
        client.introduce(&endpoint, Some(workspace))?;
        Ok(client)
    }

    /// Connects to an endpoint, whatever workspace is served there.
    pub fn connect_to(endpoint: &Endpoint) -> Result<Self, ClientError> {
        let mut client = Self::open(endpoint, ANSWER_TIMEOUT)?;
        client.introduce(endpoint, None)?;
        Ok(client)
    }

    /// Connects by the socket without asking who is there, for the few calls that daemons of every
    /// version understand: an old one has to be ended by a new program.
    pub(crate) fn connect_any(
        workspace: &Workspace,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        Self::open(&Endpoint::Unix(workspace.socket()), timeout)
    }

    fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Self, ClientError> {
        let stream = match endpoint {
            Endpoint::Unix(path) => Stream::Unix(connect_unix(path, timeout)?),
            Endpoint::Tcp(tcp) => Stream::Tcp(connect_tcp(tcp.address)?),
        };
        stream.set_timeouts(timeout).map_err(ClientError::Lost)?;
        Ok(Self { reader: BufReader::new(stream), last_id: 0 })
    }

    /// Presents the token, where one is wanted, and looks who is there.
    fn introduce(
        &mut self,
        endpoint: &Endpoint,
        workspace: Option<&Workspace>,
    ) -> Result<(), ClientError> {
        let (at, token) = match endpoint {
            Endpoint::Unix(path) => (path.clone(), None),
            Endpoint::Tcp(tcp) => (tcp.address.to_string().into(), Some(tcp.token.clone())),
        };
        let Hello { protocol, version, workspace: theirs, identity, .. } = self.hello(token)?;
        if protocol != PROTOCOL_VERSION {
            return Err(ClientError::OtherVersion { version, protocol });
        }
        if let Some(workspace) = workspace
            && FileId::of(workspace.dir()).ok() != identity
        {
            return Err(ClientError::OtherWorkspace { at, workspace: theirs });
        }
        Ok(())
    }

    /// How long to wait for an answer, 35 s at first.
    pub fn set_timeout(&self, timeout: Duration) -> Result<(), ClientError> {
        self.reader.get_ref().set_timeouts(timeout).map_err(ClientError::Lost)
    }

    /// Calls any method.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, ClientError> {
        self.typed(method, &params)
    }

    /// Asks who is there, and presents the token, which TCP wants first.
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

    /// Syncs now.
    pub fn sync(&mut self) -> Result<SyncReport, ClientError> {
        self.typed("sync", &json!({}))
    }

    /// The daemon's numbers.
    pub fn metrics(&mut self) -> Result<Metrics, ClientError> {
        self.typed("metrics", &json!({}))
    }

    /// Asks the daemon to end; it answers first and ends then.
    pub fn shutdown(&mut self) -> Result<(), ClientError> {
        self.call("shutdown", json!({})).map(drop)
    }

    /// Calls a method and reads its result.
    fn typed<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.last_id += 1;
        let request = Request { jsonrpc: "2.0", id: self.last_id, method, params };
        let mut line = serde_json::to_vec(&request).map_err(malformed)?;
        line.push(b'\n');
        let sent = self.reader.get_mut().write_all(&line);
        // A daemon that is full or shutting down answers before it reads, so look for its words
        // even if it no longer wants ours.
        let line = match (self.receive(), sent) {
            (Ok(line), _) => line,
            (Err(_), Err(error)) => return Err(lost(error)),
            (Err(error), Ok(())) => return Err(error),
        };
        let answer: Answer<'_> = serde_json::from_slice(&line).map_err(malformed)?;
        if answer.id != self.last_id && !(answer.id.is_null() && answer.error.is_some()) {
            return Err(ClientError::Malformed(format!("answer to {}", answer.id)));
        }
        match (answer.result, answer.error) {
            (_, Some(error)) => Err(error.into()),
            (result, None) => {
                serde_json::from_str(result.map_or("null", RawValue::get)).map_err(malformed)
            }
        }
    }

    /// The next line.
    fn receive(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.reader).take(ANSWER_BYTES_MAX);
        bounded.read_until(b'\n', &mut line).map_err(lost)?;
        if line.is_empty() { Err(ClientError::Closed) } else { Ok(line) }
    }
}

/// A request as it is written, with nothing copied.
#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a P,
}

/// An answer as it is read: the result is taken apart once, by whoever knows what it is.
#[derive(Deserialize)]
struct Answer<'a> {
    id: Value,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
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

fn connect_unix(path: &Path, timeout: Duration) -> Result<UnixStream, ClientError> {
    let unreachable = |source| ClientError::Unreachable { at: path.into(), source };
    let stream = knock(path, timeout).map_err(|error| unreachable(error.into()))?;
    // In /tmp anybody may have put a socket there; nobody else's gets to read our issues.
    let peer = getsockopt(&stream, PeerCredentials).map_err(|error| unreachable(error.into()))?;
    let ours = nix::unistd::geteuid().as_raw();
    if peer.uid() != ours && peer.uid() != 0 && ours != 0 {
        return Err(ClientError::Foreign { at: path.into(), uid: peer.uid() });
    }
    Ok(stream)
}

/// Connects, but does not wait for ever for a daemon that does not let anybody in: the standard
/// library would, once more clients wait than the kernel keeps in line.
fn knock(path: &Path, timeout: Duration) -> nix::Result<UnixStream> {
    let kind = (AddressFamily::Unix, SockType::Stream);
    let socket: OwnedFd = socket(kind.0, kind.1, SockFlag::SOCK_CLOEXEC, None)?;
    let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
    let micros = i64::from(timeout.subsec_micros());
    setsockopt(&socket, SendTimeout, &TimeVal::new(seconds, micros))?;
    nix::sys::socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(socket))
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
