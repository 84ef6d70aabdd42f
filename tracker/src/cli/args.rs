//! The command line.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::issue::{DependencyKind, Invalid, IssueType, Status};
use crate::paths::Workspace;
use crate::store::Store;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::daemon::DaemonVerb;
use super::output::Trouble;

const EXAMPLES: &str = "\
Examples:
  tracker init --prefix app             a workspace in this directory
  tracker create 'the tap drips' -q     prints the new id
  tracker dep add app-a3f app-x9k       a3f waits for x9k
  tracker ready --limit 5               what could be started on
  tracker daemon start                  keeps .tracker/issues.jsonl in step";

/// A local issue tracker in one SQLite file, its JSONL in git.
#[derive(Debug, Parser)]
#[command(name = "tracker", version, before_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// Work as if started in DIR
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON, errors too
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a workspace here
    Init(Init),
    /// Create an issue
    Create(Create),
    /// List issues, most urgent first
    List {
        /// At most N
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
    /// Show an issue
    Show {
        /// An id or its unique start
        id: String,
    },
    /// Change an issue
    Update(Update),
    /// Close an issue
    Close {
        /// An id or its unique start
        id: String,
    },
    /// Open a closed issue again
    Reopen {
        /// An id or its unique start
        id: String,
    },
    /// Delete an issue and every dependency on it
    Delete {
        /// An id or its unique start
        id: String,
    },
    /// Dependencies between issues
    #[command(subcommand)]
    Dep(Dep),
    /// List issues that nothing blocks
    Ready {
        /// At most N
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
    /// Write every issue to FILE as JSONL
    Export {
        /// Where to, `-` for standard output
        file: PathBuf,
    },
    /// Take over the issues of a JSONL file: all of it or nothing
    Import {
        /// Where from, `-` for standard input
        file: PathBuf,
    },
    /// Bring .tracker/issues.jsonl up to date now
    Sync,
    /// Show or change a setting of the workspace
    Config {
        key: ConfigKey,
        /// The new value
        value: Option<String>,
    },
    /// The daemon, which syncs by itself
    #[command(subcommand)]
    Daemon(DaemonVerb),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ConfigKey {
    /// What new ids start with
    Prefix,
    /// Whether a sync commits to git: true or false
    Git,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Init {
    /// What ids start with
    #[arg(long)]
    pub(crate) prefix: String,
    /// Commit .tracker/issues.jsonl to git at every sync that changes it
    #[arg(long)]
    pub(crate) git: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Create {
    pub(crate) title: String,
    #[arg(long, default_value = "")]
    pub(crate) description: String,
    /// 0 (now) to 4 (some day)
    #[arg(long, value_parser = word::<u8>)]
    pub(crate) priority: Option<u8>,
    #[arg(long = "type", default_value = "task", value_name = "TYPE")]
    pub(crate) issue_type: String,
    #[arg(long)]
    pub(crate) assignee: Option<String>,
    /// May be given several times
    #[arg(long = "label", value_name = "LABEL")]
    pub(crate) labels: Vec<String>,
    /// Print only the id
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Update {
    /// An id or its unique start
    pub(crate) id: String,
    #[arg(long)]
    pub(crate) title: Option<String>,
    #[arg(long)]
    pub(crate) description: Option<String>,
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// 0 (now) to 4 (some day)
    #[arg(long, value_parser = word::<u8>)]
    pub(crate) priority: Option<u8>,
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) issue_type: Option<String>,
    /// Empty to remove
    #[arg(long)]
    pub(crate) assignee: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dep {
    /// Make ID wait for DEPENDS_ON
    Add {
        id: String,
        depends_on: String,
        /// blocks, parent-child, related or discovered-from
        #[arg(long = "type", default_value = "blocks", value_name = "TYPE")]
        kind: String,
    },
}

impl Args {
    /// Where we work.
    pub(crate) fn place(&self) -> Result<Place, Trouble> {
        let dir = self.dir.clone().unwrap_or_else(|| ".".into());
        Ok(Place { dir })
    }
}

/// The directory a command works in or above.
#[derive(Debug)]
pub(crate) struct Place {
    dir: PathBuf,
}

impl Place {
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn workspace(&self) -> Result<Workspace, Trouble> {
        Workspace::find(&self.dir).map_err(|error| Failure::from(&error).into())
    }

    /// Opens the store of the workspace, lets `body` use it and closes it.
    pub(crate) fn with_store<T>(
        &self,
        body: impl FnOnce(&mut Store, &Workspace) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let workspace = self.workspace()?;
        let mut store = Store::open_existing(&workspace.database())?;
        let done = body(&mut store, &workspace);
        let closed = store.close();
        let value = done?;
        closed?;
        Ok(value)
    }
}

/// Parses a number, leaving the range to the model: its refusal is a validation error, exit 4.
fn word<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// The words of the model are checked by the model too.
pub(crate) fn issue_type(word: &str) -> Result<IssueType, Invalid> {
    word.parse()
}

pub(crate) fn status(word: &str) -> Result<Status, Invalid> {
    word.parse()
}

pub(crate) fn dependency_kind(word: &str) -> Result<DependencyKind, Invalid> {
    word.parse()
}
