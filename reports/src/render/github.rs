//! GitHub's workflow commands: an annotation at the line of every leak.
//!
//! `::error file=src/a.rs,line=3,title=...::message`, one a line on stdout. In a message `%`, CR and
//! LF are escaped as `%25`, `%0D` and `%0A`; in a property `:` and `,` besides, as `%3A` and `%2C`
//! (docs.github.com, "Workflow commands for GitHub Actions"; the escapes are those of actions/toolkit).
//! GitHub shows ten annotations of a level for a step, so nine are written and the rest counted.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use super::advice::advice;
use super::{Renderer, group, holder, text};
use crate::metric;
use crate::model::{Outcome, Trial, Verdict};
use crate::report::{Group, Kind, Report};

/// Annotations of single findings; one more says how many there are besides.
pub const ANNOTATIONS_MAX: usize = 9;

/// Writes the annotations.
#[derive(Debug)]
pub struct Github<W> {
    out: W,
    below: String,
}

impl<W: Write> Github<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, below: String::new() }
    }

    /// Says that the project lies in this folder of the repository: GitHub wants paths from the
    /// repository's root. The empty one is the root itself.
    #[must_use]
    pub fn below(mut self, folder: &str) -> Self {
        self.below = folder.to_owned();
        self
    }
}

impl<W: Write> Renderer for Github<W> {
    fn trial(&mut self, _: &Trial) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, report: &Report) -> io::Result<()> {
        let all = annotations(report, &self.below);
        let (shown, more) = all.split_at(all.len().min(ANNOTATIONS_MAX));
        for annotation in shown {
            writeln!(self.out, "{annotation}")?;
        }
        if let Some(first) = more.first() {
            let many = metric::count(more.len() as u64);
            let rest = Annotation {
                level: first.level,
                file: None,
                title: format!("{many} more"),
                message: format!("{many} more are in the report: cargo watertight report"),
            };
            writeln!(self.out, "{rest}")?;
        }
        self.out.flush()
    }
}

/// How many annotations a report is worth, however many are written.
pub fn count(report: &Report) -> usize {
    annotations(report, "").len()
}

struct Annotation<'a> {
    level: &'static str,
    /// And the line, 0 where it is not known.
    file: Option<(Cow<'a, str>, u32)>,
    title: String,
    message: String,
}

/// All of them, leaks first.
fn annotations<'a>(report: &'a Report, below: &str) -> Vec<Annotation<'a>> {
    let leaks = report.of(Kind::Leak).map(|group| leak(group, below));
    let silent = report.troubles.iter().filter(|trouble| {
        // Cargo has told of the tests that failed; of these nobody has.
        trouble.verdict == Verdict::Unsettled
            // Watched for too short a time; of a test its probes tell.
            || (trouble.verdict == Verdict::Unmeasured && trouble.outcome == Outcome::Passed)
            || (trouble.verdict == Verdict::Leaked && report.of(Kind::Leak).next().is_none())
    });
    let silent = silent.map(|trouble| Annotation {
        level: if trouble.verdict == Verdict::Leaked { "error" } else { "warning" },
        file: None,
        title: format!("{} {}", group::case(&trouble.example), group::word(&trouble.verdict)),
        message: trouble.said.clone(),
    });
    let blind = report.unmeasured.iter().map(|it| Annotation {
        level: "warning",
        file: None,
        title: format!("{} not measured", it.probe.name()),
        message: format!(
            "{}\nin {}",
            text::escape(&it.reason),
            group::cases(it.cases, &it.examples)
        ),
    });
    let canaries = group::blind_canaries(report).into_iter().map(|said| Annotation {
        level: "warning",
        file: None,
        title: "a probe is blind".to_owned(),
        message: said,
    });
    leaks.chain(silent).chain(blind).chain(canaries).collect()
}

fn leak<'a>(group: &'a Group, below: &str) -> Annotation<'a> {
    let amounts = group::amounts(group);
    let finding = &group.finding;
    let is_watched = group::is_watched(group);
    let cases = group::found_in(group);
    let how = if is_watched { "added" } else { "left behind" };
    let mut message = format!("{amounts} {how} in {cases}");
    if let Some(growing) = group::trend(group) {
        message.push_str(&format!(": {growing}"));
    }
    if !finding.what.is_empty() {
        message.push_str(&format!("\n{}", text::name(&finding.what)));
    }
    if let Some(place) = group::place(group) {
        let function = finding.site.as_ref().map(|site| text::name(&site.function));
        message.push_str(&format!("\nmade at {place}  {}", function.unwrap_or_default()));
    }
    if let Some(holder) = &finding.holder {
        message.push_str(&format!("\n{}", holder::brief(holder)));
    }
    message.push_str(&format!("\n{}", advice(&Trial::default(), finding)));
    let site = finding.site.as_ref().filter(|site| !site.file.is_empty());
    Annotation {
        level: "error",
        file: site.map(|site| (from_root(&site.file, below), site.line)),
        title: format!("{} {amounts}", if is_watched { "grows by" } else { "leaks" }),
        message,
    }
}

/// A file of the project, as it is called from the repository's root.
fn from_root<'a>(file: &'a str, below: &str) -> Cow<'a, str> {
    match below.is_empty() || Path::new(file).is_absolute() {
        true => file.into(),
        false => format!("{below}/{file}").into(),
    }
}

impl std::fmt::Display for Annotation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "::{} ", self.level)?;
        if let Some((file, line)) = &self.file {
            write!(f, "file={},", property(file))?;
            if *line > 0 {
                write!(f, "line={line},")?;
            }
        }
        write!(f, "title={}::{}", property(&self.title), data(&self.message))
    }
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
