//! A private network for a trial: its sockets and its TIME_WAIT are its own, and parallel tests may bind the same port.
//!
//! A ladder (D5): a network namespace, one inside a user namespace with an identity map, none. Refusals
//! (EPERM, EINVAL, ENOSPC) are normal in containers and mean the machine's network, measured by port pairs.
//! Must be called by a process that has one thread (unshare(2)).

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

/// Enters a private network namespace with its loopback interface up.
///
/// # Errors
/// The errno of the last rung. The process may then have no network at all: see `rehearsal`.
pub(crate) fn enter() -> Result<(), Errno> {
    let (uid, gid) = (geteuid(), getegid());
    match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => {}
        Err(Errno::EPERM) => {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
            // An identity map: the test still is who it was (user_namespaces(7)).
            let map = |path: &str, content: String| {
                fs::write(path, content).map_err(|error| errno_of(&error))
            };
            map("/proc/self/setgroups", "deny".to_owned())?;
            map("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
            map("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
            prepare()?;
            return drop_capabilities();
        }
        Err(errno) => return Err(errno),
    }
    prepare()
}

/// Brings up loopback and keeps TIME_WAIT countable: with reuse on, connections over loopback take
/// over waiting pairs (tcp_tw_reuse = 2 is the default since Linux 4.19).
fn prepare() -> Result<(), Errno> {
    let socket =
        UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0)).map_err(|error| errno_of(&error))?;
    // SAFETY: an all-zero ifreq is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: netdevice(7): the request names the interface and carries its flags.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(result)?;
    // Kernels without the switch recycle nothing either.
    let _ = fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "0");
    Ok(())
}

/// Inside the user namespace the process has every capability, and a file of mode 000 would open.
fn drop_capabilities() -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let none = [0u32; 6];
    // SAFETY: capset(2) with version 3 reads two header words and six data words.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    Errno::result(result).map(drop)
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
