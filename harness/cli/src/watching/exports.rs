//! Files for other programs: counters for Perfetto, and the latest sample for a collector of metrics.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use watertight_report::render::openmetrics::openmetrics;
use watertight_report::render::trace::Trace;
use watertight_report::watch::{Event, Sample};

use super::Options;
use crate::acceptance::beside;

/// What was asked for.
pub(super) struct Exports {
    trace: Option<(Trace<File>, PathBuf)>,
    openmetrics: Option<PathBuf>,
}

impl Exports {
    /// Opens the files.
    ///
    /// # Errors
    /// One cannot be written.
    pub(super) fn open(options: &Options) -> anyhow::Result<Self> {
        let trace = options.trace.as_ref().map(|path| {
            let file = File::create(path)
                .with_context(|| format!("cannot write {}; name another file", path.display()))?;
            let trace = Trace::new(file).with_context(|| unwritten(path))?;
            anyhow::Ok((trace, path.clone()))
        });
        let exports = Self { trace: trace.transpose()?, openmetrics: options.openmetrics.clone() };
        exports.samples_as_text(&[])?;
        Ok(exports)
    }

    /// A look.
    ///
    /// # Errors
    /// A file cannot be written any more.
    pub(super) fn samples(&mut self, samples: &[Sample]) -> anyhow::Result<()> {
        if let Some((trace, path)) = &mut self.trace {
            for sample in samples {
                trace.sample(sample).with_context(|| unwritten(path))?;
            }
        }
        self.samples_as_text(samples)
    }

    /// Something happened.
    ///
    /// # Errors
    /// As [`Exports::samples`].
    pub(super) fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        match &mut self.trace {
            Some((trace, path)) => trace.event(event).with_context(|| unwritten(path)),
            None => Ok(()),
        }
    }

    /// The file is replaced whole, so that a collector never reads half of it.
    fn samples_as_text(&self, samples: &[Sample]) -> anyhow::Result<()> {
        let Some(path) = &self.openmetrics else { return Ok(()) };
        let write = || {
            let mut file = beside(path)?;
            file.write_all(openmetrics(samples).as_bytes())?;
            file.persist(path)?;
            anyhow::Ok(())
        };
        write().with_context(|| unwritten(path))
    }

    /// The end.
    ///
    /// # Errors
    /// As [`Exports::samples`].
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self.trace {
            Some((trace, path)) => trace.finish().map(drop).with_context(|| unwritten(&path)),
            None => Ok(()),
        }
    }
}

fn unwritten(path: &std::path::Path) -> String {
    format!("cannot write {}; name another file, or see whether there is room", path.display())
}
