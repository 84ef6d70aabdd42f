//! What a program has at one moment.

use watertight::watch::Watch;
use watertight_report::metric::{self, word};
use watertight_report::watch::{Line, Sample};

use super::Options;
use super::figures::{SHOWN, short};
use super::screen::{To, print, say};
use crate::talk::{Talk, plain};

/// Things of one resource that are listed.
const LISTED_MAX: usize = 10;

/// Looks once and says it.
///
/// # Errors
/// None yet; what cannot be read is said in its place.
pub(crate) fn once(watch: &mut Watch, options: &Options, talk: &Talk) -> anyhow::Result<()> {
    let first = watch.look();
    // Descendants are known from now on.
    let (look, _) = watch.finish();
    if options.json {
        look.samples.iter().for_each(|sample| print(&Line::Sample(sample.clone())));
        return Ok(());
    }
    for event in first.events.iter().filter(|_| !talk.is_quiet()) {
        say(To::Stdout, &plain(&event.said));
    }
    for sample in &look.samples {
        say(To::Stdout, &format!("\n{} (process {})", plain(&sample.subject), sample.pid));
        figures(sample);
        if sample.is_main {
            holdings(watch);
        }
    }
    Ok(())
}

fn figures(sample: &Sample) {
    for metric in SHOWN {
        let Some(value) = sample.values.get(metric) else { continue };
        let limit = sample
            .limits
            .get(metric)
            .map(|limit| format!("of {}", short(metric, *limit as i64, false)));
        let states: Vec<String> =
            sample.sockets.iter().map(|(state, many)| format!("{state} {many}")).collect();
        let beside =
            if metric == metric::SOCKET { states.join(", ") } else { limit.unwrap_or_default() };
        let line =
            format!("  {:<12}{:>12}  {beside}", word(metric), short(metric, *value as i64, false));
        say(To::Stdout, line.trim_end());
    }
}

/// What it has most of, by the line that made it, or by name.
fn holdings(watch: &Watch) {
    let mut listed = 0;
    let mut last = None;
    for holding in watch.holdings() {
        if last.replace(holding.resource) != Some(holding.resource) {
            listed = 0;
            say(To::Stdout, &format!("\n  {}", holding.resource.name()));
        }
        listed += 1;
        if listed > LISTED_MAX {
            continue;
        }
        let amount = match holding.resource.is_bytes() {
            true => metric::bytes(holding.amount),
            false => metric::count(holding.amount),
        };
        let site = holding.site.map_or_else(String::new, |site| match site.file.is_empty() {
            true => format!("  {}", site.function),
            false => format!("  {}:{}  {}", site.file, site.line, site.function),
        });
        say(To::Stdout, &format!("  {amount:>12}  {}{site}", plain(&holding.what)));
    }
}
