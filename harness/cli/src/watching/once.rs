//! What a program has at one moment.

use anyhow::Context as _;
use watertight::watch::Watch;
use watertight_report::metric::{self, word};
use watertight_report::watch::{Line, Sample};

use super::Options;
use super::figures::{SHOWN, short};
use super::out::{Out, To};
use crate::talk::{Talk, plain};

/// Things of one resource that are listed.
const LISTED_MAX: usize = 10;

/// Looks once and says it.
///
/// # Errors
/// Nobody can be told.
pub(crate) fn once(watch: &mut Watch, options: &Options, talk: &Talk) -> anyhow::Result<()> {
    let mut out = Out::new(To::Stdout);
    say(watch, options, talk, &mut out);
    out.failure().map_or(Ok(()), |error| Err(error).context("stdout cannot be written"))
}

fn say(watch: &mut Watch, options: &Options, talk: &Talk, out: &mut Out) {
    let first = watch.look();
    // Descendants are known from now on.
    let (look, _) = watch.finish();
    if options.json {
        look.samples.iter().for_each(|sample| out.print(&Line::Sample(sample.clone())));
        return;
    }
    for event in first.events.iter().filter(|_| !talk.is_quiet()) {
        out.say(&plain(&event.said));
    }
    for sample in &look.samples {
        out.say(&format!("\n{} (process {})", plain(&sample.subject), sample.pid));
        figures(sample, out);
        if sample.is_main {
            holdings(watch, out);
        }
    }
}

fn figures(sample: &Sample, out: &mut Out) {
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
        out.say(line.trim_end());
    }
}

/// What it has most of, by the line that made it, or by name.
fn holdings(watch: &Watch, out: &mut Out) {
    let holdings = watch.holdings();
    for of_resource in holdings.chunk_by(|a, b| a.resource == b.resource) {
        out.say(&format!("\n  {}", of_resource[0].resource.name()));
        for holding in of_resource.iter().take(LISTED_MAX) {
            let amount = match holding.resource.is_bytes() {
                true => metric::bytes(holding.amount),
                false => metric::count(holding.amount),
            };
            let site = holding.site.as_ref().map_or_else(String::new, |site| match site.line {
                0 => format!("  {}", site.function),
                line => format!("  {}:{line}  {}", site.file, site.function),
            });
            out.say(&format!("  {amount:>12}  {}{site}", plain(&holding.what)));
        }
        let more = of_resource.len().saturating_sub(LISTED_MAX);
        if more > 0 {
            out.say(&format!("  {:>12}  and {more} more", ""));
        }
    }
}
