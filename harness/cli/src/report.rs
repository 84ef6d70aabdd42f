//! `cargo watertight report`.

use crate::exit;
use crate::talk::Talk;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Runs it.
pub(crate) fn run(_arguments: &Arguments, _talk: &Talk) -> anyhow::Result<u8> {
    Ok(exit::OK)
}
