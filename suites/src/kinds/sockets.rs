//! Sockets, and what a closed one leaves in the kernel.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::OnceLock;

use watertight::Resource::{Socket, TimeWait};
use watertight::{Context, Failed};

use super::{Kind, Source, lose, source};

const SOURCE: Source = source!("sockets.rs");
const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const PATH: &str = "kinds.sock";
/// More than the port pairs that a round may leave.
const CALLS: usize = 20;

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("tcp_client", SOURCE, &[Socket], "(established)")
            .leaky(|_cx| {
                let (address, _) = server()?;
                lose(TcpStream::connect(address)?); // LEAK tcp_client
                Ok(())
            })
            .clean(|_cx| {
                let (address, listener) = server()?;
                let client = TcpStream::connect(address)?;
                // The server ends the conversation, so the client leaves nothing in the kernel either.
                drop(listener.accept()?);
                let ended = (&client).read(&mut [0])?;
                assert_eq!(ended, 0);
                Ok(())
            }),
        Kind::new("tcp_listener", SOURCE, &[Socket], "tcp listener 127.0.0.1:")
            .leaky(|_cx| {
                lose(TcpListener::bind(LOOPBACK)?); // LEAK tcp_listener
                Ok(())
            })
            .clean(|_cx| {
                drop(TcpListener::bind(LOOPBACK)?);
                Ok(())
            }),
        Kind::new("unix_socket", SOURCE, &[Socket], PATH)
            .leaky(|_cx| {
                let directory = tempfile::tempdir()?;
                lose(UnixListener::bind(directory.path().join(PATH))?); // LEAK unix_socket
                Ok(directory.close()?)
            })
            .clean(|_cx| {
                let directory = tempfile::tempdir()?;
                drop(UnixListener::bind(directory.path().join(PATH))?);
                Ok(directory.close()?)
            }),
        Kind::new("close_wait", SOURCE, &[Socket], "(close_wait)")
            .leaky(|_cx| {
                let (address, listener) = server()?;
                let client = TcpStream::connect(address)?;
                let (accepted, _) = listener.accept()?; // LEAK close_wait
                hang_up(client, &accepted)?;
                lose(accepted);
                Ok(())
            })
            .clean(|_cx| {
                let (address, listener) = server()?;
                let client = TcpStream::connect(address)?;
                let (accepted, _) = listener.accept()?;
                hang_up(client, &accepted)
            }),
        Kind::new("time_wait", SOURCE, &[TimeWait], "tcp port ")
            .leaky(|_cx| {
                let (address, listener) = server()?;
                for _ in 0..CALLS {
                    let client = TcpStream::connect(address)?; // LEAK time_wait
                    let (accepted, _) = listener.accept()?;
                    hang_up(client, &accepted)?;
                }
                Ok(())
            })
            .clean(one_connection_for_all_calls),
    ]
}

/// As many calls, over one connection.
fn one_connection_for_all_calls(_cx: &Context) -> Result<(), Failed> {
    let (address, listener) = server()?;
    let mut client = TcpStream::connect(address)?;
    let (mut accepted, _) = listener.accept()?;
    for _ in 0..CALLS {
        client.write_all(b"?")?;
        accepted.read_exact(&mut [0])?;
    }
    hang_up(client, &accepted)
}

/// Closes the client's end; the other one knows it when this returns.
fn hang_up(client: TcpStream, mut accepted: &TcpStream) -> Result<(), Failed> {
    drop(client);
    match accepted.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(Failed::new("the client said something")),
    }
}

/// A listener that is opened once and serves every round.
fn server() -> Result<(SocketAddr, &'static TcpListener), Failed> {
    static LISTENER: OnceLock<io::Result<TcpListener>> = OnceLock::new();
    match LISTENER.get_or_init(|| TcpListener::bind(LOOPBACK)) {
        Ok(listener) => Ok((listener.local_addr()?, listener)),
        Err(error) => Err(Failed::new(error.to_string())),
    }
}
