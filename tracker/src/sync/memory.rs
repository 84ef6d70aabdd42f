//! What a sync remembers in the database, under names of its own.

use jiff::{SignedDuration, Timestamp};

use super::WhenToCommit;
use crate::git::Commit;
use crate::jsonl::Written;
use crate::store::{Store, StoreError};

/// The revision up to which the file goes; [`Store::dirty`] reads it.
const EXPORTED: &str = "exported";
/// The file as we left it.
const FILE: &str = "file";
/// Since when the file holds what git does not.
const COMMIT_DUE: &str = "commit_due";
/// When the last commit was made.
const COMMITTED_AT: &str = "committed_at";
/// When deleted issues were last looked through.
const EXPIRED_AT: &str = "expired_at";

/// The time between two looks for deletions that need not be remembered any more.
const EXPIRY_INTERVAL: SignedDuration = SignedDuration::from_hours(24);

impl Store {
    /// Says whether a sync commits to git; what is exported already is committed by the next one.
    pub fn set_git_enabled(&mut self, enabled: bool) -> Result<(), StoreError> {
        let now = Timestamp::now().to_string();
        let yes = enabled.then_some("true");
        self.remember(&[("git", yes), (COMMIT_DUE, yes.map(|_| now.as_str()))])
    }
}

/// The file as the last pass left it.
pub(super) fn written(store: &Store) -> Result<Option<Written>, StoreError> {
    Ok(store.remembered(FILE)?.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Remembers that the file holds everything up to `revision`, and that git does not.
pub(super) fn set_exported(
    store: &mut Store,
    revision: i64,
    written: Written,
) -> Result<(), StoreError> {
    // Numbers always serialise; without them the file would be read once more.
    let written = serde_json::to_string(&written).unwrap_or_default();
    let revision = revision.to_string();
    let due = match store.git_enabled()? {
        true => Some(time(store, COMMIT_DUE)?.unwrap_or_else(Timestamp::now).to_string()),
        false => None,
    };
    store.remember(&[
        (EXPORTED, Some(&revision)),
        (FILE, Some(&written)),
        (COMMIT_DUE, due.as_deref()),
    ])
}

/// Whether the file is to be committed in this pass.
pub(super) fn is_commit_due(store: &Store, when: WhenToCommit) -> Result<bool, StoreError> {
    if !store.git_enabled()? {
        return Ok(false);
    }
    let WhenToCommit::AtMostEvery(interval) = when else {
        // Whoever asks is not to be told that all is well where git has lost what it had: by a
        // reset, or a commit of what was staged before ours.
        return Ok(true);
    };
    if time(store, COMMIT_DUE)?.is_none() {
        return Ok(false);
    }
    Ok(time(store, COMMITTED_AT)?.is_none_or(|last| is_over(last, interval)))
}

/// Remembers that git holds what the file does, and when a commit was made for it.
pub(super) fn set_committed(store: &mut Store, commit: Commit) -> Result<(), StoreError> {
    let now = Timestamp::now().to_string();
    match commit {
        Commit::Done => store.remember(&[(COMMIT_DUE, None), (COMMITTED_AT, Some(&now))]),
        Commit::Unchanged if time(store, COMMIT_DUE)?.is_none() => Ok(()),
        // It did already, so the next commit need not wait.
        Commit::Unchanged => store.remember(&[(COMMIT_DUE, None)]),
    }
}

/// Forgets deletions of long ago, where nobody has looked for a day.
pub(super) fn forget_expired(store: &mut Store) -> Result<(), StoreError> {
    let day = EXPIRY_INTERVAL.unsigned_abs();
    if time(store, EXPIRED_AT)?.is_some_and(|last| !is_over(last, day)) {
        return Ok(());
    }
    store.forget_expired()?;
    store.remember(&[(EXPIRED_AT, Some(&Timestamp::now().to_string()))])
}

fn time(store: &Store, name: &str) -> Result<Option<Timestamp>, StoreError> {
    // What does not parse is as good as long ago.
    Ok(store.remembered(name)?.map(|text| text.parse().unwrap_or(Timestamp::UNIX_EPOCH)))
}

/// Whether an interval has passed since `last`; a time to come is none that a clock has told.
fn is_over(last: Timestamp, interval: std::time::Duration) -> bool {
    let since = Timestamp::now().duration_since(last);
    since.is_negative() || since.unsigned_abs() >= interval
}
