//! The step summary of a GitHub workflow: the file that `GITHUB_STEP_SUMMARY` names.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::Context as _;
use watertight_report::render::markdown::BYTES_MAX;

/// What became of the step summary.
#[derive(Debug, Default)]
pub(super) struct SummaryFile {
    path: Option<PathBuf>,
}

impl SummaryFile {
    /// The file, to append to, and how many bytes still have room there; none outside of a workflow.
    pub(super) fn open(&mut self) -> anyhow::Result<Option<(BufWriter<File>, usize)>> {
        let path = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty());
        let Some(path) = path.map(PathBuf::from) else { return Ok(None) };
        let file = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("cannot append to the step summary {}", path.display()))?;
        // An earlier command of the same step may have written to it.
        let written = file.metadata().map_or(0, |metadata| metadata.len());
        let room = BYTES_MAX.saturating_sub(usize::try_from(written).unwrap_or(usize::MAX));
        self.path = Some(path);
        Ok(Some((BufWriter::new(file), room)))
    }

    /// What was done, to say it.
    pub(super) fn told(&self) -> String {
        match &self.path {
            Some(path) => format!("the report is appended to {}", path.display()),
            None => "no step summary, since GITHUB_STEP_SUMMARY is not set".to_owned(),
        }
    }
}
