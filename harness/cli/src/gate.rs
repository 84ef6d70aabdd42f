//! `cargo watertight gate`: the one command for CI, after the tests. Whatever is not proven is red.

mod evidence;
mod reason;

use std::io::Write as _;
use std::path::PathBuf;

use anstyle::AnsiColor;

use crate::acceptance::Acceptance;
use crate::arguments::HELP;
use crate::talk::{Talk, plain};
use crate::underway::is_underway;
use crate::{exit, ledgers};
use evidence::Evidence;
use reason::Reason;

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(
    help_template = HELP,
    before_help = "Examples:
  cargo watertight gate                     judge the last run
  cargo watertight gate shard-*.jsonl       judge the ledgers of several jobs together
",
    after_help = "\
Red is: a leak that no entry of .config/watertight-accepted.toml accepts today;
an entry that is over, or accepts nothing any more; a probe that could not look;
a test that failed; a run without canaries, without tests, cancelled, or with a
shard missing; a line of a ledger that cannot be read.

Exit codes: 0 green, 1 red, 2 wrong usage or no such ledger, 3 the system said no."
)]
pub(crate) struct Arguments {
    /// The ledgers; else WATERTIGHT_LEDGER, else the last run's.
    #[arg(value_name = "LEDGER")]
    ledgers: Vec<PathBuf>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> anyhow::Result<u8> {
    let paths = ledgers::chosen(&arguments.ledgers)?;
    let mut acceptance = Acceptance::load(talk)?;
    let mut evidence = Evidence::default();
    let broken = ledgers::read(&paths, talk, |_, record| evidence.add(record, &mut acceptance))?;
    let mut reasons = evidence.reasons(broken, acceptance.remarks());
    for path in paths.iter().filter(|path| is_underway(path)) {
        let what = format!("the run of {} did not come to its end, or still runs", path.display());
        reasons.insert(0, Reason::new(plain(&what), "run the tests again"));
    }
    let mut out = anstream::stdout().lock();
    // A reader who has seen enough and closed the pipe changes no verdict.
    let _ = if reasons.is_empty() {
        let green = AnsiColor::Green.on_default().bold();
        writeln!(out, "{green}green{green:#}: {}", evidence.proven())
    } else {
        let red = AnsiColor::Red.on_default().bold();
        reasons.iter().try_for_each(|reason| write!(out, "{red}red{red:#}: {reason}"))
    };
    Ok(if reasons.is_empty() { exit::OK } else { exit::RED })
}
