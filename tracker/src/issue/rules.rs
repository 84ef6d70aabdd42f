//! What an issue may be.
//!
//! A person is held to all of it. A file of another tracker is held to what we could not store or
//! show otherwise ([`Issue::check_file`]): it was right where it was made.

use super::{Issue, PRIORITY_MAX, TITLE_CHARS_MAX};

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
    /// An empty label, one with spaces around it, or one that a list of labels would split.
    #[error(
        "label `{}` is empty, or has a comma, a control character or a space at an end",
        given.escape_debug()
    )]
    Label {
        /// What was given.
        given: String,
    },
    /// An assignee with spaces around, or of several lines.
    #[error("assignee `{}` has a control character or a space at an end", given.escape_debug())]
    Assignee {
        /// What was given.
        given: String,
    },
    /// A comment without a visible character.
    #[error("the comment is empty")]
    CommentEmpty,
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
    match label.is_empty() || label.contains(',') || !is_one_line(label) {
        true => Err(Invalid::Label { given: label.into() }),
        false => Ok(()),
    }
}

/// Checks an assignee; the empty one is nobody.
pub fn check_assignee(assignee: &str) -> Result<(), Invalid> {
    match is_one_line(assignee) {
        true => Ok(()),
        false => Err(Invalid::Assignee { given: assignee.into() }),
    }
}

fn is_one_line(text: &str) -> bool {
    text.trim() == text && !text.chars().any(char::is_control)
}

impl Issue {
    /// Checks every rule, for an issue that a person has made or changed.
    pub fn check(&self) -> Result<(), Invalid> {
        check_title(&self.title)?;
        check_priority(self.priority)?;
        self.labels.iter().try_for_each(|label| check_label(label))?;
        self.assignee.as_deref().map_or(Ok(()), check_assignee)?;
        self.check_file()
    }

    /// Checks an issue that comes from a file.
    pub fn check_file(&self) -> Result<(), Invalid> {
        if !crate::id::is_valid(&self.id) {
            return Err(Invalid::Id { given: self.id.clone() });
        }
        if self.title.trim().is_empty() {
            return Err(Invalid::TitleEmpty);
        }
        check_priority(self.priority)?;
        match self.dependencies.iter().find(|dependency| dependency.issue_id != self.id) {
            Some(foreign) => Err(Invalid::ForeignDependency {
                id: self.id.clone(),
                named: foreign.issue_id.clone(),
            }),
            None => Ok(()),
        }
    }
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
    fn labels_and_assignees_stand_on_one_line_of_a_text_to_edit() {
        assert_eq!(check_label("good first"), Ok(()));
        for label in ["", "a,b", " a", "a\nb"] {
            assert!(check_label(label).is_err(), "{label:?}");
        }
        assert_eq!(check_assignee("Ann Lee, Ops"), Ok(()));
        let refused = check_assignee("me\nlabels: x").unwrap_err();
        assert!(refused.to_string().contains(r"me\nlabels"), "{refused}");
    }
}
