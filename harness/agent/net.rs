//! TCP: who connected or accepted, and which side closed first.
//!
//! The side that closes first keeps the port pair in TIME_WAIT (RFC 9293, section 3.6). It is told at
//! `close` and `shutdown` by the connection's state: while that is ESTABLISHED the peer has sent
//! no FIN, so this side is the first. A pair is only noted here; whether it is in TIME_WAIT the
//! supervisor asks the kernel.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicI32, Ordering::*};

use crate::fd;
use crate::local;
use crate::next::{self, forward};
use crate::note;
use crate::sys;
use crate::table::{
    Fd, KIND_ANY, KIND_SOCKET, PAIR_SLOTS, ROLE_ACCEPT, ROLE_CONNECT, Region,
};

/// accept(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept(listener: c_int, address: *mut c_void, len: *mut u32) -> c_int {
    type Accept = unsafe extern "C" fn(c_int, *mut c_void, *mut u32) -> c_int;
    accepted(forward!(ACCEPT as Accept, (listener, address, len), else -1))
}

/// accept4(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept4(listener: c_int, address: *mut c_void, len: *mut u32, flags: c_int) -> c_int {
    type Accept4 = unsafe extern "C" fn(c_int, *mut c_void, *mut u32, c_int) -> c_int;
    accepted(forward!(ACCEPT4 as Accept4, (listener, address, len, flags), else -1))
}

fn accepted(fd: c_int) -> c_int {
    fd::born(fd, KIND_SOCKET);
    if let Some((_, slot)) = fd::slot(fd) {
        slot.role_stack.store(slot.stack.load(Relaxed), Relaxed);
        slot.role.store(ROLE_ACCEPT, Release);
    }
    fd
}

/// connect(2). One that does not block is noted when it is started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(socket: c_int, address: *const c_void, len: u32) -> c_int {
    type Connect = unsafe extern "C" fn(c_int, *const c_void, u32) -> c_int;
    const EINTR: c_int = 4;
    const EINPROGRESS: c_int = 115;
    let result = forward!(CONNECT as Connect, (socket, address, len), else -1);
    let goes_on = |errno: &AtomicI32| matches!(errno.load(Relaxed), EINTR | EINPROGRESS);
    if (result == 0 || next::errno().is_some_and(goes_on))
        && let Some((region, slot)) = fd::slot(socket)
        && slot.role.load(Relaxed) != ROLE_CONNECT
        && len >= 2
        // SAFETY: the kernel has read an address of `len` bytes, which starts with its family.
        && is_inet(unsafe { address.cast::<u16>().read_unaligned() })
        && let Some(control) = local::control()
    {
        let stack = if local::wants_fd_stacks(control) { note::stack_id(region, control) } else { 0 };
        slot.role_stack.store(stack, Relaxed);
        slot.role.store(ROLE_CONNECT, Release);
    }
    result
}

/// shutdown(2): ends our direction, so it can be the first close.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shutdown(socket: c_int, how: c_int) -> c_int {
    const SHUT_RD: c_int = 0;
    if how != SHUT_RD
        && let Some((region, slot)) = fd::slot(socket)
        && slot.role.load(Relaxed) != 0
    {
        closes(region, slot, socket);
    }
    forward!(SHUTDOWN as unsafe extern "C" fn(c_int, c_int) -> c_int, (socket, how), else -1)
}

/// recvmsg(2): descriptors may arrive with the message (SCM_RIGHTS, unix(7)).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(socket: c_int, message: *mut MessageHeader, flags: c_int) -> isize {
    type Recvmsg = unsafe extern "C" fn(c_int, *mut MessageHeader, c_int) -> isize;
    let result = forward!(RECVMSG as Recvmsg, (socket, message, flags), else -1);
    if result >= 0 && !message.is_null() {
        // SAFETY: the kernel has filled the header that the caller passed.
        unsafe { received(&*message) };
    }
    result
}

/// `struct msghdr` of recvmsg(2), 64-bit.
#[repr(C)]
pub struct MessageHeader {
    name: *mut c_void,
    name_len: u32,
    iov: *mut c_void,
    iov_len: usize,
    control: *mut u8,
    control_len: usize,
    flags: c_int,
}

/// Enters the descriptors of every SCM_RIGHTS message (cmsg(3)).
///
/// # Safety
/// The header was filled by the kernel.
pub(crate) unsafe fn received(message: &MessageHeader) {
    const HEADER: usize = 16;
    const SOL_SOCKET: i32 = 1;
    const SCM_RIGHTS: i32 = 1;
    let mut at = 0usize;
    while !message.control.is_null() && at + HEADER <= message.control_len {
        // SAFETY: `at + HEADER` lies inside the control buffer.
        let (len, level, kind) = unsafe {
            let header = message.control.add(at);
            (
                header.cast::<usize>().read_unaligned(),
                header.add(8).cast::<i32>().read_unaligned(),
                header.add(12).cast::<i32>().read_unaligned(),
            )
        };
        if len < HEADER || at + len > message.control_len {
            return;
        }
        if level == SOL_SOCKET && kind == SCM_RIGHTS {
            for index in 0..(len - HEADER) / 4 {
                // SAFETY: inside this control message.
                let fd = unsafe { message.control.add(at + HEADER + index * 4).cast::<i32>().read_unaligned() };
                fd::born(fd, KIND_ANY);
            }
        }
        at += (len + 7) & !7;
    }
}

/// Notes the port pair of a connection that this side is about to end first.
pub(crate) fn closes(region: &Region, slot: &Fd, socket: c_int) {
    const TCP_ESTABLISHED: u8 = 1;
    if tcp_state(socket) != Some(TCP_ESTABLISHED) {
        return;
    }
    let (Some(local), Some(remote)) = (port(sys::GETSOCKNAME, socket), port(sys::GETPEERNAME, socket))
    else {
        return;
    };
    let at = region.pair_next.fetch_add(1, AcqRel) as usize % PAIR_SLOTS;
    let pair = &region.pairs[at];
    pair.ready.store(0, Release);
    pair.stack.store(slot.role_stack.load(Relaxed), Relaxed);
    pair.role.store(slot.role.load(Relaxed), Relaxed);
    pair.round.store(local::control().map_or(0, |control| control.round.load(Relaxed)), Relaxed);
    pair.local_port.store(local.1, Relaxed);
    pair.remote_port.store(remote.1, Relaxed);
    pair.family.store(u32::from(local.0), Relaxed);
    pair.ready.store(1, Release);
}

/// The connection's state, the first byte of `struct tcp_info` (tcp(7)); none for other sockets.
fn tcp_state(socket: c_int) -> Option<u8> {
    const IPPROTO_TCP: usize = 6;
    const TCP_INFO: usize = 11;
    let mut state = [0u8; 8];
    let mut len = state.len() as u32;
    // SAFETY: buffer and length live across the call.
    let result = unsafe {
        let args = [socket as usize, IPPROTO_TCP, TCP_INFO, state.as_mut_ptr() as usize, (&raw mut len) as usize, 0];
        sys::syscall(sys::GETSOCKOPT, args)
    };
    (result == 0 && len > 0).then_some(state[0])
}

/// Family and port of one end (getsockname(2), getpeername(2)).
fn port(call: usize, socket: c_int) -> Option<(u16, u16)> {
    let mut address = [0u8; 28];
    let mut len = address.len() as u32;
    // SAFETY: buffer and length live across the call.
    let result = unsafe {
        sys::syscall(call, [socket as usize, address.as_mut_ptr() as usize, (&raw mut len) as usize, 0, 0, 0])
    };
    let family = u16::from_ne_bytes([address[0], address[1]]);
    (result == 0 && is_inet(family)).then(|| (family, u16::from_be_bytes([address[2], address[3]])))
}

fn is_inet(family: u16) -> bool {
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    matches!(family, AF_INET | AF_INET6)
}
