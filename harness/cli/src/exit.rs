//! Exit codes, a contract with scripts.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | all is well |
//! | 1 | `gate`: something is there that must not be; `run`, `watch` with `--fail-on-growth`: something grows; `merge`: the parts are not all that they should be; `doctor`: something is blind |
//! | 2 | the command line, a configuration or a file that was named is wrong; nothing was done |
//! | 3 | something could not be read, written or started |
//! | 4 | a ledger has lines that cannot be read; the rest of it was used |
//! | 130, 143 | `test`, `nextest`: ended by Ctrl-C or SIGTERM; the ledger is written |
//!
//! `test` and `nextest` end with the code of cargo itself: 101 and 100 where a test failed or leaked. `run` ends with
//! that of its program where this has ended by itself, 128 and the signal's number included; where we have ended it,
//! after its time or at Ctrl-C, as `watch` does: with 0.

/// All is well.
pub(crate) const OK: u8 = 0;
/// What must not be is there.
pub(crate) const RED: u8 = 1;
/// The user's to mend: arguments, configuration, a file that is not there.
pub(crate) const USAGE: u8 = 2;
/// The system said no.
pub(crate) const FAILED: u8 = 3;
/// A ledger has lines that cannot be read.
pub(crate) const BROKEN_LEDGER: u8 = 4;

/// An error that ends with another code than [`FAILED`].
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The code for an error.
pub(crate) fn of(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<Usage>()) { USAGE } else { FAILED }
}
