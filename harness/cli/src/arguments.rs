//! The command line.

use std::ffi::OsString;

use clap::{ColorChoice, Parser, Subcommand};

use crate::{accept, agent, doctor, gate, merge, report, run, test, watch};

/// What people type.
pub(crate) const NAME: &str = "cargo-watertight";

/// Examples first: they are what most people look for.
pub(crate) const HELP: &str = "\
{before-help}{about-with-newline}
{usage-heading} {usage}

{all-args}{after-help}";

const TEST_USAGE: &str = "cargo watertight test [--net WHERE] [--heap] [CARGO TEST ARGUMENTS]";
const NEXTEST_USAGE: &str =
    "cargo watertight nextest [--net WHERE] [--heap] [NEXTEST RUN ARGUMENTS]";
const TEST_EXAMPLES: &str = "\
Examples:
  cargo watertight test                           all tests of the workspace
  cargo watertight test -p app --lib              those of one library
  cargo watertight test -- parser --skip slow     behind `--`, what the tests take
  cargo watertight test --net private             each test in a network of its own
  WATERTIGHT_PROFILE=ci cargo watertight test     red where anything could not be measured
";
const NEXTEST_EXAMPLES: &str = "\
Examples:
  cargo watertight nextest                        all tests, by cargo nextest run
  cargo watertight nextest -p app -E 'test(parser)'
  cargo watertight nextest --partition hash:1/3   one of three jobs; `merge` puts them together
";

const RUN_EXAMPLES: &str = "\
Examples:
  cargo watertight run -- target/debug/my-daemon --port 0     until it ends, or Ctrl-C
  cargo watertight run --for 10m --tick '^synced' -- my-daemon
                                                              growth for each line that it prints so
  cargo watertight run --for 60s --fail-on-growth -- my-daemon
                                                              code 1 where something grows
";
const RUN_NOTES: &str = "\
The program's stdout and stderr are pipes and go on to ours; its stdin is ours, unless that is the
terminal. Ctrl-C comes to us: the program is looked at once more, and then told to end.";
const WATCH_USAGE: &str = "cargo watertight watch [OPTIONS] <PID | --name NAME>";
const WATCH_EXAMPLES: &str = "\
Examples:
  cargo watertight watch 4711                       until it ends, or Ctrl-C
  cargo watertight watch --name redis-server        and the next of that name, when it is started again
  cargo watertight watch --once 4711                what it has now
  cargo watertight watch --json 4711 | jq .values   for programs
";
const AGENT_EXAMPLES: &str = "\
Examples:
  env $(cargo watertight agent --env) my-daemon     one on a line: also an EnvironmentFile of systemd,
                                                    or an --env-file of a container
";

/// What each test leaves behind, and which line made it.
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    bin_name = "cargo watertight",
    version,
    help_template = HELP,
    before_help = "Examples:
  cargo watertight test                     run the tests; a test that leaves something behind fails
  cargo watertight report --markdown        what the last run has found, for a pull request
  cargo watertight gate                     the one command for CI, after the tests
  cargo watertight accept --all --reason 'old' --expires 2027-03-31
                                            live with today's leaks; only new ones fail
  cargo watertight run -- my-daemon         what grows in a program, how fast, and when it meets its limit
  cargo watertight watch PID                the same of one that runs already
  cargo watertight doctor                   what this machine lets us see
",
    after_help = "Exit codes: 0 well, 1 the gate is red or something grows, 2 wrong usage, 3 could not be done, 4 broken ledger."
)]
pub(crate) struct Arguments {
    /// Say less: errors and results alone.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Colours.
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run `cargo test`, and audit every test: one that leaves something behind fails.
    #[command(help_template = HELP, before_help = TEST_EXAMPLES, override_usage = TEST_USAGE)]
    Test(test::Arguments),
    /// Run `cargo nextest run`, and audit every test.
    #[command(help_template = HELP, before_help = NEXTEST_EXAMPLES, override_usage = NEXTEST_USAGE)]
    Nextest(test::Arguments),
    /// Start a program and watch it: what grows, how fast, which line made it, and when its limit is met.
    #[command(help_template = HELP, before_help = RUN_EXAMPLES, after_help = RUN_NOTES)]
    Run(run::Arguments),
    /// Watch a program that runs already.
    #[command(help_template = HELP, before_help = WATCH_EXAMPLES, override_usage = WATCH_USAGE)]
    Watch(watch::Arguments),
    /// Variables that start a program so that `watch` knows its lines.
    #[command(help_template = HELP, before_help = AGENT_EXAMPLES)]
    Agent(agent::Arguments),
    /// What ledgers say, for people and machines.
    Report(report::Arguments),
    /// Fail on what must not be: the one command for CI, after the tests.
    Gate(gate::Arguments),
    /// Accept today's leaks for a while, so that only new ones fail.
    Accept(accept::Arguments),
    /// Make one ledger of those of several jobs.
    Merge(merge::Arguments),
    /// What this machine lets us see, and what to change.
    Doctor(doctor::Arguments),
    /// Completions for a shell, on stdout.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// The arguments that are ours: `cargo watertight x` starts `cargo-watertight watertight x`. What follows
/// `test` and `nextest` is cargo's, a `--` in it too, but for our own options before that.
pub(crate) fn own(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    if arguments.get(1).is_some_and(|first| first == "watertight") {
        arguments.remove(1);
    }
    let Some(verb) = verb(&arguments) else { return arguments };
    if arguments[verb] != "test" && arguments[verb] != "nextest" {
        return arguments;
    }
    let end = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let end = end.max(verb + 1);
    let (mut ours, mut cargos) = (Vec::new(), Vec::new());
    let mut words = arguments.drain(verb + 1..end);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--net") => ours.extend([Some(word), words.next()].into_iter().flatten()),
            Some("--heap") => ours.push(word),
            Some(text) if text.starts_with("--net=") => ours.push(word),
            // cargo's own help is asked for behind something of cargo's.
            Some("-h" | "--help") if cargos.is_empty() => ours.push(word),
            _ => cargos.push(word),
        }
    }
    drop(words);
    let between = std::iter::once("--".into());
    arguments.splice(verb + 1..verb + 1, ours.into_iter().chain(between).chain(cargos));
    arguments
}

/// Where the verb stands: the first word that is neither an option nor an option's value.
fn verb(arguments: &[OsString]) -> Option<usize> {
    let mut at = 1;
    while let Some(word) = arguments.get(at) {
        match word.to_str() {
            Some("--color") => at += 2,
            Some(option) if option.starts_with('-') => at += 1,
            _ => return Some(at),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn cargo_passes_its_own_word_first() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(own(words("x watertight gate").into_iter()), words("x gate"));
        assert_eq!(own(words("x gate").into_iter()), words("x gate"));
    }

    #[test]
    fn what_is_cargos_stays_as_it_is() {
        let own = |text: &str| {
            let words: Vec<OsString> = text.split(' ').map(OsString::from).collect();
            own(words.into_iter()).join(&OsString::from(" ")).into_string().unwrap()
        };
        assert_eq!(own("x test -q -- a --exact"), "x test -- -q -- a --exact");
        assert_eq!(own("x test --net private -- a"), "x test --net private -- -- a");
        assert_eq!(own("x -v nextest --net=host -p a"), "x -v nextest --net=host -- -p a");
        assert_eq!(own("x test --heap a"), "x test --heap -- a");
        assert_eq!(
            own("x test --lib --net private --heap -- --heap"),
            "x test --net private --heap -- --lib -- --heap"
        );
        assert_eq!(own("x test"), "x test --");
        assert_eq!(own("x --color never test a"), "x --color never test -- a");
        assert_eq!(own("x run -- cargo test a"), "x run -- cargo test a");
    }
}
