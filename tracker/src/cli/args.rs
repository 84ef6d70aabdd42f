//! The command line: every verb, and where its own arguments are.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::daemon::DaemonVerb;
use super::dep::Dep;
use super::issues::{Comment, Create, Ids, Label, Reasoned, Update};
use super::lists::{Limited, List, Search};

const EXAMPLES: &str = "\
Examples:
  tracker init --git                    a workspace in this directory, committed to git
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
    pub(crate) dir: Option<PathBuf>,
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
    List(Box<List>),
    /// Find issues by their words, best match first
    Search(Search),
    /// Show issues
    Show(Ids),
    /// Change an issue
    Update(Update),
    /// Change an issue in your editor ($VISUAL, $EDITOR), or from standard input with `-`
    Edit {
        /// An id or its unique start
        id: String,
        /// `-`: read it from standard input instead
        #[arg(value_parser = ["-"], value_name = "-")]
        from: Option<String>,
    },
    /// Close issues
    Close(Reasoned),
    /// Open closed issues again
    Reopen(Ids),
    /// Delete issues; `restore` brings them back
    Delete(Reasoned),
    /// Bring deleted issues back
    Restore(Ids),
    /// Comment on an issue
    Comment(Comment),
    /// Labels of issues
    #[command(subcommand)]
    Label(Label),
    /// Dependencies between issues
    #[command(subcommand)]
    Dep(Dep),
    /// List issues that nothing blocks
    Ready(Limited),
    /// List issues that wait for others, and for which
    Blocked(Limited),
    /// Count issues by what they are
    Stats,
    /// Write every issue to FILE as JSONL
    Export {
        /// Where to, `-` for standard output
        file: PathBuf,
        /// Write over a file that holds what the database does not
        #[arg(long)]
        force: bool,
    },
    /// Take over the issues of a JSONL file: all of it or nothing
    Import {
        /// Where from, `-` for standard input
        file: PathBuf,
    },
    /// Bring .tracker/issues.jsonl and the database in step now, and commit if git is on
    Sync,
    /// Show or change a setting of the workspace
    Config {
        key: ConfigKey,
        /// The new value
        value: Option<String>,
    },
    /// Look for what is broken or was left behind
    Doctor {
        /// Mend what can be mended
        #[arg(long)]
        fix: bool,
    },
    /// The daemon, which syncs by itself
    #[command(subcommand)]
    Daemon(DaemonVerb),
    /// Print completions for a shell
    Completions { shell: clap_complete::Shell },
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
    /// What ids start with [default: as in .tracker/issues.jsonl, or the name of the directory]
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Commit .tracker/issues.jsonl to git when it has changed
    #[arg(long)]
    pub(crate) git: bool,
}
