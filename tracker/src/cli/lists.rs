//! The verbs that list issues.

use clap::Args;
use jiff::Timestamp;

use super::output::{Output, Trouble};
use super::place::Place;
use super::{show, words};
use crate::exit_code::Exit;
use crate::issue::{Issue, Status};
use crate::query::{Filter, Sort, Span};

#[derive(Debug, Args)]
pub(crate) struct Limited {
    /// At most N
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Words that must all be in it; the start of a word is enough
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    #[command(flatten)]
    limited: Limited,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// open, in_progress, blocked, deferred, closed; several with commas; tombstone: the deleted
    #[arg(long, short, value_delimiter = ',')]
    status: Vec<String>,
    /// bug, feature, task, epic, chore; several with commas
    #[arg(long = "type", short = 't', value_delimiter = ',', value_name = "TYPE")]
    issue_type: Vec<String>,
    /// One, or a range such as 0-2 or 3-
    #[arg(long, short, value_parser = words::priorities, allow_hyphen_values = true)]
    priority: Option<(Option<u8>, Option<u8>)>,
    /// With this label, and with all others given so
    #[arg(long = "label", short, value_name = "LABEL")]
    labels: Vec<String>,
    /// With one of these labels; several with commas
    #[arg(long = "label-any", value_delimiter = ',', value_name = "LABEL")]
    labels_any: Vec<String>,
    #[arg(long, short, conflicts_with = "unassigned")]
    assignee: Option<String>,
    /// Nobody's
    #[arg(long)]
    unassigned: bool,
    /// With this text in title or description
    #[arg(long)]
    text: Option<String>,
    /// A day, a time, or how long ago: 7d
    #[arg(long, value_parser = words::time, value_name = "TIME")]
    created_after: Option<Timestamp>,
    #[arg(long, value_parser = words::time, value_name = "TIME")]
    created_before: Option<Timestamp>,
    #[arg(long, value_parser = words::time, value_name = "TIME")]
    updated_after: Option<Timestamp>,
    #[arg(long, value_parser = words::time, value_name = "TIME")]
    updated_before: Option<Timestamp>,
    #[arg(long, value_parser = words::time, value_name = "TIME")]
    closed_after: Option<Timestamp>,
    #[arg(long, value_parser = words::time, value_name = "TIME")]
    closed_before: Option<Timestamp>,
    #[arg(long, default_value = "priority")]
    sort: Sort,
    #[arg(long, short)]
    reverse: bool,
    #[command(flatten)]
    limited: Limited,
}

impl List {
    fn filter(self) -> Result<Filter, Trouble> {
        let status = |word: &String| match word.as_str() {
            "tombstone" | "deleted" => Ok(Status::Tombstone),
            word => word.parse(),
        };
        let (priority_max, priority_min) = self.priority.unwrap_or_default();
        Ok(Filter {
            status: self.status.iter().map(status).collect::<Result<_, _>>()?,
            issue_type: self
                .issue_type
                .iter()
                .map(|word| word.parse())
                .collect::<Result<_, _>>()?,
            // The most urgent has the lowest number.
            priority_min: priority_max,
            priority_max: priority_min,
            labels_all: self.labels,
            labels_any: self.labels_any,
            assignee: if self.unassigned { Some(String::new()) } else { self.assignee },
            text: self.text,
            created: Span { after: self.created_after, before: self.created_before },
            updated: Span { after: self.updated_after, before: self.updated_before },
            closed: Span { after: self.closed_after, before: self.closed_before },
            sort: self.sort,
            reverse: self.reverse,
            limit: self.limited.limit,
        })
    }
}

pub(crate) fn list(place: &Place, list: List, output: &mut Output) -> Result<Exit, Trouble> {
    let filter = list.filter()?;
    let (issues, if_none) = place.read(output, |store, workspace| {
        let issues = store.find(&filter)?;
        let if_none = match () {
            () if !issues.is_empty() || store.count()? > 0 => {
                "no issue is like that; `tracker list` shows all"
            }
            // As in a clone, or where the database was lost.
            () if store.lines()? == 0 && workspace.jsonl().exists() => {
                "no issues yet; `tracker sync` takes in those of .tracker/issues.jsonl"
            }
            () => "no issues; `tracker create TITLE` makes one",
        };
        Ok((issues, if_none))
    })?;
    print(&issues, output, if_none)
}

pub(crate) fn search(place: &Place, search: &Search, output: &mut Output) -> Result<Exit, Trouble> {
    let text = search.words.join(" ");
    let issues = place.read(output, |store, _| Ok(store.search(&text, search.limited.limit)?))?;
    print(&issues, output, "nothing is like that; fewer words, or `tracker list --text PART`")
}

pub(crate) fn ready(
    place: &Place,
    limited: &Limited,
    output: &mut Output,
) -> Result<Exit, Trouble> {
    let issues = place.read(output, |store, _| Ok(store.ready(limited.limit)?))?;
    print(&issues, output, "nothing is ready; `tracker blocked` shows what waits for what")
}

pub(crate) fn blocked(
    place: &Place,
    limited: &Limited,
    output: &mut Output,
) -> Result<Exit, Trouble> {
    let blocked = place.read(output, |store, _| Ok(store.blocked(limited.limit)?))?;
    output.print(&blocked, |blocked| {
        let issues: Vec<_> = blocked.iter().map(|one| one.issue.clone()).collect();
        let lines = show::table(&issues);
        let waits =
            blocked.iter().map(|one| format!("    waits for {}", one.blocked_by.join(", ")));
        lines.lines().zip(waits).map(|(line, waits)| format!("{line}\n{waits}\n")).collect()
    })?;
    if blocked.is_empty() {
        output.say("nothing waits for anything");
    }
    Ok(Exit::Ok)
}

pub(crate) fn stats(place: &Place, output: &mut Output) -> Result<Exit, Trouble> {
    let stats = place.read(output, |store, _| Ok(store.stats()?))?;
    output.print(&stats, |stats| {
        let mut text = format!(
            "{} issues: {} ready, {} blocked, {} deleted, {} not yet synced\n",
            stats.issues, stats.ready, stats.blocked, stats.deleted, stats.unsynced
        );
        let groups = [
            ("status", &stats.by_status),
            ("type", &stats.by_type),
            ("priority", &stats.by_priority),
        ];
        for (what, counts) in groups {
            let counts: Vec<_> = counts.iter().map(|(word, n)| format!("{word} {n}")).collect();
            text += &format!("{what:9} {}\n", counts.join(", "));
        }
        text
    })?;
    Ok(Exit::Ok)
}

fn print(issues: &[Issue], output: &mut Output, if_none: &str) -> Result<Exit, Trouble> {
    output.print(&issues, |issues| show::table(issues))?;
    if issues.is_empty() {
        output.say(if_none);
    }
    Ok(Exit::Ok)
}
