//! Files for other programs: counters for Perfetto, and the latest sample for a collector of metrics.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use watertight_report::render::openmetrics::openmetrics;
use watertight_report::render::trace::Trace;
use watertight_report::watch::{Event, Sample};

use super::Options;
use crate::acceptance::beside;

/// What was asked for. A file that cannot be written any more is given up, and said at the end: a full disk is
/// no reason to end the watch.
pub(super) struct Exports {
    trace: Option<(Trace<File>, PathBuf)>,
    openmetrics: Option<PathBuf>,
    failed: Vec<anyhow::Error>,
}

impl Exports {
    /// Opens the files.
    ///
    /// # Errors
    /// One cannot be written.
    pub(super) fn open(options: &Options) -> anyhow::Result<Self> {
        let trace = options.trace.as_ref().map(|path| {
            let trace = File::create(path).and_then(Trace::new).with_context(|| unwritten(path))?;
            anyhow::Ok((trace, path.clone()))
        });
        if let Some(path) = &options.openmetrics {
            replace(path, &[])?;
        }
        Ok(Self {
            trace: trace.transpose()?,
            openmetrics: options.openmetrics.clone(),
            failed: Vec::new(),
        })
    }

    /// A look.
    pub(super) fn samples(&mut self, samples: &[Sample]) {
        self.trace(|trace| samples.iter().try_for_each(|sample| trace.sample(sample)));
        if let Some(path) = &self.openmetrics
            && let Err(error) = replace(path, samples)
        {
            self.failed.push(error);
            self.openmetrics = None;
        }
    }

    /// Something happened.
    pub(super) fn event(&mut self, event: &Event) {
        self.trace(|trace| trace.event(event));
    }

    fn trace(&mut self, write: impl FnOnce(&mut Trace<File>) -> io::Result<()>) {
        if let Some((trace, path)) = &mut self.trace
            && let Err(error) = write(trace)
        {
            self.failed.push(anyhow::Error::new(error).context(unwritten(path)));
            self.trace = None;
        }
    }

    /// The end: why files could not be written to it.
    pub(super) fn finish(mut self) -> Vec<anyhow::Error> {
        if let Some((trace, path)) = self.trace
            && let Err(error) = trace.finish()
        {
            self.failed.push(anyhow::Error::new(error).context(unwritten(&path)));
        }
        self.failed
    }
}

/// Replaces the file whole, so that a collector never reads half of it.
fn replace(path: &Path, samples: &[Sample]) -> anyhow::Result<()> {
    let write = || {
        let mut file = beside(path)?;
        file.write_all(openmetrics(samples).as_bytes())?;
        file.persist(path)?;
        anyhow::Ok(())
    };
    write().with_context(|| unwritten(path))
}

fn unwritten(path: &Path) -> String {
    format!("cannot write {}; name another file, or see whether there is room", path.display())
}
