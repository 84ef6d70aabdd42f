//! The verbs on issues.

use crate::exit_code::Exit;
use crate::issue::{Issue, IssuePatch, NewIssue};

use super::args::{self, Create, Dep, Place, Update};
use super::output::{Output, Trouble};

pub(crate) fn create(place: &Place, create: Create, output: &mut Output) -> Result<Exit, Trouble> {
    let issue_type = args::issue_type(&create.issue_type)?;
    let new = NewIssue {
        title: create.title,
        description: create.description,
        priority: create.priority,
        issue_type,
        assignee: create.assignee,
        labels: create.labels,
    };
    let issue = place.with_store(|store, _| Ok(store.create(new)?))?;
    output.print(&issue, |issue| match create.quiet {
        true => issue.id.clone(),
        false => format!("created {}: {}", issue.id, issue.title),
    })?;
    Ok(Exit::Ok)
}

pub(crate) fn list(
    place: &Place,
    limit: Option<u32>,
    output: &mut Output,
) -> Result<Exit, Trouble> {
    let issues = place.with_store(|store, _| Ok(store.list(limit)?))?;
    output.print(&issues, |issues| table(issues))?;
    if issues.is_empty() {
        output.say("no issues; `tracker create TITLE` makes one");
    }
    Ok(Exit::Ok)
}

pub(crate) fn ready(
    place: &Place,
    limit: Option<u32>,
    output: &mut Output,
) -> Result<Exit, Trouble> {
    let issues = place.with_store(|store, _| Ok(store.ready(limit)?))?;
    output.print(&issues, |issues| table(issues))?;
    if issues.is_empty() {
        output.say("nothing is ready; `tracker list` shows what there is");
    }
    Ok(Exit::Ok)
}

pub(crate) fn show(place: &Place, id: &str, output: &mut Output) -> Result<Exit, Trouble> {
    let issue = place.with_store(|store, _| Ok(store.show(id)?))?;
    output.print(&issue, page)?;
    Ok(Exit::Ok)
}

pub(crate) fn update(place: &Place, update: Update, output: &mut Output) -> Result<Exit, Trouble> {
    let patch = IssuePatch {
        title: update.title,
        description: update.description,
        status: update.status.as_deref().map(args::status).transpose()?,
        priority: update.priority,
        issue_type: update.issue_type.as_deref().map(args::issue_type).transpose()?,
        assignee: update.assignee,
        ..IssuePatch::default()
    };
    let issue = place.with_store(|store, _| Ok(store.update(&update.id, &patch)?))?;
    say_done("updated", &issue, output)
}

pub(crate) fn close(place: &Place, id: &str, output: &mut Output) -> Result<Exit, Trouble> {
    let issue = place.with_store(|store, _| Ok(store.close_issue(id)?))?;
    say_done("closed", &issue, output)
}

pub(crate) fn reopen(place: &Place, id: &str, output: &mut Output) -> Result<Exit, Trouble> {
    let issue = place.with_store(|store, _| Ok(store.reopen_issue(id)?))?;
    say_done("reopened", &issue, output)
}

pub(crate) fn delete(place: &Place, id: &str, output: &mut Output) -> Result<Exit, Trouble> {
    let issue = place.with_store(|store, _| Ok(store.delete(id, None)?))?;
    say_done("deleted", &issue, output)
}

pub(crate) fn dep(place: &Place, dep: Dep, output: &mut Output) -> Result<Exit, Trouble> {
    let Dep::Add { id, depends_on, kind } = dep;
    let kind = args::dependency_kind(&kind)?;
    let edge = place.with_store(|store, _| Ok(store.add_dependency(&id, &depends_on, kind)?))?;
    output.print(&edge, |edge| {
        format!("{} depends on {} ({})", edge.issue_id, edge.depends_on_id, edge.kind)
    })?;
    Ok(Exit::Ok)
}

fn say_done(verb: &str, issue: &Issue, output: &mut Output) -> Result<Exit, Trouble> {
    output.print(issue, |issue| format!("{verb} {}: {}", issue.id, issue.title))?;
    Ok(Exit::Ok)
}

fn table(issues: &[Issue]) -> String {
    let width = issues.iter().map(|issue| issue.id.len()).max().unwrap_or(0);
    issues
        .iter()
        .map(|issue| {
            let Issue { id, priority, status, issue_type, title, .. } = issue;
            format!("{id:width$}  P{priority}  {status:11}  {issue_type:7}  {title}\n")
        })
        .collect()
}

fn page(issue: &Issue) -> String {
    let mut text = format!(
        "{}  {}\n{}, P{}, {}",
        issue.id, issue.title, issue.status, issue.priority, issue.issue_type
    );
    if let Some(assignee) = &issue.assignee {
        text += &format!(", {assignee}");
    }
    if !issue.labels.is_empty() {
        text += &format!("\nlabels: {}", issue.labels.join(", "));
    }
    text += &format!("\ncreated {:.0}, updated {:.0}", issue.created_at, issue.updated_at);
    if let Some(closed_at) = issue.closed_at {
        text += &format!(", closed {closed_at:.0}");
    }
    for edge in &issue.dependencies {
        text += &format!("\ndepends on {} ({})", edge.depends_on_id, edge.kind);
    }
    if !issue.description.is_empty() {
        text += &format!("\n\n{}", issue.description);
    }
    for comment in &issue.comments {
        text += &format!("\n\n{} at {:.0}:\n{}", comment.author, comment.created_at, comment.text);
    }
    text
}
