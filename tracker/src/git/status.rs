//! What git knows of one file: `git status --porcelain=v2`, whose form git-status(1) promises.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::git::call::Caller;
use crate::git::{GitError, off};

/// A branch, its tip, and one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status {
    /// The branch that HEAD names, with its `refs/heads/`; `None` if HEAD is detached.
    pub(super) branch: Option<OsString>,
    /// The commit the branch is at; `None` before its first one.
    pub(super) tip: Option<String>,
    /// The file.
    pub(super) entry: Entry,
}

/// What git knows of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is the same in the tip and in the index, and git takes the work tree's for the same
    /// too, going by its size, times and inode.
    Same,
    /// It is not.
    Differs(Sides),
    /// A `.gitignore` hides it, and it is not in the index.
    Ignored,
    /// A merge left more than one of it.
    Unmerged,
}

/// A file that is not everywhere the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sides {
    /// In the tip.
    pub(super) tip: Option<Blob>,
    /// In the index.
    pub(super) index: Option<Blob>,
    /// The mode that git takes it to have in the work tree, if it is in the index.
    work_mode: String,
}

/// A file's content and mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    /// Octal, as in a tree.
    pub(super) mode: String,
    /// The object.
    pub(super) oid: String,
}

impl Status {
    /// Reads the status of the file `name` in the caller's directory.
    pub(super) fn read(caller: &Caller<'_>, name: &OsStr) -> Result<Self, GitError> {
        let options = [
            "--porcelain=v2",
            "-z",
            "--branch",
            // Counting how far a branch is from its upstream can walk the whole history.
            "--no-ahead-behind",
            "--no-renames",
            "--untracked-files=all",
            "--ignored=matching",
            "--",
        ];
        let answer = caller.call("status").args(options).arg(name).answer()?;
        parse(&answer).ok_or_else(|| not_understood("status", &answer))
    }

    /// The branch that may be committed to, and the file's sides, `None` if they are all the same;
    /// or why it may not. `path` is only its name in errors.
    pub(super) fn committable(&self, path: &Path) -> Result<(&OsStr, Option<&Sides>), GitError> {
        match (&self.branch, &self.entry) {
            (_, Entry::Ignored) => Err(GitError::Ignored { path: path.into() }),
            (_, Entry::Unmerged) => Err(off("the file has a merge conflict in git")),
            (None, _) => Err(off("HEAD is detached, no branch is checked out")),
            (Some(branch), Entry::Same) => Ok((branch, None)),
            (Some(branch), Entry::Differs(sides)) => Ok((branch, Some(sides))),
        }
    }
}

fn not_understood(verb: &'static str, answer: &[u8]) -> GitError {
    let output = format!("not understood: {}", String::from_utf8_lossy(answer));
    GitError::Refused { verb, output }
}

fn parse(answer: &[u8]) -> Option<Status> {
    let (mut branch, mut tip, mut entry) = (None, None, Entry::Same);
    for record in answer.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        let (kind, rest) = (record[0], record.get(2..)?);
        entry = match (kind, entry) {
            (b'#', entry) => {
                if let Some(name) = rest.strip_prefix(b"branch.head ") {
                    branch = Some(name);
                } else if let Some(oid) = rest.strip_prefix(b"branch.oid ") {
                    tip = Some(std::str::from_utf8(oid).ok()?);
                }
                entry
            }
            (b'!', _) | (_, Entry::Ignored) => Entry::Ignored,
            (b'u', _) => Entry::Unmerged,
            (b'1', _) => Entry::Differs(sides(rest)?),
            // Taken out of the index, but in the tip: the record before this one had more to say.
            (b'?', Entry::Differs(sides)) => Entry::Differs(sides),
            (b'?', _) => Entry::Differs(Sides::default()),
            _ => return None,
        };
    }
    let named = |name: &[u8]| OsStr::from_bytes(&[b"refs/heads/", name].concat()).to_owned();
    Some(Status {
        branch: branch.filter(|name| *name != b"(detached)").map(named),
        tip: Some(tip?).filter(|oid| *oid != "(initial)").map(str::to_owned),
        entry,
    })
}

/// `<XY> <sub> <mH> <mI> <mW> <hH> <hI> <path>`: mode and object in HEAD, index and work tree.
fn sides(record: &[u8]) -> Option<Sides> {
    let fields: Vec<_> = record.splitn(8, |byte| *byte == b' ').collect();
    let [_, _, tip_mode, index_mode, work_mode, tip, index, _] = fields[..] else { return None };
    let text = |field: &[u8]| Some(std::str::from_utf8(field).ok()?.to_owned());
    let blob = |mode: &[u8], oid: &[u8]| -> Option<Option<Blob>> {
        Some(Some(Blob { mode: text(mode)?, oid: text(oid)? }).filter(|blob| blob.mode != "000000"))
    };
    Some(Sides {
        tip: blob(tip_mode, tip)?,
        index: blob(index_mode, index)?,
        work_mode: text(work_mode)?,
    })
}

/// `<mode> <type> <object>\t<name>`.
fn tree_entry(record: &[u8]) -> Option<Blob> {
    let entry = record.split(|byte| *byte == b'\t').next()?;
    let entry = std::str::from_utf8(entry).ok()?;
    let [mode, _, oid] = entry.split(' ').collect::<Vec<_>>()[..] else { return None };
    Some(Blob { mode: mode.into(), oid: oid.into() })
}

impl Sides {
    /// A file that is the same in tip and index.
    pub(super) fn of_head(caller: &Caller<'_>, name: &OsStr) -> Result<Self, GitError> {
        let answer = caller.call("ls-tree").args(["-z", "HEAD", "--"]).arg(name).answer()?;
        let blob = tree_entry(&answer).ok_or_else(|| not_understood("ls-tree", &answer))?;
        Ok(Self { work_mode: blob.mode.clone(), index: Some(blob.clone()), tip: Some(blob) })
    }

    /// The file with new content, in the mode `git add` would give it.
    ///
    /// A file that git does not know yet is a plain one: nobody runs a list of issues.
    pub(super) fn new_blob(&self, oid: String) -> Blob {
        let tip_mode = self.tip.as_ref().map(|tip| tip.mode.as_str());
        let mode = [Some(self.work_mode.as_str()), tip_mode]
            .into_iter()
            .flatten()
            .find(|mode| ["100644", "100755"].contains(mode))
            .unwrap_or("100644");
        Blob { mode: mode.into(), oid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";
    const NONE: &str = "0000000000000000000000000000000000000000";

    fn read(records: &[&str]) -> Option<Status> {
        parse((records.join("\0") + "\0").as_bytes())
    }

    fn blob(mode: &str, oid: &str) -> Option<Blob> {
        Some(Blob { mode: mode.into(), oid: oid.into() })
    }

    #[test]
    fn branch_and_tip_are_read_and_may_be_missing() {
        let on = read(&[&format!("# branch.oid {ONE}"), "# branch.head a/b"]).unwrap();
        assert_eq!(on.branch, Some("refs/heads/a/b".into()));
        assert_eq!((on.tip, on.entry), (Some(ONE.into()), Entry::Same));
        let unborn = read(&["# branch.oid (initial)", "# branch.head main"]).unwrap();
        assert_eq!((unborn.branch, unborn.tip), (Some("refs/heads/main".into()), None));
        let off = read(&[&format!("# branch.oid {ONE}"), "# branch.head (detached)"]).unwrap();
        assert_eq!(off.branch, None);
    }

    #[test]
    fn each_side_is_told_apart() {
        let oid = format!("# branch.oid {ONE}");
        let head = "# branch.head main";
        let both = format!("1 MM N... 100644 100644 100755 {ONE} {TWO} a file");
        let Entry::Differs(both) = read(&[&oid, head, &both]).unwrap().entry else { panic!() };
        assert_eq!((&both.tip, &both.index), (&blob("100644", ONE), &blob("100644", TWO)));
        assert_eq!(both.new_blob(TWO.into()).mode, "100755");

        let removed = format!("1 D. N... 100755 000000 000000 {ONE} {NONE} f");
        let removed = read(&[&oid, head, &removed, "? f"]).unwrap().entry;
        let Entry::Differs(removed) = removed else { panic!() };
        assert_eq!((&removed.tip, &removed.index), (&blob("100755", ONE), &None));
        assert_eq!(removed.new_blob(TWO.into()).mode, "100755");

        assert_eq!(read(&[&oid, head, "? f"]).unwrap().entry, Entry::Differs(Sides::default()));
        assert_eq!(read(&[&oid, head, "! dir/"]).unwrap().entry, Entry::Ignored);
        let unmerged = format!("u UU N... 100644 100644 100644 100644 {ONE} {ONE} {TWO} f");
        assert_eq!(read(&[&oid, head, &unmerged]).unwrap().entry, Entry::Unmerged);
    }

    #[test]
    fn what_is_not_understood_is_not_guessed() {
        assert_eq!(read(&["# branch.head main"]), None);
        let oid = format!("# branch.oid {ONE}");
        assert_eq!(read(&[&oid, "# branch.head main", "2 R. N... f"]), None);
        assert_eq!(read(&[&oid, "# branch.head main", "1 M. N... 100644"]), None);
    }
}
