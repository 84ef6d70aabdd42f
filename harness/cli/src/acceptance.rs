//! The acceptance file as it is now, which may not be as it was when the ledger was written.

use std::collections::HashSet;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use watertight_report::baseline::{Baseline, Entry, Usage as Used};
use watertight_report::document::DocumentError;
use watertight_report::model::Trial;

use crate::exit::Usage;
use crate::talk::{Talk, shown};

/// The first line of a file that we make, for editors.
const SCHEMA: &str = concat!(
    "#:schema ",
    env!("CARGO_PKG_REPOSITORY"),
    "/raw/main/reports/schema/accepted.schema.json\n"
);

/// The file, and what the trials of the ledgers make of it.
#[derive(Debug)]
pub(crate) struct Acceptance {
    pub(crate) path: PathBuf,
    /// None where the file is not there.
    text: Option<String>,
    pub(crate) baseline: Baseline,
    pub(crate) today: Date,
    used: Used,
    ran: HashSet<(String, String)>,
}

impl Acceptance {
    /// Reads the file where every run looks for it.
    ///
    /// # Errors
    /// [`Usage`] where it is wrong.
    pub(crate) fn load(talk: &Talk) -> anyhow::Result<Self> {
        let path = watertight::acceptance_file().map_err(|error| Usage(error.to_string()))?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).context(format!("cannot read {}; see who may", path.display()));
            }
        };
        let (baseline, unknown) =
            Baseline::parse(shown(&path), text.as_deref().unwrap_or_default())
                .map_err(|error| Usage(error.to_string()))?;
        for unknown in unknown {
            talk.warn(unknown);
        }
        Ok(Self {
            path,
            text,
            baseline,
            today: today(),
            used: Used::default(),
            ran: HashSet::new(),
        })
    }

    /// Notes what the entries have to do with a trial of a ledger.
    pub(crate) fn note(&mut self, trial: &Trial) {
        let mut entries = self.baseline.entries.iter();
        if entries.any(|entry| entry.case.matches_case(&trial.suite, &trial.case)) {
            self.used.add(&self.baseline, trial);
            self.ran.insert((trial.suite.clone(), trial.case.clone()));
        }
    }

    /// The entries that have to go or to be renewed, each in a sentence. One that is over is over, whatever
    /// ran; of the others only those whose cases ran.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let declared: Vec<(String, String)> = self.ran.iter().cloned().collect();
        let remarks = self.baseline.review(&self.used, &declared, self.today);
        let silent = self.baseline.entries.iter().filter(|entry| {
            !entry.is_active(self.today) && remarks.iter().all(|it| it.entry.line != entry.line)
        });
        let over = silent.map(|entry| {
            format!(
                "{}:{} accepted {} of `{}` until {}, and no such case is in this run: remove it",
                self.baseline.file.display(),
                entry.line,
                entry.resource.name(),
                entry.case,
                entry.expires
            )
        });
        remarks.iter().map(ToString::to_string).chain(over).collect()
    }

    /// The entries that are over and accept what new ones do, by their line and file.
    pub(crate) fn replaced_by<'a>(
        &'a self,
        new: &'a [Entry],
    ) -> impl Iterator<Item = (u32, &'a Path)> {
        let over = self.baseline.entries.iter().filter(|entry| !entry.is_active(self.today));
        let is_same = |old: &Entry, new: &Entry| {
            (old.case.to_string(), old.resource, &old.function)
                == (new.case.to_string(), new.resource, &new.function)
        };
        over.filter(move |old| new.iter().any(|new| is_same(old, new)))
            .map(|old| (old.line, self.path.as_path()))
    }

    /// Appends entries to the file, which is replaced whole or not at all; every byte that was there stays.
    ///
    /// # Errors
    /// [`Usage`] where entries cannot be appended to what is there; else what the system says.
    pub(crate) fn append(&self, entries: &[Entry]) -> anyhow::Result<()> {
        let mut text = self.text.clone().unwrap_or_else(|| SCHEMA.to_owned());
        for entry in entries {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push('\n');
            text.push_str(&entry.to_toml());
        }
        self.check(&text, entries.len()).map_err(|error| {
            Usage(format!(
                "entries cannot be appended to {}: {error}; write what is there as [[accepted]] tables",
                self.path.display()
            ))
        })?;
        replace(&self.path, text.as_bytes())
            .with_context(|| format!("cannot write {}; see who may", self.path.display()))
    }

    /// Nothing is written that the next run could not read.
    fn check(&self, text: &str, more: usize) -> Result<(), DocumentError> {
        let (now, _) = Baseline::parse(&self.path, text)?;
        debug_assert_eq!(now.entries.len(), self.baseline.entries.len() + more);
        Ok(())
    }
}

/// The day, in UTC, as entries count it.
pub(crate) fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// Puts `bytes` in the place of a file, with its permissions; a link stays a link.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut file = beside(&path)?;
    file.write_all(bytes)?;
    if let Ok(old) = std::fs::metadata(&path) {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

/// A temporary file that can be renamed to `path`, and is gone if it is not. Makes the folder.
pub(crate) fn beside(path: &Path) -> anyhow::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    // As any file that a program makes: the umask takes away from it.
    let mode = std::fs::Permissions::from_mode(0o666);
    Ok(tempfile::Builder::new().prefix(".watertight-").permissions(mode).tempfile_in(folder)?)
}
