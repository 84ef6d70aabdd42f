//! Many processes that write to one workspace at once.
//!
//! ```text
//!  writer 1..n: create, create, ...   by the library, one process each; or a process for every command
//!  daemon:      exports meanwhile
//!  afterwards:  every id that was acknowledged is there, once; nobody was told to wait
//! ```

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::{Said, Workspace};

/// What writers were told, and how long it took from their common start.
#[derive(Debug)]
pub struct Written {
    /// The acknowledged ids, by writer.
    pub ids: Vec<Vec<String>>,
    /// What a writer complained of, or how it failed.
    pub complaints: Vec<String>,
    /// From the start of the first to the end of the last.
    pub time: Duration,
}

impl Written {
    /// Acknowledged writes.
    pub fn count(&self) -> usize {
        self.ids.iter().map(Vec::len).sum()
    }

    /// What must not be, a sentence each: complaints, ids given twice, and issues that are not in `text`,
    /// which is the JSONL of all there are.
    pub fn faults(&self, text: &str) -> Result<Vec<String>> {
        let mut faults = self.complaints.clone();
        let mut known = BTreeSet::new();
        for id in self.ids.iter().flatten() {
            if !known.insert(id.as_str()) {
                faults.push(format!("{id} was given twice"));
            }
        }
        let mut there = BTreeSet::new();
        for line in text.lines() {
            let issue: serde_json::Value = serde_json::from_str(line)?;
            there.insert(issue["id"].as_str().context("an issue without an id")?.to_owned());
        }
        let lost = known.iter().filter(|id| !there.contains(**id)).count();
        if lost > 0 {
            faults.push(format!("{lost} of {} acknowledged issues are lost", known.len()));
        }
        Ok(faults)
    }
}

/// Writers by the library: a process each (`write-many`), opened and ready before the first one begins.
pub fn by_library(
    workspace: &Workspace,
    program: &Path,
    writers: usize,
    each: usize,
) -> Result<Written> {
    let start = |writer: usize| {
        let mut command = Command::new(program);
        command.arg(workspace.root()).arg(each.to_string());
        command.arg(format!("writer {writer}, issue")).arg("go");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[expect(clippy::disallowed_methods, reason = "killed and reaped when dropped")]
        let child = command.spawn().with_context(|| format!("{}", program.display()))?;
        Ok(Writer(Some(child)))
    };
    let writers: Vec<Writer> = (0..writers).map(start).collect::<Result<_>>()?;
    let begun = Instant::now();
    together(writers.into_iter().map(|writer| move || writer.write()), begun)
}

/// Writers by the command line: a process for every issue.
pub fn by_command(workspace: &Workspace, writers: usize, each: usize) -> Result<Written> {
    let begun = Instant::now();
    let write = |writer: usize| {
        move || {
            let (mut ids, mut complaints) = (Vec::new(), Vec::new());
            for number in 0..each {
                let title = format!("writer {writer}, issue {number}");
                let (id, complaint) = judged(workspace.tracker(["create", "-q", &title])?);
                ids.extend(id);
                complaints.extend(complaint);
            }
            Ok((ids, complaints))
        }
    };
    together((0..writers).map(write), begun)
}

type Told = (Vec<String>, Vec<String>);

/// Lets all of them write, each on a thread of ours.
fn together<W: FnOnce() -> Result<Told> + Send>(
    writers: impl Iterator<Item = W>,
    begun: Instant,
) -> Result<Written> {
    let told = std::thread::scope(|scope| {
        let threads: Vec<_> = writers.map(|writer| scope.spawn(writer)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Told>>| {
            thread.join().map_err(|_| anyhow!("a writer panicked"))?
        };
        threads.into_iter().map(join).collect::<Result<Vec<Told>>>()
    })?;
    let (ids, complaints): (Vec<_>, Vec<_>) = told.into_iter().unzip();
    Ok(Written {
        ids,
        complaints: complaints.into_iter().flatten().collect(),
        time: begun.elapsed(),
    })
}

/// The ids that a command printed, and what else it had to say.
fn judged(said: Said) -> Told {
    let ids = said.out.lines().map(str::to_owned).collect();
    let is_well = said.status == Some(0) && said.err.is_empty();
    let complaint = (!is_well).then(|| format!("exit {:?}: {}", said.status, said.err.trim()));
    (ids, complaint.into_iter().collect())
}

/// A process that waits for its word to begin. Killed and reaped when dropped.
struct Writer(Option<Child>);

impl Writer {
    fn write(mut self) -> Result<Told> {
        let mut child = self.0.take().context("a writer")?;
        // It has ended already if it could not open its store: its own words say why.
        let _told = child.stdin.take().context("its input")?.write_all(b"go\n");
        Ok(judged(child.wait_with_output()?.into()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _already_gone = child.kill();
            let _reaped = child.wait();
        }
    }
}
