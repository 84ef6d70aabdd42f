//! What a process has open: how many of each kind, and sockets by protocol and state.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::{Reading, Unavailable};
use crate::probe::fd;
use crate::probe::socket::{self, Socket};

/// Open descriptors, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// How many of each kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// How many sockets of each protocol and state.
    pub sockets: BTreeMap<SocketKind, u64>,
}

/// What a descriptor is open on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A file or directory.
    File,
    /// A file that has no name any more: its space is freed when it is closed.
    Deleted,
    /// A device, terminals among them.
    Device,
    /// Memory that has no file (memfd_create(2)).
    Memory,
    /// One end of a pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A process (pidfd_open(2)).
    Process,
    /// One of the kernel's own, by its name there: `eventpoll`, `eventfd`, `timerfd`, `inotify` ...
    Anonymous(String),
}

impl Kind {
    /// Of the link in `/proc/PID/fd` (proc_pid_fd(5)).
    fn of(link: &str) -> Self {
        match link {
            _ if link.starts_with("/memfd:") => Self::Memory,
            _ if link.starts_with("/dev/") && !link.starts_with("/dev/shm/") => Self::Device,
            _ if link.starts_with('/') && link.ends_with(" (deleted)") => Self::Deleted,
            _ if link.starts_with('/') => Self::File,
            _ if link.starts_with("socket:") => Self::Socket,
            _ if link.starts_with("pipe:") => Self::Pipe,
            // Since Linux 6.9 the second.
            "anon_inode:[pidfd]" => Self::Process,
            _ if link.starts_with("pidfd:") => Self::Process,
            _ => Self::Anonymous(anonymous_name(link)),
        }
    }
}

/// `anon_inode:[eventpoll]`, `anon_inode:inotify`, `mnt:[17]`.
fn anonymous_name(link: &str) -> String {
    match link.split_once(':') {
        Some(("anon_inode", name)) => name.trim_matches(['[', ']']).to_owned(),
        Some((name, _)) => name.to_owned(),
        None => link.to_owned(),
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Deleted => "deleted file",
            Self::Device => "device",
            Self::Memory => "memfd",
            Self::Pipe => "pipe",
            Self::Socket => "socket",
            Self::Process => "pidfd",
            Self::Anonymous(name) => name,
        })
    }
}

/// Protocol and state of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct SocketKind {
    /// `tcp`, `udp`, `unix`, or `other`: of another protocol, not bound yet, or of a network that is not the
    /// process's own.
    pub protocol: &'static str,
    /// `established`, `close_wait`, `listen` ...; `unknown` for others.
    pub state: &'static str,
}

impl SocketKind {
    fn of(socket: Option<&Socket>) -> Self {
        socket.map_or(Self { protocol: "other", state: "unknown" }, |socket| Self {
            protocol: socket.protocol,
            state: socket.state,
        })
    }
}

/// `tcp/established`.
impl fmt::Display for SocketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol, self.state)
    }
}

/// One open descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// Its number.
    pub number: u32,
    /// What it is open on.
    pub kind: Kind,
    /// What it is open on, by name: a path, a socket's addresses, or what the kernel calls it.
    pub name: String,
}

/// More descriptors are counted and not told apart: some 0.2 s and 20 MB.
const LISTED_MAX: u64 = 100_000;

/// Counts what is open.
pub(super) fn read(pid: u32) -> Reading<Held> {
    let (open, sockets) = look(pid)?;
    let mut held = Held::default();
    for descriptor in &open {
        *held.kinds.entry(Kind::of(&descriptor.link)).or_default() += 1;
        if descriptor.is_socket() {
            let kind = SocketKind::of(sockets.get(&descriptor.inode));
            *held.sockets.entry(kind).or_default() += 1;
        }
    }
    Ok(held)
}

/// Lists what is open.
pub(super) fn list(pid: u32) -> Reading<Vec<Descriptor>> {
    let (open, sockets) = look(pid)?;
    let named = |open: fd::Descriptor| {
        let kind = Kind::of(&open.link);
        let socket = sockets.get(&open.inode).filter(|_| open.is_socket());
        let name = socket.map_or(open.link, |socket| socket.name.clone());
        Descriptor { number: open.number, kind, name }
    };
    Ok(open.into_iter().map(named).collect())
}

fn look(pid: u32) -> Reading<(Vec<fd::Descriptor>, HashMap<u64, Socket>)> {
    let count = fd::count(pid)?;
    if count > LISTED_MAX {
        let reason = format!("{count} descriptors are counted and not told apart");
        return Err(Unavailable::new(reason));
    }
    let open = fd::list(pid)?;
    let sockets = socket::table(pid, fd::socket_inodes(&open));
    Ok((open, sockets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_kinds() {
        for (link, kind) in [
            ("/var/log/a b", "file"),
            ("/tmp/x (deleted)", "deleted file"),
            ("/dev/null", "device"),
            ("/dev/shm/cache", "file"),
            ("/memfd:jit (deleted)", "memfd"),
            ("pipe:[17]", "pipe"),
            ("socket:[18]", "socket"),
            ("anon_inode:[pidfd]", "pidfd"),
            ("pidfd:[19]", "pidfd"),
            ("anon_inode:[eventpoll]", "eventpoll"),
            ("anon_inode:inotify", "inotify"),
            ("mnt:[4026531841]", "mnt"),
        ] {
            assert_eq!(Kind::of(link).to_string(), kind, "{link}");
        }
    }
}
