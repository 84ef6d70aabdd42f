//! A workspace in a directory of its own, gone with it.

use std::ffi::OsStr;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use watertight_tracker::client::Client;
use watertight_tracker::issue::{Issue, NewIssue};
use watertight_tracker::jsonl;
use watertight_tracker::paths;
use watertight_tracker::store::Store;

/// How the names of temporary directories begin.
const PREFIX: &str = "watertight-suites-";

/// A directory with a `.tracker`, and the program that works on it.
#[derive(Debug)]
pub struct Workspace {
    program: PathBuf,
    paths: paths::Workspace,
    /// The last to go.
    dir: TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// The exit status; `None` after a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Standard output as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.out).with_context(|| format!("not JSON: {self:?}"))
    }

    /// The same, if the command ended well.
    pub fn ok(self) -> Result<Self> {
        ensure!(self.status == Some(0), "the command failed: {self:?}");
        Ok(self)
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Workspace {
    /// A new workspace with an empty database. Tests write [`workspace!()`](crate::workspace).
    pub fn new(program: impl Into<PathBuf>) -> Result<Self> {
        Self::below(program, Path::new(""))
    }

    /// The same in a directory further down, `below` the temporary one.
    pub fn below(program: impl Into<PathBuf>, below: &Path) -> Result<Self> {
        Self::made(program, tempfile::Builder::new().prefix(PREFIX).tempdir()?, below)
    }

    /// The same with its directory in another than the usual one, which may be memory: for benches.
    pub fn inside(program: impl Into<PathBuf>, folder: &Path) -> Result<Self> {
        Self::made(
            program,
            tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder)?,
            "".as_ref(),
        )
    }

    fn made(program: impl Into<PathBuf>, dir: TempDir, below: &Path) -> Result<Self> {
        let root = dir.path().join(below);
        std::fs::create_dir_all(&root)?;
        let paths = paths::Workspace::create(&root)?;
        Store::open(&paths.database())?.close()?;
        Ok(Self { program: program.into(), paths, dir })
    }

    /// Where everything lies.
    pub fn paths(&self) -> &paths::Workspace {
        &self.paths
    }

    /// The directory that holds `.tracker`.
    pub fn root(&self) -> &Path {
        self.paths.root()
    }

    /// The tracker's executable.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A store of its database; the caller closes it.
    pub fn store(&self) -> Result<Store> {
        Ok(Store::open_existing(&self.paths.database())?)
    }

    /// Creates an issue the way another process does, and returns its id.
    pub fn create(&self, title: &str) -> Result<String> {
        let mut store = self.store()?;
        let issue = store.create(NewIssue::titled(title))?;
        store.close()?;
        Ok(issue.id)
    }

    /// Runs the command line to its end.
    pub fn tracker<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<Said> {
        Ok(self.command(args).output()?.into())
    }

    /// The same with something to read.
    pub fn tracker_reads<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        input: &str,
    ) -> Result<Said> {
        let mut file = tempfile::tempfile()?;
        file.write_all(input.as_bytes())?;
        file.rewind()?;
        Ok(self.command(args).stdin(file).output()?.into())
    }

    /// The command line, with nothing to read.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--dir").arg(self.root()).args(args).stdin(Stdio::null());
        command
    }

    /// A client of its daemon.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.paths)?)
    }

    /// The issues in the JSONL file.
    pub fn exported(&self) -> Result<Vec<Issue>> {
        Ok(jsonl::read_file(&self.paths.jsonl())?)
    }

    /// The titles of those that are not deleted, sorted; none where there is no file yet.
    pub fn exported_titles(&self) -> Result<Vec<String>> {
        if !self.paths.jsonl().exists() {
            return Ok(Vec::new());
        }
        let mut issues = self.exported()?;
        issues.retain(|issue| !issue.is_tombstone());
        let mut titles: Vec<_> = issues.into_iter().map(|issue| issue.title).collect();
        titles.sort();
        Ok(titles)
    }

    /// Ends the workspace and says if it could not be removed.
    pub fn remove(self) -> Result<()> {
        Ok(self.dir.close()?)
    }
}
