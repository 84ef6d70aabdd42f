//! One entry: whom it accepts, how much, why and until when.

use std::fmt;

use jiff::civil::Date;
use toml::de::DeValue;
use toml_writer::{ToTomlValue as _, TomlStringBuilder};

use super::growths;
use crate::document::{Amount, DocumentError, Glob, Table, Value};
use crate::model::{AcceptedBy, Finding, Frame, Resource, Trial};

/// One accepted leak.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(
    deny_unknown_fields,
    extend("anyOf" = [{ "required": ["site"] }, { "required": ["function"] }])
))]
#[non_exhaustive]
pub struct Entry {
    /// Pattern for cases, as `case` or `suite::case`; `*` stands for any characters, `?` for one.
    #[cfg_attr(test, schemars(with = "String", length(min = 1)))]
    pub case: Glob,
    /// What leaks.
    pub resource: Resource,
    /// Source file of the line that creates it, as the end of its path, with or without `:line`.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub site: Option<Site>,
    /// Function of that line, as the end of its path.
    pub function: Option<String>,
    /// Growth in one round that is accepted: things, or bytes, which may be written as "4 KiB".
    #[cfg_attr(test, schemars(with = "crate::schema::Amount"))]
    pub max: u64,
    /// Why it is accepted.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub reason: String,
    /// The last day, in UTC, as YYYY-MM-DD.
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date")))]
    pub expires: Date,
    /// The line where it begins; 0 where it was not read from a file.
    #[cfg_attr(test, schemars(skip))]
    pub line: u32,
}

/// The end of a source file's path, with or without a line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// The last components of the path.
    pub file: String,
    /// The line.
    pub line: Option<u32>,
}

impl Site {
    /// The files whose path ends in the components of `file`, at `line` or anywhere.
    pub fn new(file: impl Into<String>, line: Option<u32>) -> Self {
        Self { file: file.into(), line }
    }

    fn matches(&self, frame: &Frame) -> bool {
        ends_in(&frame.file, &self.file, "/") && self.line.is_none_or(|line| line == frame.line)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

impl Value for Site {
    const EXPECTED: &'static str = "the end of a source file's path, as \"src/store.rs\" or \"src/store.rs:31\" (a function has a key of its own, `function`)";

    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let text = String::read(value).map_err(|_| None)?;
        let (file, line) = match text.rsplit_once(':') {
            Some((file, line)) => (file, Some(line.parse().map_err(|_| None)?)),
            None => (text.as_str(), None),
        };
        match file.is_empty() || file.contains("::") || line == Some(0) {
            true => Err(None),
            false => Ok(Self::new(file, line)),
        }
    }
}

/// Whether the last components of `path` are those of `end`.
fn ends_in(path: &str, end: &str, separator: &str) -> bool {
    let Some(before) = path.strip_suffix(end) else { return false };
    !end.is_empty() && (before.is_empty() || before.ends_with(separator))
}

impl Entry {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, DocumentError> {
        let resource: Resource = table.require("resource")?;
        let entry = Self {
            case: table.require("case")?,
            resource,
            site: table.get("site")?,
            function: table.get("function")?,
            max: match resource.is_bytes() {
                true => table.require::<Amount>("max")?.0,
                false => table.require("max")?,
            },
            reason: table.require("reason")?,
            expires: table.require("expires")?,
            line: table.place().line,
        };
        // A name alone accepts nothing.
        if entry.site.is_none() && entry.function.is_none() {
            return Err(table.missing("site", Site::EXPECTED));
        }
        Ok(entry)
    }

    /// The entries that accept a finding of `trial` exactly as it is: one for each resource in it. None
    /// where its site is not known, for then nothing can be accepted.
    pub fn of(trial: &Trial, finding: &Finding, reason: &str, expires: Date) -> Vec<Self> {
        let Some(frame) = &finding.site else { return Vec::new() };
        let filled = |text: &String| Some(text.clone()).filter(|text| !text.trim().is_empty());
        let function = filled(&frame.function);
        // The line moves with every edit above it; the function stays.
        let line = Some(frame.line).filter(|line| *line > 0 && function.is_none());
        let site = filled(&frame.file).map(|file| Site::new(file, line));
        if site.is_none() && function.is_none() {
            return Vec::new();
        }
        let entry = |(resource, max)| Self {
            case: Glob::new(&format!("{}::{}", trial.suite, trial.case)),
            resource,
            site: site.clone(),
            function: function.clone(),
            max,
            reason: reason.to_owned(),
            expires,
            line: 0,
        };
        growths(finding).into_iter().map(entry).collect()
    }

    /// Whether it accepts anything on this day.
    pub fn is_active(&self, today: Date) -> bool {
        today <= self.expires
    }

    /// Whether a finding's `resource` is what it is about. The case is not looked at.
    pub(super) fn names(&self, finding: &Finding, resource: Resource) -> bool {
        self.resource == resource
            && finding.site.as_ref().is_some_and(|frame| {
                self.site.as_ref().is_none_or(|site| site.matches(frame))
                    && self
                        .function
                        .as_ref()
                        .is_none_or(|function| ends_in(&frame.function, function, "::"))
            })
    }

    /// What a finding grows by, a round, of what the entry is about.
    pub(super) fn growth_of(&self, finding: &Finding) -> u64 {
        let growths = growths(finding);
        let growth = growths.get(&self.resource).filter(|_| self.names(finding, self.resource));
        growth.copied().unwrap_or(0)
    }

    /// The same of several findings.
    pub(super) fn growth_of_all<'f>(&self, findings: impl IntoIterator<Item = &'f Finding>) -> u64 {
        findings.into_iter().fold(0, |sum, finding| sum.saturating_add(self.growth_of(finding)))
    }

    pub(super) fn accepting(&self) -> AcceptedBy {
        AcceptedBy::new(self.line, self.resource, &self.reason, self.expires)
    }

    /// The entry as it stands in the file, with a newline at the end.
    pub fn to_toml(&self) -> String {
        let text = |key: &str, value: &str| {
            format!("{key} = {}\n", TomlStringBuilder::new(value).as_default().to_toml_value())
        };
        let lines = [
            "[[accepted]]\n".to_owned(),
            text("case", &self.case.to_string()),
            text("resource", self.resource.name()),
            self.site.as_ref().map_or_else(String::new, |site| text("site", &site.to_string())),
            self.function.as_ref().map_or_else(String::new, |function| text("function", function)),
            format!("max = {}\n", self.max),
            text("reason", &self.reason),
            text("expires", &self.expires.to_string()),
        ];
        lines.concat()
    }
}
