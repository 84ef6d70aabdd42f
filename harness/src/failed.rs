//! Why a body did not pass.

use std::fmt;

/// A body's failure: any error, or a message.
///
/// It is deliberately not an [`Error`](std::error::Error) itself, so that `?` can turn every error into it.
#[derive(Debug, Clone)]
pub struct Failed {
    message: String,
}

impl Failed {
    /// A failure with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { message }
    }
}

/// What a test function may return: nothing, or a result whose error can be shown.
pub trait Ending {
    /// The body's result.
    ///
    /// # Errors
    /// The test's own error as a [`Failed`].
    fn ending(self) -> Result<(), Failed>;
}

impl Ending for () {
    fn ending(self) -> Result<(), Failed> {
        Ok(())
    }
}

impl<T: Ending, E: fmt::Debug> Ending for Result<T, E> {
    fn ending(self) -> Result<(), Failed> {
        self.map_err(|error| Failed::new(format!("{error:?}")))?.ending()
    }
}
