//! A test binary: whether it is one of libtest's, and how it is started.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering::Release;

use memmap2::Mmap;
use object::read::NativeFile;
use object::{Object as _, ObjectSection as _};

use super::arguments::Arguments;
use super::wrapping::Wrapping;
use crate::table::NET_REFUSED;
use crate::{namespace, region};

/// A binary that cargo was to start.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    wrapping: Wrapping,
    /// What each of its tests is started with besides its name.
    arguments: Vec<OsString>,
}

impl Program {
    pub(super) fn new(path: PathBuf, wrapping: &Wrapping) -> Self {
        Self { path, wrapping: wrapping.clone(), arguments: Vec::new() }
    }

    pub(super) fn with_arguments(mut self, arguments: &Arguments) -> Self {
        self.arguments = arguments.rest.clone();
        self
    }

    /// From how many bytes on what a test keeps on the heap is worth another run, with stacks: more than
    /// buffers and thread-locals come to, or all but what libtest itself keeps.
    pub(crate) fn heap_floor_bytes(&self) -> i64 {
        if self.wrapping.all_heap { 1 << 10 } else { 64 << 10 }
    }

    /// Whether its tests get networks of their own.
    pub(crate) fn is_private(&self) -> bool {
        self.wrapping.private_net
    }

    /// Whether its tests are libtest's: another harness may run its tests when it is asked to list them,
    /// so it is asked nothing. rustdoc's own programs are left to it.
    pub(super) fn is_audited(&self) -> bool {
        let is_doctest = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("rustdoctest");
        !self.path.iter().any(is_doctest) && is_libtest(&self.path)
    }

    /// The binary, started as cargo would have: by the user's own runner, in the environment of before.
    pub(super) fn command(&self) -> Command {
        let mut words = self.wrapping.runner.iter();
        let mut command = match words.next() {
            Some(runner) => {
                let mut command = Command::new(runner);
                command.args(words).arg(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        self.wrapping.undo(&mut command);
        command
    }

    /// One test alone, in the machine's network or a private one.
    ///
    /// # Errors
    /// Where this process's own binary cannot be found, which enters a private network.
    pub(crate) fn test(&self, name: &str, is_private: bool) -> std::io::Result<Command> {
        let mut command = self.command();
        // What it prints comes in order and whole, whichever way it prints; the pipe is ours.
        command.args([name, "--exact", "--include-ignored", "--nocapture"]).args(&self.arguments);
        if !is_private {
            return Ok(command);
        }
        let mut within = Command::new(std::env::current_exe()?);
        within.env(ENTER_NETWORK, "1").arg(command.get_program()).args(command.get_args());
        self.wrapping.undo(&mut within);
        Ok(within)
    }

    /// Device and inode in one word, as the agent folds them; 0 where it cannot be told.
    pub(crate) fn identity(&self) -> u64 {
        let fold = |data: std::fs::Metadata| data.ino() ^ data.dev().rotate_left(40);
        std::fs::metadata(&self.path).map(fold).unwrap_or(0)
    }

    /// What tells the binary from every other, and from what it will be when it is built again.
    pub(crate) fn version(&self) -> String {
        let modified = std::fs::metadata(&self.path).map(|data| (data.mtime(), data.mtime_nsec()));
        let (seconds, nanos) = modified.unwrap_or_default();
        format!("{:x}-{seconds:x}-{nanos:x}", self.identity())
    }

    /// Becomes the binary. What it measures by itself, if it has a suite of ours, goes into the same run.
    pub(super) fn become_it(&self, arguments: &[OsString]) -> ExitCode {
        let mut command = self.command();
        for (name, _) in &self.wrapping.before {
            if let Some(value) = std::env::var_os(name).filter(|_| name.starts_with("WATERTIGHT_"))
            {
                command.env(name, value);
            }
        }
        if self.wrapping.runner.is_empty() && holds(&self.path, CONSTANTS, DOCTESTS) == Some(true) {
            command.env(DOCTESTS, &self.path);
        }
        let error = command.args(arguments).exec();
        eprintln!("watertight: {} did not start: {error}", self.path.display());
        ExitCode::FAILURE
    }
}

/// By this variable rustdoc tells a binary of many doctests how to start each of them alone. It does so only
/// where it knows of no runner (src/librustdoc/doctest.rs, `run_test`).
const DOCTESTS: &str = "RUSTDOC_DOCTEST_BIN_PATH";

/// Tells a process of this binary that it must enter a private network and become what its arguments name.
const ENTER_NETWORK: &str = "WATERTIGHT_ENTER_NETWORK";

/// Does so where it is asked to; there must be no other thread yet.
pub(super) fn enter_network() -> Option<ExitCode> {
    std::env::var_os(ENTER_NETWORK)?;
    // SAFETY: the first thing in main, so there is no other thread that could read the environment.
    unsafe { std::env::remove_var(ENTER_NETWORK) };
    if let Err(errno) = namespace::enter()
        && let Some(control) = region::own_control()
    {
        control.net_errno.store(errno as u32, Release);
        control.net.store(NET_REFUSED, Release);
    }
    let mut words = std::env::args_os().skip(1);
    let error = Command::new(words.next().unwrap_or_default()).args(words).exec();
    eprintln!("watertight: the test binary did not start: {error}");
    Some(ExitCode::FAILURE)
}

/// Whether libtest's `main` is in the program: by the name of its entry, or where that is stripped or was
/// inlined by the places in its sources that its panics would tell. Only these sections are read: this is
/// done for every test that nextest starts.
fn is_libtest(path: &Path) -> bool {
    holds(path, ".strtab", "test_main_static") == Some(true)
        || holds(path, CONSTANTS, "library/test/src/lib.rs") == Some(true)
}

const CONSTANTS: &str = ".rodata";

/// Whether those bytes are in a section of a program; none where it has no such section.
fn holds(path: &Path, section: &str, mark: &str) -> Option<bool> {
    let file = File::open(path).ok()?;
    // SAFETY: a test binary that is written while it is looked at would be no use to cargo either; what is
    // read is only searched.
    let bytes = unsafe { Mmap::map(&file) }.ok()?;
    let elf = NativeFile::parse(&*bytes).ok()?;
    let data = elf.section_by_name(section)?.data().ok()?;
    Some(memchr::memmem::find(data, mark.as_bytes()).is_some())
}
