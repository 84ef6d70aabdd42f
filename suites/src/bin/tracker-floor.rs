//! The floors of the bench `tracker`: the least that a process can do for what a command of the tracker does,
//! on a table of ids and lines.
//!
//! - `tracker-floor make DATABASE [FILE]`: the table, from a JSONL file or empty
//! - `tracker-floor insert DATABASE ID LINE`: one row in a transaction
//! - `tracker-floor rows DATABASE COUNT [ID]`: as many rows by the index, printed
//! - `tracker-floor import DATABASE FILE`: every line parsed and inserted, in one transaction
//! - `tracker-floor peak PROGRAM ...`: runs it and prints its peak RSS in bytes. Here, because a child's peak
//!   begins with the size of the process that starts it (`getrusage(2)`, kept over exec), and we are small.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use rusqlite::{Connection, TransactionBehavior};
use serde_json::Value;

const INSERT: &str = "INSERT INTO issues VALUES (?1, ?2)";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["make", database] => close(make(database)?),
        ["make", database, file] => {
            let mut connection = make(database)?;
            import(&mut connection, Path::new(file))?;
            close(connection)
        }
        ["insert", database, id, line] => {
            let mut connection = open(database)?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(INSERT, [id, line])?;
            transaction.commit()?;
            close(connection)
        }
        ["rows", database, count] => rows(database, count.parse()?, ""),
        ["rows", database, count, id] => rows(database, count.parse()?, id),
        ["import", database, file] => {
            let mut connection = open(database)?;
            import(&mut connection, Path::new(file))?;
            close(connection)
        }
        ["peak", program, ref arguments @ ..] => peak(program, arguments),
        _ => bail!("no such floor"),
    }
}

#[expect(clippy::disallowed_methods, reason = "what the store is compared with")]
fn open(database: &str) -> Result<Connection> {
    Ok(Connection::open(database)?)
}

fn make(database: &str) -> Result<Connection> {
    let connection = open(database)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch("CREATE TABLE issues (id TEXT PRIMARY KEY, line TEXT NOT NULL)")?;
    Ok(connection)
}

fn close(connection: Connection) -> Result<()> {
    connection.close().map_err(|(_, error)| error.into())
}

fn rows(database: &str, count: i64, from: &str) -> Result<()> {
    let connection = open(database)?;
    let mut out = std::io::stdout().lock();
    let mut select =
        connection.prepare("SELECT line FROM issues WHERE id >= ?1 ORDER BY id LIMIT ?2")?;
    let mut rows = select.query((from, count))?;
    while let Some(row) = rows.next()? {
        writeln!(out, "{}", row.get_ref(0)?.as_str()?)?;
    }
    drop(rows);
    drop(select);
    close(connection)
}

fn import(connection: &mut Connection, file: &Path) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut insert = transaction.prepare(INSERT)?;
    let mut lines = BufReader::new(File::open(file)?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let issue: Value = serde_json::from_str(&line)?;
        insert
            .execute([issue["id"].as_str().context("an issue without an id")?, line.trim_end()])?;
        line.clear();
    }
    drop(insert);
    Ok(transaction.commit()?)
}

fn peak(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{program} ended with {status}");
    // In KiB on Linux, and of the one child that there was.
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() * 1024);
    Ok(())
}
