//! A profile: settings under a name, and overrides for some cases.

use std::path::Path;

use watertight_report::document::{self, DocumentError, Glob, Table, Unknown};

use super::{Settings, Severity};

/// The profile from which the others inherit.
pub(super) const DEFAULT: &str = "default";
/// Strict: what could not be measured fails as well.
const CI: &str = "ci";
/// The profiles that are there without a file.
pub(super) const BUILT_IN: [&str; 2] = [DEFAULT, CI];

/// `[profile.NAME]`
#[derive(Debug, Clone, Default, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(default, deny_unknown_fields))]
pub(super) struct Profile {
    #[cfg_attr(test, schemars(flatten))]
    pub(super) settings: Settings,
    /// Settings for some cases; an earlier one beats a later one.
    #[cfg_attr(test, schemars(default))]
    pub(super) overrides: Vec<Override>,
}

/// `[[profile.NAME.overrides]]`
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub(super) struct Override {
    /// Pattern for cases, as `case` or `suite::case`; `*` stands for any characters, `?` for one.
    #[cfg_attr(test, schemars(with = "String"))]
    case: Glob,
    /// Pattern for suites.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    suite: Option<Glob>,
    #[cfg_attr(test, schemars(flatten))]
    pub(super) settings: Settings,
}

impl Override {
    fn read(mut table: Table<'_>) -> Result<Self, DocumentError> {
        Ok(Self {
            case: table.require("case")?,
            suite: table.get("suite")?,
            settings: Settings::read(&mut table)?,
        })
    }

    pub(super) fn matches(&self, suite: &str, case: &str) -> bool {
        self.case.matches_case(suite, case)
            && self.suite.as_ref().is_none_or(|pattern| pattern.matches(suite))
    }
}

impl Profile {
    fn read(mut table: Table<'_>) -> Result<Self, DocumentError> {
        let settings = Settings::read(&mut table)?;
        let overrides = table.tables("overrides")?.into_iter().map(Override::read);
        Ok(Self { settings, overrides: overrides.collect::<Result<_, _>>()? })
    }
}

/// What a profile says of itself, without a file.
pub(super) fn built_in(name: &str) -> Settings {
    let severity = (name == CI).then_some(Severity::Fail);
    Settings { unmeasured: severity, unsettled: severity, ..Settings::default() }
}

/// Profiles and their names.
pub(super) type Profiles = Vec<(String, Profile)>;

/// The profiles in the configuration file, and its unknown keys.
pub(super) fn parse(file: &Path, text: &str) -> Result<(Profiles, Vec<Unknown>), DocumentError> {
    document::read(file, text, |table| {
        let profiles = table.named("profile")?.into_iter();
        profiles.map(|(name, table)| Ok((name, Profile::read(table)?))).collect()
    })
}
