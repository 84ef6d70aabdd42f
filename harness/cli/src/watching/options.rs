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
    /// this time [default: 3m, or a quarter of --for where that is less].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    warm_up: Option<Duration>,
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

/// A program that is looked at for hours may take minutes.
const WARM_UP: Duration = Duration::from_secs(3 * 60);

impl Options {
    /// How long the program may warm up.
    pub(crate) fn warm_up(&self) -> Duration {
        let short = self.length.map_or(WARM_UP, |length| length / 4);
        self.warm_up.unwrap_or_else(|| short.min(WARM_UP))
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
    fn a_short_watch_gives_a_short_warm_up() {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let warm_up = |line: &[&str]| Line::parse_from(line).options.warm_up().as_secs();
        assert_eq!(warm_up(&["x"]), 180);
        assert_eq!(warm_up(&["x", "--for", "60s"]), 15);
        assert_eq!(warm_up(&["x", "--for", "10h"]), 180);
        assert_eq!(warm_up(&["x", "--for", "60s", "--warm-up", "40s"]), 40);
    }

    #[test]
    fn durations_are_as_everywhere() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        assert!(interval("0s").unwrap_err().contains("at least 50 ms"));
        assert!(duration("ten").unwrap_err().contains("30s"));
    }
}
