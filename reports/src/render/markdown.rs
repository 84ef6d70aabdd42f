//! GitHub's Markdown: a headline, a table of groups, and the details folded.
//!
//! A step summary may have 1 MiB; a page is cut at the [`limit`](Markdown::new) between two rows, items
//! or folds and never inside one, and says how many are left out. Foreign text is written in numeric
//! character references wherever a character could mean something to Markdown or HTML.

use std::io::{self, Write};

use super::terminal::report::title;
use super::terminal::{self, Style};
use super::{Renderer, group, holder, text};
use crate::metric;
use crate::model::{Mode, Trial};
use crate::report::{Group, Kind, Report};

/// The largest page, in bytes: below the 1 MiB of a step summary, with room for what others add.
pub const BYTES_MAX: usize = 900 << 10;

/// Kept free for what must be said at the end of a page that is full: headings and counts.
const RESERVED_BYTES: usize = 4 << 10;

/// Writes a page.
#[derive(Debug)]
pub struct Markdown<W> {
    out: W,
    limit: usize,
    all: bool,
    /// The rows of single tests, where they are asked for.
    tests: Items,
    /// What is said of watched programs.
    watched: Items,
}

impl<W: Write> Markdown<W> {
    /// Writes to `out` at most `limit` bytes, though never less than a headline; with `all` every
    /// test's readings too.
    pub fn new(out: W, limit: usize, all: bool) -> Self {
        Self { out, limit, all, tests: Items::default(), watched: Items::default() }
    }
}

impl<W: Write> Renderer for Markdown<W> {
    fn trial(&mut self, trial: &Trial) -> io::Result<()> {
        if trial.mode == Mode::Watch {
            let room = self.limit.saturating_sub(self.watched.bytes);
            self.watched.push(watched(trial), room);
        }
        if self.all {
            // What cannot fit on the page is only counted.
            let room = self.limit.saturating_sub(self.tests.bytes);
            self.tests.push(readings(trial), room);
        }
        Ok(())
    }

    fn finish(&mut self, report: &Report) -> io::Result<()> {
        let mut page = Page { text: String::new(), limit: self.limit };
        page.report(report, &self.watched, &self.tests);
        self.out.write_all(page.text.as_bytes())?;
        self.out.flush()
    }
}

/// Rows, list items or folds, and how many more there are.
#[derive(Debug, Default)]
struct Items {
    kept: Vec<String>,
    bytes: usize,
    more: usize,
}

impl Items {
    fn push(&mut self, item: String, room: usize) {
        // After the first that is left out no other is kept: what is shown is a beginning.
        if self.more > 0 || item.len() > room {
            self.more += 1;
        } else {
            self.bytes += item.len();
            self.kept.push(item);
        }
    }
}

struct Page {
    text: String,
    limit: usize,
}

impl Page {
    fn room(&self) -> usize {
        self.limit.saturating_sub(self.text.len() + RESERVED_BYTES)
    }

    fn paragraph(&mut self, markdown: &str) {
        self.text.push_str(markdown);
        self.text.push_str("\n\n");
    }

    /// `head` and as many of the items as there is room for.
    fn section(&mut self, head: &str, items: impl Iterator<Item = String>) {
        let mut fitting = Items::default();
        let room = self.room().saturating_sub(head.len());
        for item in items {
            fitting.push(item, room.saturating_sub(fitting.bytes));
        }
        self.items(head, &fitting);
    }

    fn items(&mut self, head: &str, items: &Items) {
        if !items.kept.is_empty() {
            self.text.push_str(head);
            self.text.extend(items.kept.iter().map(String::as_str));
            self.text.push('\n');
        }
        if items.more > 0 {
            let more = metric::count(items.more as u64);
            self.paragraph(&format!("{more} more are left out here; the ledger has them all."));
        }
    }

    /// Items that were made before there was a page, as many as there is room for.
    fn made(&mut self, head: &str, made: &Items) {
        if made.kept.is_empty() {
            return;
        }
        self.paragraph(head);
        let room = self.room();
        let mut fitting = Items::default();
        for item in &made.kept {
            fitting.push(item.clone(), room.saturating_sub(fitting.bytes));
        }
        fitting.more += made.more;
        self.items("", &fitting);
    }

    fn report(&mut self, report: &Report, watched: &Items, tests: &Items) {
        self.paragraph(&format!("## Watertight: {}", inline(&group::headline(report))));
        self.paragraph(&inline(&report.summary.to_string()));
        self.made("### Watched programs", watched);
        for kind in [Kind::Leak, Kind::Unconfirmed, Kind::Retained, Kind::Accepted] {
            let shown = || report.of(kind).filter(|group| group::is_shown(group));
            if shown().next().is_some() {
                self.paragraph(&format!("### {}", heading(kind)));
                let head = "| left behind | cases | where | what |\n|---|--:|---|---|\n";
                self.section(head, shown().map(row));
            }
        }
        if !report.troubles.is_empty() {
            self.paragraph("### Did not end well");
            self.section(
                "",
                report.troubles.iter().map(|it| format!("- {}\n", inline(&group::trouble(it)))),
            );
        }
        let blind = group::blind_canaries(report);
        if !report.unmeasured.is_empty() || !blind.is_empty() {
            self.paragraph("### Not measured");
            let blind = blind.iter().map(|said| format!("- {}\n", inline(said)));
            let unmeasured = report.unmeasured.iter().map(|it| {
                let (probe, reason) = (it.probe.name(), text::escape(&it.reason));
                let cases = group::cases(it.cases, &it.examples);
                format!("- {}, in {}\n", inline(&format!("{probe}: {reason}")), inline(&cases))
            });
            self.section("", blind.chain(unmeasured));
        }
        if report.broken_lines > 0 {
            let lines = metric::count(report.broken_lines);
            self.paragraph(&format!("**Lines of the ledger that could not be read: {lines}**"));
        }
        let detailed = (report.groups.iter())
            .filter(|group| group.kind != Kind::Accepted && group::is_shown(group));
        self.section("", detailed.map(fold));
        let runs = report.runs.iter().map(|run| format!("- {}\n", inline(&group::run(run))));
        self.section("", runs);
        self.made("### Every test", tests);
    }
}

fn heading(kind: Kind) -> String {
    let title = title(kind);
    let (first, rest) = title.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}

/// A row of the table.
fn row(group: &Group) -> String {
    let place = match &group.finding.site {
        Some(site) => {
            let function = text::name(&site.function);
            let known = group::place(group).filter(|_| !site.file.is_empty());
            let place = known.map_or_else(String::new, |place| format!("{} ", code(&place)));
            format!("{place}{}", code(&function))
        }
        None => "not known".to_owned(),
    };
    let amounts = inline(&group::amounts(group));
    let (cases, what) = (metric::count(group.cases), code(&text::name(&group.finding.what)));
    let held = match &group.finding.holder {
        Some(holder) => format!(" {}", inline(&format!("({})", holder::brief(holder)))),
        None => String::new(),
    };
    format!("| {amounts} | {cases} | {place} | {what}{held} |\n")
}

/// Everything known of a group, folded; one construct of HTML.
fn fold(group: &Group) -> String {
    let place = group::place(group).unwrap_or_else(|| text::name(&group.finding.what));
    let summary = format!("{}, {}", group::amounts(group), place);
    let lines: Vec<String> =
        terminal::report::details(group, &Style { stacks: true, ..Style::default() })
            .iter()
            .filter(|line| !line.trim().is_empty())
            .map(|line| raw(line))
            .collect();
    format!(
        "<details><summary>{}</summary>\n\n<pre>\n{}\n</pre>\n\n</details>\n\n",
        raw(&summary),
        lines.join("\n")
    )
}

/// A watched program: its sentence, and folded what that is drawn from.
fn watched(trial: &Trial) -> String {
    let verdict = terminal::verdict(trial, &Style::default());
    folded(verdict.lines().filter(|line| !line.trim().is_empty()))
}

/// One test and what was read of it, folded.
fn readings(trial: &Trial) -> String {
    let lines = terminal::report::readings(trial, &Style::default());
    folded(lines.iter().map(String::as_str))
}

/// The first line, and the rest folded below it.
fn folded<'a>(mut lines: impl Iterator<Item = &'a str>) -> String {
    let first = lines.next().unwrap_or_default();
    let rest: Vec<String> = lines.map(raw).collect();
    let rest = rest.join("\n");
    format!("<details><summary>{}</summary>\n\n<pre>\n{rest}\n</pre>\n\n</details>\n\n", raw(first))
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<code>{}</code>", inline(text)) }
}

/// `text` inside of a block of HTML, where Markdown looks for nothing.
fn raw(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `text`, one line, so that neither Markdown nor HTML finds anything in it but text.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        let plain = match c {
            // `://` and `www.` make links.
            '/' => before != Some(':'),
            '.' => !out.ends_with("www") && !out.chars().all(|c| c.is_ascii_digit()),
            // At the beginning of a line these make lists; after its digits too.
            '-' | '+' | ')' => before.is_some_and(|before: char| !before.is_ascii_digit()),
            ' ' => before.is_some(),
            ',' | ':' | ';' | '(' | '%' | '=' => true,
            _ => !c.is_ascii() || c.is_ascii_alphanumeric(),
        };
        if plain {
            out.push(c);
        } else {
            out.push_str(&format!("&#{};", u32::from(c)));
        }
        before = Some(c);
    }
    out
}
