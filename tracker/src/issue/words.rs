//! The values that are words: as text in the database, in JSON and on the command line.
//!
//! What a person types must be one of ours. What a file of another tracker holds need not be: it
//! is kept as it is ([`Status::of_file`] and its like) and written back.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::rules::Invalid;

macro_rules! words {
    (
        $(#[$meta:meta])* $name:ident, $what:literal
        { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }
        $(unlisted { $($(#[$hmeta:meta])* $hidden:ident = $hidden_word:literal,)+ })?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vmeta])* $variant,)+
            $($($(#[$hmeta])* $hidden,)+)?
            /// A word of another tracker, from its file.
            Other(Box<str>),
        }

        impl $name {
            /// The words that a person may use, in the order a person would list them.
            pub const WORDS: &[&str] = &[$($word),+];

            /// Its word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    $($(Self::$hidden => $hidden_word,)+)?
                    Self::Other(word) => word,
                }
            }

            /// The value of any word that a file holds; an empty one is the default.
            pub fn of_file(word: &str) -> Self {
                match word {
                    "" => Self::default(),
                    $($word => Self::$variant,)+
                    $($($hidden_word => Self::$hidden,)+)?
                    other => Self::Other(other.into()),
                }
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

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        /// One of the words that a person may use.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
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
    } unlisted {
        /// Deleted, and remembered so that no import brings it back.
        Tombstone = "tombstone",
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
    pub fn is_ordering(&self) -> bool {
        matches!(self, Self::Blocks | Self::ParentChild)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways_and_name_the_allowed() {
        for word in Status::WORDS {
            assert_eq!(word.parse::<Status>().unwrap().as_str(), *word);
            assert_eq!(Status::of_file(word).as_str(), *word);
        }
        let message = "done".parse::<Status>().unwrap_err().to_string();
        assert!(message.contains("in_progress"), "{message}");
    }

    #[test]
    fn a_file_may_hold_any_word_and_a_person_may_not_say_tombstone() {
        assert_eq!(Status::of_file("hooked").as_str(), "hooked");
        assert_eq!(Status::of_file("tombstone"), Status::Tombstone);
        assert!("tombstone".parse::<Status>().is_err());
        assert_eq!(IssueType::of_file(""), IssueType::Task);
    }
}
