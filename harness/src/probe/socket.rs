//! Sockets by protocol, state and peer: by netlink (`sock_diag.rs`), or from
//! `/proc/PID/net/{tcp,tcp6,udp,udp6,unix}` (proc(5)) where that is refused.
//!
//! The tables are those of the process's network namespace; a socket is found by its inode. Cost grows
//! with the namespace's sockets (0.1 us each, 1 us a line), so they are read only where a process holds
//! sockets, and without those in TIME_WAIT, which no descriptor holds.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::read;
use super::sock_diag::{InetSocket, SockDiag, Table, UnixSocket};

/// What the kernel's tables say of one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Socket {
    /// `tcp`, `udp`, `unix`.
    pub(crate) protocol: &'static str,
    pub(crate) state: &'static str,
    /// Address and peer, or path, as a person reads them.
    pub(crate) name: String,
}

/// The sockets with these inodes in a process's network namespace. The small tables come first, and the
/// rest is not asked for once all are found: TCP's is a walk through a hash table made for a large server.
pub(crate) fn table(pid: u32, inodes: impl IntoIterator<Item = u64>) -> HashMap<u64, Socket> {
    let mut missing: HashSet<u64> = inodes.into_iter().collect();
    let mut sockets = HashMap::new();
    if missing.is_empty() {
        return sockets;
    }
    let diag = SockDiag::of(pid).ok();
    let mut enter = |socket: UnixSocket| {
        if missing.remove(&socket.inode) {
            sockets.insert(socket.inode, unix(&socket));
        }
    };
    let answered = diag.as_ref().is_some_and(|diag| diag.unix(&mut enter).is_ok());
    if !answered && let Ok(text) = read(&format!("/proc/{pid}/net/unix")) {
        sockets.extend(text.lines().filter_map(unix_line).filter(|line| missing.remove(&line.0)));
    }
    for (file, protocol, table) in [
        ("udp", "udp", Table::UDP4),
        ("udp6", "udp", Table::UDP6),
        ("tcp", "tcp", Table::TCP4),
        ("tcp6", "tcp", Table::TCP6),
    ] {
        if missing.is_empty() {
            break;
        }
        let mut enter = |socket: InetSocket| {
            if missing.remove(&socket.inode) {
                sockets.insert(socket.inode, inet(protocol, &socket));
            }
        };
        let answered = diag.as_ref().is_some_and(|diag| diag.inet(table, HELD, &mut enter).is_ok());
        if !answered && let Ok(text) = read(&format!("/proc/{pid}/net/{file}")) {
            inet_lines(&text).for_each(enter);
        }
    }
    sockets
}

/// Hands over the (local, remote) ports of every pair in TIME_WAIT in a process's network namespace.
pub(crate) fn time_wait_pairs(pid: u32, mut each: impl FnMut(u16, u16)) {
    let diag = SockDiag::of(pid).ok();
    for (file, table) in [("tcp", Table::TCP4), ("tcp6", Table::TCP6)] {
        let mut enter = |socket: InetSocket| {
            if socket.state == TIME_WAIT {
                each(socket.local.port(), socket.remote.port());
            }
        };
        let only = 1 << TIME_WAIT;
        let answered = diag.as_ref().is_some_and(|diag| diag.inet(table, only, &mut enter).is_ok());
        if !answered && let Ok(text) = read(&format!("/proc/{pid}/net/{file}")) {
            inet_lines(&text).for_each(enter);
        }
    }
}

/// Connections that failed while they were being made, in the process's namespace since it exists
/// (`AttemptFails` of `/proc/PID/net/snmp`; RFC 4022, tcpAttemptFails).
pub(crate) fn refused_connects(pid: u32) -> u64 {
    read(&format!("/proc/{pid}/net/snmp")).ok().and_then(|text| attempt_fails(&text)).unwrap_or(0)
}

fn attempt_fails(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let at = lines.next()?.split_ascii_whitespace().position(|name| name == "AttemptFails")?;
    lines.next()?.split_ascii_whitespace().nth(at)?.parse().ok()
}

const TIME_WAIT: u8 = 6;
const LISTEN: u8 = 10;
/// Every state but TIME_WAIT.
const HELD: u32 = !(1 << TIME_WAIT);

fn inet(protocol: &'static str, socket: &InetSocket) -> Socket {
    let InetSocket { local, remote, state, .. } = socket;
    let name = if protocol == "tcp" { tcp_state(*state) } else { udp_state(*state) };
    let shown = match (*state, remote.port()) {
        (LISTEN, _) => format!("{protocol} listener {local}"),
        (_, 0) => format!("{protocol} {local}"),
        _ => format!("{protocol} {local} -> {remote} ({name})"),
    };
    Socket { protocol, state: name, name: shown }
}

fn inet_lines(text: &str) -> impl Iterator<Item = InetSocket> + '_ {
    text.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = address(fields.next()?)?;
        let remote = address(fields.next()?)?;
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        // Queue sizes, timer, retransmits, uid and timeout lie between.
        let inode = fields.nth(5)?.parse().ok()?;
        Some(InetSocket { local, remote, state, inode })
    })
}

/// `0100007F:1F90`: the address in words of host order, the port in network order.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(host.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = match host.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0u8; 16];
            for index in 0..4 {
                bytes[index * 4..index * 4 + 4].copy_from_slice(&word(index)?);
            }
            let ip = Ipv6Addr::from(bytes);
            ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// `include/net/tcp_states.h`.
fn tcp_state(state: u8) -> &'static str {
    match state {
        1 => "established",
        2 => "syn_sent",
        3 => "syn_recv",
        4 => "fin_wait1",
        5 => "fin_wait2",
        TIME_WAIT => "time_wait",
        7 => "close",
        8 => "close_wait",
        9 => "last_ack",
        LISTEN => "listen",
        11 => "closing",
        12 => "new_syn_recv",
        _ => "unknown",
    }
}

fn udp_state(state: u8) -> &'static str {
    match state {
        1 => "established",
        7 => "bound",
        _ => "unknown",
    }
}

/// `ffff: 00000002 00000000 00010000 0001 01 12345 /path`: after the number come reference count,
/// protocol, flags, type, state, inode and perhaps a path; an abstract name starts with `@`.
fn unix_line(line: &str) -> Option<(u64, Socket)> {
    const LISTENING: u32 = 0x1_0000;
    let mut fields = line.split_ascii_whitespace().skip(3);
    let flags = u32::from_str_radix(fields.next()?, 16).ok()?;
    let _kind = fields.next()?;
    let state = match (flags & LISTENING != 0, fields.next()?) {
        (true, _) => "listen",
        (_, "01") => "unconnected",
        (_, "02") => "connecting",
        (_, "03") => "connected",
        (_, "04") => "disconnecting",
        _ => "unknown",
    };
    let inode = fields.next()?.parse().ok()?;
    let path = fields.collect::<Vec<_>>().join(" ");
    Some((inode, unix_named(state, &path)))
}

fn unix(socket: &UnixSocket) -> Socket {
    const ESTABLISHED: u8 = 1;
    const CLOSE: u8 = 7;
    let state = match socket.state {
        ESTABLISHED => "connected",
        CLOSE => "unconnected",
        LISTEN => "listen",
        _ => "unknown",
    };
    // As the text has it: a path ends with NUL, an abstract name begins with one.
    let path = socket.name.strip_suffix(b"\0").unwrap_or(&socket.name);
    unix_named(state, &String::from_utf8_lossy(path).replace('\0', "@"))
}

fn unix_named(state: &'static str, path: &str) -> Socket {
    let name = match (path.is_empty(), state) {
        (true, _) => format!("unix socket ({state})"),
        (false, "listen") => format!("unix listener {path}"),
        (false, _) => format!("unix {path} ({state})"),
    };
    Socket { protocol: "unix", state, name }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0\n\
   1: 0100007F:1F90 0100007F:D431 06 00000000:00000000 03:000016F9 00000000     0        0 0 3 0000000000000000\n\
   2: 0100007F:D432 0100007F:1F90 08 00000000:00000000 00:00000000 00000000     0        0 4243 1 0000000000000000\n";

    #[test]
    fn reads_states_addresses_and_inodes() {
        let lines: Vec<InetSocket> = inet_lines(TCP).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].local.to_string(), "127.0.0.1:8080");
        assert_eq!((lines[0].inode, tcp_state(lines[0].state)), (4242, "listen"));
        assert_eq!(tcp_state(lines[1].state), "time_wait");
        assert_eq!(lines[1].remote.port(), 0xd431);
        assert_eq!(tcp_state(lines[2].state), "close_wait");
    }

    #[test]
    fn reads_version_six_and_its_mapped_addresses() {
        assert_eq!(
            address("00000000000000000000000001000000:0050").unwrap().to_string(),
            "[::1]:80"
        );
        assert_eq!(
            address("0000000000000000FFFF00000100007F:0050").unwrap().to_string(),
            "127.0.0.1:80"
        );
        assert_eq!(address("nonsense"), None);
    }

    #[test]
    fn reads_unix_lines() {
        let listener =
            unix_line("ffff8: 00000002 00000000 00010000 0001 01 777 /run/a b.sock").unwrap();
        assert_eq!(listener.0, 777);
        assert_eq!(listener.1.name, "unix listener /run/a b.sock");
        let nameless = unix_line("ffff8: 00000003 00000000 00000000 0001 03 778").unwrap();
        assert_eq!(nameless.1.name, "unix socket (connected)");
        assert_eq!(unix_line("Num RefCount"), None);
    }

    #[test]
    fn netlink_and_the_text_name_unix_sockets_alike() {
        let name =
            |state, name: &[u8]| unix(&UnixSocket { state, inode: 1, name: name.to_vec() }).name;
        assert_eq!(name(10, b"/run/a b.sock\0"), "unix listener /run/a b.sock");
        assert_eq!(name(1, b""), "unix socket (connected)");
        assert_eq!(name(7, b"\0bus"), "unix @bus (unconnected)");
    }

    fn inode(socket: &impl std::os::fd::AsFd) -> u64 {
        nix::sys::stat::fstat(socket).unwrap().st_ino
    }

    /// A listener, a connection, a datagram socket and a unix pair of this very process.
    #[test]
    fn finds_its_own_sockets_with_their_peers() {
        use std::net::{TcpListener, TcpStream, UdpSocket};
        use std::os::unix::net::UnixStream;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let datagrams =
            UdpSocket::bind("[::1]:0").or_else(|_| UdpSocket::bind("127.0.0.1:0")).unwrap();
        let (unix, _peer) = UnixStream::pair().unwrap();
        let held = [inode(&listener), inode(&client), inode(&datagrams), inode(&unix)];
        let own = table(std::process::id(), held);
        assert_eq!(own.len(), held.len(), "those and no others");
        assert_eq!(own[&inode(&listener)].name, format!("tcp listener {address}"));
        assert_eq!(
            own[&inode(&client)].name,
            format!("tcp {} -> {address} (established)", client.local_addr().unwrap())
        );
        assert_eq!(
            own[&inode(&datagrams)].name,
            format!("udp {}", datagrams.local_addr().unwrap())
        );
        assert_eq!(own[&inode(&unix)].name, "unix socket (connected)");
    }

    /// A thread is as good as a process there: `/proc/TID/ns/net` is its own. Where no namespace may be made,
    /// it is this one, and where it may not be entered, the text is read.
    #[test]
    fn finds_the_sockets_of_another_namespace() {
        use nix::sched::{CloneFlags, unshare};
        use std::net::{Ipv4Addr, TcpListener};
        use std::sync::mpsc::channel;
        let (tell, told) = channel();
        let (leave, left) = channel::<()>();
        let inside = std::thread::spawn(move || {
            let _ = unshare(CloneFlags::CLONE_NEWNET);
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            let inode = inode(&listener);
            tell.send((nix::unistd::gettid(), inode, listener.local_addr().unwrap())).unwrap();
            // Until the other side has looked.
            let _ = left.recv();
        });
        let (tid, inode, address) = told.recv().unwrap();
        let found = table(tid.as_raw() as u32, [inode]);
        drop(leave);
        inside.join().unwrap();
        assert_eq!(found[&inode].name, format!("tcp listener {address}"));
    }
}
