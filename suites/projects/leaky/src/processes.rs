//! Threads and processes that go on.

use std::process::{Command, Stdio};
use std::thread;

#[test]
fn thread_parked() {
    // Its name is what a reader sees first; it is set when the thread runs.
    let (tell, told) = std::sync::mpsc::channel();
    let parked = thread::Builder::new().name("leaky-parked".to_owned());
    let park = move || {
        tell.send(()).unwrap();
        loop {
            thread::park();
        }
    };
    parked.spawn(park).unwrap(); // leaks here: thread_parked
    told.recv().unwrap();
}

#[test]
fn thread_parked_released() {
    let parked = thread::Builder::new().name("leaky-parked".to_owned()).spawn(thread::park);
    let parked = parked.unwrap();
    parked.thread().unpark();
    parked.join().unwrap();
}

/// It ends by itself after some minutes, should nobody end it before.
#[test]
fn process_outlives() {
    let mut sleep = quiet("sleep", "301");
    sleep.spawn().unwrap(); // leaks here: process_outlives
}

#[test]
fn process_outlives_released() {
    let mut child = quiet("sleep", "302").spawn().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn process_zombie() {
    let mut child = quiet("true", "").spawn().unwrap(); // leaks here: process_zombie
    // It has ended when its end of the pipe is closed.
    let mut end = child.stdout.take().unwrap();
    std::io::copy(&mut end, &mut std::io::sink()).unwrap();
}

#[test]
fn process_zombie_released() {
    let mut child = quiet("true", "").spawn().unwrap();
    child.wait().unwrap();
}

/// A command that holds nothing of what the runner of the tests reads.
fn quiet(program: &str, argument: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
    command
}
