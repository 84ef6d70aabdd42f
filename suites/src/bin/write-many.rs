//! Creates issues one after the other and prints the id of each when the store has acknowledged it:
//! `write-many DIRECTORY COUNT [NAME]`.
//!
//! With `go` as fourth argument it waits, opened and ready, for a line on its input: so several begin together.

use std::io::{BufRead as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use watertight_tracker::issue::NewIssue;
use watertight_tracker::paths::Workspace;
use watertight_tracker::store::Store;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (root, count) = match &arguments[..] {
        [root, count, ..] => (root, count.parse::<usize>().context("how many?")?),
        _ => bail!("in which directory, and how many?"),
    };
    let name = arguments.get(2).map_or("written", String::as_str);
    let workspace = Workspace::find(Path::new(root))?;
    let mut store = Store::open_existing(&workspace.database())?;
    if arguments.get(3).is_some_and(|word| word == "go") {
        std::io::stdin().lock().read_line(&mut String::new())?;
    }
    let mut out = std::io::stdout().lock();
    for number in 0..count {
        let issue = store.create(NewIssue::titled(format!("{name} {number}")))?;
        // One write a line: whoever reads it knows of no half of an id.
        out.write_all(format!("{}\n", issue.id).as_bytes())?;
        out.flush()?;
    }
    Ok(store.close()?)
}
