//! `cargo watertight agent`: the variables by which others start a program so that `watch` knows its lines.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::bail;
use watertight::watch::Table;

use crate::exit::{self, Usage};
use crate::run::Heap;
use crate::talk::Talk;

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print the variables, one on a line: an EnvironmentFile for systemd, an --env-file for a container.
    #[arg(long, required = true)]
    env: bool,
    /// Where the agent and its notes lie: the program must be able to write there, under this very path.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Which heap blocks have a line: one in a while, all (malloc takes many times as long), or none.
    #[arg(long, value_name = "WHICH", default_value = "sampled")]
    heap: Heap,
}

/// Prints them.
pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> anyhow::Result<u8> {
    let folder = arguments.dir.clone().or_else(default_folder);
    let Some(folder) = folder else {
        bail!(Usage(
            "there is no folder for it here; name one: cargo watertight agent --env --dir /run/app"
                .to_owned()
        ));
    };
    let folder = std::path::absolute(folder)?;
    let table = Table::lasting(&folder, arguments.heap.stacks())
        .map_err(|reason| anyhow::anyhow!("{reason}"))?;
    let mut stdout = std::io::stdout().lock();
    for (name, value) in table.environment() {
        writeln!(stdout, "{name}={}", value.to_string_lossy())?;
    }
    talk.say(format_args!(
        "start the program as this user with these variables, then: cargo watertight watch PID (notes are kept in {})",
        table.directory().display()
    ));
    Ok(exit::OK)
}

/// A folder of the user's own: the session's, else the one for state.
fn default_folder() -> Option<PathBuf> {
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = || set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    Some(set("XDG_RUNTIME_DIR").or_else(state)?.join("watertight"))
}
