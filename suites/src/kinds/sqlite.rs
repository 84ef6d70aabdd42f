//! SQLite handles that are never closed. Their memory is C's.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::Connection;
use watertight::Resource::{Fd, Heap};
use watertight::{Context, Failed};

use super::{Kind, Source, lose, source};

const SOURCE: Source = source!("sqlite.rs");
const DATABASE: &str = "kinds.db";
const QUERY: &str = "SELECT name FROM sqlite_schema WHERE name > ?1 ORDER BY name";
/// Statements of a round. The first few fit into the connection's own look-aside memory, and no heap
/// grows.
const STATEMENTS: usize = 64;

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("sqlite_connection", SOURCE, &[Fd, Heap], DATABASE)
            .leaky(leave_a_connection)
            .clean(close_a_connection),
        Kind::new("sqlite_statement", SOURCE, &[Heap], "block")
            .leaky(|_cx| {
                let connection = shared()?;
                for _ in 0..STATEMENTS {
                    lose(connection.prepare(QUERY)?); // LEAK sqlite_statement
                }
                Ok(())
            })
            .clean(|_cx| {
                let connection = shared()?;
                for _ in 0..STATEMENTS {
                    connection.prepare(QUERY)?.finalize()?;
                }
                Ok(())
            }),
    ]
}

#[expect(clippy::disallowed_methods, reason = "the leak that must be caught")]
fn leave_a_connection(_cx: &Context) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    lose(Connection::open(directory.path().join(DATABASE))?); // LEAK sqlite_connection
    Ok(directory.close()?)
}

#[expect(clippy::disallowed_methods, reason = "a connection of this test's own, closed below")]
fn close_a_connection(_cx: &Context) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let connection = Connection::open(directory.path().join(DATABASE))?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(directory.close()?)
}

/// A connection that is opened once and serves every round.
#[expect(clippy::disallowed_methods, reason = "in memory, and the statements are what matters")]
fn shared() -> Result<MutexGuard<'static, Connection>, Failed> {
    static CONNECTION: OnceLock<rusqlite::Result<Mutex<Connection>>> = OnceLock::new();
    match CONNECTION.get_or_init(|| Connection::open_in_memory().map(Mutex::new)) {
        Ok(connection) => Ok(connection.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(error) => Err(Failed::new(error.to_string())),
    }
}
