//! The directory a command works in or above.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::output::{Output, Trouble};
use crate::failure::Failure;
use crate::paths::Workspace;
use crate::store::{Store, StoreError};
use crate::sync::{self, Standing};

/// How long a command waits for others who write: they take turns, so it comes to its own.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Place {
    dir: PathBuf,
}

impl Place {
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir: dir.unwrap_or_else(|| ".".into()) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn workspace(&self) -> Result<Workspace, Trouble> {
        Workspace::find(&self.dir).map_err(|error| Failure::from(&error).into())
    }

    /// The same for a verb that only reads: says so where others have written the file since.
    pub(crate) fn read<T>(
        &self,
        output: &Output,
        body: impl FnOnce(&mut Store, &Workspace) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let (value, is_stale) = self.with(Store::open_to_read, |store, workspace| {
            let value = body(store, workspace)?;
            let standing = sync::standing(store, &workspace.jsonl());
            let is_foreign = standing.is_ok_and(|standing| standing == Standing::Foreign);
            Ok((value, is_foreign && store.lines()? > 0))
        })?;
        if is_stale {
            output.say(
                "note: others have changed .tracker/issues.jsonl; `tracker sync` takes that in",
            );
        }
        Ok(value)
    }

    /// Opens the store of the workspace, lets `body` use it and closes it.
    pub(crate) fn with_store<T>(
        &self,
        body: impl FnOnce(&mut Store, &Workspace) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        self.with(Store::open_existing, body)
    }

    fn with<T>(
        &self,
        open: impl FnOnce(&Path) -> Result<Store, StoreError>,
        body: impl FnOnce(&mut Store, &Workspace) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let workspace = self.workspace()?;
        let mut store = open(&workspace.database())?;
        let done = store
            .set_busy_timeout(PATIENCE)
            .map_err(Trouble::from)
            .and_then(|()| body(&mut store, &workspace));
        let closed = store.close();
        let value = done?;
        closed?;
        Ok(value)
    }
}
