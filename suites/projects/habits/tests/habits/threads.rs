//! Threads, channels and panics that all come to their end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::panic::catch_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Looks like leaked threads: the scope joins them.
#[test]
fn scoped_threads() {
    let numbers = [1, 2, 3, 4];
    let sum = |part: &[i32]| part.iter().sum::<i32>();
    let (low, high) = thread::scope(|scope| {
        let low = scope.spawn(|| sum(&numbers[..2]));
        let high = scope.spawn(|| sum(&numbers[2..]));
        (low.join().unwrap(), high.join().unwrap())
    });
    assert_eq!((low, high), (3, 7));
}

/// Looks like a leaked thread: nobody joins it, and it ends a moment after the test.
#[test]
fn a_thread_that_ends_soon() {
    thread::spawn(|| thread::sleep(Duration::from_millis(100)));
}

/// Looks like memory that stays: a panic's message, and the tables that a backtrace has read.
#[test]
fn a_panic_that_is_caught() {
    assert!(catch_unwind(|| panic!("on purpose")).is_err());
}

/// Looks like memory that stays: what was sent and never received is dropped with the channel.
#[test]
fn a_channel_with_unread_messages() {
    let (sender, receiver) = mpsc::channel();
    let sending = thread::spawn(move || (0..100).try_for_each(|number| sender.send(vec![number])));
    assert_eq!(receiver.recv().unwrap(), [0]);
    drop(receiver);
    // Whether all could be sent is a race.
    let _ = sending.join().unwrap();
}

/// Looks like sockets that stay: the server closes first, so the kernel keeps its port pair for a minute.
#[test]
fn a_page_is_fetched() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&client).lines();
        while !lines.next().unwrap().unwrap().is_empty() {}
        (&client).write_all(b"HTTP/1.0 200 OK\r\n\r\nhello").unwrap();
    });
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    server.join().unwrap();
}
