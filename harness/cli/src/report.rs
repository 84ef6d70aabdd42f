//! `cargo watertight report`: what ledgers say, in the medium that is asked for.

mod output;
mod summary_file;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use watertight_report::model::Record;
use watertight_report::render::Renderer;
use watertight_report::render::folded::{Counted, Folded};
use watertight_report::render::github::{self, Github};
use watertight_report::render::json::Json;
use watertight_report::render::junit::Junit;
use watertight_report::render::markdown::{BYTES_MAX, Markdown};
use watertight_report::render::terminal::{Style, Terminal};
use watertight_report::report::Fold;

use crate::arguments::HELP;
use crate::exit::{self, Usage};
use crate::ledgers;
use crate::talk::Talk;
use output::{Output, quietly};
use summary_file::SummaryFile;

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(
    help_template = HELP,
    before_help = "Examples:
  cargo watertight report                   what the last run has found
  cargo watertight report --all             every test and all that was read of it
  cargo watertight report --junit -o junit.xml shard-*.jsonl
                                            several ledgers in one, for a CI that reads JUnit
  cargo watertight report --github          annotations and the step summary, in a GitHub workflow
  cargo watertight report --folded bytes | inferno-flamegraph > leaks.svg
                                            a flame graph of what was left
",
    after_help = "Data goes to stdout or FILE, talk to stderr. A closed pipe ends it quietly."
)]
pub(crate) struct Arguments {
    /// The ledgers; without any that of WATERTIGHT_LEDGER, else target/watertight/latest.
    #[arg(value_name = "LEDGER")]
    ledgers: Vec<PathBuf>,
    /// Every test's readings as well.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    medium: Medium,
    /// Write there and not to stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// One of them; a terminal's text without any.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Medium {
    /// One JSON document, as schema/report.schema.json says.
    #[arg(long)]
    json: bool,
    /// A page for a pull request, below 900 KiB.
    #[arg(long)]
    markdown: bool,
    /// JUnit XML, as Jenkins and others read it.
    #[arg(long)]
    junit: bool,
    /// GitHub annotations; and the page of --markdown appended to the step summary.
    #[arg(long)]
    github: bool,
    /// Folded stacks of what was left, for a flame graph.
    #[arg(long, value_name = "WHAT")]
    folded: Option<What>,
}

/// What folded stacks count.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Bytes of heap and mappings.
    Bytes,
    /// Descriptors, sockets among them.
    Fd,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> anyhow::Result<u8> {
    let ledgers = ledgers::chosen(&arguments.ledgers)?;
    let output = arguments.output.as_deref();
    if let Some(file) = output.filter(|file| ledgers.iter().any(|ledger| is_same(ledger, file))) {
        let said = format!("{} is one of the ledgers; name another with -o", file.display());
        return Err(Usage(said).into());
    }
    let out = Output::new(output)?;
    let mut summary_file = SummaryFile::default();
    let broken = quietly(tell(arguments, talk, ledgers, out, &mut summary_file))?;
    Ok(if broken > 0 { exit::BROKEN_LEDGER } else { exit::OK })
}

/// Whether two paths lead to one file, which is there.
fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// Tells of `ledgers`, and how many of their lines could not be read.
fn tell(
    arguments: &Arguments,
    talk: &Talk,
    ledgers: Vec<PathBuf>,
    out: Output,
    summary_file: &mut SummaryFile,
) -> anyhow::Result<u64> {
    let mut renderers = renderers(arguments, out, summary_file)?;
    let mut fold = Fold::default();
    // Reading does not stop in the middle; after an error nothing is done with the rest.
    let mut told = Ok(());
    let broken_lines = ledgers::read(&ledgers, talk, |_, record| {
        if told.is_err() {
            return;
        }
        fold.add(&record);
        if let Record::Trial(trial) = &record {
            told = renderers.iter_mut().try_for_each(|renderer| renderer.trial(trial));
        }
    })?;
    told?;
    let mut report = fold.finish();
    report.broken_lines = broken_lines;
    if let [only] = ledgers.as_slice() {
        report.summary.ledger = Some(only.clone());
    }
    for renderer in &mut renderers {
        renderer.finish(&report)?;
    }
    if arguments.medium.github {
        let many = github::count(&report);
        let what = if many == 1 { "annotation" } else { "annotations" };
        talk.say(format_args!("{many} {what}; {}", summary_file.told()));
    }
    if let Some(path) = &arguments.output {
        talk.say(format_args!("the report is in {}", path.display()));
    }
    Ok(broken_lines)
}

/// The workspace's folder in the repository that a GitHub workflow has checked out; empty where it is the
/// repository's root, or outside a workflow.
fn below_the_repository() -> String {
    let folder = || {
        let repository = Path::new(&std::env::var_os("GITHUB_WORKSPACE")?).canonicalize().ok()?;
        let workspace = ledgers::workspace()?.canonicalize().ok()?;
        Some(workspace.strip_prefix(&repository).ok()?.to_str()?.to_owned())
    };
    folder().unwrap_or_default()
}

fn renderers(
    arguments: &Arguments,
    out: Output,
    summary_file: &mut SummaryFile,
) -> anyhow::Result<Vec<Box<dyn Renderer>>> {
    let all = arguments.all;
    let medium = &arguments.medium;
    Ok(match medium.folded {
        Some(What::Bytes) => vec![Box::new(Folded::new(out, Counted::Bytes))],
        Some(What::Fd) => vec![Box::new(Folded::new(out, Counted::Descriptors))],
        None if medium.json => vec![Box::new(Json::new(out, all))],
        None if medium.markdown => vec![Box::new(Markdown::new(out, BYTES_MAX, all))],
        None if medium.junit => vec![Box::new(Junit::new(out, all))],
        None if medium.github => {
            // The page first: it is there even where nobody reads the annotations.
            let mut both: Vec<Box<dyn Renderer>> = Vec::new();
            if let Some((file, room)) = summary_file.open()? {
                both.push(Box::new(Markdown::new(file, room, all)));
            }
            both.push(Box::new(Github::new(out).below(&below_the_repository())));
            both
        }
        None => {
            let stacks = std::env::var_os("WATERTIGHT_STACKS").is_some_and(|asked| asked == "1");
            let style = Style { colour: out.colour(), stacks, ..Style::default() };
            vec![Box::new(Terminal::new(out, style, all))]
        }
    })
}
