//! The mark beside a ledger that says its run has not come to its end: a run that is killed leaves it there, and
//! the gate sees it.

use std::fs;
use std::path::{Path, PathBuf};

/// The mark; removed when it is dropped.
pub(crate) struct Underway(PathBuf);

impl Underway {
    /// Marks the run that writes to `ledger`. Where that is refused nothing can be said of its end.
    pub(crate) fn mark(ledger: &Path, run: &str) -> Self {
        let path = beside(ledger);
        let _ = fs::write(&path, format!("{run}\n"));
        Self(path)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether the last run that wrote to `ledger` has not come to its end.
pub(crate) fn is_underway(ledger: &Path) -> bool {
    // `latest` is a link; the mark lies beside what it leads to.
    let ledger = fs::canonicalize(ledger).unwrap_or_else(|_| ledger.to_owned());
    beside(&ledger).exists()
}

fn beside(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".running");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_goes_with_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("a.jsonl");
        fs::write(&ledger, "").unwrap();
        let link = folder.path().join("latest");
        std::os::unix::fs::symlink("a.jsonl", &link).unwrap();
        let mark = Underway::mark(&ledger, "r");
        assert!(is_underway(&ledger) && is_underway(&link));
        drop(mark);
        assert!(!is_underway(&ledger) && !is_underway(&link));
    }
}
