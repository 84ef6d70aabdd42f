//! The JSONL file: one issue a line, sorted by id, the same bytes for the same issues.
//!
//! A file is replaced whole or not at all: temporary file in the same directory, fsync, rename,
//! fsync of the directory. Whoever reads it, or loses power, finds the old one or the new one.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::issue::Issue;
use crate::store::{Store, StoreError};

/// A refused file names at most this many of its bad lines.
const PROBLEMS_MAX: usize = 10;

/// Big enough that a write is worth its system call.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// How a merge that somebody has to finish shows itself.
const CONFLICT_MARKERS: [&str; 4] = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];

/// What an export wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Exported {
    /// Lines, one for each issue.
    pub issues: u64,
    /// The size of the file.
    pub bytes: u64,
}

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonlError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file holds lines that are not issues.
    #[error("{} holds {} broken line(s):{}", path.display(), problems.len(), listed(problems))]
    Broken {
        /// The file.
        path: PathBuf,
        /// The first of them.
        problems: Vec<Problem>,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One line that is not an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Writes every issue of `store` to `out`.
pub fn export(store: &Store, out: &mut impl Write) -> Result<Exported, StoreError> {
    let mut exported = Exported::default();
    let mut line = Vec::new();
    store.each(|issue| write_line(issue, &mut line, out, &mut exported))?;
    out.flush().map_err(StoreError::Consumer)?;
    Ok(exported)
}

/// Replaces the file at `path` by every issue of `store`.
pub fn export_file(store: &Store, path: &Path) -> Result<Exported, JsonlError> {
    replace_file(path, |out| export(store, out))
}

/// Reads a whole file of issues, or says what is wrong with it line by line.
pub fn read_file(path: &Path) -> Result<Vec<Issue>, JsonlError> {
    let file = File::open(path).map_err(|source| at(path, source))?;
    read(path, io::BufReader::new(file))
}

/// Reads issues from `input`; `path` is only its name in errors.
pub fn read(path: &Path, mut input: impl BufRead) -> Result<Vec<Issue>, JsonlError> {
    let mut issues = Vec::new();
    let mut problems = Vec::new();
    let mut first_seen = HashMap::new();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if input.read_until(b'\n', &mut text).map_err(|source| at(path, source))? == 0 {
            break;
        }
        match parse_line(&text) {
            Ok(None) => {}
            Ok(Some(issue)) => match first_seen.insert(issue.id.clone(), line) {
                None => issues.push(issue),
                Some(first) => problems
                    .push(Problem { line, what: format!("{} is on line {first} too", issue.id) }),
            },
            Err(what) => problems.push(Problem { line, what }),
        }
        if problems.len() == PROBLEMS_MAX {
            break;
        }
    }
    if problems.is_empty() {
        Ok(issues)
    } else {
        Err(JsonlError::Broken { path: path.into(), problems })
    }
}

/// One line as an issue; `None` for an empty one.
fn parse_line(line: &[u8]) -> Result<Option<Issue>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    let text = text.trim_end();
    if text.is_empty() {
        return Ok(None);
    }
    if CONFLICT_MARKERS.iter().any(|marker| text.starts_with(marker)) {
        return Err("a conflict marker: finish the merge first".into());
    }
    // serde_json counts lines within the text it is given, which is always one line here.
    let issue: Issue = serde_json::from_str(text)
        .map_err(|error| error.to_string().replace(" at line 1 column ", ", column "))?;
    issue.check().map_err(|error| error.to_string())?;
    Ok(Some(issue))
}

fn write_line(
    issue: &Issue,
    line: &mut Vec<u8>,
    out: &mut impl Write,
    exported: &mut Exported,
) -> io::Result<()> {
    line.clear();
    serde_json::to_writer(&mut *line, issue)?;
    line.push(b'\n');
    exported.issues += 1;
    exported.bytes += line.len() as u64;
    out.write_all(line)
}

/// Lets `fill` write a file beside `path`, then puts it in its place.
fn replace_file(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> Result<Exported, StoreError>,
) -> Result<Exported, JsonlError> {
    let fill_named = |file: &File| {
        let mut out = BufWriter::with_capacity(WRITE_BUFFER_BYTES, file);
        fill(&mut out).map_err(|error| match error {
            StoreError::Consumer(source) => at(path, source),
            other => JsonlError::Store(other),
        })
    };
    let target = match fs::metadata(path) {
        // A pipe or a device is written to; a rename would replace /dev/null by a file.
        Ok(found) if !found.is_file() => {
            let file = File::options().write(true).open(path).map_err(|source| at(path, source))?;
            return fill_named(&file);
        }
        // Through a link, not over it.
        Ok(_) => fs::canonicalize(path).map_err(|source| at(path, source))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(source) => return Err(at(path, source)),
    };
    let dir = match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    // 0666 is what the umask is applied to, as for any new file; an old file's mode stays.
    let mode = fs::metadata(&target).map_or(0o666, |found| found.permissions().mode() & 0o777);
    let mut temporary = tempfile::Builder::new()
        .prefix(&temporary_prefix(&target))
        .suffix(TEMPORARY_SUFFIX)
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(dir)
        .map_err(|source| at(dir, source))?;
    let exported = fill_named(temporary.as_file_mut())?;
    temporary.as_file().sync_all().map_err(|source| at(temporary.path(), source))?;
    temporary.persist(&target).map_err(|error| at(&target, error.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| at(dir, source))?;
    Ok(exported)
}

const TEMPORARY_SUFFIX: &str = ".tmp";

fn temporary_prefix(target: &Path) -> String {
    let name = target.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    format!(".{name}.")
}

/// Removes temporary files that a killed process left beside `path`.
/// Only for the holder of a lock that every writer of `path` takes.
pub(crate) fn sweep_temporaries(path: &Path) -> Result<usize, JsonlError> {
    let Some(dir) = path.parent() else { return Ok(0) };
    let prefix = temporary_prefix(path);
    let mut swept = 0;
    for entry in fs::read_dir(dir).map_err(|source| at(dir, source))? {
        let entry = entry.map_err(|source| at(dir, source))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(TEMPORARY_SUFFIX) {
            fs::remove_file(entry.path()).map_err(|source| at(&entry.path(), source))?;
            swept += 1;
        }
    }
    Ok(swept)
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|Problem { line, what }| format!("\n  line {line}: {what}")).collect()
}

fn at(path: &Path, source: io::Error) -> JsonlError {
    JsonlError::Io { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::NewIssue;

    const LINE: &str = r#"{"id":"tt-a","title":"t","status":"open","priority":1,"issue_type":"bug","created_at":"2025-11-05T12:34:56.123456789-08:00","updated_at":"2025-11-05T20:34:57Z","labels":["b","a"],"dependencies":[{"issue_id":"tt-a","depends_on_id":"tt-b","type":"blocks","created_at":"2025-11-05T20:34:57Z","created_by":"me"}],"comments":[{"id":7,"issue_id":"tt-a","author":"me","text":"hm","created_at":"2025-11-05T20:34:57Z"}],"estimate":3,"design":{"x":[1,null]}}"#;

    fn exported(store: &Store) -> String {
        let mut out = Vec::new();
        export(store, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn problems(text: &str) -> Vec<Problem> {
        match read(Path::new("f"), text.as_bytes()) {
            Err(JsonlError::Broken { problems, .. }) => problems,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unknown_fields_survive_and_a_second_trip_is_byte_identical() {
        let mut store = Store::open_in_memory().unwrap();
        store.import(read(Path::new("f"), LINE.as_bytes()).unwrap()).unwrap();
        let first = exported(&store);
        for kept in [r#""estimate":3"#, r#""design":{"x":[1,null]}"#, r#""created_by":"me""#] {
            assert!(first.contains(kept), "{kept} is not in {first}");
        }
        assert!(first.contains(r#""labels":["a","b"]"#), "{first}");
        let mut again = Store::open_in_memory().unwrap();
        again.import(read(Path::new("f"), first.as_bytes()).unwrap()).unwrap();
        assert_eq!(exported(&again), first);
    }

    #[test]
    fn broken_lines_and_conflict_markers_are_named_by_line() {
        let text = format!("{LINE}\n\n<<<<<<< HEAD\n{{\"id\":1}}\n{LINE}\n");
        let lines: Vec<_> = problems(&text).into_iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [3, 4, 5]);
        assert!(problems(&text)[2].what.contains("line 1"));
    }

    #[test]
    fn many_problems_are_cut_short() {
        assert_eq!(problems(&"nonsense\n".repeat(1000)).len(), PROBLEMS_MAX);
    }

    #[test]
    fn an_export_replaces_the_file_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issues.jsonl");
        let mut store = Store::open_in_memory().unwrap();
        let made = store.create(NewIssue::titled("a")).unwrap();
        assert_eq!(export_file(&store, &path).unwrap().issues, 1);
        store.create(NewIssue::titled("b")).unwrap();
        assert_eq!(export_file(&store, &path).unwrap().issues, 2, "all of them, not the changed");
        let back = read_file(&path).unwrap();
        assert!(back.contains(&made));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_pipe_is_written_to_and_stays_a_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut store = Store::open_in_memory().unwrap();
        store.create(NewIssue::titled("a")).unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| fs::read_to_string(&path).unwrap());
            export_file(&store, &path).unwrap();
            assert_eq!(reader.join().unwrap(), exported(&store));
        });
        assert!(!fs::metadata(&path).unwrap().is_file());
    }

    #[test]
    fn what_a_killed_export_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issues.jsonl");
        fs::write(dir.path().join(".issues.jsonl.x1.tmp"), "half").unwrap();
        fs::write(dir.path().join("mine.tmp"), "keep").unwrap();
        assert_eq!(sweep_temporaries(&path).unwrap(), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
