//! What nobody should do, for the crash proof to find.
//!
//! - `careless create DIRECTORY COUNT TRACKER` acknowledges what it has not committed yet.
//! - `careless export DIRECTORY FILE` writes over the old file.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use watertight_tracker::issue::NewIssue;
use watertight_tracker::jsonl;
use watertight_tracker::paths::Workspace;
use watertight_tracker::store::Store;

/// Issues that are acknowledged before they are committed, all at once.
const BATCH: usize = 25;
/// Bytes that are written at once, and put on the disk at once: most of its time the file is a part of itself.
const PIECE_BYTES: usize = 1024;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["create", root, count, tracker] => create(Path::new(root), count.parse()?, tracker),
        ["export", root, file] => export(Path::new(root), Path::new(file)),
        _ => bail!("no such carelessness"),
    }
}

fn create(root: &Path, count: usize, tracker: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for batch in 0..count / BATCH {
        let mut kept = Store::open_in_memory()?;
        for number in 0..BATCH {
            let issue = kept.create(NewIssue::titled(format!("{batch}: {number}")))?;
            out.write_all(format!("{}\n", issue.id).as_bytes())?; // acknowledged, and in memory
            out.flush()?;
        }
        let file = tempfile::NamedTempFile::new()?;
        jsonl::export_file(&kept, file.path())?;
        kept.close()?;
        let mut import = Command::new(tracker);
        import.arg("--dir").arg(root).arg("import").arg(file.path());
        let status = import.stdout(Stdio::null()).status().context("the tracker")?;
        ensure!(status.success(), "the import ended with {status}");
    }
    Ok(())
}

fn export(root: &Path, file: &Path) -> Result<()> {
    let workspace = Workspace::find(root)?;
    let store = Store::open_existing(&workspace.database())?;
    let folder = tempfile::tempdir()?;
    let whole = folder.path().join("whole.jsonl");
    jsonl::export_file(&store, &whole)?;
    store.close()?;
    let mut out = File::create(file)?; // the old one is gone, the new one is not there
    for piece in fs::read(whole)?.chunks(PIECE_BYTES) {
        out.write_all(piece)?;
        out.sync_data()?;
    }
    Ok(())
}
