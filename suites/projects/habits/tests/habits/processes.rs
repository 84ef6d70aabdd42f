//! Processes that are waited for, and cargo inside of a test.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Looks like descriptors and a process: pipes for three streams, all closed, and the child reaped.
#[test]
fn the_output_of_a_command() {
    let output = Command::new("echo").arg("hello").output().unwrap();
    assert_eq!(output.stdout, b"hello\n");
}

/// Looks like a zombie: between the child's end and the wait it is one.
#[test]
fn a_child_that_is_waited_for() {
    let mut child =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"through");
}

/// Looks like a process that outlives the test: a grandchild that the shell leaves running, and that
/// ends as soon as its input does.
#[test]
fn a_grandchild_that_ends_with_the_test() {
    let mut shell = Command::new("sh")
        .args(["-c", "exec 3<&0; cat <&3 >/dev/null 2>&1 &"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(shell.wait().unwrap().success());
    drop(shell);
}

/// Looks like processes of cargo's and rustc's, threads and a jobserver: all are gone when it returns.
#[test]
fn cargo_tells_its_version() {
    let output = Command::new(cargo()).arg("--version").output().unwrap();
    assert!(output.stdout.starts_with(b"cargo "), "{output:?}");
}

/// Looks like files that stay in a temporary directory, and processes: all are gone when it returns.
#[test]
fn cargo_builds_a_project() {
    let project = project();
    said(project.path(), &["build", "--offline"]);
    assert!(project.path().join("target/debug/tiny").exists());
}

/// Looks like a test to whoever is cargo's runner: a program with arguments, whose output must be its own.
#[test]
fn cargo_runs_a_program() {
    let project = project();
    assert_eq!(said(project.path(), &["run", "--offline", "--quiet", "--", "--list"]), "--list\n");
}

/// Looks like tests of this project to whoever is cargo's runner: tests of another, inside of a test.
#[test]
fn cargo_tests_a_project() {
    let project = project();
    let said = said(project.path(), &["test", "--offline"]);
    assert!(said.contains("test adds ... ok"), "{said}");
}

/// What cargo prints.
fn said(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(cargo());
    command.args(arguments).current_dir(directory).env_remove("CARGO_TARGET_DIR");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn project() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("src")).unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write(
        "Cargo.toml",
        "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
    );
    write(
        "src/main.rs",
        "fn main() { for word in std::env::args().skip(1) { println!(\"{word}\"); } }\n\
         #[test]\nfn adds() { assert_eq!(1 + 1, 2); }\n",
    );
    directory
}

fn cargo() -> std::ffi::OsString {
    env::var_os("CARGO").unwrap_or("cargo".into())
}
