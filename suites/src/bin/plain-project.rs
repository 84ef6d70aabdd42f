//! Writes a project of many small tests that knows nothing of the harness, to measure what auditing costs:
//!
//! ```text
//! cargo run -p watertight-suites --bin plain-project -- /tmp/plain --tests 200
//! cd /tmp/plain && cargo nextest run && cargo watertight nextest
//! ```
//!
//! The tests are as those of real projects: most are done in a millisecond, one in ten works for twenty, one in
//! ten has a file, one in ten a connection, one in ten a thread.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;

/// What is written where.
#[derive(Debug, Parser)]
struct Arguments {
    /// The project's folder; it is made.
    directory: PathBuf,
    /// How many tests.
    #[arg(long, default_value_t = 200)]
    tests: usize,
    /// In how many binaries.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    binaries: u32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let folder = arguments.directory.as_path();
    write(&folder.join("Cargo.toml"), MANIFEST)?;
    write(&folder.join("src/lib.rs"), WORK)?;
    let binaries = arguments.binaries as usize;
    for binary in 0..binaries {
        // Every n-th test, so that each binary has some of each sort.
        let numbers = (binary..arguments.tests).step_by(binaries);
        write(&folder.join(format!("tests/part_{binary}.rs")), &tests(numbers))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let said = || format!("{} could not be written", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).with_context(said)?;
    fs::write(path, text).with_context(said)
}

/// A binary's tests.
fn tests(numbers: impl Iterator<Item = usize>) -> String {
    let mut text = String::new();
    for number in numbers {
        // The sorts take turns in an order of their own, that no number of binaries divides.
        let (sort, call) = match number / 7 % 10 {
            0 => ("works_long", "work(20)"),
            1 => ("writes_a_file", "write_a_file()"),
            2 => ("talks", "talk()"),
            3 => ("has_a_thread", "have_a_thread()"),
            _ => ("works", "work(1)"),
        };
        let _ = writeln!(text, "#[test]\nfn {sort}_{number:04}() {{\n    plain::{call};\n}}\n");
    }
    text
}

const MANIFEST: &str = r#"[package]
name = "plain"
version = "0.1.0"
edition = "2024"
publish = false

[workspace]

[lib]
doctest = false
test = false
"#;

/// The library under test. One unit of work is about a millisecond without optimisation, on a machine of
/// 2025: a fixed amount, as time that is only waited for would hide what auditing costs.
const WORK: &str = r#"//! Work of several sorts.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

pub fn work(units: u64) {
    for unit in 0..units {
        let mut words = BTreeMap::new();
        for number in 0..1100u64 {
            let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            words.insert(format!("{key}"), vec![unit; 8]);
        }
        assert!(words.len() > 1000);
    }
}

pub fn write_a_file() {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("plain-{}-{number}", std::process::id()));
    fs::write(&path, "text").unwrap();
    work(1);
    assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    fs::remove_file(path).unwrap();
}

pub fn talk() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = thread::spawn(move || {
        let mut text = String::new();
        TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    listener.accept().unwrap().0.write_all(b"hello").unwrap();
    assert_eq!(client.join().unwrap(), "hello");
}

pub fn have_a_thread() {
    thread::spawn(|| work(1)).join().unwrap();
}
"#;
