//! Servers and interpreters of the distribution under load. Skipped, with a word, where they are absent.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::mem::{offset_of, size_of};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use watertight_suites::wait_for;

use crate::preload::table::{REGION_ENDING, Region, SHARDS, Shard};
use crate::preload::{Agent, Table};
use crate::twice::{MODES, TRIAL, plain, preloaded};

/// A command with that program, where it is installed.
fn installed(program: &str) -> Option<Command> {
    let mut places = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or(vec![]);
    places.push("/usr/sbin".into());
    let found = places.into_iter().map(|place| place.join(program)).find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: {program} is not installed");
    }
    found.map(Command::new)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A server on a port of its own; ended and reaped in every case.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "ended and reaped on drop")]
    fn start(mut command: Command, port: u16, table: Option<&Table<'_>>) -> Self {
        if let Some(table) = table {
            table.preload(&mut command);
        }
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the server starts");
        let mut server = Self { child, port };
        wait_for("the server answers", || {
            let ended = server.child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "the server ended: {ended:?}");
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())
        })
        .expect("a server");
        server
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).expect("a connection")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a child of ours");
    }

    fn ended(mut self) -> ExitStatus {
        wait_for("the server ends", || Ok(self.child.try_wait()?.is_some())).expect("an end");
        self.child.wait().expect("a child of ours")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the same without the agent and in all its modes.
fn all_ways<T: PartialEq + std::fmt::Debug>(run: impl Fn(Option<&Table<'_>>) -> T) {
    let agent = Agent::find();
    let expected = run(None);
    for (mode, asked) in MODES {
        assert_eq!(run(Some(&agent.table(asked))), expected, "with {mode}");
    }
}

/// Live heap bytes by the region's counters.
fn heap(region: &Path) -> u64 {
    let bytes = fs::read(region)
        .map(|mut bytes| bytes.drain(..offset_of!(Region, fds)).collect::<Vec<u8>>());
    let bytes = bytes.expect("a region");
    let word = |at: usize| {
        bytes[at..at + 8].iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
    };
    let of_shard = |shard: usize| {
        let at = offset_of!(Region, shards) + shard * size_of::<Shard>();
        let made = word(at + offset_of!(Shard, alloc_bytes));
        made.wrapping_sub(word(at + offset_of!(Shard, free_bytes)))
    };
    (0..=SHARDS).map(of_shard).fold(0, u64::wrapping_add)
}

#[test]
fn redis_under_load() {
    if installed("redis-benchmark").is_none() || installed("redis-server").is_none() {
        return;
    }
    all_ways(|table| {
        let directory = TempDir::new().expect("a directory");
        let port = free_port();
        let mut command = installed("redis-server").expect("as above");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
        command.arg(directory.path());
        let server = Server::start(command, port, table);
        let mut load = installed("redis-benchmark").expect("as above");
        load.args([
            "-p",
            &port.to_string(),
            "-n",
            "20000",
            "-q",
            "-P",
            "4",
            "-t",
            "set,incr,lpush,hset",
        ]);
        assert!(load.stdout(Stdio::null()).status().expect("the load").success());

        let mut connection = server.connect();
        let mut replies = BufReader::new(connection.try_clone().expect("a copy")).lines();
        let mut ask = |question: &str| {
            connection.write_all(format!("{question}\r\n").as_bytes()).expect("a question");
            replies.next().expect("a reply").expect("a line")
        };
        let said =
            ["DBSIZE", "LLEN mylist", "BGREWRITEAOF", "CONFIG SET save 1", "PING"].map(&mut ask);
        if let Some(table) = table {
            // It counts the same blocks by itself, and allocates a little more than it counts.
            let length = ask("MEMORY STATS");
            assert!(length.starts_with('*'), "{length}");
            let used: u64 = loop {
                if replies.next().expect("a reply").expect("a line") == "total.allocated" {
                    let number = replies.next().expect("a reply").expect("a line");
                    break number.trim_start_matches(':').parse().expect("a number");
                }
            };
            // It has children with regions of their own.
            let own = format!("{}-0{REGION_ENDING}", server.child.id());
            let seen = heap(&table.region().with_file_name(own));
            assert!(
                (used / 2..used * 2).contains(&seen),
                "redis uses {used}, the agent saw {seen}"
            );
        }
        server.signal(Signal::SIGTERM);
        (said, server.ended())
    });
}

#[test]
fn nginx_under_load() {
    if installed("nginx").is_none() {
        return;
    }
    all_ways(|table| {
        let directory = TempDir::new().expect("a directory");
        let place = directory.path().display();
        let port = free_port();
        let config = format!(
            "daemon off; worker_processes 2; pid {place}/pid; error_log {place}/error.log;
             events {{ worker_connections 100; }}
             http {{
                 access_log {place}/access.log;
                 client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
                 fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
                 server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"$request_uri\"; }} }}
             }}"
        );
        fs::write(directory.path().join("nginx.conf"), config).expect("a file");
        let mut command = installed("nginx").expect("as above");
        command.arg("-p").arg(directory.path()).arg("-c").arg(directory.path().join("nginx.conf"));
        command.stderr(Stdio::null());
        let server = Server::start(command, port, table);
        let request = |number: usize| {
            let mut connection = server.connect();
            write!(connection, "GET /{number} HTTP/1.0\r\n\r\n").expect("a request");
            let mut reply = String::new();
            connection.read_to_string(&mut reply).expect("a reply");
            reply.starts_with("HTTP/1.1 200") && reply.ends_with(&format!("\r\n\r\n/{number}"))
        };
        let first = (0..300).filter(|number| request(*number)).count();
        server.signal(Signal::SIGHUP);
        let second = (300..600).filter(|number| request(*number)).count();
        server.signal(Signal::SIGQUIT);
        let status = server.ended();
        let log = fs::read_to_string(directory.path().join("access.log")).expect("a log");
        let errors = fs::read_to_string(directory.path().join("error.log")).expect("a log");
        let alerts = errors
            .lines()
            .filter(|line| line.contains("[alert]") || line.contains("[emerg]"))
            .count();
        (first, second, log.lines().filter(|line| line.contains("GET /")).count(), alerts, status)
    });
}

/// Parts of CPython's own test suite that are quick and about what the agent touches.
const OF_CPYTHON: [&str; 12] = [
    "test_epoll",
    "test_fcntl",
    "test_fork1",
    "test_mmap",
    "test_poll",
    "test_popen",
    "test_posix",
    "test_pty",
    "test_select",
    "test_tempfile",
    "test_thread",
    "test_wait4",
];

#[test]
fn parts_of_cpythons_own_tests() {
    if installed("python3").is_none() {
        return;
    }
    // What is called python3 may be a script that looks for it.
    let mut which = Command::new("python3");
    which.args(["-c", "import sys, test.support, test.test_fork1; print(sys.executable)"]);
    let output = which.output().expect("it started before");
    if !output.status.success() {
        return println!(
            "skipped: this python3 has no package `test`; install libpython3-testsuite"
        );
    }
    let executable = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let directory = TempDir::new().expect("a directory");
    let command = || {
        let mut command = Command::new(&executable);
        command.args(["-m", "test", "-v"]).args(OF_CPYTHON).current_dir(directory.path());
        command
    };
    // The outcome of each test, by unittest's own words.
    let outcomes = |text: &str| -> Vec<String> {
        let words = ["ok", "FAIL", "ERROR", "expected failure"];
        let is_outcome = |line: &&str| {
            line.split_once(" ... ")
                .is_some_and(|(_, word)| words.contains(&word) || word.starts_with("skipped"))
        };
        text.lines().filter(is_outcome).map(ToOwned::to_owned).collect()
    };
    let expected = plain(command());
    let expected = (expected.status, outcomes(&expected.out));
    assert!(expected.1.len() > 200, "its tests ran: {expected:?}");
    let outcome = preloaded(command(), &Agent::find(), TRIAL);
    assert_eq!((outcome.status, outcomes(&outcome.out)), expected, "{}", outcome.err);
}
