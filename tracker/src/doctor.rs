//! The doctor: looks for what is broken or was left behind, and mends it if asked to.
//!
//! ```text
//! surroundings   what lies around: run/, .gitignore, leftovers of daemons and syncs, the file
//! database       there, opens, its pages are whole        else the way out is told
//!   contents     lines, rows, search index, dependencies, deletions, what the file holds
//! git, daemon    what keeps them from their work
//! ```
//!
//! Each check looks; if it may and can, it mends and looks again: what the second look does not
//! find is mended. Without `fix` nothing is changed, not even by opening the database, and with it
//! nothing that belongs to a running daemon is. From a database that is damaged nothing is written
//! anywhere, least of all over the file that may be whole.

mod contents;
mod daemon;
mod database;
mod git;
mod leftovers;
mod rows;
mod run_dir;

use serde::Serialize;

use crate::daemon::LockError;
use crate::daemon::control::{self, State};
use crate::failure::Failure;
use crate::paths::Workspace;
use crate::store::Store;

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Subject {
    /// `run/`: ours alone.
    RunDir,
    /// `.gitignore`: has its lines.
    GitIgnore,
    /// The pidfile of a daemon that was killed.
    Pidfile,
    /// Its socket, and the directory that a deep workspace needs for it.
    Socket,
    /// Its TCP address and token.
    TcpFile,
    /// What it was about to publish or put its log into.
    Pieces,
    /// Temporary files of exports that were killed.
    Temporaries,
    /// The JSONL file: issues alone.
    File,
    /// The database: there, opens, of this schema.
    Database,
    /// Its pages and indexes, as SQLite checks them.
    Integrity,
    /// Every line is an issue, and the tables say what the lines do.
    Rows,
    /// The search index has the issues that it should.
    Search,
    /// Dependencies that wait for each other.
    Cycles,
    /// Dependencies on issues that are not there.
    Dangling,
    /// Deletions that need not be remembered any more.
    Expired,
    /// What the file holds and the database does not.
    Held,
    /// The file and the database say the same.
    InStep,
    /// Git takes commits of the file.
    Git,
    /// The daemon answers, and syncs.
    Daemon,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is wrong.
    Ok,
    /// Worth knowing, and no fault.
    Note,
    /// It was wrong or worth a note, and is as it should be now.
    Fixed,
    /// It is wrong.
    Wrong,
    /// It could not be looked at, for what is wrong elsewhere.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// What it is.
    pub check: Subject,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; `None` where nothing is to be done.
    pub hint: Option<String>,
}

/// Whether nothing is wrong any more.
pub fn is_well(checks: &[Check]) -> bool {
    !checks.iter().any(|check| check.verdict == Verdict::Wrong)
}

/// Looks at everything, in whatever state it is, and with `fix` mends what can be mended.
pub fn examine(workspace: &Workspace, fix: bool) -> Vec<Check> {
    let mut around = workspace.clone();
    let mut checks = Vec::new();
    for examination in run_dir::EXAMINATIONS.iter().chain(leftovers::EXAMINATIONS) {
        checks.push(examination.run(&mut around, fix));
    }
    checks.extend(database::examine(workspace, fix));
    checks.push(daemon::EXAMINATION.run(&mut around, fix));
    checks
}

/// Whether a daemon has the workspace, as its lock tells.
fn has_daemon(workspace: &Workspace) -> Result<bool, LockError> {
    Ok(control::state(workspace)? != State::Stopped)
}

/// A workspace and its database.
#[derive(Debug)]
struct Patient {
    workspace: Workspace,
    store: Store,
}

/// What a look finds.
#[derive(Debug)]
enum Finding {
    /// Nothing wrong; what there is.
    Fine(String),
    /// No fault: what, and what to do.
    Note(String, String),
    /// A fault: what, and what to do.
    Wrong(String, String),
}

impl Finding {
    fn fine(what: impl Into<String>) -> Self {
        Self::Fine(what.into())
    }

    fn note(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Note(what.into(), hint.into())
    }

    fn wrong(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Wrong(what.into(), hint.into())
    }

    /// Wrong, and `--fix` mends it.
    fn mendable(what: impl Into<String>) -> Self {
        Self::wrong(what, MENDS)
    }

    fn check(self, subject: Subject) -> Check {
        let (verdict, found, hint) = match self {
            Self::Fine(what) => (Verdict::Ok, what, None),
            Self::Note(what, hint) => (Verdict::Note, what, Some(hint)),
            Self::Wrong(what, hint) => (Verdict::Wrong, what, Some(hint)),
        };
        Check { check: subject, verdict, found, hint }
    }
}

const MENDS: &str = "`tracker doctor --fix` mends it";

impl From<Failure> for Finding {
    fn from(failure: Failure) -> Self {
        Self::Wrong(failure.message, failure.hint)
    }
}

/// Puts right what a look has found.
type Mend<P> = fn(&mut P) -> Result<(), Failure>;

/// One check of a patient of one sort.
struct Examination<P> {
    subject: Subject,
    /// What there is. An error is something that is wrong, too.
    look: fn(&P) -> Result<Finding, Failure>,
    /// `None` where only a person can.
    mend: Option<Mend<P>>,
}

impl<P> Examination<P> {
    fn look(&self, patient: &P) -> Finding {
        (self.look)(patient).unwrap_or_else(Finding::from)
    }

    fn run(&self, patient: &mut P, may_mend: bool) -> Check {
        let before = self.look(patient).check(self.subject);
        let Some(mend) = self.mend.filter(|_| may_mend && before.verdict != Verdict::Ok) else {
            return before;
        };
        let mended = mend(patient);
        let after = self.look(patient).check(self.subject);
        match (after.verdict, mended) {
            (Verdict::Ok, _) => Check { verdict: Verdict::Fixed, hint: None, ..before },
            (_, Ok(())) => after,
            (_, Err(failure)) => Check {
                verdict: Verdict::Wrong,
                found: format!("{}; not mended: {}", after.found, failure.message),
                hint: Some(failure.hint),
                ..after
            },
        }
    }

    fn skipped(&self, why: &str) -> Check {
        Check { check: self.subject, verdict: Verdict::Skipped, found: why.into(), hint: None }
    }
}

/// `1 issue`, `2 issues`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The first few of many names.
fn some(names: &[String]) -> String {
    const NAMES_MAX: usize = 5;
    let first = names.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMES_MAX) {
        None | Some(0) => first,
        Some(more) => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
