//! Reading a file of issues: all of it, or what is wrong with it line by line.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead};
use std::path::Path;

use jiff::Timestamp;

use super::{BUFFER_BYTES, JsonlError, at};
use crate::issue::Issue;
use crate::store::{ImportReport, Store, StoreError};

/// A refused file names at most this many of its bad lines.
const PROBLEMS_MAX: usize = 10;

/// How a merge that somebody has to finish shows itself.
const CONFLICT_MARKERS: [&str; 4] = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];

/// One line that is not an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Reads a whole file of issues, or says what is wrong with it line by line.
pub fn read_file(path: &Path) -> Result<Vec<Issue>, JsonlError> {
    read(path, open(path)?)
}

/// Reads issues from `input`; `path` is only its name in errors.
pub fn read(path: &Path, input: impl BufRead) -> Result<Vec<Issue>, JsonlError> {
    let mut issues = Vec::new();
    each(path, input, |issue, _| {
        issues.push(issue);
        Ok(())
    })?;
    Ok(issues)
}

/// Counts the issues of a file, or says what is wrong with it line by line.
pub(crate) fn check_file(path: &Path) -> Result<usize, JsonlError> {
    let mut issues = 0;
    each(path, open(path)?, |_, _| {
        issues += 1;
        Ok(())
    })?;
    Ok(issues)
}

/// Takes the issues of a file over into a store, each merged with what is there.
///
/// All of them or none: a broken line changes nothing. One line at a time is in memory.
pub fn import_file(store: &mut Store, path: &Path) -> Result<ImportReport, JsonlError> {
    import(store, path, open(path)?)
}

/// The same from any `input`; `path` is only its name in errors.
pub fn import(
    store: &mut Store,
    path: &Path,
    input: impl BufRead,
) -> Result<ImportReport, JsonlError> {
    store.import_with(|importer| each(path, input, |issue, line| importer.take(issue, Some(line))))
}

/// What a file holds and a database does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// Issues that are not in the database.
    pub missing: usize,
    /// Issues that are in it as they were before.
    pub newer: usize,
    /// Lines that are no issues.
    pub unreadable: usize,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.missing, "that the database does not have"),
            (self.newer, "that changed later than in the database"),
            (self.unreadable, "in lines that are not of this format"),
        ];
        let said: Vec<_> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        f.write_str(&said.join(", "))
    }
}

/// What would be lost if the file at `path` were replaced by an export of `store`; `None` for
/// nothing, as where there is no such file or it is not one that holds anything.
pub fn loss(store: &Store, path: &Path) -> Result<Option<Loss>, JsonlError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() > 0 => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(at(path, source)),
    }
    let now = Timestamp::now();
    let mut loss = Loss::default();
    store.read(|| {
        each_line(path, open(path)?, |_, parsed| {
            match parsed {
                Err(_) => loss.unreadable += 1,
                Ok((issue, _)) if issue.is_expired(now) => {}
                Ok((issue, _)) => match version(store, &issue)? {
                    None => loss.missing += 1,
                    Some(here) if here.updated_at < issue.updated_at => loss.newer += 1,
                    Some(_) => {}
                },
            }
            Ok(true)
        })
    })?;
    Ok(Some(loss).filter(|loss| *loss != Loss::default()))
}

/// What the database has of an issue, under the id it would get there.
fn version(store: &Store, issue: &Issue) -> Result<Option<Issue>, StoreError> {
    match store.any_version(&issue.id)? {
        Some(here) if issue.is_another(&here) => store.any_version(&issue.clone().moved().id),
        here => Ok(here),
    }
}

fn open(path: &Path) -> Result<impl BufRead + use<>, JsonlError> {
    let file = File::open(path).map_err(|source| at(path, source))?;
    Ok(io::BufReader::with_capacity(BUFFER_BYTES, file))
}

/// Hands every issue to `consume`, up to the first line that is none; then only looks for more.
fn each(
    path: &Path,
    input: impl BufRead,
    mut consume: impl FnMut(Issue, &str) -> Result<(), StoreError>,
) -> Result<(), JsonlError> {
    let mut problems = Vec::new();
    let mut is_conflicted = false;
    each_line(path, input, |line, parsed| {
        match parsed {
            Ok((issue, text)) if problems.is_empty() => consume(issue, text)?,
            Ok(_) => {}
            Err(what) => {
                is_conflicted |= what == CONFLICT;
                problems.push(Problem { line, what });
            }
        }
        Ok(problems.len() < PROBLEMS_MAX)
    })?;
    match (problems.is_empty(), is_conflicted) {
        (true, _) => Ok(()),
        (false, true) => Err(JsonlError::Conflicted { path: path.into(), problems }),
        (false, false) => Err(JsonlError::Broken { path: path.into(), problems }),
    }
}

/// Hands every line that is not empty to `consume` with its number, until it has had enough.
fn each_line(
    path: &Path,
    mut input: impl BufRead,
    mut consume: impl FnMut(usize, Result<(Issue, &str), String>) -> Result<bool, JsonlError>,
) -> Result<(), JsonlError> {
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if input.read_until(b'\n', &mut text).map_err(|source| at(path, source))? == 0 {
            break;
        }
        if let Some(parsed) = parse(&text)
            && !consume(line, parsed)?
        {
            break;
        }
    }
    Ok(())
}

const CONFLICT: &str = "a conflict marker: finish the merge first";

/// One line as an issue and its bare text; `None` for an empty one.
fn parse(line: &[u8]) -> Option<Result<(Issue, &str), String>> {
    let Ok(text) = std::str::from_utf8(line) else { return Some(Err("not UTF-8".into())) };
    // A byte order mark is not to be seen and no part of the first issue.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    if text.is_empty() {
        return None;
    }
    if CONFLICT_MARKERS.iter().any(|marker| text.starts_with(marker)) {
        return Some(Err(CONFLICT.into()));
    }
    // serde_json counts lines within the text it is given, which is always one line here.
    let issue = serde_json::from_str::<Issue>(text)
        .map_err(|error| error.to_string().replace(" at line 1 column ", ", column "));
    Some(issue.and_then(|issue| {
        issue.check_file().map_err(|error| error.to_string())?;
        Ok((issue, text))
    }))
}

pub(super) fn listed(problems: &[Problem]) -> String {
    let more = match problems.len() {
        PROBLEMS_MAX.. => "\n  and perhaps more",
        _ => "",
    };
    let listed: String =
        problems.iter().map(|Problem { line, what }| format!("\n  line {line}: {what}")).collect();
    listed + more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::NewIssue;
    use crate::jsonl::export_file;

    const LINE: &str = r#"{"id":"tt-a","title":"t","status":"open","priority":1,"issue_type":"bug","created_at":"2025-11-05T12:34:56.123456789-08:00","updated_at":"2025-11-05T20:34:57Z","labels":["b","a"],"dependencies":[{"issue_id":"tt-a","depends_on_id":"tt-b","type":"blocks","created_at":"2025-11-05T20:34:57Z","created_by":"me"}],"comments":[{"id":7,"issue_id":"tt-a","author":"me","text":"hm","created_at":"2025-11-05T20:34:57Z"}],"estimate":3,"design":{"x":[1,null]}}"#;

    fn problems(text: &str) -> Vec<Problem> {
        match read(Path::new("f"), text.as_bytes()) {
            Err(JsonlError::Broken { problems, .. } | JsonlError::Conflicted { problems, .. }) => {
                problems
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn broken_lines_and_conflict_markers_are_named_by_line() {
        let text = format!("{LINE}\n\n<<<<<<< HEAD\n{{\"id\":1}}\n{LINE}\n");
        let lines: Vec<_> = problems(&text).into_iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [3, 4], "an empty line is none, and the same issue twice is merged");
        assert_eq!(problems(&text)[0].what, CONFLICT);
    }

    #[test]
    fn many_problems_are_cut_short() {
        assert_eq!(problems(&"nonsense\n".repeat(1000)).len(), PROBLEMS_MAX);
    }

    #[test]
    fn a_broken_line_changes_nothing() {
        let mut store = Store::open_in_memory().unwrap();
        let text = format!("{LINE}\n{{}}\n");
        assert!(import(&mut store, Path::new("f"), text.as_bytes()).is_err());
        assert_eq!(store.count().unwrap(), 0);
        assert_eq!(import(&mut store, Path::new("f"), LINE.as_bytes()).unwrap().created, 1);
    }

    #[test]
    fn what_an_export_would_lose_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issues.jsonl");
        let mut store = Store::open_in_memory().unwrap();
        assert_eq!(loss(&store, &path).unwrap(), None, "there is no such file");
        let id = store.create(NewIssue::titled("a")).unwrap().id;
        store.create(NewIssue::titled("b")).unwrap();
        export_file(&store, &path).unwrap();
        assert_eq!(loss(&store, &path).unwrap(), None);
        assert_eq!(loss(&store, Path::new("/dev/null")).unwrap(), None);
        let empty = Store::open_in_memory().unwrap();
        assert_eq!(loss(&empty, &path).unwrap().unwrap(), Loss { missing: 2, ..Loss::default() });
        let mut older = Store::open_in_memory().unwrap();
        import_file(&mut older, &path).unwrap();
        store.close_issue(&id).unwrap();
        export_file(&store, &path).unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "shopping list").unwrap();
        let lost = loss(&older, &path).unwrap().unwrap();
        assert_eq!(lost, Loss { missing: 0, newer: 1, unreadable: 1 });
        assert!(lost.to_string().contains("1 that changed later"), "{lost}");

        let mut another = store.show(&id).unwrap();
        another.created_at += jiff::SignedDuration::from_mins(5);
        another.title = "another".into();
        std::fs::write(&path, another.to_line()).unwrap();
        let lost = loss(&store, &path).unwrap().unwrap();
        assert_eq!(lost.missing, 1, "it has the id of one that is there, and is not");
    }
}
