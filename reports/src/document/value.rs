//! What may stand behind a key.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::civil::Date;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use toml::de::DeValue;
use wildmatch::WildMatch;

use crate::model::Resource;
use crate::quantity;

/// A type that a key may have.
pub trait Value: Sized {
    /// What may stand there, to follow "must be".
    const EXPECTED: &'static str;

    /// Reads a value.
    ///
    /// # Errors
    /// It is none of this type. With a text where more can be said than [`Self::EXPECTED`].
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>>;
}

/// A number of things, or of bytes, which may have a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub u64);

impl Value for Amount {
    const EXPECTED: &'static str = "a whole number, or a size as \"64 KiB\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let amount = match value {
            DeValue::String(text) => quantity::bytes(text),
            value => whole(value),
        };
        amount.map(Self).ok_or(None)
    }
}

impl Value for u64 {
    const EXPECTED: &'static str = "a whole number";

    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        whole(value).ok_or(None)
    }
}

impl Value for NonZeroU32 {
    const EXPECTED: &'static str = "a whole number from 1";

    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let number = whole(value).and_then(|number| u32::try_from(number).ok());
        number.and_then(Self::new).ok_or(None)
    }
}

/// A pattern for a whole name: `*` stands for any characters, `?` for one, everything else for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Glob(WildMatch);

impl Glob {
    /// The pattern `text`.
    pub fn new(text: &str) -> Self {
        Self(WildMatch::new(text))
    }

    /// Whether it matches the whole of `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.0.matches(name)
    }

    /// Whether it matches a case, by its name alone or as `suite::case`.
    pub fn matches_case(&self, suite: &str, case: &str) -> bool {
        self.matches(case) || self.matches(&format!("{suite}::{case}"))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Value for Glob {
    const EXPECTED: &'static str = "a pattern for names, as \"store::*\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        text(value).filter(|text| !text.trim().is_empty()).map(Self::new).ok_or(None)
    }
}

impl Value for String {
    const EXPECTED: &'static str = "a text that is not empty";

    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        text(value).filter(|text| !text.trim().is_empty()).map(str::to_owned).ok_or(None)
    }
}

impl Value for Duration {
    const EXPECTED: &'static str = quantity::DURATION;

    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        text(value).and_then(quantity::duration_ms).map(Self::from_millis).ok_or(None)
    }
}

impl Value for Date {
    const EXPECTED: &'static str = "a date, as \"2027-06-30\"";

    /// TOML's own dates are dates as well.
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let written = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(date) => date.to_string(),
            _ => return Err(None),
        };
        // The parser takes more than the one form that everybody can read.
        let date: Option<Self> = written.parse().ok();
        date.filter(|date| date.to_string() == written).ok_or(None)
    }
}

impl Value for Resource {
    const EXPECTED: &'static str = "the name of a resource, as \"fd\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let read = |name: &str| Self::deserialize(name.into_deserializer());
        let known = |error: serde::de::value::Error| {
            let error = error.to_string();
            let names = error.split_once("expected ").map_or("", |(_, names)| names);
            format!("the name of a resource, {names}")
        };
        text(value).map(read).ok_or(None)?.map_err(|error| Some(known(error)))
    }
}

/// A whole number that is not negative.
fn whole(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn text<'v>(value: &'v DeValue<'_>) -> Option<&'v str> {
    match value {
        DeValue::String(text) => Some(text),
        _ => None,
    }
}

/// What a value is, for the person who wrote it.
pub(super) fn name(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(is) => format!("{is}"),
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
