//! The model: an issue, its parts and the rules they obey.
//!
//! Field names and their order are those of the beads JSONL format.
//! What we do not know of a line is kept in `extra` and written back.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest title, in characters.
pub const TITLE_CHARS_MAX: usize = 500;
/// The priority of an issue that was not given one.
pub const PRIORITY_DEFAULT: u8 = 2;
/// The least urgent priority; 0 is the most urgent.
pub const PRIORITY_MAX: u8 = 4;

/// Fields of a JSONL line that this version does not know.
pub type Extra = BTreeMap<String, Value>;

/// One issue, with everything that belongs to it: one line of the JSONL file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    /// Prefix, dash, base36 hash.
    pub id: String,
    /// One line, at most [`TITLE_CHARS_MAX`] characters.
    pub title: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where it stands.
    #[serde(default)]
    pub status: Status,
    /// 0 (now) to 4 (some day).
    #[serde(default = "priority_default")]
    pub priority: u8,
    /// What sort of work it is.
    #[serde(default)]
    pub issue_type: IssueType,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was closed, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// Labels, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// What it depends on, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// Comments, in the order they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<Comment>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An edge: `issue_id` depends on `depends_on_id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// The issue that waits.
    pub issue_id: String,
    /// The issue it waits for.
    pub depends_on_id: String,
    /// What the edge means.
    #[serde(rename = "type", default)]
    pub kind: DependencyKind,
    /// When the edge was added.
    pub created_at: Timestamp,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A remark on an issue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comment {
    /// Its number in the workspace it was made in.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub id: Value,
    /// The issue it belongs to.
    #[serde(default)]
    pub issue_id: String,
    /// Who wrote it.
    #[serde(default)]
    pub author: String,
    /// What it says.
    pub text: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// Unknown fields, kept.
    #[serde(flatten)]
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
}

impl IssuePatch {
    /// A patch that sets the status alone.
    pub fn status(status: Status) -> Self {
        Self { status: Some(status), ..Self::default() }
    }
}

/// An enum whose values are words: as text in the database, in JSON and on the command line.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// The words, in the order a person would list them.
            pub const WORDS: &[&str] = &[$($word),+];

            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(word: &str) -> Result<Self, Invalid> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Invalid::Word { what: $what, given: word.into(), allowed: Self::WORDS }),
                }
            }
        }
    };
}

words! {
    /// Where an issue stands.
    Status, "status" {
        /// Nobody works on it yet.
        #[default] Open = "open",
        /// Somebody works on it.
        InProgress = "in_progress",
        /// Stuck on something outside the tracker.
        Blocked = "blocked",
        /// Put off.
        Deferred = "deferred",
        /// Done.
        Closed = "closed",
    }
}

words! {
    /// What sort of work an issue is.
    IssueType, "type" {
        /// Something is wrong.
        Bug = "bug",
        /// Something is missing.
        Feature = "feature",
        /// Something is to be done.
        #[default] Task = "task",
        /// A body of work.
        Epic = "epic",
        /// Upkeep.
        Chore = "chore",
    }
}

words! {
    /// What a dependency means. Only `blocks` keeps an issue from being ready.
    DependencyKind, "dependency type" {
        /// The other must be closed first.
        #[default] Blocks = "blocks",
        /// The other is its parent.
        ParentChild = "parent-child",
        /// The two have something to do with each other.
        Related = "related",
        /// It was found while working on the other.
        DiscoveredFrom = "discovered-from",
    }
}

impl DependencyKind {
    /// Whether edges of this kind order the work, so that a cycle among them makes no sense.
    pub fn is_ordering(self) -> bool {
        matches!(self, Self::Blocks | Self::ParentChild)
    }
}

/// A value that an issue cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A title without a visible character.
    #[error("the title is empty")]
    TitleEmpty,
    /// A title that is too long.
    #[error("the title has {chars} characters, {TITLE_CHARS_MAX} are allowed")]
    TitleTooLong {
        /// Its length in characters.
        chars: usize,
    },
    /// A title of several lines.
    #[error("the title holds a line break or a control character")]
    TitleControl,
    /// A priority outside 0 to 4.
    #[error("priority {given} is not between 0 and {PRIORITY_MAX}")]
    Priority {
        /// What was given.
        given: u64,
    },
    /// A word that is none of the allowed ones.
    #[error("unknown {what} `{given}`, allowed are {}", allowed.join(", "))]
    Word {
        /// Which field.
        what: &'static str,
        /// What was given.
        given: String,
        /// What would do.
        allowed: &'static [&'static str],
    },
    /// An empty label or one with spaces around it.
    #[error("label `{given}` is empty or has a space or control character at an end")]
    Label {
        /// What was given.
        given: String,
    },
    /// An id that cannot be stored.
    #[error("`{given}` is not an id")]
    Id {
        /// What was given.
        given: String,
    },
    /// A prefix that cannot start an id.
    #[error("prefix `{given}` is not made of lowercase letters, digits, `_` and inner dashes")]
    Prefix {
        /// What was given.
        given: String,
    },
    /// A dependency filed under another issue.
    #[error("a dependency of {id} names {named} as its issue")]
    ForeignDependency {
        /// The issue whose line it is on.
        id: String,
        /// The issue it names.
        named: String,
    },
}

/// Checks a title.
pub fn check_title(title: &str) -> Result<(), Invalid> {
    let chars = title.chars().count();
    if title.trim().is_empty() {
        Err(Invalid::TitleEmpty)
    } else if chars > TITLE_CHARS_MAX {
        Err(Invalid::TitleTooLong { chars })
    } else if title.chars().any(char::is_control) {
        Err(Invalid::TitleControl)
    } else {
        Ok(())
    }
}

/// Checks a priority.
pub fn check_priority(priority: u8) -> Result<(), Invalid> {
    if priority <= PRIORITY_MAX {
        Ok(())
    } else {
        Err(Invalid::Priority { given: priority.into() })
    }
}

/// Checks a label.
pub fn check_label(label: &str) -> Result<(), Invalid> {
    let bad = label.is_empty() || label.trim() != label || label.chars().any(char::is_control);
    if bad { Err(Invalid::Label { given: label.into() }) } else { Ok(()) }
}

impl Issue {
    /// Checks every rule, for an issue that comes from outside.
    pub fn check(&self) -> Result<(), Invalid> {
        if !crate::id::is_valid(&self.id) {
            return Err(Invalid::Id { given: self.id.clone() });
        }
        check_title(&self.title)?;
        check_priority(self.priority)?;
        self.labels.iter().try_for_each(|label| check_label(label))?;
        match self.dependencies.iter().find(|dependency| dependency.issue_id != self.id) {
            Some(foreign) => Err(Invalid::ForeignDependency {
                id: self.id.clone(),
                named: foreign.issue_id.clone(),
            }),
            None => Ok(()),
        }
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

fn priority_default() -> u8 {
    PRIORITY_DEFAULT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_one_visible_line_of_500_characters() {
        assert_eq!(check_title(&"é".repeat(TITLE_CHARS_MAX)), Ok(()));
        assert_eq!(
            check_title(&"é".repeat(TITLE_CHARS_MAX + 1)),
            Err(Invalid::TitleTooLong { chars: 501 })
        );
        assert_eq!(check_title(" \t"), Err(Invalid::TitleEmpty));
        assert_eq!(check_title("a\nb"), Err(Invalid::TitleControl));
    }

    #[test]
    fn words_go_both_ways_and_name_the_allowed() {
        for word in Status::WORDS {
            assert_eq!(word.parse::<Status>().unwrap().as_str(), *word);
        }
        let message = "done".parse::<Status>().unwrap_err().to_string();
        assert!(message.contains("in_progress"), "{message}");
    }
}
