//! `cargo watertight merge`: the ledgers of several jobs become the ledger of one run.
//!
//! ```text
//! survey: every ledger's run records ──► one run record, the new run's id
//! pass:   every ledger's lines ──► two threads check them and write the new id into them ──► OUT, in order
//! ```
//!
//! Whatever is wrong with the parts is said, and the whole is written all the same: a record that can be
//! read is never lost.

mod pass;
mod survey;

use std::io::{BufWriter, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use watertight_report::metric;
use watertight_report::model::Record;

use crate::acceptance::beside;
use crate::arguments::HELP;
use crate::exit::Usage;
use crate::talk::Talk;
use crate::{exit, ledgers};
use pass::pass;
use survey::{Part, Survey};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(
    help_template = HELP,
    before_help = "Examples:
  cargo watertight merge -o all.jsonl shard-*.jsonl
  cargo watertight gate all.jsonl           one verdict on all of them
",
    after_help = "\
Said, and red, is: a test that is in two ledgers, a shard that is missing, jobs
that were run in different ways, a ledger without its run record or without
tests, a line that cannot be read. The whole is written all the same, with every
record that can be read; a ledger that is given twice is taken once.

Exit codes: 0 well, 1 something of that kind was said, 2 wrong usage, 3 a file
could not be read or written."
)]
pub(crate) struct Arguments {
    /// The ledger to write; one that is there is replaced.
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// The ledgers to put together.
    #[arg(value_name = "LEDGER", required = true)]
    ledgers: Vec<PathBuf>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> anyhow::Result<u8> {
    let paths = ledgers::chosen(&arguments.ledgers)?;
    let out = &arguments.output;
    refuse(out, &paths)?;
    let mut survey = Survey::of(&paths)?;
    let bar = talk.progress("merging", survey.bytes());
    let unwritten = || format!("cannot write {}; name another file with -o", out.display());
    let file = beside(out).with_context(unwritten)?;
    // Blocks come a mebibyte at a time; the buffer is for the run record.
    let mut writer = BufWriter::new(file);
    if let Some(run) = &survey.run {
        serde_json::to_writer(&mut writer, &Record::Run(run.clone())).with_context(unwritten)?;
        writer.write_all(b"\n").with_context(unwritten)?;
    }
    let passed = pass(&survey, &mut writer, &bar, talk).with_context(unwritten)?;
    bar.finish_and_clear();
    if passed.trials == 0 && survey.run.is_none() {
        anyhow::bail!("nothing in these ledgers can be read, so {} is not written", out.display());
    }
    let file = writer.into_inner().map_err(|error| error.into_error()).with_context(unwritten)?;
    file.persist(out).with_context(unwritten)?;
    survey.faults.extend(passed.faults);
    survey.faults.iter().for_each(|fault| talk.warn(fault));
    talk.say(format_args!(
        "{} trials of {} ledgers are the run {} in {out}; judge them: cargo watertight gate {out}",
        metric::count(passed.trials),
        survey.parts.len(),
        survey.id,
        out = out.display()
    ));
    Ok(if survey.faults.is_empty() { exit::OK } else { exit::RED })
}

/// Refuses an output that is one of the inputs, or that is no file at all.
fn refuse(out: &Path, ledgers: &[PathBuf]) -> anyhow::Result<()> {
    let Ok(there) = std::fs::metadata(out) else { return Ok(()) };
    let out_shown = out.display();
    if !there.is_file() {
        return Err(Usage(format!("{out_shown} is no file; name one to write to with -o")).into());
    }
    let is_out = |path: &&PathBuf| {
        std::fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (there.dev(), there.ino()))
    };
    match ledgers.iter().find(is_out) {
        Some(_) => Err(Usage(format!(
            "{out_shown} is one of the ledgers to be read; name another file with -o"
        ))
        .into()),
        None => Ok(()),
    }
}

impl Part {
    /// How messages call it.
    fn shown(&self) -> String {
        match self.shard {
            Some(shard) => {
                format!("shard {} of {} ({})", shard.index, shard.count, self.path.display())
            }
            None => self.path.display().to_string(),
        }
    }
}
