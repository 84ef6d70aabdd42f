//! What is made once, on first use, and belongs to the process.

use std::fs::File;
use std::net::UdpSocket;
use std::sync::{LazyLock, Mutex, OnceLock};
use std::thread::{self, JoinHandle};

use lazy_static::lazy_static;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// Looks like a leaked file: a static owns it.
#[test]
fn a_file_in_a_once_lock() {
    static FILE: OnceLock<File> = OnceLock::new();
    assert!(FILE.get_or_init(|| File::open(MANIFEST).unwrap()).metadata().unwrap().is_file());
}

/// Looks like a leaked socket: a static owns it.
#[test]
fn a_socket_in_a_lazy_lock() {
    static SOCKET: LazyLock<UdpSocket> = LazyLock::new(|| UdpSocket::bind("127.0.0.1:0").unwrap());
    assert_ne!(SOCKET.local_addr().unwrap().port(), 0);
}

/// Looks like a leaked thread: a static owns it, and it waits for ever.
#[test]
fn a_thread_in_a_once_cell() {
    static THREAD: once_cell::sync::Lazy<JoinHandle<()>> =
        once_cell::sync::Lazy::new(|| thread::spawn(wait_for_ever));
    assert!(!THREAD.is_finished());
}

/// Looks like a leaked file: a static owns it.
#[test]
fn a_file_in_a_lazy_static() {
    lazy_static! {
        static ref FILE: Mutex<File> = Mutex::new(File::open(MANIFEST).unwrap());
    }
    assert!(FILE.lock().unwrap().metadata().unwrap().is_file());
}

/// Looks like memory that grows: a list that a static keeps. Listed at most, and no reason to fail.
#[test]
fn memory_that_a_static_keeps() {
    static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    KEPT.lock().unwrap().push(vec![1; 4096]);
}

fn wait_for_ever() {
    loop {
        thread::park();
    }
}
