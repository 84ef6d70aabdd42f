//! Issues as a person reads them.
//!
//! What comes from a file may hold anything, so no control character of it reaches a terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use console::Term;

use super::output::Trouble;
use crate::issue::{Issue, Status};
use crate::query::Direction;
use crate::store::Store;

const DIM: Style = Style::new().dimmed();
const URGENT: Style = AnsiColor::Red.on_default().bold();
const SOON: Style = AnsiColor::Yellow.on_default();
const BUSY: Style = AnsiColor::Green.on_default();
const BOLD: Style = Style::new().bold();

/// A narrower terminal gets lines that it has to break.
const TITLE_COLUMNS_MIN: usize = 20;

/// A text on one line, without anything that a terminal would act on.
pub(crate) fn line(text: &str) -> String {
    text.chars().map(|c| if is_acted_on(c) { ' ' } else { c }).collect()
}

/// The same for a text of several lines.
fn lines(text: &str) -> String {
    text.chars().filter(|c| !is_acted_on(*c) || matches!(c, '\n' | '\t')).collect()
}

/// Control characters, and those that turn the direction of what follows: a title could look like
/// another one.
fn is_acted_on(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// Issues, one a line, cut to the width of the terminal if there is one.
pub(crate) fn table(issues: &[Issue]) -> String {
    let term = Term::stdout();
    let columns = term.is_term().then(|| usize::from(term.size().1));
    let id_columns = issues.iter().map(|issue| issue.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for issue in issues {
        let Issue { id, priority, status, issue_type, .. } = issue;
        let mut title = line(&issue.title);
        if !issue.labels.is_empty() {
            title += &format!(" [{}]", line(&issue.labels.join(", ")));
        }
        if let Some(assignee) = &issue.assignee {
            title += &format!(" @{}", line(assignee));
        }
        if let Some(columns) = columns {
            let room = columns.saturating_sub(id_columns + 28).max(TITLE_COLUMNS_MIN);
            title = console::truncate_str(&title, room, "…").into_owned();
        }
        let row = style(status);
        let urgency = match (status, priority) {
            (Status::Closed | Status::Tombstone, _) => row,
            (_, 0) => URGENT,
            (_, 1) => SOON,
            _ => row,
        };
        let _infallible = writeln!(
            text,
            "{row}{id:id_columns$}{row:#}  {urgency}P{priority}{urgency:#}  \
             {row}{status:11}  {issue_type:7}  {title}{row:#}"
        );
    }
    text
}

fn style(status: &Status) -> Style {
    match status {
        Status::Closed | Status::Tombstone => DIM,
        Status::InProgress => BUSY,
        _ => Style::new(),
    }
}

/// What is said of an issue by others.
pub(crate) struct Around {
    depends_on: Vec<String>,
    dependents: Vec<String>,
}

/// Reads what belongs to an issue and is not in it.
pub(crate) fn around(store: &Store, issue: &Issue) -> Result<Around, Trouble> {
    let names = |direction| {
        let tree = store.neighbours(&issue.id, direction)?;
        let name = |node: &crate::query::Node| {
            let kind = node.kind.as_deref().unwrap_or_default();
            let status = node.status.as_deref().unwrap_or("not here");
            format!("{} ({kind}, {status})  {}", node.id, line(&node.title))
        };
        Ok::<_, Trouble>(tree.iter().map(name).collect())
    };
    Ok(Around {
        depends_on: names(Direction::DependsOn)?,
        dependents: names(Direction::Dependents)?,
    })
}

/// All there is to know of an issue.
pub(crate) fn page(issue: &Issue, around: &Around) -> String {
    let mut text = format!(
        "{BOLD}{}  {}{BOLD:#}\n{}, P{}, {}",
        issue.id,
        line(&issue.title),
        issue.status,
        issue.priority,
        issue.issue_type
    );
    if let Some(assignee) = &issue.assignee {
        text += &format!(", {}", line(assignee));
    }
    if !issue.labels.is_empty() {
        text += &format!("\nlabels: {}", line(&issue.labels.join(", ")));
    }
    text += &format!("\ncreated {:.0}, updated {:.0}", issue.created_at, issue.updated_at);
    if let Some(closed_at) = issue.closed_at {
        text += &format!(", closed {closed_at:.0}");
    }
    if let Some(reason) = &issue.close_reason {
        text += &format!("\nclosed because: {}", line(reason));
    }
    for other in &around.depends_on {
        text += &format!("\ndepends on {other}");
    }
    for other in &around.dependents {
        text += &format!("\nneeded by  {other}");
    }
    if !issue.description.is_empty() {
        text += &format!("\n\n{}", lines(&issue.description));
    }
    for comment in &issue.comments {
        text += &format!(
            "\n\n{BOLD}{} at {:.0}:{BOLD:#}\n{}",
            line(&comment.author),
            comment.created_at,
            lines(&comment.text)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_gets_through() {
        assert_eq!(line("a\x1b[31m\nb\u{9b}"), "a [31m b ");
        assert_eq!(line("a\u{202e}b"), "a b");
        assert_eq!(lines("a\x1b]0;x\x07\n\tb"), "a]0;x\n\tb");
    }
}
