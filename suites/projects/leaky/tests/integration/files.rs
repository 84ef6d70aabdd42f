//! Files and directories that stay.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

#[test]
fn temporary_file() {
    fs::write(temporary("file"), "left").unwrap(); // leaks here: temporary_file
}

#[test]
fn temporary_file_released() {
    let path = temporary("file-released");
    fs::write(&path, "not left").unwrap();
    fs::remove_file(path).unwrap();
}

#[test]
fn temporary_directory() {
    fs::create_dir(temporary("directory")).unwrap(); // leaks here: temporary_directory
}

#[test]
fn temporary_directory_released() {
    let path = temporary("directory-released");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "not left").unwrap();
    fs::remove_dir_all(path).unwrap();
}

/// The socket is closed; its name stays.
#[test]
fn socket_file() {
    drop(UnixListener::bind(temporary("socket")).unwrap()); // leaks here: socket_file
}

#[test]
fn socket_file_released() {
    let path = temporary("socket-released");
    drop(UnixListener::bind(&path).unwrap());
    fs::remove_file(path).unwrap();
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("leaky-{}-{name}", std::process::id()))
}
