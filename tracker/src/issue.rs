//! The model: an issue, its parts and the rules they obey.
//!
//! Field names and their order are those of the beads JSONL format.
//! What we do not know of a line is kept in `extra` and written back.

mod json;
mod merge;
mod rules;
mod words;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use json::Extra;
pub use merge::merged;
pub use rules::{Invalid, check_assignee, check_label, check_priority, check_title};
pub use words::{DependencyKind, IssueType, Status};

/// The longest title, in characters.
pub const TITLE_CHARS_MAX: usize = 500;
/// The priority of an issue that was not given one.
pub const PRIORITY_DEFAULT: u8 = 2;
/// The least urgent priority; 0 is the most urgent.
pub const PRIORITY_MAX: u8 = 4;
/// How long a deleted issue is remembered: as long as an import could bring it back.
pub const TOMBSTONE_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// One issue, with everything that belongs to it: one line of the JSONL file.
#[derive(Debug, Clone, PartialEq)]
pub struct Issue {
    /// Prefix, dash, base36 hash.
    pub id: String,
    /// One line, at most [`TITLE_CHARS_MAX`] characters.
    pub title: String,
    /// Free text.
    pub description: String,
    /// Where it stands.
    pub status: Status,
    /// 0 (now) to 4 (some day).
    pub priority: u8,
    /// What sort of work it is.
    pub issue_type: IssueType,
    /// Who works on it.
    pub assignee: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was closed, if it is.
    pub closed_at: Option<Timestamp>,
    /// Why it was closed, if anybody said.
    pub close_reason: Option<String>,
    /// When it was deleted, if it is.
    pub deleted_at: Option<Timestamp>,
    /// Why it was deleted, if anybody said.
    pub delete_reason: Option<String>,
    /// When it was last restored: what tells a restored issue from one that a deletion missed.
    pub restored_at: Option<Timestamp>,
    /// Labels, sorted.
    pub labels: Vec<String>,
    /// What it depends on, sorted.
    pub dependencies: Vec<Dependency>,
    /// Comments, in the order they were made.
    pub comments: Vec<Comment>,
    /// Unknown fields, kept.
    pub extra: Extra,
}

/// An edge: `issue_id` depends on `depends_on_id`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependency {
    /// The issue that waits.
    pub issue_id: String,
    /// The issue it waits for.
    pub depends_on_id: String,
    /// What the edge means.
    pub kind: DependencyKind,
    /// When the edge was added.
    pub created_at: Timestamp,
    /// Unknown fields, kept.
    pub extra: Extra,
}

/// A remark on an issue.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    /// Its number in the workspace it was made in.
    pub id: Value,
    /// The issue it belongs to.
    pub issue_id: String,
    /// Who wrote it.
    pub author: String,
    /// What it says.
    pub text: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// Unknown fields, kept.
    pub extra: Extra,
}

/// What `create` asks for; everything but the title has a default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewIssue {
    /// One line.
    pub title: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// 0 to 4, [`PRIORITY_DEFAULT`] if absent.
    #[serde(default)]
    pub priority: Option<u8>,
    /// What sort of work it is.
    #[serde(default)]
    pub issue_type: IssueType,
    /// Who works on it.
    #[serde(default)]
    pub assignee: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Vec<String>,
}

impl NewIssue {
    /// An issue with this title and defaults for the rest.
    pub fn titled(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }
}

/// What `update` changes; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuePatch {
    /// The new title.
    #[serde(default)]
    pub title: Option<String>,
    /// The new description.
    #[serde(default)]
    pub description: Option<String>,
    /// The new status; closing and reopening go through here too.
    #[serde(default)]
    pub status: Option<Status>,
    /// The new priority.
    #[serde(default)]
    pub priority: Option<u8>,
    /// The new type.
    #[serde(default)]
    pub issue_type: Option<IssueType>,
    /// The new assignee; the empty string removes it.
    #[serde(default)]
    pub assignee: Option<String>,
    /// All its labels anew.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
    /// Labels to add.
    #[serde(default)]
    pub add_labels: Vec<String>,
    /// Labels to take away; one that is not there is no error.
    #[serde(default)]
    pub remove_labels: Vec<String>,
    /// Why it is closed.
    #[serde(default)]
    pub close_reason: Option<String>,
}

impl IssuePatch {
    /// A patch that sets the status alone.
    pub fn status(status: Status) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// Changes `issue` as the patch says, and the times that go with its status.
    pub(crate) fn apply(&self, issue: &mut Issue) {
        fn set<T: Clone>(field: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                field.clone_from(value);
            }
        }
        set(&mut issue.title, self.title.as_ref());
        set(&mut issue.description, self.description.as_ref());
        set(&mut issue.priority, self.priority.as_ref());
        set(&mut issue.issue_type, self.issue_type.as_ref());
        set(&mut issue.labels, self.labels.as_ref());
        if let Some(assignee) = &self.assignee {
            issue.assignee = Some(assignee.clone()).filter(|name| !name.is_empty());
        }
        issue.labels.extend_from_slice(&self.add_labels);
        issue.labels.retain(|label| !self.remove_labels.contains(label));
        match &self.status {
            Some(Status::Closed) if issue.status != Status::Closed => {
                issue.status = Status::Closed;
                issue.closed_at = Some(Timestamp::now());
            }
            Some(Status::Closed) | None => {}
            Some(status) => {
                issue.status = status.clone();
                issue.closed_at = None;
                issue.close_reason = None;
            }
        }
        if let Some(reason) = &self.close_reason {
            issue.close_reason = Some(reason.clone()).filter(|reason| !reason.is_empty());
        }
    }
}

impl Issue {
    /// Whether it is deleted and only remembered.
    pub fn is_tombstone(&self) -> bool {
        self.status == Status::Tombstone
    }

    /// Whether it is deleted, and was so long ago that it need not be remembered any more.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let dead_since = self.deleted_at.unwrap_or(self.updated_at);
        self.is_tombstone() && now.duration_since(dead_since) > TOMBSTONE_LIFE
    }

    /// Sets when it changed: later than any change before, whatever the clock says.
    pub(crate) fn touch(&mut self) {
        let after = self.updated_at.checked_add(SignedDuration::from_micros(1));
        self.updated_at = Timestamp::now().max(after.unwrap_or(self.updated_at));
    }

    /// Puts the parts that are sets in their one order, so that equal issues are equal bytes.
    pub fn normalise(&mut self) {
        self.labels.sort();
        self.labels.dedup();
        self.dependencies.sort_by(|a, b| {
            (&a.depends_on_id, a.kind.as_str()).cmp(&(&b.depends_on_id, b.kind.as_str()))
        });
        self.dependencies.dedup_by(|a, b| a.depends_on_id == b.depends_on_id && a.kind == b.kind);
        for comment in &mut self.comments {
            comment.issue_id.clone_from(&self.id);
        }
    }
}
