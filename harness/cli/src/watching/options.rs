//! What `run` and `watch` have in common on the command line.

use std::path::PathBuf;
use std::time::Duration;

use watertight_report::quantity;

/// Options of both.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often to look.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// How long to look; without it until the program ends, or Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) length: Option<Duration>,
    /// How long the program may warm up: growth that is tied to no tick and no period is told after twice
    /// this time.
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = duration)]
    pub(crate) warm_up: Duration,
    /// End with code 1 where something grows; under the profile `ci` also where nobody can tell.
    #[arg(long)]
    pub(crate) fail_on_growth: bool,
    /// Every sample and event, and the record at the end, as lines of JSON on stdout.
    #[arg(long)]
    pub(crate) json: bool,
    /// Append the record to this ledger; else to WATERTIGHT_LEDGER, or in a cargo project to one of its own.
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub(crate) ledger: Option<PathBuf>,
    /// Write counters for ui.perfetto.dev (Chrome's trace format).
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub(crate) trace: Option<PathBuf>,
    /// Keep the latest sample in this file as OpenMetrics text, for a collector that reads files.
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub(crate) openmetrics: Option<PathBuf>,
}

/// A file in a folder that is there: one that is mistyped is not made.
fn file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.filter(|folder| !folder.is_dir()) {
        Some(folder) => Err(format!("there is no folder {}; make it first", folder.display())),
        None => Ok(path),
    }
}

/// Looking more often would disturb the program.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    match interval >= INTERVAL_MIN {
        true => Ok(interval),
        false => Err(format!(
            "at least {} ms, so that the program is not disturbed",
            INTERVAL_MIN.as_millis()
        )),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let ms =
        quantity::duration_ms(text).ok_or_else(|| format!("expected {}", quantity::DURATION))?;
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_everywhere() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        assert!(interval("0s").unwrap_err().contains("at least 50 ms"));
        assert!(duration("ten").unwrap_err().contains("30s"));
    }
}
