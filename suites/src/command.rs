//! `cargo watertight` as people start it, in projects that know nothing of it.
//!
//! The command is another package's, so it is built here, with the cargo that runs the test. Projects are
//! built below the test's own folder in the target directory and stay there: their sources stay clean, and
//! the next run has little to build.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigHandler, Signal, killpg, signal};
use nix::unistd::Pid;
use tempfile::TempDir;
use watertight_report::ledger;
use watertight_report::model::{Record, Run, Trial};
use watertight_tracker::process::PidFd;

use crate::plain;

/// So long that only a hang exceeds it: a first build of many dependencies on a busy machine is below.
const PATIENCE: Duration = Duration::from_secs(300);

/// What cargo, nextest, a developer or a CI job has set for this test, and a project of its own must not get.
const FOREIGN: [&str; 13] = [
    "CARGO_BIN_",
    "CARGO_BUILD_",
    "CARGO_CRATE_",
    "CARGO_ENCODED_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_",
    "CARGO_TARGET_",
    "NEXTEST",
    "RUSTFLAGS",
    "RUST_",
    "TARGETS_RUNS",
    "WATERTIGHT_",
];

/// The cargo that runs this test.
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The command's binary, built once in a process. `tmp` is `CARGO_TARGET_TMPDIR`.
///
/// # Panics
/// Where it cannot be built.
pub fn binary(tmp: &Path) -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build(tmp).unwrap_or_else(|error| panic!("cargo-watertight: {error:#}")))
}

fn build(tmp: &Path) -> Result<PathBuf> {
    let target = tmp.parent().context("it lies in the target directory")?;
    let mut command = Command::new(cargo());
    command
        .args(["build", "-p", "cargo-watertight", "--message-format=json", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    forget_surroundings(&mut command);
    let output = command.output().context("cargo")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let messages = String::from_utf8(output.stdout)?;
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == "cargo-watertight";
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    executables.next_back().context("cargo names no executable")
}

fn forget_surroundings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if FOREIGN.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
}

/// A project that can be tested.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its sources.
    pub folder: PathBuf,
    /// Its target directory.
    pub target: PathBuf,
    tmp: PathBuf,
}

impl Project {
    /// One of those in `suites/projects`, where it lies.
    pub fn planted(tmp: &Path, name: &str) -> Self {
        let target = tmp.join("unedited").join(name);
        Self { folder: plain::project(name), target, tmp: tmp.to_owned() }
    }

    /// One that lies anywhere, built where it is said.
    pub fn at(tmp: &Path, folder: PathBuf, target: PathBuf) -> Self {
        Self { folder, target, tmp: tmp.to_owned() }
    }

    /// A new one without dependencies, of the files given; with a manifest where they have none. It lies
    /// in `place`, whose last word is its name.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn written(tmp: &Path, place: &str, files: &[(&str, &str)]) -> Result<Self> {
        let folder = tmp.join("unedited-sources").join(place);
        let name = folder.file_name().context("a name")?.to_string_lossy().replace(' ', "-");
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n"
        );
        match fs::remove_dir_all(folder.join(".config")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        for (path, text) in [("Cargo.toml", manifest.as_str())].iter().chain(files) {
            write(&folder.join(path), text.as_bytes())?;
        }
        Ok(Self { target: tmp.join("unedited").join(place), folder, tmp: tmp.to_owned() })
    }

    /// A copy of one of those in `suites/projects`, to write into. It lies in `place`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn copied(tmp: &Path, name: &str, place: &str) -> Result<Self> {
        let copy = Self::written(tmp, &format!("{place}/{name}"), &[])?;
        copy_sources(&plain::project(name), &copy.folder)?;
        Ok(copy)
    }

    /// Plain cargo in the project's folder.
    pub fn cargo<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Call {
        self.call(cargo(), &[], arguments)
    }

    /// `cargo watertight` there.
    pub fn watertight<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Call {
        self.watertight_at(binary(&self.tmp), arguments)
    }

    /// The same by another path to the command.
    pub fn watertight_at<S: AsRef<OsStr>>(
        &self,
        binary: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Call {
        // As cargo starts it.
        self.call(binary.into(), &["watertight"], arguments)
    }

    /// Another program that starts one of both.
    pub fn by<S: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Call {
        self.call(program.into(), &[], arguments)
    }

    fn call<S: AsRef<OsStr>>(
        &self,
        program: OsString,
        first: &[&str],
        arguments: impl IntoIterator<Item = S>,
    ) -> Call {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let temporary = scratch.path().join("tmp");
        fs::create_dir(&temporary).expect("a directory in a directory of our own");
        let mut command = Command::new(program);
        forget_surroundings(&mut command);
        command
            .args(first)
            .args(arguments)
            .current_dir(&self.folder)
            .env("CARGO", cargo())
            .env("CARGO_TARGET_DIR", &self.target)
            .env("PWD", &self.folder)
            // What tests leave there goes with the run.
            .env("TMPDIR", temporary)
            .env("WATERTIGHT_LEDGER", scratch.path().join("ledger.jsonl"));
        Call { command, scratch, has_input: false, ignored: &[] }
    }
}

/// Writes a file where its content is another, so that cargo builds only what has changed.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let folder = path.parent().context("a folder")?;
    fs::create_dir_all(folder)?;
    // Whole or not at all: another process may do the same.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.persist(path)?;
    Ok(())
}

fn copy_sources(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            // Somebody may have built it where it lies.
            true if entry.file_name() == "target" => {}
            true => copy_sources(&entry.path(), &to)?,
            false => write(&to, &fs::read(entry.path())?)?,
        }
    }
    Ok(())
}

/// A command that is about to start. It has a temporary directory and a ledger of its own.
#[derive(Debug)]
pub struct Call {
    command: Command,
    scratch: TempDir,
    has_input: bool,
    /// Signals that it is to ignore.
    ignored: &'static [Signal],
}

impl Call {
    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes one.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// The ledger, which another call may have written.
    pub fn ledger(self, path: &Path) -> Self {
        self.env("WATERTIGHT_LEDGER", path)
    }

    /// Gives it an input that ends when it is waited for, or given up.
    pub fn with_input(mut self) -> Self {
        self.has_input = true;
        self
    }

    /// Has it ignore signals, as under nohup(1).
    pub fn ignoring(mut self, signals: &'static [Signal]) -> Self {
        self.ignored = signals;
        self
    }

    /// Starts it as the first of a process group, with nothing to read unless that was asked for.
    ///
    /// # Errors
    /// Where it cannot be started.
    #[expect(clippy::disallowed_methods, reason = "`Started` ends and reaps it")]
    pub fn start(mut self) -> Result<Started> {
        let file = |name: &str| File::create(self.scratch.path().join(name));
        let (out, err) = (file("stdout")?, file("stderr")?);
        let input = if self.has_input { Stdio::piped() } else { Stdio::null() };
        self.command.stdin(input).stdout(out).stderr(err).process_group(0);
        set_signals(&mut self.command, self.ignored);
        let child = self.command.spawn().with_context(|| format!("{:?}", self.command))?;
        let ledger = self.command.get_envs().find(|(name, _)| *name == "WATERTIGHT_LEDGER");
        let ledger = ledger.and_then(|(_, path)| path).map(PathBuf::from).unwrap_or_default();
        Ok(Started { child, is_reaped: false, scratch: Some(self.scratch), ledger })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// Where it cannot be started or does not end.
    pub fn end(self) -> Result<Said> {
        self.start()?.end()
    }
}

/// Has a command ignore these signals and no others, whatever whoever runs the tests ignores.
fn set_signals(command: &mut Command, ignored: &'static [Signal]) {
    const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];
    let set = move || {
        for number in ENDING {
            let is_ignored = ignored.contains(&number);
            let handler = if is_ignored { SigHandler::SigIgn } else { SigHandler::SigDfl };
            // SAFETY: no function of ours becomes a handler.
            unsafe { signal(number, handler) }?;
        }
        Ok(())
    };
    // SAFETY: it only makes a system call that may be made between fork and exec (signal-safety(7)).
    unsafe { command.pre_exec(set) };
}

/// A command that runs; ended with its process group when dropped.
#[derive(Debug)]
pub struct Started {
    child: Child,
    is_reaped: bool,
    scratch: Option<TempDir>,
    ledger: PathBuf,
}

impl Started {
    /// Its process, which leads its group.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// What it has written to its ledger by now.
    pub fn ledger(&self) -> &Path {
        &self.ledger
    }

    /// What it has written to stdout by now.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.printed("stdout")).into_owned()
    }

    /// What it has written to stderr by now.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.printed("stderr")).into_owned()
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end. An input of its own ends only then.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn end(mut self) -> Result<Said> {
        let deadline = Instant::now() + PATIENCE;
        if !PidFd::open(self.child.id())?.wait(deadline)? {
            bail!("no end after {} s; it printed:\n{}", PATIENCE.as_secs(), self.err());
        }
        let status = self.child.wait()?;
        self.is_reaped = true;
        Ok(Said {
            code: status.code(),
            out: self.out(),
            err: self.err(),
            raw_out: self.printed("stdout"),
            raw_err: self.printed("stderr"),
            ledger: self.ledger.clone(),
            _scratch: self.scratch.take(),
        })
    }

    fn printed(&self, name: &str) -> Vec<u8> {
        let read = |scratch: &TempDir| fs::read(scratch.path().join(name)).ok();
        self.scratch.as_ref().and_then(read).unwrap_or_default()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if !self.is_reaped {
            // Not reaped, so the group's number is nobody else's.
            let _gone_already = killpg(self.pid(), Signal::SIGKILL);
            let _reaped = self.child.wait();
        }
    }
}

/// What a command has said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Its stdout.
    pub out: String,
    /// Its stderr.
    pub err: String,
    /// Its stdout, byte for byte.
    pub raw_out: Vec<u8>,
    /// Its stderr, byte for byte.
    pub raw_err: Vec<u8>,
    /// Its ledger, there as long as this is.
    pub ledger: PathBuf,
    _scratch: Option<TempDir>,
}

impl Said {
    /// The ledger's run record.
    ///
    /// # Panics
    /// Where there is not exactly one.
    pub fn run(&self) -> Run {
        let run = |record| match record {
            Record::Run(run) => Some(run),
            _ => None,
        };
        let mut runs: Vec<Run> = self.records().filter_map(run).collect();
        assert_eq!(runs.len(), 1, "{self}");
        runs.remove(0)
    }

    /// The ledger's trials.
    ///
    /// # Panics
    /// Where it is not whole.
    pub fn trials(&self) -> Vec<Trial> {
        let trial = |record| match record {
            Record::Trial(trial) => Some(*trial),
            _ => None,
        };
        self.records().filter_map(trial).collect()
    }

    /// The one trial of a test.
    ///
    /// # Panics
    /// Where there is none, or more than one.
    pub fn trial(&self, case: &str) -> Trial {
        let mut trials = self.trials();
        trials.retain(|trial| trial.case == case);
        assert_eq!(trials.len(), 1, "records of `{case}`; {self}");
        trials.remove(0)
    }

    /// Whether there is a ledger: what was refused leaves none behind.
    pub fn has_ledger(&self) -> bool {
        self.ledger.exists()
    }

    fn records(&self) -> impl Iterator<Item = Record> {
        let records = ledger::read(&self.ledger).unwrap_or_else(|error| panic!("{error}; {self}"));
        records.map(|record| record.unwrap_or_else(|error| panic!("a broken line: {error}")))
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it ended with {:?} and said\n{}\n{}", self.code, self.out, self.err)
    }
}
