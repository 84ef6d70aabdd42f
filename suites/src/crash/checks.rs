//! What must be so after every crash.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::{Round, Stage, Work};

/// A round's place after the kill, and what is known of the time before.
pub(super) struct Scene<'a> {
    pub(super) stage: &'a Stage,
    /// The file that an import reads.
    pub(super) import: &'a Path,
    /// The ids of the writes that were acknowledged.
    pub(super) acknowledged: &'a [String],
    /// Whether the work has said that it was done.
    pub(super) has_succeeded: bool,
    /// The written file before the work and right after the kill; `None` where there was none.
    pub(super) before: Option<Vec<u8>>,
    pub(super) after: Option<Vec<u8>>,
}

impl Scene<'_> {
    /// Puts down what is not as it must be. The next command has run, and nothing else.
    pub(super) fn look(&self, round: &mut Round) -> Result<()> {
        let work = round.work;
        let mut broken = Vec::new();
        self.database(&mut broken)?;

        let workspace = &self.stage.workspace;
        let said = workspace.tracker(["export", "-"])?;
        if said.status != Some(0) {
            broken.push(format!("the issues cannot be read: {said:?}"));
        }
        let issues = said.out.into_bytes();
        let there = ids(&issues).context("the export to standard output is not whole")?;
        let lost = self.acknowledged.iter().filter(|id| !there.contains(*id)).count();
        if lost > 0 {
            broken.push(format!("{lost} of {} acknowledged writes are lost", round.acknowledged));
        }
        if work == Work::Import {
            self.import(&there, &mut broken)?;
        }
        self.file(work, &issues, &mut broken);

        let synced = workspace.tracker(["sync"])?;
        if synced.status != Some(0) {
            broken.push(format!("the next sync fails: {}", synced.err.trim()));
        } else if fs::read(workspace.paths().jsonl()).ok().as_deref() != Some(&issues[..]) {
            broken.push("the next sync does not write what is in the database".to_owned());
        }
        self.leftovers(work, &mut broken, &mut round.left)?;
        if work == Work::Daemon {
            self.git(&issues, &mut broken, &mut round.left);
        }
        round.broken.append(&mut broken);
        Ok(())
    }

    fn database(&self, broken: &mut Vec<String>) -> Result<()> {
        let path = self.stage.workspace.paths().database();
        #[expect(clippy::disallowed_methods, reason = "looks at the file as a stranger does")]
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        for pragma in ["PRAGMA integrity_check", "PRAGMA foreign_key_check"] {
            let mut statement = connection.prepare(pragma)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let said: String = row.get(0)?;
                if said != "ok" {
                    broken.push(format!("{pragma}: {said}"));
                }
            }
        }
        connection.close().map_err(|(_, error)| error)?;
        Ok(())
    }

    /// All of the file or nothing; and all of it if that was said.
    fn import(&self, there: &BTreeSet<String>, broken: &mut Vec<String>) -> Result<()> {
        let wanted = ids(&fs::read(self.import)?).context("the file to import")?;
        let found = wanted.intersection(there).count();
        if found != wanted.len() && (found > 0 || self.has_succeeded) {
            broken.push(format!("{found} of {} issues were imported", wanted.len()));
        }
        Ok(())
    }

    /// The written file is the old one or the new one.
    fn file(&self, work: Work, issues: &[u8], broken: &mut Vec<String>) {
        let is_whole = match (&self.after, work) {
            (None, _) => self.before.is_none(),
            // Many passes may have come and gone.
            (Some(after), Work::Daemon) => ids(after).is_ok(),
            (Some(after), _) => self.before.as_ref() == Some(after) || after == issues,
        };
        if !is_whole {
            let bytes = self.after.as_ref().map_or(0, Vec::len);
            broken.push(format!("the file is cut: {bytes} bytes, neither the old nor the new one"));
        }
        let is_new = self.after.as_deref() == Some(issues);
        if self.has_succeeded && matches!(work, Work::Export | Work::Sync) && !is_new {
            broken.push("the work was done, but the file is not the new one".to_owned());
        }
    }

    /// No temporary file outlives a sync. Beside a file of the user's own there may be one.
    fn leftovers(
        &self,
        work: Work,
        broken: &mut Vec<String>,
        left: &mut Vec<String>,
    ) -> Result<()> {
        for name in temporaries(self.stage.workspace.paths().dir())? {
            broken.push(format!("a sync leaves {name}"));
        }
        if work == Work::Export {
            left.extend(temporaries(self.stage.root())?);
        }
        Ok(())
    }

    /// The repository is sound, nothing of it is locked, and the branch holds what is in the database.
    fn git(&self, issues: &[u8], broken: &mut Vec<String>, left: &mut Vec<String>) {
        let workspace = &self.stage.workspace;
        if let Err(error) = workspace.git(["fsck", "--full", "--strict", "--no-dangling"]) {
            broken.push(format!("git fsck: {error:#}"));
        }
        let all = below(&workspace.root().join(".git"));
        for name in &all {
            if name.ends_with(".lock") {
                broken.push(format!("{name} stays in .git"));
            } else if name.starts_with("tmp_") || name.starts_with(".tmp") {
                left.push(format!(".git/.../{name}"));
            }
        }
        match workspace.git(["show", "HEAD:.tracker/issues.jsonl"]) {
            Ok(committed) if committed.as_bytes() == issues => {}
            Ok(_) => broken.push("after a sync the branch holds something else".to_owned()),
            Err(error) => broken.push(format!("nothing is committed: {error:#}")),
        }
        match workspace.git(["status", "--porcelain", "--", ".tracker/issues.jsonl"]) {
            Ok(status) if status.is_empty() => {}
            Ok(status) => broken.push(format!("git status after a sync: {}", status.trim())),
            Err(error) => broken.push(format!("git status: {error:#}")),
        }
    }
}

/// The ids of a file of issues, or what is wrong with it: every line is whole, and ids ascend.
fn ids(file: &[u8]) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    anyhow::ensure!(file.is_empty() || file.ends_with(b"\n"), "the last line has no end");
    for line in std::str::from_utf8(file)?.lines() {
        let issue: Value = serde_json::from_str(line)?;
        let id = issue["id"].as_str().context("an issue without an id")?;
        anyhow::ensure!(ids.last().is_none_or(|last: &String| &**last < id), "{id} is misplaced");
        ids.insert(id.to_owned());
    }
    Ok(ids)
}

/// What looks like a file that somebody has not finished.
fn temporaries(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_hidden =
            name.starts_with('.') && ![".gitignore", ".git", ".tracker"].contains(&&*name);
        if is_hidden || name.ends_with(".tmp") {
            names.push(name);
        }
    }
    Ok(names)
}

/// The names of all files below a folder.
fn below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => folders.push(entry.path()),
                false => names.push(entry.file_name().to_string_lossy().into_owned()),
            }
        }
    }
    names
}
