//! Which issues a list holds, and in which order.

use jiff::Timestamp;
use rusqlite::types::Value;
use serde::{Deserialize, Serialize};

use crate::issue::{IssueType, Status};

/// What an issue must be to be listed. Everything that is given must hold; nothing holds for all.
///
/// A deleted issue is only listed where its status, `tombstone`, is asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// One of these.
    #[serde(with = "any_words")]
    pub status: Vec<Status>,
    /// One of these.
    #[serde(rename = "type", with = "any_words")]
    pub issue_type: Vec<IssueType>,
    /// At least this urgent: 0 to this.
    pub priority_max: Option<u8>,
    /// At most this urgent: this to 4.
    pub priority_min: Option<u8>,
    /// All of these.
    pub labels_all: Vec<String>,
    /// One of these.
    pub labels_any: Vec<String>,
    /// Whose it is; the empty text is nobody's.
    pub assignee: Option<String>,
    /// In its title or description, upper and lower case alike (of ASCII letters).
    pub text: Option<String>,
    /// When it was created.
    pub created: Span,
    /// When it last changed.
    pub updated: Span,
    /// When it was closed; what is not closed is in no span.
    pub closed: Span,
    /// The order.
    pub sort: Sort,
    /// The order backwards.
    pub reverse: bool,
    /// At most so many.
    pub limit: Option<u32>,
}

/// A span of time, open where it has no end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Span {
    /// From here on.
    pub after: Option<Timestamp>,
    /// Until just before.
    pub before: Option<Timestamp>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The most urgent first, of these the oldest.
    #[default]
    Priority,
    /// The newest first.
    Created,
    /// The one that changed last first.
    Updated,
    /// The one that was closed last first.
    Closed,
    /// By title.
    Title,
    /// By id.
    Id,
}

impl Filter {
    /// All issues, at most `limit`.
    pub fn first(limit: Option<u32>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The rest of a query after `SELECT ... FROM issues`, and its values.
    pub(super) fn to_sql(&self) -> (String, Vec<Value>) {
        let mut sql = Conditions::default();
        match self.status.is_empty() {
            true => sql.push("status <> 'tombstone'", []),
            false => sql.one_of("status", self.status.iter().map(Status::as_str)),
        }
        if !self.issue_type.is_empty() {
            sql.one_of("issue_type", self.issue_type.iter().map(IssueType::as_str));
        }
        if let Some(most) = self.priority_max {
            sql.push("priority <= ?", [i64::from(most).into()]);
        }
        if let Some(least) = self.priority_min {
            sql.push("priority >= ?", [i64::from(least).into()]);
        }
        for label in &self.labels_all {
            sql.push(LABEL, [label.clone().into()]);
        }
        if !self.labels_any.is_empty() {
            let any = vec![LABEL; self.labels_any.len()].join(" OR ");
            sql.push(&format!("({any})"), self.labels_any.iter().cloned().map(Value::from));
        }
        match self.assignee.as_deref() {
            None => {}
            Some("") => sql.push("assignee IS NULL", []),
            Some(name) => sql.push("assignee = ?", [name.to_owned().into()]),
        }
        if let Some(text) = &self.text {
            let like = format!("%{}%", escaped(text));
            sql.push(
                r"(title LIKE ? ESCAPE '\' OR line ->> '$.description' LIKE ? ESCAPE '\')",
                [like.clone().into(), like.into()],
            );
        }
        sql.span("created_us", self.created);
        sql.span("updated_us", self.updated);
        sql.span("closed_us", self.closed);
        let order = self.sort.order(self.reverse);
        let limit = self.limit.map_or(-1, i64::from);
        sql.values.push(limit.into());
        (format!("WHERE {} ORDER BY {order} LIMIT ?", sql.text), sql.values)
    }
}

const LABEL: &str = "EXISTS (SELECT 1 FROM labels WHERE label = ? AND issue_id = issues.id)";

/// `text` as part of a LIKE pattern.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

impl Sort {
    fn order(self, is_reverse: bool) -> String {
        let (columns, is_descending): (&[&str], bool) = match self {
            Self::Priority => (&["priority", "created_us", "id"], false),
            Self::Created => (&["created_us", "id"], true),
            Self::Updated => (&["updated_us", "id"], true),
            Self::Closed => (&["closed_us", "id"], true),
            Self::Title => (&["title COLLATE NOCASE", "id"], false),
            Self::Id => (&["id"], false),
        };
        let direction = if is_descending != is_reverse { " DESC" } else { "" };
        columns.iter().map(|column| format!("{column}{direction}")).collect::<Vec<_>>().join(", ")
    }
}

#[derive(Default)]
struct Conditions {
    text: String,
    values: Vec<Value>,
}

impl Conditions {
    fn push(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        if !self.text.is_empty() {
            self.text.push_str(" AND ");
        }
        self.text.push_str(condition);
        self.values.extend(values);
    }

    fn one_of<'a>(&mut self, column: &str, words: impl Iterator<Item = &'a str>) {
        let words: Vec<Value> = words.map(|word| word.to_owned().into()).collect();
        let marks = vec!["?"; words.len()].join(", ");
        self.push(&format!("{column} IN ({marks})"), words);
    }

    fn span(&mut self, column: &str, span: Span) {
        if let Some(after) = span.after {
            self.push(&format!("{column} >= ?"), [after.as_microsecond().into()]);
        }
        if let Some(before) = span.before {
            self.push(&format!("{column} < ?"), [before.as_microsecond().into()]);
        }
    }
}

/// Words of files too: one may look for what another tracker has called it.
mod any_words {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::issue::{IssueType, Status};

    pub(super) trait Word {
        fn of_file(word: &str) -> Self;
    }

    impl Word for Status {
        fn of_file(word: &str) -> Self {
            Self::of_file(word)
        }
    }

    impl Word for IssueType {
        fn of_file(word: &str) -> Self {
            Self::of_file(word)
        }
    }

    pub(super) fn serialize<S: Serializer>(
        words: &[impl Serialize],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        words.serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Word, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        Ok(words.iter().map(|word| T::of_file(word)).collect())
    }
}
