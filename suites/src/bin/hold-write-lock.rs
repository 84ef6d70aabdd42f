//! Holds the write lock of a database until its standard input ends: the other process that every
//! database has one day.
//!
//! ```text
//! hold-write-lock tracker.db     prints `held`, waits, rolls back
//! ```

use std::io::{Read, Write};

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let path = std::env::args_os().nth(1).context("usage: hold-write-lock FILE")?;
    #[expect(clippy::disallowed_methods, reason = "a stranger to the tracker is what is wanted")]
    let connection = rusqlite::Connection::open(path)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    writeln!(std::io::stdout(), "held")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    connection.execute_batch("ROLLBACK")?;
    connection.close().map_err(|(_connection, error)| error)?;
    Ok(())
}
