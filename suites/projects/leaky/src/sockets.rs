//! Sockets, and what a closed one leaves in the kernel.

use std::io::{Read as _, Write as _};
use std::mem::forget;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

/// More than the port pairs that a test may leave.
const CALLS: usize = 20;

#[test]
fn socket_tcp_client() {
    let server = listen();
    forget(TcpStream::connect(server.local_addr().unwrap()).unwrap()); // leaks here: socket_tcp_client
    drop(server.accept().unwrap());
}

#[test]
fn socket_tcp_client_released() {
    let server = listen();
    let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    drop(server.accept().unwrap());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn socket_tcp_listener() {
    forget(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()); // leaks here: socket_tcp_listener
}

#[test]
fn socket_tcp_listener_released() {
    drop(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
}

#[test]
fn socket_unix() {
    forget(UnixStream::pair().unwrap()); // leaks here: socket_unix
}

#[test]
fn socket_unix_released() {
    drop(UnixStream::pair().unwrap());
}

/// The client has hung up, and the server never looks.
#[test]
fn socket_close_wait() {
    let server = listen();
    let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (accepted, _) = server.accept().unwrap(); // leaks here: socket_close_wait
    hang_up(client, &accepted);
    forget(accepted);
}

#[test]
fn socket_close_wait_released() {
    let server = listen();
    let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (accepted, _) = server.accept().unwrap();
    hang_up(client, &accepted);
}

#[test]
fn time_wait() {
    let server = listen();
    for _ in 0..CALLS {
        let client = TcpStream::connect(server.local_addr().unwrap()).unwrap(); // leaks here: time_wait
        let (accepted, _) = server.accept().unwrap();
        hang_up(client, &accepted);
    }
}

/// As many calls, over one connection.
#[test]
fn time_wait_released() {
    let server = listen();
    let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (mut accepted, _) = server.accept().unwrap();
    for _ in 0..CALLS {
        client.write_all(b"?").unwrap();
        accepted.read_exact(&mut [0]).unwrap();
    }
    hang_up(client, &accepted);
}

fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// Closes the client's end first; the other one knows it when this returns.
fn hang_up(client: TcpStream, mut accepted: &TcpStream) {
    drop(client);
    assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
}
