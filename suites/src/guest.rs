//! What a guest does: a program of its own kind that runs under the agent without knowing it.
//!
//! Called with `work` it is an ordinary program; otherwise it is a suite of one case, whose own
//! allocator the harness cannot see into and must say so.

use std::collections::HashMap;
use std::process::ExitCode;

use watertight::{Case, Failed, Suite};

/// Runs the guest as its arguments say.
pub fn main(name: &str) -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("work") {
        println!("{}", work());
        return ExitCode::SUCCESS;
    }
    Suite::new(name).case(Case::new("works", |_cx| check())).main()
}

/// Allocates in Rust and in C, on several threads.
pub fn work() -> usize {
    const THREADS: usize = 4;
    let threads: Vec<_> = (0..THREADS).map(|_| std::thread::spawn(one_thread)).collect();
    threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
}

fn one_thread() -> usize {
    let words: HashMap<usize, String> =
        (0..500).map(|number| (number, "x".repeat(number))).collect();
    let in_c: usize = rusqlite::version().len();
    let lengths: usize = words.values().map(String::len).sum();
    if in_c > 0 { lengths } else { 0 }
}

/// What [`work`] gives when nothing is lost.
pub const WORKED: usize = 4 * (499 * 500 / 2);

fn check() -> Result<(), Failed> {
    match work() {
        WORKED => Ok(()),
        other => Err(Failed::new(format!("the work came to {other}, not {WORKED}"))),
    }
}
