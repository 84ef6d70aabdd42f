//! Socket tables by NETLINK_SOCK_DIAG (sock_diag(7)), the kernel's own binary form of `/proc/net/tcp`.
//!
//! The kernel sends only the states that are asked for, 0.1 us a socket where a line of text takes 1 us to
//! write and to read. A netlink socket sees the network namespace it was made in: for a process in another
//! one it is made by a thread that enters there (setns(2): needs CAP_SYS_ADMIN). Where that is refused, or
//! the kernel has no such table, there is an error and the text is read instead (`socket.rs`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt::ReceiveTimeout,
};
use nix::sys::time::TimeVal;

use super::network;

/// Which table: address family and protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    family: u8,
    protocol: u8,
}

impl Table {
    pub(crate) const TCP4: Self = Self { family: libc::AF_INET as u8, protocol: 6 };
    pub(crate) const TCP6: Self = Self { family: libc::AF_INET6 as u8, protocol: 6 };
    pub(crate) const UDP4: Self = Self { family: libc::AF_INET as u8, protocol: 17 };
    pub(crate) const UDP6: Self = Self { family: libc::AF_INET6 as u8, protocol: 17 };
    pub(crate) const UNIX: Self = Self { family: libc::AF_UNIX as u8, protocol: 0 };
}

/// One socket of an internet table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InetSocket {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// `include/net/tcp_states.h`.
    pub(crate) state: u8,
    pub(crate) inode: u64,
}

/// One socket of the unix table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnixSocket {
    /// As for TCP.
    pub(crate) state: u8,
    pub(crate) inode: u64,
    /// A leading NUL is an abstract name; empty for none.
    pub(crate) name: Vec<u8>,
}

/// A way to ask for the sockets of one network namespace.
pub(crate) struct SockDiag {
    netlink: OwnedFd,
}

/// The kernel answers a dump at once; one that does not is given up.
const ANSWER_SECONDS_MAX: i64 = 2;
/// What the kernel packs into one datagram at most (net/netlink/af_netlink.c, `netlink_recvmsg`).
const DATAGRAM_BYTES: usize = 32 * 1024;

impl SockDiag {
    /// Opens it in the namespace of a process.
    ///
    /// # Errors
    /// EPERM where that is another one and may not be entered.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        network::within(pid, Self::here)
    }

    fn here() -> io::Result<Self> {
        let (family, kind) = (AddressFamily::Netlink, SockType::Raw);
        let netlink = socket(family, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
        setsockopt(&netlink, ReceiveTimeout, &TimeVal::new(ANSWER_SECONDS_MAX, 0))?;
        Ok(Self { netlink })
    }

    /// Hands over every internet socket whose state is in the mask (bit 6: TIME_WAIT).
    ///
    /// # Errors
    /// ENOENT where the kernel was built without this table.
    pub(crate) fn inet(
        &self,
        table: Table,
        states: u32,
        mut each: impl FnMut(InetSocket),
    ) -> io::Result<()> {
        self.dump(&inet_request(table, states), |payload| {
            if let Some(socket) = inet_socket(payload) {
                each(socket);
            }
        })
    }

    /// Hands over every unix socket.
    ///
    /// # Errors
    /// As for [`SockDiag::inet`].
    pub(crate) fn unix(&self, mut each: impl FnMut(UnixSocket)) -> io::Result<()> {
        self.dump(&unix_request(), |payload| {
            if let Some(socket) = unix_socket(payload) {
                each(socket);
            }
        })
    }

    /// Asks, and reads datagrams until the kernel says that it is done.
    fn dump(&self, request: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        send(self.netlink.as_raw_fd(), request, MsgFlags::empty())?;
        let mut datagram = vec![0; DATAGRAM_BYTES];
        loop {
            let len = match recv(self.netlink.as_raw_fd(), &mut datagram, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            for message in Messages(&datagram[..len]) {
                match message {
                    Message::Socket(payload) => each(payload),
                    Message::Done => return Ok(()),
                    Message::Error(errno) => return Err(io::Error::from_raw_os_error(errno)),
                }
            }
        }
    }
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST_DUMP: u16 = 0x301;
/// `struct nlmsghdr` (netlink(7)): length, type, flags, sequence, port.
const HEADER: usize = 16;

fn request(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
    bytes.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend_from_slice(body);
    bytes
}

/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, and a socket's identity that
/// a dump leaves empty.
fn inet_request(table: Table, states: u32) -> Vec<u8> {
    let mut body = vec![table.family, table.protocol, 0, 0];
    body.extend_from_slice(&states.to_ne_bytes());
    body.resize(56, 0);
    request(&body)
}

/// `struct unix_diag_req`: family, protocol, padding, states, inode, what to show, cookie.
fn unix_request() -> Vec<u8> {
    const SHOW_NAME: u32 = 1;
    let mut body = vec![Table::UNIX.family, Table::UNIX.protocol, 0, 0];
    body.extend_from_slice(&u32::MAX.to_ne_bytes());
    body.extend_from_slice(&0_u32.to_ne_bytes());
    body.extend_from_slice(&SHOW_NAME.to_ne_bytes());
    body.resize(24, 0);
    request(&body)
}

/// The messages of a datagram.
struct Messages<'a>(&'a [u8]);

enum Message<'a> {
    Socket(&'a [u8]),
    Done,
    /// An errno.
    Error(i32),
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        loop {
            let len = u32_at(self.0, 0)? as usize;
            let kind = u16_at(self.0, 4)?;
            let payload = self.0.get(HEADER..len)?;
            self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
            match kind {
                SOCK_DIAG_BY_FAMILY => return Some(Message::Socket(payload)),
                NLMSG_DONE => return Some(Message::Done),
                NLMSG_ERROR => {
                    return Some(Message::Error((u32_at(payload, 0)? as i32).wrapping_neg()));
                }
                _ => {}
            }
        }
    }
}

/// `struct inet_diag_msg`: family, state, timer, retransmits; ports and addresses in network order; and
/// after interface, cookie, timer, queues and user the inode.
fn inet_socket(message: &[u8]) -> Option<InetSocket> {
    const INODE: usize = 68;
    let family = i32::from(*message.first()?);
    let end = |port: usize, address: usize| {
        let port = u16::from_be_bytes(bytes_at(message, port)?);
        let ip = match family {
            libc::AF_INET => IpAddr::V4(Ipv4Addr::from(bytes_at::<4>(message, address)?)),
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(bytes_at::<16>(message, address)?);
                ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    };
    Some(InetSocket {
        local: end(4, 8)?,
        remote: end(6, 24)?,
        state: *message.get(1)?,
        inode: u32_at(message, INODE)?.into(),
    })
}

/// `struct unix_diag_msg`: family, type, state, padding, inode, cookie; then attributes.
fn unix_socket(message: &[u8]) -> Option<UnixSocket> {
    const ATTRIBUTES: usize = 16;
    const NAME: u16 = 0;
    let mut name = Vec::new();
    let mut attributes = message.get(ATTRIBUTES..).unwrap_or_default();
    // `struct rtattr`: length with its header of four bytes, type.
    while let (Some(len), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let len = usize::from(len);
        let Some(value) = attributes.get(4..len) else { break };
        if kind == NAME {
            name = value.to_vec();
        }
        attributes = attributes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(UnixSocket { state: *message.get(2)?, inode: u32_at(message, 4)?.into(), name })
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with the given type and payload.
    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = request(payload);
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn inet(family: i32, state: u8, address: &[u8], inode: u32) -> Vec<u8> {
        let mut body = vec![family as u8, state, 0, 0, 0x1f, 0x90, 0xd4, 0x31];
        body.extend_from_slice(address);
        body.resize(24, 0);
        body.extend_from_slice(address);
        body.resize(68, 0);
        body.extend_from_slice(&inode.to_ne_bytes());
        body
    }

    #[test]
    fn reads_addresses_ports_states_and_inodes() {
        let socket = inet_socket(&inet(libc::AF_INET, 1, &[127, 0, 0, 1], 4242)).unwrap();
        assert_eq!(socket.local.to_string(), "127.0.0.1:8080");
        assert_eq!(socket.remote.port(), 0xd431);
        assert_eq!((socket.state, socket.inode), (1, 4242));
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
        let socket = inet_socket(&inet(libc::AF_INET6, 6, &mapped, 0)).unwrap();
        assert_eq!(socket.local.to_string(), "127.0.0.1:8080");
        assert_eq!(inet_socket(&inet(libc::AF_INET, 1, &[127, 0, 0, 1], 1)[..60]), None);
    }

    #[test]
    fn reads_names_of_unix_sockets() {
        let mut body = vec![1, 1, 10, 0];
        body.extend_from_slice(&777_u32.to_ne_bytes());
        body.resize(16, 0);
        // A shutdown attribute of one byte, padded, before the name.
        body.extend_from_slice(&[5, 0, 6, 0, 0, 0, 0, 0]);
        body.extend_from_slice(&[9, 0, 0, 0]);
        body.extend_from_slice(b"/a b\0");
        let socket = unix_socket(&body).unwrap();
        assert_eq!((socket.state, socket.inode, &*socket.name), (10, 777, &b"/a b\0"[..]));
    }

    #[test]
    fn a_datagram_ends_with_done_or_with_an_error() {
        let mut datagram = message(SOCK_DIAG_BY_FAMILY, &[1, 2, 3]);
        datagram.extend(message(NLMSG_DONE, &[0; 4]));
        let mut messages = Messages(&datagram);
        assert!(matches!(messages.next(), Some(Message::Socket([1, 2, 3]))));
        assert!(matches!(messages.next(), Some(Message::Done)));
        assert!(messages.next().is_none());
        let refused = message(NLMSG_ERROR, &(-libc::ENOENT).to_ne_bytes());
        assert!(matches!(Messages(&refused).next(), Some(Message::Error(libc::ENOENT))));
        assert!(Messages(&refused[..10]).next().is_none());
    }
}
