//! The log of a daemon in the background: the file that its standard error is.
//!
//! The daemon itself keeps it short. Standard error follows the new file, so that the text of a
//! panic, which is written by nobody we know, goes there too.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::daemon::FileId;
use crate::paths::Workspace;

/// A log that has grown to this is put aside, over the one put aside before.
const LOG_BYTES_MAX: u64 = 1024 * 1024;

/// Sends what the daemon says to standard error, and keeps that short if it is the log.
pub(super) fn init(workspace: &Workspace) {
    let filter = EnvFilter::try_from_env("TRACKER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let is_colourful = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = Log { path: workspace.log(), aside: workspace.log_aside() };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Mutex::new(log))
        .with_ansi(is_colourful)
        .init();
}

/// Standard error, put aside when it is long and the file at `path`.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    aside: PathBuf,
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A log that cannot be put aside goes on: what it has to say is worth more than its size.
        let _still_long = self.put_aside_if_long();
        io::stderr().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl Log {
    fn put_aside_if_long(&self) -> io::Result<()> {
        let size = nix::sys::stat::fstat(io::stderr())?.st_size;
        // A terminal or a journal is not ours to put aside, nor is what somebody has put there.
        if u64::try_from(size).is_ok_and(|size| size < LOG_BYTES_MAX)
            || FileId::of_open(io::stderr())? != FileId::of(&self.path)?
        {
            return Ok(());
        }
        // The new one first: without a descriptor left for it, all stays as it is.
        let beside = self.path.with_extension("log.new");
        let next = OpenOptions::new().create(true).append(true).mode(0o600).open(&beside)?;
        fs::rename(&self.path, &self.aside)?;
        fs::rename(&beside, &self.path)?;
        nix::unistd::dup2_stderr(next)?;
        Ok(())
    }
}
