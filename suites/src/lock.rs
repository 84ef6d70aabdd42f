//! Another process that is in the way.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::Workspace;

/// A process that holds the database's write lock; it gives it back when this is dropped.
#[derive(Debug)]
pub struct WriteLock(Child);

impl WriteLock {
    /// Starts the process, which holds the lock when this returns.
    pub fn take(workspace: &Workspace) -> Result<Self> {
        let mut command = Command::new(workspace.program().with_file_name("hold-write-lock"));
        command.arg(workspace.paths().database()).stdin(Stdio::piped()).stdout(Stdio::piped());
        #[expect(clippy::disallowed_methods, reason = "ended and reaped when dropped")]
        let mut lock = Self(command.spawn()?);
        let mut line = String::new();
        let output = lock.0.stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line == "held\n", "the lock is not held: {line:?}");
        Ok(lock)
    }

    /// Gives it back; it is free when this returns.
    pub fn release(self) {}
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        // The end of its input is its sign to end.
        drop(self.0.stdin.take());
        let _reaped = self.0.wait();
    }
}
