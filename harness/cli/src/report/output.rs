//! Where the data goes: stdout or a file.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use anyhow::Context as _;

/// The data's way out.
#[derive(Debug)]
pub(super) enum Output {
    Stdout(BufWriter<io::Stdout>),
    File(BufWriter<File>),
}

impl Output {
    pub(super) fn new(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout(BufWriter::new(io::stdout()))) };
        let file = File::create(path)
            .with_context(|| format!("cannot write to {}; name another with -o", path.display()))?;
        Ok(Self::File(BufWriter::new(file)))
    }

    /// Whether colours are wanted there.
    pub(super) fn colour(&self) -> bool {
        match self {
            Self::Stdout(_) => {
                anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
            }
            Self::File(_) => false,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(out) => out.flush(),
        }
    }
}

/// A reader that has seen enough closes the pipe: nothing went wrong, and nothing more is to be done.
pub(super) fn quietly(done: anyhow::Result<u64>) -> anyhow::Result<u64> {
    match done {
        Err(error) if error.chain().any(is_closed_pipe) => Ok(0),
        done => done,
    }
}

fn is_closed_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
