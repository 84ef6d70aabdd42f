//! One line of the doctor's.

use serde::Serialize;

/// How much is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// In another way, which is slower or says less, and is exact.
    Weaker,
    /// Nothing: whatever depends on it is unmeasured.
    Blind,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Weaker => "weaker",
            Self::Blind => "blind",
        }
    }
}

/// What was found of one subject, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Remark {
    pub(super) level: Level,
    pub(super) subject: &'static str,
    /// What is so, and what it means.
    pub(super) finding: String,
    /// What to change.
    pub(super) change: Option<String>,
}

impl Remark {
    pub(super) fn ok(subject: &'static str, finding: impl Into<String>) -> Self {
        Self { level: Level::Ok, subject, finding: finding.into(), change: None }
    }

    pub(super) fn weaker(subject: &'static str, finding: impl Into<String>) -> Self {
        Self { level: Level::Weaker, ..Self::ok(subject, finding) }
    }

    pub(super) fn blind(subject: &'static str, finding: impl Into<String>) -> Self {
        Self { level: Level::Blind, ..Self::ok(subject, finding) }
    }

    pub(super) fn change(mut self, change: impl Into<String>) -> Self {
        self.change = Some(change.into());
        self
    }
}

/// The document's version.
const SCHEMA: u32 = 1;

/// All of them, for a program.
pub(super) fn json(remarks: &[Remark]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Document<'a> {
        schema: u32,
        blind: bool,
        remarks: &'a [Remark],
    }
    let blind = remarks.iter().any(|remark| remark.level == Level::Blind);
    serde_json::to_string_pretty(&Document { schema: SCHEMA, blind, remarks })
}
