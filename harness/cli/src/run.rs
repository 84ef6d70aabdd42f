//! `cargo watertight run`: starts a program under the agent and watches it.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Context as _;
use regex::bytes::Regex;
use watertight::watch::{HeapStacks, Settings, Table, Watch};

use crate::talk::Talk;
use crate::watching::{Options, Prepared, Program, Start, Watching};

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Each line of the program's output that matches is one tick of it: growth is told per tick.
    #[arg(long, value_name = "REGEX")]
    tick: Option<Regex>,
    /// Each line that the program writes to this descriptor is one tick.
    #[arg(long, value_name = "NUMBER", conflicts_with = "tick", value_parser = clap::value_parser!(i32).range(3..1024))]
    tick_fd: Option<i32>,
    /// Which heap blocks have a line: one in a while, all (malloc takes many times as long), or none.
    #[arg(long, value_name = "WHICH", default_value = "sampled")]
    heap: Heap,
    #[command(flatten)]
    options: Options,
    /// The program and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    words: Vec<OsString>,
}

/// How heap is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Heap {
    /// One block in a while.
    Sampled,
    /// Every block.
    Every,
    /// It is only counted.
    None,
}

impl Heap {
    pub(crate) fn stacks(self) -> HeapStacks {
        match self {
            Self::Sampled => HeapStacks::Sampled,
            Self::Every => HeapStacks::Every,
            Self::None => HeapStacks::None,
        }
    }
}

/// How long a program may take to load before it is looked at without the agent's notes.
const LOADING: Duration = Duration::from_secs(2);

/// Runs and watches the program; gives the exit code.
pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> anyhow::Result<u8> {
    let options = &arguments.options;
    let prepared = Prepared::new(options, talk)?;
    let table = Table::fresh(arguments.heap.stacks());
    if let Err(reason) = &table {
        talk.warn(format_args!("no lines will be known: {reason}"));
    }
    for swept in table.iter().flat_map(Table::swept) {
        talk.say(format_args!("removed {swept}"));
    }
    let environment = table.as_ref().map(Table::environment).map(Vec::from).unwrap_or_default();
    let program = Program::start(&Start {
        words: &arguments.words,
        environment,
        tick: arguments.tick.as_ref(),
        tick_fd: arguments.tick_fd,
        stdout_is_taken: options.json,
    })?;
    if let Ok(table) = &table {
        table.wait_for(program.pid(), LOADING);
    }
    let mut settings = Settings::default();
    settings.warm_up = options.warm_up();
    settings.is_child = true;
    settings.expects_notes = table.is_ok();
    let watch = Watch::of(program.pid(), settings).context("the program cannot be looked at")?;
    let watching = Watching::new(watch, Some(program), prepared, options, again(arguments), talk)?;
    let code = watching.run();
    drop(table);
    code
}

/// The same command, for a shell.
fn again(arguments: &Arguments) -> String {
    let words = arguments.words.iter().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    let words =
        shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "));
    format!("cargo watertight run -- {words}")
}
