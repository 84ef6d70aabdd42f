//! Trees and a commit without an index: one stream for git-fast-import(1).
//!
//! The commit goes to a reference that is forgotten again before the stream ends, so that no
//! reference is ever written: which one moves, and from where, is `update-ref`'s to say.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::git::GitError;
use crate::git::call::{Caller, refusal};
use crate::git::status::Blob;

/// A commit that is to be made: the tip's tree with one file replaced.
#[derive(Debug)]
pub(super) struct Import<'a> {
    /// Its parent; `None` for the first commit of all.
    pub(super) tip: Option<&'a str>,
    /// The file.
    pub(super) blob: &'a Blob,
    /// Where the file lies, from the top.
    pub(super) path: &'a Path,
    /// The message, in UTF-8.
    pub(super) message: &'a str,
}

impl Import<'_> {
    /// Makes trees and commit and returns the commit's name. No branch moves.
    pub(super) fn run(&self, caller: &Caller<'_>, git_dir: &Path) -> Result<String, GitError> {
        let author = identity(caller, "GIT_AUTHOR_IDENT")?;
        let committer = identity(caller, "GIT_COMMITTER_IDENT")?;
        let reference = format!("refs/tracker/{}", std::process::id());
        let call = caller
            .call("fast-import")
            // Else a path is looked up in the tip's tree without regard to case.
            .setting("core.ignoreCase=false")
            .args(["--quiet", "--done"])
            .input(self.stream(&reference, &author, &committer));
        call.oid().inspect_err(|_| remove_crash_reports(git_dir, &reference))
    }

    fn stream(&self, reference: &str, author: &[u8], committer: &[u8]) -> Vec<u8> {
        let message = format!("{}\n", self.message.trim_end());
        let mut stream = format!("commit {reference}\nmark :1\n").into_bytes();
        for (role, identity) in [("author ", author), ("committer ", committer)] {
            stream.extend([role.as_bytes(), identity, b"\n"].concat());
        }
        stream.extend(format!("data {}\n{message}\n", message.len()).bytes());
        if let Some(tip) = self.tip {
            stream.extend(format!("from {tip}\n").bytes());
        }
        stream.extend(format!("M {} {} ", self.blob.mode, self.blob.oid).bytes());
        stream.extend(quoted(self.path.as_os_str().as_bytes()));
        // `reset` without a `from` forgets the reference.
        stream.extend(format!("\nget-mark :1\nreset {reference}\n\ndone\n").bytes());
        stream
    }
}

/// Name, address and time, as git would take them for a commit.
fn identity(caller: &Caller<'_>, which: &'static str) -> Result<Vec<u8>, GitError> {
    let answer = caller.call("var").args([which]).end()?;
    if answer.status.success() {
        return Ok(answer.output.trim_ascii_end().into());
    }
    match refusal("var", &answer) {
        GitError::Refused { output, .. } => {
            let last = output.lines().last().unwrap_or_default();
            let output = last.trim_start_matches("fatal: ").to_owned();
            Err(GitError::NoIdentity { output })
        }
        other => Err(other),
    }
}

/// Fast-import leaves one in the git directory each time that it fails; ours names our reference.
fn remove_crash_reports(git_dir: &Path, reference: &str) {
    let Ok(entries) = fs::read_dir(git_dir) else { return };
    for entry in entries.flatten() {
        let is_report = entry.file_name().as_bytes().starts_with(b"fast_import_crash_");
        let names_ours = |text: Vec<u8>| String::from_utf8_lossy(&text).contains(reference);
        if is_report && fs::read(entry.path()).is_ok_and(names_ours) {
            // The failure is told in any case.
            let _stays_as_rubbish = fs::remove_file(entry.path());
        }
    }
}

/// A path in quotes, as C would write it: what git reads wherever a bare path could be mistaken.
pub(super) fn quoted(path: &[u8]) -> Vec<u8> {
    let mut text = vec![b'"'];
    for byte in path {
        match byte {
            b'"' | b'\\' => text.extend([b'\\', *byte]),
            0..0x20 | 0x7f => text.extend(format!("\\{byte:03o}").bytes()),
            _ => text.push(*byte),
        }
    }
    text.push(b'"');
    text
}
