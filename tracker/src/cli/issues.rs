//! The verbs on single issues.

use clap::{Args, Subcommand};

use super::output::{Output, Trouble};
use super::place::Place;
use super::{show, words};
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::issue::{Issue, IssuePatch, NewIssue, Status};
use crate::store::{Store, StoreError};

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// One line
    title: String,
    /// `-` for standard input
    #[arg(long, short, default_value = "", hide_default_value = true)]
    description: String,
    /// 0 (now) to 4 (some day)
    #[arg(long, short, value_parser = words::priority)]
    priority: Option<u8>,
    /// bug, feature, task, epic or chore
    #[arg(long = "type", short = 't', default_value = "task", value_name = "TYPE")]
    issue_type: String,
    #[arg(long, short)]
    assignee: Option<String>,
    /// May be given several times
    #[arg(long = "label", short, value_name = "LABEL")]
    labels: Vec<String>,
    /// Print only the id
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ids {
    /// Ids or their unique starts
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Reasoned {
    #[command(flatten)]
    ids: Ids,
    /// Why
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    /// An id or its unique start
    id: String,
    #[arg(long)]
    title: Option<String>,
    /// `-` for standard input
    #[arg(long, short)]
    description: Option<String>,
    /// open, in_progress, blocked, deferred or closed
    #[arg(long, short)]
    status: Option<String>,
    /// 0 (now) to 4 (some day)
    #[arg(long, short, value_parser = words::priority)]
    priority: Option<u8>,
    /// bug, feature, task, epic or chore
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    issue_type: Option<String>,
    /// Empty to remove
    #[arg(long, short)]
    assignee: Option<String>,
    /// All its labels anew; may be given several times, empty for none
    #[arg(long = "label", short, value_name = "LABEL")]
    labels: Option<Vec<String>>,
    #[arg(long = "add-label", value_name = "LABEL")]
    add_labels: Vec<String>,
    #[arg(long = "remove-label", value_name = "LABEL")]
    remove_labels: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Comment {
    /// An id or its unique start
    id: String,
    /// `-` for standard input
    text: String,
    /// Who says it [default: TRACKER_AUTHOR, or who is logged in]
    #[arg(long)]
    author: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Label {
    /// Add labels to an issue
    Add {
        /// An id or its unique start
        id: String,
        #[arg(required = true, value_name = "LABEL")]
        labels: Vec<String>,
    },
    /// Take labels from an issue
    Remove {
        /// An id or its unique start
        id: String,
        #[arg(required = true, value_name = "LABEL")]
        labels: Vec<String>,
    },
    /// List labels, with how many issues have them
    List,
}

pub(crate) fn create(place: &Place, create: Create, output: &mut Output) -> Result<Exit, Trouble> {
    let new = NewIssue {
        title: create.title,
        description: words::text(create.description)?,
        priority: create.priority,
        issue_type: create.issue_type.parse()?,
        assignee: create.assignee,
        labels: create.labels,
    };
    let issue = place.with_store(|store, _| Ok(store.create(new)?))?;
    output.print(&issue, |issue| match create.quiet {
        true => issue.id.clone(),
        false => format!("created {}: {}", issue.id, show::line(&issue.title)),
    })?;
    Ok(Exit::Ok)
}

pub(crate) fn show(place: &Place, ids: &Ids, output: &mut Output) -> Result<Exit, Trouble> {
    let pages = place.read(output, |store, _| {
        let page = |id: &String| {
            let issue = store.show(id)?;
            let around = show::around(store, &issue)?;
            Ok::<_, Trouble>((issue, around))
        };
        ids.ids.iter().map(page).collect::<Result<Vec<_>, _>>()
    })?;
    let text: Vec<_> = pages.iter().map(|(issue, around)| show::page(issue, around)).collect();
    let issues: Vec<_> = pages.into_iter().map(|(issue, _)| issue).collect();
    print_each(&issues, || text.join("\n\n"), output)
}

pub(crate) fn update(place: &Place, update: Update, output: &mut Output) -> Result<Exit, Trouble> {
    let labels = |labels: Vec<String>| labels.into_iter().filter(|label| !label.is_empty());
    let patch = IssuePatch {
        title: update.title,
        description: update.description.map(words::text).transpose()?,
        status: update.status.map(|word| word.parse()).transpose()?,
        priority: update.priority,
        issue_type: update.issue_type.map(|word| word.parse()).transpose()?,
        assignee: update.assignee,
        labels: update.labels.map(|all| labels(all).collect()),
        add_labels: update.add_labels,
        remove_labels: update.remove_labels,
        close_reason: None,
    };
    if patch == IssuePatch::default() {
        let hint = "name what is to change; `tracker update --help` lists the fields";
        return Err(Failure::new(Exit::Usage, "usage", "there is nothing to change", hint).into());
    }
    let issue = place.with_store(|store, _| Ok(store.update(&update.id, &patch)?))?;
    say_done("updated", &[issue], output)
}

pub(crate) fn close(place: &Place, close: &Reasoned, output: &mut Output) -> Result<Exit, Trouble> {
    let patch =
        IssuePatch { close_reason: close.reason.clone(), ..IssuePatch::status(Status::Closed) };
    let issues = each(place, &close.ids, |store, id| store.update(id, &patch))?;
    say_done("closed", &issues, output)
}

pub(crate) fn reopen(place: &Place, ids: &Ids, output: &mut Output) -> Result<Exit, Trouble> {
    say_done("reopened", &each(place, ids, Store::reopen_issue)?, output)
}

pub(crate) fn delete(
    place: &Place,
    delete: &Reasoned,
    output: &mut Output,
) -> Result<Exit, Trouble> {
    let reason = delete.reason.as_deref();
    let issues = each(place, &delete.ids, |store, id| store.delete(id, reason))?;
    say_done("deleted", &issues, output)
}

pub(crate) fn restore(place: &Place, ids: &Ids, output: &mut Output) -> Result<Exit, Trouble> {
    say_done("restored", &each(place, ids, Store::restore)?, output)
}

pub(crate) fn comment(
    place: &Place,
    comment: Comment,
    output: &mut Output,
) -> Result<Exit, Trouble> {
    let text = words::text(comment.text)?;
    let named = comment.author.filter(|author| !author.trim().is_empty());
    let author = named.unwrap_or_else(words::author);
    let issue = place.with_store(|store, _| Ok(store.comment(&comment.id, &author, &text)?))?;
    say_done("commented on", &[issue], output)
}

pub(crate) fn label(place: &Place, label: Label, output: &mut Output) -> Result<Exit, Trouble> {
    let (id, patch) = match label {
        Label::Add { id, labels } => (id, IssuePatch { add_labels: labels, ..Default::default() }),
        Label::Remove { id, labels } => {
            (id, IssuePatch { remove_labels: labels, ..Default::default() })
        }
        Label::List => {
            let labels = place.with_store(|store, _| Ok(store.labels()?))?;
            output.print(&labels, |labels| {
                labels.iter().map(|(label, issues)| format!("{issues:>5}  {label}\n")).collect()
            })?;
            return Ok(Exit::Ok);
        }
    };
    let issue = place.with_store(|store, _| Ok(store.update(&id, &patch)?))?;
    let labels = match issue.labels.is_empty() {
        true => "no labels".into(),
        false => issue.labels.join(", "),
    };
    output.print(&issue, |issue| format!("{}: {labels}", issue.id))?;
    Ok(Exit::Ok)
}

/// Does the same to every issue. One that cannot be found is told before any is changed.
fn each(
    place: &Place,
    ids: &Ids,
    change: impl Fn(&mut Store, &str) -> Result<Issue, StoreError>,
) -> Result<Vec<Issue>, Trouble> {
    place.with_store(|store, _| {
        let found = ids.ids.iter().map(|id| store.resolve(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(found.iter().map(|id| change(store, id)).collect::<Result<_, _>>()?)
    })
}

fn say_done(verb: &str, issues: &[Issue], output: &mut Output) -> Result<Exit, Trouble> {
    let text = || {
        let line = |issue: &Issue| format!("{verb} {}: {}\n", issue.id, show::line(&issue.title));
        issues.iter().map(line).collect()
    };
    print_each(issues, text, output)
}

/// Prints one issue as an object, and several as a list.
fn print_each(
    issues: &[Issue],
    text: impl FnOnce() -> String,
    output: &mut Output,
) -> Result<Exit, Trouble> {
    match issues {
        [issue] => output.print(issue, |_| text())?,
        issues => output.print(&issues, |_| text())?,
    }
    Ok(Exit::Ok)
}
