//! An issue as JSON: the fields of the beads format in its order, then those we do not know.
//!
//! <https://github.com/steveyegge/beads>, `internal/types/types.go`: absent, `null` and empty are
//! the same there, for every field but the id, the title and the times. By hand and not derived,
//! because derived code cannot keep unknown fields as the text they are, and a number that has been
//! through a float is another number.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Comment, Dependency, DependencyKind, Issue, IssueType, Status};

/// Fields that this version does not know, each the text that was read.
#[derive(Debug, Clone, Default)]
pub struct Extra(BTreeMap<String, Box<RawValue>>);

impl Extra {
    /// The text of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.get())
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.get()))
    }

    fn put(&mut self, name: Cow<'_, str>, value: Box<RawValue>) {
        self.0.insert(name.into_owned(), value);
    }

    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))
    }
}

impl PartialEq for Extra {
    fn eq(&self, other: &Self) -> bool {
        self.fields().eq(other.fields())
    }
}

impl Issue {
    /// The issue as a line of a JSONL file, without its newline.
    pub fn to_line(&self) -> String {
        // Text, numbers and JSON that was read as such: there is nothing that would not serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Issue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("title", &self.title)?;
        if !self.description.is_empty() {
            map.serialize_entry("description", &self.description)?;
        }
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("priority", &self.priority)?;
        map.serialize_entry("issue_type", &self.issue_type)?;
        entry(&mut map, "assignee", self.assignee.as_ref())?;
        map.serialize_entry("created_at", &self.created_at)?;
        map.serialize_entry("updated_at", &self.updated_at)?;
        entry(&mut map, "closed_at", self.closed_at.as_ref())?;
        entry(&mut map, "close_reason", self.close_reason.as_ref())?;
        entry(&mut map, "deleted_at", self.deleted_at.as_ref())?;
        entry(&mut map, "delete_reason", self.delete_reason.as_ref())?;
        entry(&mut map, "restored_at", self.restored_at.as_ref())?;
        list(&mut map, "labels", &self.labels)?;
        list(&mut map, "dependencies", &self.dependencies)?;
        list(&mut map, "comments", &self.comments)?;
        self.extra.write(&mut map)?;
        map.end()
    }
}

impl Serialize for Dependency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("issue_id", &self.issue_id)?;
        map.serialize_entry("depends_on_id", &self.depends_on_id)?;
        map.serialize_entry("type", &self.kind)?;
        map.serialize_entry("created_at", &self.created_at)?;
        self.extra.write(&mut map)?;
        map.end()
    }
}

impl Serialize for Comment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.id.is_null() {
            map.serialize_entry("id", &self.id)?;
        }
        map.serialize_entry("issue_id", &self.issue_id)?;
        map.serialize_entry("author", &self.author)?;
        map.serialize_entry("text", &self.text)?;
        map.serialize_entry("created_at", &self.created_at)?;
        self.extra.write(&mut map)?;
        map.end()
    }
}

fn entry<M: SerializeMap>(
    map: &mut M,
    name: &str,
    value: Option<&impl Serialize>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, value))
}

fn list<M: SerializeMap>(
    map: &mut M,
    name: &str,
    values: &[impl Serialize],
) -> Result<(), M::Error> {
    if values.is_empty() { Ok(()) } else { map.serialize_entry(name, values) }
}

/// A key, borrowed from the line where it holds no escape.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The next value, and nothing for `null`.
fn next<'de, A: MapAccess<'de>, T: DeserializeOwned>(map: &mut A) -> Result<Option<T>, A::Error> {
    map.next_value()
}

fn word<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Cow<'de, str>, A::Error> {
    Ok(map.next_value::<Option<Key<'_>>>()?.map(|Key(word)| word).unwrap_or_default())
}

/// A text, nothing where it is empty.
fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    Ok(next::<_, String>(map)?.filter(|text| !text.is_empty()))
}

/// Reads an object field by field: `$known` takes the fields it knows, `extra` all others.
macro_rules! from_object {
    ($type:ty, $expecting:literal, |$map:ident, $part:ident: $parts:ty| {
        $($name:literal => $read:expr,)+
    } => $finish:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> Visitor<'de> for Object {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$type, A::Error> {
                        let mut $part = <$parts>::default();
                        let mut extra = Extra::default();
                        let $map = &mut map;
                        while let Some(Key(key)) = $map.next_key()? {
                            match &*key {
                                $($name => $read,)+
                                _ => extra.put(key, $map.next_value()?),
                            }
                        }
                        let finish: fn($parts, Extra) -> Result<$type, A::Error> = $finish;
                        finish($part, extra)
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }
    };
}

#[derive(Default)]
struct IssueParts {
    id: Option<String>,
    title: Option<String>,
    description: Option<String>,
    status: Status,
    priority: Option<u8>,
    issue_type: IssueType,
    assignee: Option<String>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    close_reason: Option<String>,
    deleted_at: Option<Timestamp>,
    delete_reason: Option<String>,
    restored_at: Option<Timestamp>,
    labels: Option<Vec<String>>,
    dependencies: Option<Vec<Dependency>>,
    comments: Option<Vec<Comment>>,
}

from_object!(Issue, "an issue", |map, parts: IssueParts| {
    "id" => parts.id = next(map)?,
    "title" => parts.title = next(map)?,
    "description" => parts.description = next(map)?,
    "status" => parts.status = Status::of_file(&word(map)?),
    "priority" => parts.priority = next(map)?,
    "issue_type" => parts.issue_type = IssueType::of_file(&word(map)?),
    "assignee" => parts.assignee = text(map)?,
    "created_at" => parts.created_at = next(map)?,
    "updated_at" => parts.updated_at = next(map)?,
    "closed_at" => parts.closed_at = next(map)?,
    "close_reason" => parts.close_reason = text(map)?,
    "deleted_at" => parts.deleted_at = next(map)?,
    "delete_reason" => parts.delete_reason = text(map)?,
    "restored_at" => parts.restored_at = next(map)?,
    "labels" => parts.labels = next(map)?,
    "dependencies" => parts.dependencies = next(map)?,
    "comments" => parts.comments = next(map)?,
} => |parts, extra| {
    let created_at = parts.created_at.ok_or_else(|| de::Error::missing_field("created_at"))?;
    Ok(Issue {
        id: parts.id.ok_or_else(|| de::Error::missing_field("id"))?,
        title: parts.title.ok_or_else(|| de::Error::missing_field("title"))?,
        description: parts.description.unwrap_or_default(),
        status: parts.status,
        priority: parts.priority.unwrap_or(super::PRIORITY_DEFAULT),
        issue_type: parts.issue_type,
        assignee: parts.assignee,
        created_at,
        updated_at: parts.updated_at.unwrap_or(created_at),
        closed_at: parts.closed_at,
        close_reason: parts.close_reason,
        deleted_at: parts.deleted_at,
        delete_reason: parts.delete_reason,
        restored_at: parts.restored_at,
        labels: parts.labels.unwrap_or_default(),
        dependencies: parts.dependencies.unwrap_or_default(),
        comments: parts.comments.unwrap_or_default(),
        extra,
    })
});

#[derive(Default)]
struct DependencyParts {
    issue_id: Option<String>,
    depends_on_id: Option<String>,
    kind: DependencyKind,
    created_at: Option<Timestamp>,
}

from_object!(Dependency, "a dependency", |map, parts: DependencyParts| {
    "issue_id" => parts.issue_id = next(map)?,
    "depends_on_id" => parts.depends_on_id = next(map)?,
    "type" => parts.kind = DependencyKind::of_file(&word(map)?),
    "created_at" => parts.created_at = next(map)?,
} => |parts, extra| Ok(Dependency {
    issue_id: parts.issue_id.ok_or_else(|| de::Error::missing_field("issue_id"))?,
    depends_on_id: parts.depends_on_id.ok_or_else(|| de::Error::missing_field("depends_on_id"))?,
    kind: parts.kind,
    created_at: parts.created_at.unwrap_or_default(),
    extra,
}));

#[derive(Default)]
struct CommentParts {
    id: Value,
    issue_id: Option<String>,
    author: Option<String>,
    text: Option<String>,
    created_at: Option<Timestamp>,
}

from_object!(Comment, "a comment", |map, parts: CommentParts| {
    "id" => parts.id = map.next_value()?,
    "issue_id" => parts.issue_id = next(map)?,
    "author" => parts.author = next(map)?,
    "text" => parts.text = next(map)?,
    "created_at" => parts.created_at = next(map)?,
} => |parts, extra| Ok(Comment {
    id: parts.id,
    issue_id: parts.issue_id.unwrap_or_default(),
    author: parts.author.unwrap_or_default(),
    text: parts.text.unwrap_or_default(),
    created_at: parts.created_at.unwrap_or_default(),
    extra,
}));

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(line: &str) -> Issue {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn what_we_do_not_know_is_kept_as_the_text_it_is() {
        let line = r#"{"id":"a-1","title":"t","status":"hooked","priority":0,"issue_type":"gate","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05.5Z","dependencies":[{"issue_id":"a-1","depends_on_id":"a-2","type":"waits-for","created_at":"2026-01-02T03:04:05Z","metadata":"{}"}],"comments":[{"id":"0198-a","issue_id":"a-1","author":"me","text":"hm","created_at":"2026-01-02T03:04:05Z","mood":1e2}],"big":123456789012345678901234567890,"estimate":1.50,"x":{"b":[1, null],"a":""}}"#;
        assert_eq!(issue(line).to_line(), line);
    }

    #[test]
    fn null_empty_and_absent_are_the_same() {
        let short = r#"{"id":"a","title":"t","created_at":"2026-01-02T03:04:05Z"}"#;
        let long = r#"{"id":"a","title":"t","description":"","status":null,"priority":null,"issue_type":"","assignee":"","created_at":"2026-01-02T03:04:05Z","updated_at":null,"closed_at":null,"labels":null,"dependencies":[],"comments":null}"#;
        assert_eq!(issue(short), issue(long));
        assert_eq!(issue(short).updated_at, issue(short).created_at);
    }

    #[test]
    fn it_survives_a_journey_as_a_value() {
        let sent =
            issue(r#"{"id":"a","title":"t","created_at":"2026-01-02T03:04:05Z","n":[1,"x"]}"#);
        let value = serde_json::to_value(&sent).unwrap();
        assert_eq!(serde_json::from_value::<Issue>(value).unwrap(), sent);
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_kind_is_named() {
        let why = |line: &str| serde_json::from_str::<Issue>(line).unwrap_err().to_string();
        assert!(why(r#"{"id":"a"}"#).contains("created_at"));
        assert!(why(r#"{"id":1}"#).contains("expected a string"));
        assert!(why("[]").contains("an issue"));
    }
}
