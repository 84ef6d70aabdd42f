//! A few changed lines in a big file: found by their ids, the rest copied by the kernel.
//!
//! The file is sorted by id, so a line is found by halving, and everything between two changed
//! lines goes from file to file with copy_file_range(2), which [`io::copy`] uses. A file of 100,000
//! issues is never looked through.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Exported, FileIdentity, Here, JsonlError, Replaced, Written, at, replace};
use crate::store::Store;

/// What is left of the file when it is searched line by line.
const SCANNED_BYTES: u64 = 16 * 1024;
/// How our lines begin.
const START: &[u8] = b"{\"id\":\"";
/// Enough for the beginning of a line with the longest id.
const HEAD_BYTES: usize = 256;

/// Puts the lines that are newer than `since` into the file at `path`; `None` if it is not the
/// file that we wrote, or not in our form, and has to be written anew.
pub(crate) fn splice(
    store: &Store,
    path: &Path,
    since: i64,
    written: Written,
) -> Result<Option<(Exported, Replaced)>, JsonlError> {
    let old = File::open(path).map_err(|source| at(path, source))?;
    let found = old.metadata().map_err(|source| at(path, source))?;
    if FileIdentity::of(&found) != written.identity {
        return Ok(None);
    }
    let old = Lines { file: &old, end: found.len() };
    let spliced = replace::replace(path, Here::This(written.identity), |new| {
        let mut exported = Exported { issues: written.issues, bytes: 0 };
        let mut copied = 0;
        let failed = |source| at(path, source);
        store.each_line(since, |id, line| {
            let Place { start, end } = old.place(id, copied).map_err(failed)?;
            exported.bytes += old.copy(copied, start, new).map_err(failed)? + line.len() as u64 + 1;
            exported.issues += u64::from(start == end);
            copied = end;
            let mut new = new;
            let written = new.write_all(line.as_bytes()).and_then(|()| new.write_all(b"\n"));
            written.map_err(failed)
        })?;
        exported.bytes += old.copy(copied, old.end, new).map_err(failed)?;
        Ok(exported)
    });
    match spliced {
        Err(JsonlError::Io { source, .. }) if source.kind() == io::ErrorKind::InvalidData => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Where a line is, or where it would be: then it is empty.
struct Place {
    start: u64,
    end: u64,
}

/// A file of lines that begin with their ids, sorted by them.
struct Lines<'a> {
    file: &'a File,
    end: u64,
}

impl Lines<'_> {
    /// Where the line of `id` is or would be, at or after the line that starts at `from`.
    fn place(&self, id: &str, from: u64) -> io::Result<Place> {
        let (mut low, mut high) = (from, self.end);
        while high - low > SCANNED_BYTES {
            let middle = low + (high - low) / 2;
            match self.next_line(middle)? {
                Some(start) if start < high => match self.compare(start, id)? {
                    Ordering::Less => low = start,
                    Ordering::Equal | Ordering::Greater => high = start,
                },
                // The line in the middle is the last of the span.
                _ => high = middle,
            }
        }
        // `high` may be inside a line now; the lines from `low` on are looked at one by one.
        while low < self.end {
            let end = self.next_line(low)?.unwrap_or(self.end);
            match self.compare(low, id)? {
                Ordering::Less => low = end,
                Ordering::Equal => return Ok(Place { start: low, end }),
                Ordering::Greater => break,
            }
        }
        Ok(Place { start: low, end: low })
    }

    /// Where the first line starts after `offset`; `None` at the end.
    fn next_line(&self, offset: u64) -> io::Result<Option<u64>> {
        let mut chunk = [0; 4096];
        let mut at = offset;
        loop {
            let count = self.file.read_at(&mut chunk, at)?;
            if count == 0 {
                return Ok(None);
            }
            if let Some(newline) = chunk[..count].iter().position(|byte| *byte == b'\n') {
                let start = at + newline as u64 + 1;
                return Ok((start < self.end).then_some(start));
            }
            at += count as u64;
        }
    }

    fn compare(&self, start: u64, id: &str) -> io::Result<Ordering> {
        let mut head = [0; HEAD_BYTES];
        let count = self.file.read_at(&mut head, start)?;
        let found = head[..count].strip_prefix(START).and_then(|rest| {
            let end = rest.iter().position(|byte| *byte == b'"')?;
            // An escape is not compared but left to whoever writes the file anew.
            Some(&rest[..end]).filter(|id| !id.contains(&b'\\'))
        });
        found.map(|found| found.cmp(id.as_bytes())).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "a line does not begin with a plain id")
        })
    }

    fn copy(&self, from: u64, to: u64, mut new: &File) -> io::Result<u64> {
        let mut old = self.file;
        old.seek(SeekFrom::Start(from))?;
        let copied = io::copy(&mut old.take(to - from), &mut new)?;
        match copied == to - from {
            true => Ok(copied),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "the file has been cut")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::{Issue, NewIssue};
    use crate::jsonl::{export, write_file};

    /// A store with issues of these ids, its file, and what it wrote.
    fn written(dir: &Path, ids: &[String], bytes: usize) -> (Store, std::path::PathBuf, Written) {
        let mut store = Store::open_in_memory().unwrap();
        let mut one = store.create(NewIssue::titled("a")).unwrap();
        one.description = "d".repeat(bytes);
        let issues = ids.iter().map(|id| Issue { id: id.clone(), ..one.clone() });
        store.import(issues).unwrap();
        let path = dir.join("issues.jsonl");
        let (exported, replaced) = write_file(&store, &path, Here::Nothing).unwrap();
        let Replaced::Done(identity) = replaced else { panic!("{replaced:?}") };
        (store, path, Written { identity, issues: exported.issues })
    }

    fn whole(store: &Store) -> Vec<u8> {
        let mut out = Vec::new();
        export(store, &mut out).unwrap();
        out
    }

    #[test]
    fn spliced_and_written_anew_are_the_same_bytes() {
        for bytes in [0, 500, 40_000] {
            for count in [0, 1, 2, 100] {
                let dir = tempfile::tempdir().unwrap();
                let ids: Vec<_> = (0..count).map(|n| format!("tt-{:03}", n * 2 + 1)).collect();
                let (mut store, path, mut last) = written(dir.path(), &ids, bytes);
                let some = store.list(Some(1)).unwrap().remove(0);
                // Before all, between two, after all, and over each that is there.
                let new = (0..=2 * count + 1).map(|n| format!("tt-{n:03}"));
                for id in new.chain(["a-1".into(), "zz-1".into()]) {
                    let since = store.dirty().unwrap().newest;
                    let mut new = Issue { id: id.clone(), title: "new".into(), ..some.clone() };
                    new.touch();
                    store.import([new]).unwrap();
                    let (exported, replaced) = splice(&store, &path, since, last).unwrap().unwrap();
                    let Replaced::Done(identity) = replaced else { panic!("{replaced:?}") };
                    let found = std::fs::read(&path).unwrap();
                    assert!(found == whole(&store), "{id} of {count} with {bytes} bytes");
                    assert_eq!(exported.bytes, found.len() as u64);
                    assert_eq!(exported.issues, store.count().unwrap());
                    last = Written { identity, issues: exported.issues };
                }
            }
        }
    }

    #[test]
    fn several_lines_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let ids: Vec<_> = (0..300).map(|n| format!("tt-{:03}", n * 2)).collect();
        let (mut store, path, last) = written(dir.path(), &ids, 500);
        let since = store.dirty().unwrap().newest;
        for id in ["tt-000", "tt-300", "tt-302", "tt-598"] {
            store.close_issue(id).unwrap();
        }
        splice(&store, &path, since, last).unwrap().unwrap();
        assert!(std::fs::read(&path).unwrap() == whole(&store));
    }

    #[test]
    fn another_file_or_another_form_is_not_spliced() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, path, last) = written(dir.path(), &["tt-1".into(), "tt-2".into()], 0);
        let since = store.dirty().unwrap().newest;
        store.close_issue("tt-2").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("{\"id\"", "{ \"id\"")).unwrap();
        assert!(splice(&store, &path, since, last).unwrap().is_none());
        let identity = FileIdentity::of(&std::fs::metadata(&path).unwrap());
        let as_if = Written { identity, ..last };
        assert!(splice(&store, &path, since, as_if).unwrap().is_none());
    }
}
