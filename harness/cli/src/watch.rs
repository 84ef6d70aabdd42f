//! `cargo watertight watch`: what grows in a running program, how fast, and when it meets its limit.

use watertight::watch::{Settings, Watch, only};

use crate::exit::{self, Usage};
use crate::talk::Talk;
use crate::watching::{Options, Prepared, Watching, once};

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The process.
    #[arg(required_unless_present = "name", value_parser = number)]
    pid: Option<u32>,
    /// The process of this name, and the next one when it has ended: a service that is started again.
    #[arg(long, conflicts_with = "pid")]
    name: Option<String>,
    /// Look once, and say what it has.
    #[arg(long, conflicts_with_all = ["length", "fail_on_growth", "trace", "ledger"])]
    once: bool,
    #[command(flatten)]
    options: Options,
}

/// Watches; gives the exit code.
pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> anyhow::Result<u8> {
    let pid = match (&arguments.name, arguments.pid) {
        (Some(name), _) => only(name).map_err(|error| Usage(error.to_string()))?,
        (None, Some(pid)) => pid,
        (None, None) => {
            return Err(Usage("name a process by its number or with --name".to_owned()).into());
        }
    };
    let mut settings = Settings::default();
    settings.warm_up = arguments.options.warm_up();
    settings.name.clone_from(&arguments.name);
    let open = |settings| Watch::of(pid, settings).map_err(|error| Usage(error.to_string()));
    if arguments.once {
        once(&mut open(settings)?, &arguments.options, talk)?;
        return Ok(exit::OK);
    }
    // What cannot be watched leaves no ledger behind.
    let watch = open(settings)?;
    let prepared = Prepared::new(&arguments.options, talk)?;
    let command = match &arguments.name {
        Some(name) => format!("cargo watertight watch --name {}", quoted(name)),
        None => format!("cargo watertight watch {pid}"),
    };
    Watching::new(watch, None, prepared, &arguments.options, command, talk)?.run()
}

fn number(text: &str) -> Result<u32, String> {
    let what = || format!("no process has such a number; by its name: --name {}", quoted(text));
    text.parse().map_err(|_| what())
}

fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), |word| word.into_owned())
}
