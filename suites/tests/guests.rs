//! Programs that are not ours start and work under the agent: other allocators, interpreters, servers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use watertight::Failed;
use watertight_suites::guest::WORKED;

fn output(command: &mut Command) -> Result<String, Failed> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(Failed::new(format!(
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )))
}

/// Whether the program is on this machine; says so where it is not.
fn is_here(program: &str) -> bool {
    let here = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !here {
        println!("skipped: {program} is not installed");
    }
    here
}

#[watertight::test]
fn a_program_with_jemalloc_works() -> Result<(), Failed> {
    let said = output(Command::new(env!("CARGO_BIN_EXE_guest-jemalloc")).arg("work"))?;
    assert_eq!(said, WORKED.to_string());
    Ok(())
}

#[watertight::test]
fn a_program_with_mimalloc_works() -> Result<(), Failed> {
    let said = output(Command::new(env!("CARGO_BIN_EXE_guest-mimalloc")).arg("work"))?;
    assert_eq!(said, WORKED.to_string());
    Ok(())
}

#[watertight::test]
fn cpython_works_with_threads_and_children() -> Result<(), Failed> {
    const SCRIPT: &str = "
import os, subprocess, threading
assert 'LD_PRELOAD' not in os.environ and not [name for name in os.environ if name == 'WATERTIGHT_TABLE']
threads = [threading.Thread(target=lambda: [bytearray(1000) for _ in range(1000)]) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert subprocess.check_output(['echo', 'child'], env={}) == b'child\\n'
pid = os.fork()
if pid == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
print('worked')
";
    if !is_here("python3") {
        return Ok(());
    }
    assert_eq!(output(Command::new("python3").args(["-c", SCRIPT]))?, "worked");
    Ok(())
}

/// Ends its child in every case.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[watertight::test]
#[expect(clippy::disallowed_methods, reason = "`Server` ends and reaps it")]
fn redis_serves_and_stops() -> Result<(), Failed> {
    if !is_here("redis-server") {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut server = Server(
        Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let stdout = server.0.stdout.take().ok_or_else(|| Failed::new("redis-server has no output"))?;
    let mut lines = BufReader::new(stdout).lines();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !lines.next().transpose()?.is_some_and(|line| line.contains("Ready to accept")) {
        assert!(Instant::now() < deadline, "redis-server did not get ready");
    }
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    let mut replies = BufReader::new(connection.try_clone()?).lines();
    for number in 0..100 {
        connection.write_all(format!("SET key{number} value\r\n").as_bytes())?;
        assert_eq!(replies.next().transpose()?.as_deref(), Some("+OK"));
    }
    connection.write_all(b"SHUTDOWN NOSAVE\r\n")?;
    for line in lines {
        drop(line?);
    }
    assert!(server.0.wait()?.success());
    Ok(())
}

watertight::main!();
