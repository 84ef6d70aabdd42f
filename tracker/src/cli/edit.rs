//! An issue as a text in an editor.
//!
//! ```text
//! title: the tap drips
//! status: open
//! priority: 2
//! type: task
//! assignee:
//! labels: kitchen, wet
//!
//! What is below the empty line is the description.
//! ```

use std::fs;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::Command;

use super::output::{Output, Trouble};
use super::place::Place;
use super::show;
use crate::exit_code::Exit;
use crate::failure::Failure;
use crate::issue::{Issue, IssuePatch};

/// What is edited where the environment names no editor.
const EDITOR_DEFAULT: &str = "vi";

pub(crate) fn run(
    place: &Place,
    id: &str,
    from_stdin: bool,
    output: &mut Output,
) -> Result<Exit, Trouble> {
    let before = place.with_store(|store, _| Ok(store.show(id)?))?;
    let issue = if from_stdin {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text)?;
        apply(place, &before, &text)?
    } else {
        match in_editor(place, &before)? {
            Some(issue) => issue,
            None => {
                output.print(&before, |_| "nothing was changed".into())?;
                return Ok(Exit::Ok);
            }
        }
    };
    output.print(&issue, |issue| format!("updated {}: {}", issue.id, show::line(&issue.title)))?;
    Ok(Exit::Ok)
}

/// Lets a person edit the text. What was written is kept in a file until it is in the database.
fn in_editor(place: &Place, before: &Issue) -> Result<Option<Issue>, Trouble> {
    let command = editor()?;
    let prefix = format!("{}-", before.id.replace('/', "_"));
    let mut file = tempfile::Builder::new().prefix(&prefix).suffix(".md").tempfile()?;
    let text = to_text(before);
    file.write_all(text.as_bytes())?;
    let status = Command::new(&command[0]).args(&command[1..]).arg(file.path()).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => {
            let what = format!("the editor ({}) ended with {status}", command.join(" "));
            return Err(failed(what, "nothing was changed").into());
        }
        Err(error) => {
            let what = format!("{}: {error}", command.join(" "));
            return Err(failed(what, "set VISUAL or EDITOR to an editor that is there").into());
        }
    }
    // By its name: many editors write a new file and rename it.
    let edited = fs::read_to_string(file.path())?;
    if edited == text || edited.trim().is_empty() {
        return Ok(None);
    }
    match apply(place, before, &edited) {
        Ok(issue) => Ok(Some(issue)),
        Err(Trouble::Failed(mut failure)) => {
            if let Ok((_, kept)) = file.keep() {
                failure.hint = kept_hint(&failure.hint, before, &kept);
            }
            Err(failure.into())
        }
        Err(closed) => Err(closed),
    }
}

fn kept_hint(hint: &str, before: &Issue, kept: &Path) -> String {
    let kept = kept.display();
    format!("{hint}; what you wrote is in {kept}: `tracker edit {} - < {kept}`", before.id)
}

fn editor() -> Result<Vec<String>, Failure> {
    let named = ["VISUAL", "EDITOR"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.trim().is_empty());
    if named.is_none() && !std::io::stdin().is_terminal() {
        let hint = "set VISUAL or EDITOR, or write to `tracker edit ID -`";
        return Err(Failure::new(
            Exit::Usage,
            "no_editor",
            "there is no terminal to edit on",
            hint,
        ));
    }
    let named = named.unwrap_or_else(|| EDITOR_DEFAULT.into());
    shlex::split(&named).filter(|words| !words.is_empty()).ok_or_else(|| {
        failed(format!("cannot read the editor `{named}`"), "set VISUAL or EDITOR to a command")
    })
}

fn apply(place: &Place, before: &Issue, text: &str) -> Result<Issue, Trouble> {
    if text.trim().is_empty() {
        // As from a command before the pipe that failed.
        let hint = "`tracker edit ID` in an editor shows what it may look like";
        let what = "there is nothing to read";
        return Err(Failure::new(Exit::Validation, "invalid", what, hint).into());
    }
    let patch = from_text(text, before)?;
    place.with_store(|store, _| {
        let now = store.show(&before.id)?;
        if now != *before {
            let what = format!("{} was changed by somebody else meanwhile", before.id);
            let hint = format!(
                "see `tracker show {}`, and take out of the text what you did not change: a field \
                 that is not in it stays as it is",
                before.id
            );
            return Err(Failure::new(Exit::Conflict, "changed_meanwhile", what, hint).into());
        }
        Ok(store.update(&before.id, &patch)?)
    })
}

fn to_text(issue: &Issue) -> String {
    format!(
        "title: {}\nstatus: {}\npriority: {}\ntype: {}\nassignee: {}\nlabels: {}\n\n{}\n",
        show::line(&issue.title),
        issue.status,
        issue.priority,
        issue.issue_type,
        issue.assignee.as_deref().unwrap_or_default(),
        issue.labels.join(", "),
        issue.description
    )
}

/// What a text says; a field that is not in it, or that is as it was shown, stays as it is: the
/// value may be one of another tracker, which nobody could write here.
fn from_text(text: &str, before: &Issue) -> Result<IssuePatch, Trouble> {
    let shown = to_text(before);
    let shown: Vec<_> = shown.lines().take_while(|line| !line.is_empty()).collect();
    let mut patch = IssuePatch::default();
    let mut rest = text;
    while let Some((line, below)) =
        rest.split_once('\n').or((!rest.is_empty()).then_some((rest, "")))
    {
        rest = below;
        if line.trim().is_empty() {
            let is_same = rest.trim_end() == before.description.trim_end();
            patch.description = (!is_same).then(|| rest.trim_end().into());
            break;
        }
        if shown.contains(&line) {
            continue;
        }
        let (field, value) = line.split_once(':').ok_or_else(|| unread(line))?;
        let value = value.trim().to_owned();
        match field.trim() {
            "title" => patch.title = Some(value),
            "status" => patch.status = Some(value.parse()?),
            "priority" => {
                patch.priority = Some(super::words::priority(&value).map_err(|_| unread(line))?);
            }
            "type" => patch.issue_type = Some(value.parse()?),
            "assignee" => patch.assignee = Some(value),
            "labels" => {
                let labels = value.split(',').map(str::trim).filter(|label| !label.is_empty());
                patch.labels = Some(labels.map(Into::into).collect());
            }
            _ => return Err(unread(line).into()),
        }
    }
    Ok(patch)
}

fn unread(line: &str) -> Failure {
    Failure::new(
        Exit::Validation,
        "invalid",
        format!("cannot read `{}`", show::line(line)),
        "lines such as `title: ...`, an empty line, then the description",
    )
}

fn failed(what: String, hint: &str) -> Failure {
    Failure::new(Exit::Failure, "editor", what, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn a_text_that_nobody_changed_changes_nothing() {
        let mut store = Store::open_in_memory().unwrap();
        let new = crate::issue::NewIssue {
            description: "one\n\ntwo: three".into(),
            labels: vec!["b".into(), "a".into()],
            assignee: Some("me".into()),
            ..crate::issue::NewIssue::titled("a: title")
        };
        let issue = store.create(new).unwrap();
        assert_eq!(from_text(&to_text(&issue), &issue).unwrap(), IssuePatch::default());
        let patch = from_text("title: b\nlabels: a, c\n", &issue).unwrap();
        let changed = store.update(&issue.id, &patch).unwrap();
        assert_eq!((changed.title.as_str(), changed.labels.join(" ")), ("b", "a c".into()));
        assert_eq!(changed.description, issue.description);
    }

    #[test]
    fn what_another_tracker_wrote_stays_as_it_is() {
        let line = r#"{"id":"a","title":"two\nlines","status":"hooked","issue_type":"gate",
            "labels":["a,b"],"assignee":"x\ny","created_at":"2026-01-01T00:00:00Z"}"#;
        let issue: Issue = serde_json::from_str(line).unwrap();
        let patch = from_text(&(to_text(&issue) + "more"), &issue).unwrap();
        let expected = IssuePatch { description: Some("\nmore".into()), ..IssuePatch::default() };
        assert_eq!(patch, expected);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let why = |text: &str| match from_text(text, &any()).unwrap_err() {
            Trouble::Failed(failure) => failure.message,
            Trouble::ClosedPipe => panic!("no pipe here"),
        };
        assert!(why("titel: x\n").contains("titel"));
        assert!(why("just text\n").contains("just text"));
        assert!(why("status: done\n").contains("in_progress"));
        assert_eq!(from_text("title: x", &any()).unwrap().title.as_deref(), Some("x"));
        assert_eq!(from_text("title: x", &any()).unwrap().description, None);
    }

    fn any() -> Issue {
        serde_json::from_str(r#"{"id":"a","title":"t","created_at":"2026-01-01T00:00:00Z"}"#)
            .unwrap()
    }
}
