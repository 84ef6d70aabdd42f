//! Git around a workspace.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::Command;

use anyhow::{Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use crate::{PATIENCE, Said, Workspace};

impl Workspace {
    /// Makes the workspace a work tree, with an author for commits.
    pub fn init_git(&self) -> Result<()> {
        self.git(["init", "--quiet"])?;
        self.git(["config", "user.name", "suites"])?;
        self.git(["config", "user.email", "suites@example.org"])?;
        Ok(())
    }

    /// The same, and every sync commits.
    pub fn enable_git(&self) -> Result<()> {
        self.init_git()?;
        let mut store = self.store()?;
        store.set_git_enabled(true)?;
        Ok(store.close()?)
    }

    /// Runs git in the workspace and returns what it printed.
    pub fn git<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let said = Said::from(Command::new("git").current_dir(self.root()).args(args).output()?);
        Ok(said.ok()?.out)
    }

    /// Has git ignore what a rule says, or nothing by an empty one, and no file of the work tree.
    pub fn git_ignores(&self, rule: &str) -> Result<()> {
        Ok(std::fs::write(self.root().join(".git/info/exclude"), rule)?)
    }

    /// How many commits there are; none in a repository without one.
    pub fn commits(&self) -> Result<usize> {
        let all = self.git(["rev-list", "--all", "--count"])?;
        Ok(all.trim().parse()?)
    }
}

/// A filter that git runs on the JSONL file, and that stops there until it may go on.
#[derive(Debug)]
pub struct GitGate {
    began: File,
    go: File,
    dir: TempDir,
}

impl GitGate {
    /// Puts a closed gate into the workspace's git.
    pub fn close(workspace: &Workspace) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("watertight-gate-").tempdir()?;
        let at = |name: &str| dir.path().join(name);
        // Opened for reading and writing, a pipe waits for nobody.
        let pipe = |name: &str| -> Result<File> {
            mkfifo(&at(name), Mode::S_IRWXU)?;
            Ok(OpenOptions::new().read(true).write(true).open(at(name))?)
        };
        let (began, go) = (pipe("began")?, pipe("go")?);
        let at = dir.path().display();
        let filter =
            format!("[ -e {at}/open ] || {{ echo >{at}/began; read go <{at}/go; }}; exec cat");
        workspace.git(["config", "filter.gate.clean", &filter])?;
        let attributes = workspace.root().join(".git/info/attributes");
        std::fs::create_dir_all(workspace.root().join(".git/info"))?;
        std::fs::write(attributes, "*.jsonl filter=gate\n")?;
        Ok(Self { began, go, dir })
    }

    /// Waits until git stands at the gate.
    pub fn wait(&mut self) -> Result<()> {
        let mut polled = [PollFd::new(self.began.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut polled, PollTimeout::try_from(PATIENCE)?)?;
        ensure!(ready == 1, "git does not come to the gate");
        Ok(self.began.read_exact(&mut [0])?)
    }

    /// Lets git through, now and later.
    pub fn open(&mut self) -> Result<()> {
        std::fs::write(self.dir.path().join("open"), "")?;
        Ok(self.go.write_all(b"go\n")?)
    }
}
