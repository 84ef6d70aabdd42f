//! Data on standard output, talk on standard error.

use std::io::{self, Write};

use crate::client::ClientError;
use crate::daemon::{ControlError, DaemonError, LockError};
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::issue::Invalid;
use crate::jsonl::JsonlError;
use crate::paths::WorkspaceError;
use crate::store::StoreError;
use crate::sync::SyncError;
use serde::Serialize;

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nobody reads our output any more.
    ClosedPipe,
    /// Anything that is worth a message.
    Failed(Failure),
}

/// Where a command's words go.
#[derive(Debug)]
pub(crate) struct Output {
    is_json: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Prints a result: as JSON, or as the text that `text` makes of it.
    pub(crate) fn print<T: Serialize>(
        &mut self,
        result: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Trouble> {
        let mut bytes = match self.is_json {
            true => serde_json::to_vec_pretty(result).map_err(io::Error::from)?,
            false => text(result).into_bytes(),
        };
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        // Colours reach a terminal, and nothing else, and not where NO_COLOR is set.
        let mut out = anstream::AutoStream::auto(io::stdout().lock());
        out.write_all(&bytes)?;
        out.flush()?;
        Ok(())
    }

    /// Says something to a person; a program that asked for JSON is not talked to.
    pub(crate) fn say(&self, text: &str) {
        if !self.is_json {
            let _nobody_listens = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Says what went wrong and what to do next.
    pub(crate) fn complain(&self, failure: &Failure) {
        let text = match self.is_json {
            true => serde_json::to_string(failure).unwrap_or_else(|_| failure.message.clone()),
            false => format!("error: {}\nhint: {}", failure.message, failure.hint),
        };
        let _nobody_listens = writeln!(io::stderr().lock(), "{text}");
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        let hint = "check where standard output goes";
        Self::Failed(Failure::new(Exit::Failure, "output", error.to_string(), hint))
    }
}

impl From<Invalid> for Trouble {
    fn from(error: Invalid) -> Self {
        StoreError::from(error).into()
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            // The consumer of a stream is our own output.
            StoreError::Consumer(error) => error.into(),
            other => Self::Failed(Failure::from(&other)),
        }
    }
}

/// Every error of the library knows how to be told.
macro_rules! told {
    ($($error:ty),+) => {
        $(impl From<$error> for Trouble {
            fn from(error: $error) -> Self {
                Self::Failed(Failure::from(&error))
            }
        })+
    };
}

told!(WorkspaceError, JsonlError, SyncError, ClientError, LockError, DaemonError, ControlError);
