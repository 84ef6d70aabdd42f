//! The JSONL file: one issue a line, sorted by id.
//!
//! A line that another program wrote stays as it is until its issue changes; ours have the fields
//! in one order. So the same database is always the same bytes.
//!
//! A file is replaced whole or not at all: temporary file in the same directory, fsync, rename,
//! fsync of the directory. Whoever reads it, or loses power, finds the old one or the new one.

mod identity;
mod read;
mod replace;
mod splice;

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use crate::store::{Store, StoreError};

pub(crate) use identity::FileIdentity;
pub(crate) use read::check_file;
pub use read::{Loss, Problem, import, import_file, loss, read, read_file};
pub(crate) use replace::{Here, Replaced, sweep_temporaries, temporaries};
pub(crate) use splice::splice;

/// Big enough that a write is worth its system call.
const BUFFER_BYTES: usize = 256 * 1024;

/// What an export wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Exported {
    /// Lines, one for each issue, deleted ones too.
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
    #[error("{} holds broken lines:{}", path.display(), read::listed(problems))]
    Broken {
        /// The file.
        path: PathBuf,
        /// The first of them.
        problems: Vec<Problem>,
    },
    /// Somebody is in the middle of a merge.
    #[error("{} holds the conflict markers of a merge:{}", path.display(), read::listed(problems))]
    Conflicted {
        /// The file.
        path: PathBuf,
        /// The first of the lines that are broken, the markers among them.
        problems: Vec<Problem>,
    },
    /// The file holds what the database does not.
    #[error("{} would lose {loss}", path.display())]
    Lossy {
        /// The file.
        path: PathBuf,
        /// What would be gone from it.
        loss: Loss,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes every issue of `store` to `out`.
pub fn export(store: &Store, out: &mut impl Write) -> Result<Exported, StoreError> {
    let mut exported = Exported::default();
    store.each_line(0, |_, line| {
        exported.issues += 1;
        exported.bytes += line.len() as u64 + 1;
        out.write_all(line.as_bytes())
            .and_then(|()| out.write_all(b"\n"))
            .map_err(StoreError::Consumer)
    })?;
    out.flush().map_err(StoreError::Consumer)?;
    Ok(exported)
}

/// Replaces the file at `path` by every issue of `store`, whatever it holds.
pub fn export_file(store: &Store, path: &Path) -> Result<Exported, JsonlError> {
    write_file(store, path, Here::Anything).map(|(exported, _)| exported)
}

/// Writes the file of a sync anew.
pub(crate) fn write_file(
    store: &Store,
    path: &Path,
    here: Here,
) -> Result<(Exported, Replaced), JsonlError> {
    replace::replace(path, here, |file| write_all(store, path, file))
}

/// Whether the file at `path` is what an export would write.
pub(crate) fn is_up_to_date(store: &Store, path: &Path) -> Result<bool, JsonlError> {
    /// Why the comparison ended early.
    enum Stopped {
        Differs,
        Store(StoreError),
    }
    impl From<StoreError> for Stopped {
        fn from(error: StoreError) -> Self {
            Self::Store(error)
        }
    }
    let file = File::open(path).map_err(|source| at(path, source))?;
    let mut input = io::BufReader::with_capacity(BUFFER_BYTES, file);
    let mut found = Vec::new();
    let compared = store.each_line(0, |_, line| {
        found.clear();
        match input.read_until(b'\n', &mut found) {
            Ok(_) if found.strip_suffix(b"\n") == Some(line.as_bytes()) => Ok(()),
            _ => Err(Stopped::Differs),
        }
    });
    match compared {
        Ok(()) => Ok(input.fill_buf().map_err(|source| at(path, source))?.is_empty()),
        Err(Stopped::Differs) => Ok(false),
        Err(Stopped::Store(error)) => Err(error.into()),
    }
}

/// A file that we wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Written {
    /// What tells it from another.
    pub(crate) identity: FileIdentity,
    /// Its lines.
    pub(crate) issues: u64,
}

fn write_all(store: &Store, path: &Path, file: &File) -> Result<Exported, JsonlError> {
    let mut out = io::BufWriter::with_capacity(BUFFER_BYTES, file);
    export(store, &mut out).map_err(|error| match error {
        StoreError::Consumer(source) => at(path, source),
        other => JsonlError::Store(other),
    })
}

fn at(path: &Path, source: io::Error) -> JsonlError {
    JsonlError::Io { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::issue::{IssuePatch, NewIssue};

    const LINE: &str = r#"{"id":"tt-a","title":"t","status":"open","priority":1,"issue_type":"bug","created_at":"2025-11-05T12:34:56.123456789-08:00","updated_at":"2025-11-05T20:34:57Z","labels":["b","a"],"dependencies":[{"issue_id":"tt-a","depends_on_id":"tt-b","type":"blocks","created_at":"2025-11-05T20:34:57Z","created_by":"me"}],"comments":[{"id":7,"issue_id":"tt-a","author":"me","text":"hm","created_at":"2025-11-05T20:34:57Z"}],"estimate":3,"design":{"x":[1,null]}}"#;

    fn exported(store: &Store) -> String {
        let mut out = Vec::new();
        export(store, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_of_another_program_stays_as_it_is_until_it_is_changed() {
        let take = |store: &mut Store| import(store, Path::new("f"), LINE.as_bytes()).unwrap();
        let mut store = Store::open_in_memory().unwrap();
        take(&mut store);
        assert_eq!(exported(&store), format!("{LINE}\n"));
        let mut again = Store::open_in_memory().unwrap();
        import(&mut again, Path::new("f"), exported(&store).as_bytes()).unwrap();
        assert_eq!(exported(&again), exported(&store));

        let patch = IssuePatch { title: Some("u".into()), ..IssuePatch::default() };
        store.update("tt-a", &patch).unwrap();
        let changed = exported(&store);
        for kept in [r#""estimate":3"#, r#""design":{"x":[1,null]}"#, r#""created_by":"me""#] {
            assert!(changed.contains(kept), "{kept} is not in {changed}");
        }
        assert!(changed.contains(r#""labels":["a","b"]"#), "{changed}");
        assert_eq!(take(&mut store).kept, 1, "the old line is older");

        // Ours, then the same in other words.
        let mut ours = Store::open_in_memory().unwrap();
        ours.import(read(Path::new("f"), LINE.as_bytes()).unwrap()).unwrap();
        assert_ne!(exported(&ours), exported(&again));
        assert_eq!(take(&mut ours).unchanged, 1);
        assert_eq!(exported(&ours), exported(&again));
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
}
