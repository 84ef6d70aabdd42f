//! `cargo watertight test` and `cargo watertight nextest`: cargo as it is, with us as its target runner.

mod conclusion;
mod project;
mod signals;

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use watertight::unedited::{self, Wrapping};

use crate::acceptance::Acceptance;
use crate::ledgers;
use crate::talk::Talk;
use crate::underway::Underway;
use project::Project;
pub(crate) use project::cargo;

/// What cargo starts in place of each test binary: this program with this first argument.
const RUNNER: &str = "runner";

/// What nextest can be told besides a filter; all but the first run as ever.
const NEXTEST_VERBS: [&str; 7] =
    ["run", "list", "archive", "show-config", "self", "bench", "debug"];

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Cargo,
    Nextest,
}

/// Arguments of both: ours, and those of cargo, which reach it as they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the tests' sockets live: in the machine's network, or each test's in one of its own.
    #[arg(long, value_name = "WHERE", default_value = "host", value_parser = ["host", "private"])]
    net: String,
    /// List what each test keeps on the heap from 1 KiB on; else only 64 KiB and more are looked into.
    #[arg(long)]
    heap: bool,
    /// What cargo takes: packages, features, filters, and behind `--` what the tests take.
    #[arg(last = true, value_name = "CARGO ARGUMENTS")]
    rest: Vec<OsString>,
}

/// As cargo starts it for a test binary; none where this process is the command that a person has typed.
pub(crate) fn runner() -> Option<ExitCode> {
    if let Some(code) = unedited::enter() {
        return Some(code);
    }
    let mut words = std::env::args_os().skip(1);
    words.next().filter(|first| first == RUNNER)?;
    let Some(binary) = words.next() else {
        eprintln!(
            "watertight: cargo starts `cargo-watertight runner BINARY`; type `cargo watertight test`"
        );
        return Some(ExitCode::from(crate::exit::USAGE));
    };
    Some(unedited::run(Path::new(&binary), &words.collect::<Vec<_>>()))
}

/// Runs cargo; gives its exit code.
pub(crate) fn run(tool: Tool, arguments: &Arguments, talk: &Talk) -> anyhow::Result<u8> {
    let project = Project::find(&arguments.rest)?;
    // What is wrong in the file is said before anything is built.
    let acceptance = Acceptance::load(talk)?;
    let mut command = Command::new(cargo());
    command.arg(match tool {
        Tool::Cargo => "test",
        Tool::Nextest => "nextest",
    });
    // `cargo watertight nextest -p app` is `cargo nextest run -p app`.
    let has_verb =
        arguments.rest.first().is_some_and(|word| NEXTEST_VERBS.iter().any(|it| word == it));
    command.args((tool == Tool::Nextest && !has_verb).then_some("run")).args(&arguments.rest);
    let ledger = ledgers::begin(&project.target_directory, &project.run)?;
    let underway = Underway::mark(&ledger, &project.run);
    let own = project::OwnRunner::new(RUNNER)?;
    let mut wrapping = Wrapping::default();
    wrapping.private_net = arguments.net == "private";
    wrapping.all_heap = arguments.heap;
    wrapping.runner = project.runner.clone();
    wrapping.options = project::options(&arguments.rest);
    let mut set = |name: &str, value: OsString| {
        wrapping.before.push((name.to_owned(), std::env::var(name).ok()));
        command.env(name, value);
    };
    for variable in &project.runner_variables {
        set(variable, own.command.clone());
    }
    set("WATERTIGHT_RUN", project.run.clone().into());
    set("WATERTIGHT_LEDGER", ledger.clone().into());
    if let Some(shard) = project::shard(&arguments.rest) {
        set("WATERTIGHT_SHARD", shard.into());
    }
    let (name, value) = wrapping.to_env();
    command.env(name, value);
    talk.detail(format_args!("{command:?}"));
    let code = signals::run(command, tool)
        .with_context(|| format!("{} could not be run", cargo().to_string_lossy()))?;
    let lists = arguments.rest.iter().any(|word| word == "--list" || word == "--no-run");
    conclusion::print(&ledger, &project.run, code, lists, acceptance, talk)?;
    drop(underway);
    Ok(code)
}
