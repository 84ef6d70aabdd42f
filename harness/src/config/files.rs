//! Where the files lie: in `.config`, from the package upward to the directory with `Cargo.lock`.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use watertight_report::baseline;
use watertight_report::document::DocumentError;

use crate::session::shown;

/// The name of the configuration file.
const FILE: &str = "watertight.toml";

/// The two files, which may not be there.
pub(super) struct Files {
    pub(super) config: ConfigFile,
    pub(super) accepted: ConfigFile,
}

/// Where the acceptance file of the current directory's project is, or is to be made: as every run looks for
/// it.
///
/// # Errors
/// `WATERTIGHT_CONFIG` names a file that is not there.
pub fn acceptance_file() -> Result<PathBuf, ConfigNotThere> {
    Files::find().map(|files| files.accepted.path)
}

/// `WATERTIGHT_CONFIG` names a configuration file that is not there.
#[derive(Debug, thiserror::Error)]
#[error("WATERTIGHT_CONFIG names {}, which is not there; name a file by its whole path (cargo starts tests in their package's directory), or unset it", file.display())]
#[non_exhaustive]
pub struct ConfigNotThere {
    /// The file.
    pub file: PathBuf,
}

/// A file, and what messages call it.
pub(super) struct ConfigFile {
    path: PathBuf,
    pub(super) shown: PathBuf,
}

impl Files {
    /// `WATERTIGHT_CONFIG` names the configuration file, and the acceptance file is beside it; else both
    /// are looked for.
    pub(super) fn find() -> Result<Self, ConfigNotThere> {
        let named = std::env::var_os("WATERTIGHT_CONFIG").filter(|path| !path.is_empty());
        let Some(config) = named.map(PathBuf::from) else {
            let start = std::env::var_os("CARGO_MANIFEST_DIR")
                .map(PathBuf::from)
                .or_else(|| std::env::current_dir().ok())
                .unwrap_or_default();
            let folders = folders(&start);
            return Ok(Self {
                config: ConfigFile::new(nearest(&folders, FILE)),
                accepted: ConfigFile::new(nearest(&folders, baseline::FILE)),
            });
        };
        let config = std::path::absolute(&config).unwrap_or(config);
        match config.try_exists() {
            Ok(false) => Err(ConfigNotThere { file: config }),
            // What cannot be looked at cannot be read either, and reading says why.
            Ok(true) | Err(_) => Ok(Self {
                accepted: ConfigFile::new(config.with_file_name(baseline::FILE)),
                config: ConfigFile::new(config),
            }),
        }
    }
}

/// `.config` of the package and of everything above it up to the workspace's root; of the package alone
/// where there is no such root, for what lies above is somebody else's.
fn folders(package: &Path) -> Vec<PathBuf> {
    let root = package.ancestors().position(|folder| folder.join("Cargo.lock").exists());
    let within = package.ancestors().take(root.unwrap_or(0) + 1);
    within.map(|folder| folder.join(".config")).collect()
}

/// The first of the folders that has a file of that name; else where it would be at the root.
fn nearest(folders: &[PathBuf], name: impl AsRef<OsStr>) -> PathBuf {
    let name = Path::new(name.as_ref());
    let there = folders.iter().map(|folder| folder.join(name)).find(|path| path.exists());
    there.unwrap_or_else(|| folders.last().map(|root| root.join(name)).unwrap_or_default())
}

impl ConfigFile {
    fn new(path: PathBuf) -> Self {
        Self { shown: shown(&path), path }
    }

    /// The file's text, where there is one.
    pub(super) fn read(&self) -> Result<Option<String>, DocumentError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DocumentError::Read { file: self.path.clone(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_up_to_the_root_counts() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("root/crates/a");
        std::fs::create_dir_all(package.join(".config")).unwrap();
        for folder in [".config", "root/.config"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            std::fs::write(dir.path().join(folder).join(FILE), "").unwrap();
        }
        let found = || nearest(&folders(&package), FILE);
        assert_eq!(found(), package.join(".config").join(FILE), "without a root nothing above");
        std::fs::write(dir.path().join("root/Cargo.lock"), "").unwrap();
        assert_eq!(found(), dir.path().join("root/.config").join(FILE));
        std::fs::write(package.join(".config").join(FILE), "").unwrap();
        assert_eq!(found(), package.join(".config").join(FILE));
        std::fs::remove_file(package.join(".config").join(FILE)).unwrap();
        std::fs::remove_file(dir.path().join("root/.config").join(FILE)).unwrap();
        assert_eq!(found(), dir.path().join("root/.config").join(FILE), "and not the one above it");
    }
}
