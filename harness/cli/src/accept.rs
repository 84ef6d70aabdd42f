//! `cargo watertight accept`: live with today's leaks for a while, so that only new ones fail.

use std::io::{self, Write as _};
use std::path::PathBuf;

use jiff::civil::Date;
use watertight_report::baseline::{Entry, Proposal, Refused};
use watertight_report::document::Glob;
use watertight_report::metric::Unit;
use watertight_report::model::Record;

use crate::acceptance::{Acceptance, today};
use crate::arguments::HELP;
use crate::exit::Usage;
use crate::talk::{Talk, plain, shown};
use crate::{exit, ledgers};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(
    help_template = HELP,
    override_usage = "cargo watertight accept [--all | PATTERN] --reason TEXT --expires YYYY-MM-DD [LEDGER]...
       cargo watertight accept",
    before_help = "Examples:
  cargo watertight accept                   what could be accepted
  cargo watertight accept --all --reason 'there before the audit' --expires 2027-03-31
                                            everything that leaked in the last run
  cargo watertight accept 'store::*' --reason 'upstream, issue 123' --expires 2027-03-31
                                            what the cases of that name leaked
  cargo watertight accept --all --dry-run --reason 'why' --expires 2027-03-31
                                            print the entries and write nothing
",
    after_help = "\
Entries are appended to .config/watertight-accepted.toml, where every run looks
for it; what is in it stays. They accept what was seen and no more: the case,
what it leaks, how much a round, and the line or the function. A leak without
either cannot be accepted.

Exit codes: 0 written, or nothing to write; 2 wrong usage; 3 a file could not be
read or written; 4 a ledger has lines that cannot be read, the rest was used."
)]
pub(crate) struct Arguments {
    /// The cases, as `case` or `suite::case`; `*` and `?` stand for others. Then the ledgers; else
    /// WATERTIGHT_LEDGER, else the last run's.
    #[arg(value_name = "PATTERN] [LEDGER")]
    words: Vec<String>,
    /// All cases; then only ledgers are named.
    #[arg(long)]
    all: bool,
    /// Why it is accepted: one sentence for whoever reads the file next year.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// The last day on which it is accepted, in UTC.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = expires)]
    expires: Option<Date>,
    /// Print the entries and write nothing.
    #[arg(long)]
    dry_run: bool,
}

fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why it is accepted, as 'upstream keeps it open, issue 123'".to_owned()),
        text => Ok(text.to_owned()),
    }
}

fn expires(text: &str) -> Result<Date, String> {
    let date: Option<Date> = text.parse().ok();
    // The parser takes more than the one form that everybody can read.
    let date = date.filter(|date| date.to_string() == text);
    let date = date.ok_or("write the last day as YYYY-MM-DD, as 2027-03-31")?;
    match today() {
        today if date < today => Err(format!("that day is over (it is {today}); name a later one")),
        _ => Ok(date),
    }
}

/// What is asked for.
enum Wish {
    /// A list of what could be accepted.
    List,
    /// Entries for the chosen cases; for all without a pattern.
    Entries { pattern: Option<Glob>, reason: String, expires: Date },
}

impl Arguments {
    fn wish(&self) -> anyhow::Result<(Wish, Vec<PathBuf>)> {
        let mut words = self.words.iter();
        let pattern = match self.all {
            true => None,
            false => words.next().map(|word| Glob::new(word)),
        };
        let paths: Vec<PathBuf> = words.map(PathBuf::from).collect();
        let is_chosen = self.all || pattern.is_some();
        let wish = match (self.reason.clone(), self.expires) {
            (Some(reason), Some(expires)) if is_chosen => {
                Wish::Entries { pattern, reason, expires }
            }
            (None, None) if !is_chosen && !self.dry_run => Wish::List,
            _ if !is_chosen => {
                return Err(usage(
                    "say which cases: --all, or a pattern for their names, as 'store::*'",
                ));
            }
            (None, _) => return Err(usage("say why it is accepted: --reason TEXT")),
            (_, _) => return Err(usage("say until when it is accepted: --expires YYYY-MM-DD")),
        };
        Ok((wish, paths))
    }
}

fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> anyhow::Result<u8> {
    let (wish, paths) = arguments.wish()?;
    let paths = ledgers::chosen(&paths)?;
    let mut acceptance = Acceptance::load(talk)?;
    let (pattern, mut proposal) = match &wish {
        Wish::List => (None, Proposal::new("", acceptance.today)),
        Wish::Entries { pattern, reason, expires } => {
            (pattern.as_ref(), Proposal::new(reason, *expires))
        }
    };
    let mut chosen = false;
    let broken = ledgers::read(&paths, talk, |_, record| {
        let Record::Trial(trial) = record else { return };
        acceptance.note(&trial);
        if pattern.is_none_or(|pattern| pattern.matches_case(&trial.suite, &trial.case)) {
            chosen = true;
            proposal.add(&acceptance.baseline, &trial, acceptance.today);
        } else {
            proposal.pass(&trial);
        }
    })?;
    if let (Some(pattern), false) = (pattern, chosen) {
        return Err(nothing_matches(pattern));
    }
    proposal.refused().for_each(|refused| talk.warn(say_refused(refused)));
    let entries = proposal.entries();
    match (&wish, entries.as_slice()) {
        (_, []) => talk
            .say("nothing is left to accept: no leak with a line of its own is without an entry"),
        (Wish::List, entries) => list(entries, talk),
        (Wish::Entries { .. }, entries) if arguments.dry_run => {
            print(&entries.iter().map(Entry::to_toml).collect::<Vec<_>>().join("\n"));
        }
        (Wish::Entries { expires, .. }, entries) => {
            acceptance.append(entries)?;
            for (line, file) in acceptance.replaced_by(entries) {
                talk.warn(format_args!(
                    "{}:{line} is over and has a new entry now: remove it, or the gate stays red",
                    shown(file).display()
                ));
            }
            for entry in entries {
                talk.say(format_args!("accepted until {expires}: {}", say(entry)));
            }
            let file = shown(&acceptance.path).display();
            talk.say(format_args!(
                "{} written to {file}; commit it, and see what is left: cargo watertight gate",
                match entries.len() {
                    1 => "1 entry is".to_owned(),
                    many => format!("{many} entries are"),
                }
            ));
        }
    }
    acceptance.remarks().iter().for_each(|remark| talk.warn(plain(remark)));
    Ok(if broken > 0 { exit::BROKEN_LEDGER } else { exit::OK })
}

fn nothing_matches(pattern: &Glob) -> anyhow::Error {
    let pattern = pattern.to_string();
    let hint = match std::path::Path::new(&pattern).is_file() {
        true => "it names a file: choose cases before the ledger, with --all or a pattern",
        false => "what could be accepted: cargo watertight accept",
    };
    usage(format!("no case of the run is named like `{}`; {hint}", plain(&pattern)))
}

/// Data: a line for each entry that could be written. Talk: how.
fn list(entries: &[Entry], talk: &Talk) {
    print(&entries.iter().map(|entry| say(entry) + "\n").collect::<String>());
    talk.say("to accept them: cargo watertight accept --all --reason TEXT --expires YYYY-MM-DD, or a pattern for their names in place of --all");
}

/// `fd of suite::case, at most 1 a round, made at src/store.rs in app::open`.
fn say(entry: &Entry) -> String {
    let site = entry.site.as_ref().map(|site| format!(" at {site}"));
    let function = entry.function.as_ref().map(|function| format!(" in {function}"));
    plain(&format!(
        "{} of {}, at most {} a round, made{}{}",
        entry.resource.name(),
        entry.case,
        Unit::from(entry.resource).show(entry.max),
        site.unwrap_or_default(),
        function.unwrap_or_default()
    ))
}

fn say_refused(refused: &Refused) -> String {
    let Refused { suite, case, resource, what, note, .. } = refused;
    let why = note.as_deref().unwrap_or("its record has no stack");
    plain(&format!(
        "{} of {suite}::{case} cannot be accepted, for nobody knows the line that makes it ({what}): {why}",
        resource.name()
    ))
}

/// A reader who has seen enough and closed the pipe is no error.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}
