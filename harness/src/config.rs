//! The configuration of a run: what `watertight.toml` and the acceptance file say, under the profile in force.
//!
//! What is declared nearer to a case beats what is declared further off:
//!
//! ```text
//! the case's code ► an override ► the suite's code ► the profile ► profile.default ► what is built in
//! ```

mod allow;
mod files;
mod profile;
mod settings;
mod severity;

use std::path::PathBuf;

use watertight_report::baseline::Baseline;
use watertight_report::document::{DocumentError, Unknown};

use crate::case::Case;
use files::Files;
use profile::{Override, Profiles};

pub use files::{ConfigNotThere, acceptance_file};
pub(crate) use settings::Settings;
pub(crate) use severity::Severity;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    NotThere(#[from] ConfigNotThere),
    // A typing error must not make a strict run lenient.
    #[error("WATERTIGHT_PROFILE={name} is unknown; use {}, or define [profile.{name}] in {}", known.join(", "), file.display())]
    UnknownProfile { name: String, known: Vec<String>, file: PathBuf },
}

/// What holds for the cases of this process.
#[derive(Debug)]
pub(crate) struct Config {
    /// The profile's name.
    pub(crate) profile: String,
    /// Strongest first.
    overrides: Vec<Override>,
    settings: Settings,
    pub(crate) baseline: Baseline,
    /// Keys that have no effect.
    pub(crate) unknown: Vec<Unknown>,
}

impl Config {
    /// Finds and reads the files, and chooses the profile that `WATERTIGHT_PROFILE` names.
    pub(crate) fn load() -> Result<Self, ConfigError> {
        let files = Files::find()?;
        let (profiles, mut unknown) = match files.config.read()? {
            Some(text) => profile::parse(&files.config.shown, &text)?,
            None => Default::default(),
        };
        let name = std::env::var("WATERTIGHT_PROFILE").unwrap_or_default();
        let name = if name.is_empty() { profile::DEFAULT } else { &name };
        let mut config = Self::choose(name, profiles).map_err(|known| {
            ConfigError::UnknownProfile { name: name.to_owned(), known, file: files.config.shown }
        })?;
        if let Some(text) = files.accepted.read()? {
            let (baseline, more) = Baseline::parse(&files.accepted.shown, &text)?;
            config.baseline = baseline;
            unknown.extend(more);
        }
        config.unknown = unknown;
        Ok(config)
    }

    /// The configuration under the profile `name`; else the names that there are.
    fn choose(name: &str, mut profiles: Profiles) -> Result<Self, Vec<String>> {
        let mut known: Vec<String> = profiles.iter().map(|(name, _)| name.clone()).collect();
        known.extend(profile::BUILT_IN.map(str::to_owned));
        known.sort();
        known.dedup();
        if !known.iter().any(|known| known == name) {
            return Err(known);
        }
        let mut take = |name: &str| {
            let at = profiles.iter().position(|(known, _)| known == name)?;
            Some(profiles.swap_remove(at).1)
        };
        let mut chosen = take(name).unwrap_or_default();
        chosen.settings = chosen.settings.over(&profile::built_in(name));
        if name != profile::DEFAULT {
            let default = take(profile::DEFAULT).unwrap_or_default();
            chosen.settings = chosen.settings.over(&default.settings);
            chosen.overrides.extend(default.overrides);
        }
        Ok(Self {
            profile: name.to_owned(),
            overrides: chosen.overrides,
            settings: chosen.settings,
            baseline: Baseline::default(),
            unknown: Vec::new(),
        })
    }

    /// Gives the cases of a suite what neither they nor anything stronger declares.
    pub(crate) fn apply(&self, suite: &str, declared: &Settings, cases: &mut [Case]) {
        for case in cases {
            let matching = self.overrides.iter().filter(|over| over.matches(suite, &case.name));
            let layers = matching.map(|over| &over.settings).chain([declared, &self.settings]);
            layers.fold(Settings::default(), |stronger, weaker| stronger.over(weaker)).fill(case);
        }
    }
}

/// The profile in force, for whoever watches a program instead of running tests.
#[derive(Debug)]
pub struct InForce(Config);

/// The configuration cannot be used, with the reason and what to do.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ConfigUnusable(#[from] ConfigError);

impl InForce {
    /// Finds and reads the files, and chooses the profile that `WATERTIGHT_PROFILE` names.
    ///
    /// # Errors
    /// A file is wrong, or there is no such profile.
    pub fn load() -> Result<Self, ConfigUnusable> {
        Ok(Self(Config::load()?))
    }

    /// The profile's name.
    pub fn name(&self) -> &str {
        &self.0.profile
    }

    /// Whether a case fails where something of it could not be measured.
    pub fn fails_unmeasured(&self, suite: &str, case: &str) -> bool {
        let mut cases = [Case::new(case, |_| Ok(()))];
        self.0.apply(suite, &Settings::default(), &mut cases);
        cases[0].unmeasured == Severity::Fail
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod schema;
