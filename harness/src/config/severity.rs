//! `unmeasured` and `unsettled`: what a trial comes to that nobody can call clean.

use watertight_report::document::{DeValue, Value};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
pub(crate) enum Severity {
    /// It is said.
    #[default]
    Warn,
    /// The trial is red.
    Fail,
}

impl Value for Severity {
    const EXPECTED: &'static str = "\"fail\" or \"warn\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        match value.as_str() {
            Some("warn") => Ok(Self::Warn),
            Some("fail") => Ok(Self::Fail),
            _ => Err(None),
        }
    }
}
