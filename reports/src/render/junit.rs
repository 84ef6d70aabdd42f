//! JUnit XML in the dialect of Jenkins (`junit-10.xsd` of its xunit plugin), for every CI that reads it.
//!
//! One `testsuite` for each suite of a run, one `testcase` for each case. That schema knows
//! properties of suites alone, so a case's readings are properties of its suite, named `case/metric`;
//! those of cases that are not clean, or with `all` of every case.
//!
//! A case is told by its last attempt, earlier ones are reruns; but a leak in any attempt fails it.
//! What only fails under some profiles, `unsettled` and `unmeasured`, stands in `system-err`.
//!
//! `quick-junit` writes the suites. The root is ours: that crate gives it attributes the schema refuses.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{
    FlakyOrRerun, NonSuccessKind, Property, Report as Document, TestCase, TestCaseStatus,
    TestRerun, TestSuite,
};

use super::terminal::{Style, failure};
use super::{Renderer, group, sentence::sentence, text};
use crate::model::{Outcome, Run, Trended, Trial, Verdict};
use crate::report::Report;

/// Keeps a few bytes of every case, since a suite begins with its counts.
#[derive(Debug)]
pub struct Junit<W> {
    out: W,
    all: bool,
    /// By run and name.
    suites: BTreeMap<(String, String), BTreeMap<String, Case>>,
}

impl<W: Write> Junit<W> {
    /// Writes to `out`; with `all` the readings of every case.
    pub fn new(out: W, all: bool) -> Self {
        Self { out, all, suites: BTreeMap::new() }
    }
}

/// A case, with all its attempts in the order of their numbers.
#[derive(Debug, Default)]
struct Case {
    attempts: Vec<(u32, Attempt)>,
}

#[derive(Debug)]
struct Attempt {
    duration_ms: u64,
    skipped: Option<String>,
    bad: Option<Box<Bad>>,
    /// What is not bad under every profile.
    remark: Option<String>,
    readings: Vec<(String, String)>,
}

/// An attempt that failed.
#[derive(Debug)]
struct Bad {
    kind: NonSuccessKind,
    leaked: bool,
    what: String,
    message: String,
    block: String,
}

impl<W: Write> Renderer for Junit<W> {
    fn trial(&mut self, trial: &Trial) -> io::Result<()> {
        let suite = self.suites.entry((trial.run.clone(), trial.suite.clone())).or_default();
        let case = suite.entry(trial.case.clone()).or_default();
        case.add(trial.attempt.max(1), Attempt::of(trial, self.all));
        Ok(())
    }

    fn finish(&mut self, report: &Report) -> io::Result<()> {
        let suites = std::mem::take(&mut self.suites);
        let (mut tests, mut failures, mut errors, mut total_ms) = (0, 0, 0, 0_u64);
        // The root's counts come first, so the suites are kept as text: shorter than what they were.
        let mut body = String::new();
        for ((run, name), cases) in suites {
            let run = report.runs.iter().find(|known| known.run == run);
            let (suite, ms) = suite(&name, run, cases);
            tests += suite.tests;
            failures += suite.failures;
            errors += suite.errors;
            total_ms = total_ms.saturating_add(ms);
            body.push_str(&written(suite)?);
        }
        writeln!(self.out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
        writeln!(
            self.out,
            r#"<testsuites name="watertight" tests="{tests}" failures="{failures}" errors="{errors}" time="{}.{:03}">"#,
            total_ms / 1_000,
            total_ms % 1_000,
        )?;
        writeln!(self.out, "{body}</testsuites>")?;
        self.out.flush()
    }
}

/// The element of a suite, indented.
fn written(suite: TestSuite) -> io::Result<String> {
    let mut document = Document::unnamed();
    document.add_test_suite(suite);
    let document = document.to_string().map_err(io::Error::other)?;
    let inner = document
        .split_once("\n    <testsuite ")
        .and_then(|(_, rest)| rest.rsplit_once("</testsuites>"));
    inner
        .map(|(inner, _)| format!("    <testsuite {inner}"))
        .ok_or_else(|| io::Error::other("quick-junit wrote a document that holds no suite"))
}

fn suite(name: &str, run: Option<&Run>, cases: BTreeMap<String, Case>) -> (TestSuite, u64) {
    let mut suite = TestSuite::new(clean(name));
    if let Some(run) = run {
        if let Some(started) = i64::try_from(run.started_ms)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        {
            suite.extra.insert("timestamp".into(), started.to_string().into());
        }
        for (what, value) in [
            ("run", &run.run),
            ("profile", &run.profile),
            ("kernel", &run.host.kernel),
            ("os", &run.host.os),
        ] {
            suite.add_property(Property::new(what, clean(value)));
        }
    }
    let mut total_ms = 0_u64;
    for (case_name, case) in cases {
        let Some(last) = case.attempts.last().map(|(_, last)| last) else { continue };
        total_ms = total_ms.saturating_add(last.duration_ms);
        for (metric, value) in &last.readings {
            suite.add_property(Property::new(
                clean(&format!("{case_name}/{metric}")),
                value.as_str(),
            ));
        }
        let mut test = TestCase::new(clean(&case_name), case.status());
        test.set_classname(clean(name)).set_time(Duration::from_millis(last.duration_ms));
        if let Some(remark) = &last.remark {
            test.set_system_err(clean(remark));
        }
        suite.add_test_case(test);
    }
    suite.set_time(Duration::from_millis(total_ms));
    (suite, total_ms)
}

impl Case {
    fn add(&mut self, number: u32, attempt: Attempt) {
        match self.attempts.binary_search_by_key(&number, |(number, _)| *number) {
            // Two trials that count as the same attempt: the later tells, unless the first leaked.
            Ok(at) if self.attempts[at].1.leaked() && !attempt.leaked() => {}
            Ok(at) => self.attempts[at].1 = attempt,
            Err(at) => {
                // Nearly all cases have one.
                self.attempts.reserve_exact(1);
                self.attempts.insert(at, (number, attempt));
            }
        }
    }

    fn status(&self) -> TestCaseStatus {
        let Some((_, last)) = self.attempts.last() else { return TestCaseStatus::skipped() };
        // A leak is told even where a later attempt was clean.
        let told = match last.bad {
            Some(_) => Some(self.attempts.len() - 1),
            None => self.attempts.iter().rposition(|(_, attempt)| attempt.leaked()),
        };
        let mut status = TestCaseStatus::success();
        if let Some(bad) = told.and_then(|at| self.attempts[at].1.bad.as_ref()) {
            status = TestCaseStatus::non_success(bad.kind);
            status.set_type(bad.what.as_str());
            status.set_message(bad.message.as_str()).set_description(bad.block.as_str());
            status.set_rerun_kind(FlakyOrRerun::Rerun);
        } else if let Some(why) = &last.skipped {
            status = TestCaseStatus::skipped();
            status.set_message(why.as_str());
            return status;
        }
        for (at, (_, attempt)) in self.attempts.iter().enumerate() {
            if let Some(bad) = attempt.bad.as_ref().filter(|_| Some(at) != told) {
                let mut rerun = TestRerun::new(bad.kind);
                rerun.set_type(bad.what.as_str());
                rerun.set_message(bad.message.as_str()).set_description(bad.block.as_str());
                status.add_rerun(rerun);
            }
        }
        status
    }
}

impl Attempt {
    fn of(trial: &Trial, all: bool) -> Self {
        let bad = Bad::of(trial);
        let unknown = matches!(trial.verdict, Verdict::Unsettled | Verdict::Unmeasured);
        let skipped = (trial.outcome == Outcome::Skipped)
            .then(|| clean(trial.message.as_deref().unwrap_or_default()));
        let dull = bad.is_none() && trial.verdict == Verdict::Clean;
        Self {
            duration_ms: trial.duration_ms,
            remark: (unknown && bad.is_none() && skipped.is_none())
                .then(|| clean(&failure(trial, &Style::default()))),
            skipped,
            bad: bad.map(Box::new),
            readings: if dull && !all { Vec::new() } else { readings(trial) },
        }
    }

    fn leaked(&self) -> bool {
        self.bad.as_ref().is_some_and(|bad| bad.leaked)
    }
}

impl Bad {
    fn of(trial: &Trial) -> Option<Self> {
        let leaked = trial.verdict == Verdict::Leaked;
        let kind = match trial.outcome {
            Outcome::Crashed | Outcome::Killed | Outcome::TimedOut => NonSuccessKind::Error,
            Outcome::Failed => NonSuccessKind::Failure,
            Outcome::Passed if leaked => NonSuccessKind::Failure,
            Outcome::Passed | Outcome::Skipped => return None,
        };
        let what = match (trial.outcome, leaked) {
            (Outcome::Passed, _) => "leaked".to_owned(),
            (outcome, true) => format!("{} and leaked", group::word(&outcome)),
            (outcome, false) => group::word(&outcome),
        };
        let (message, block) = (sentence(trial), failure(trial, &Style::default()));
        Some(Self { kind, leaked, what, message: clean(&message), block: clean(&block) })
    }
}

/// `fd.before`, `fd.after` and so on, as the record has them.
fn readings(trial: &Trial) -> Vec<(String, String)> {
    let mut told = Vec::new();
    for (metric, reading) in &trial.readings {
        let values = [
            ("before", Some(reading.before)),
            ("after", Some(reading.after)),
            ("peak", reading.peak),
        ];
        for (which, value) in values {
            told.extend(value.map(|value| (format!("{metric}.{which}"), value.to_string())));
        }
    }
    let of_program = |it: &&Trended| trial.is_of_program(&it.subject);
    for it in trial.trends.iter().filter(of_program) {
        told.push((format!("{}.trend", it.metric), clean(&it.trend.show(it.unit()))));
    }
    told
}

/// `text` without the characters that no XML 1.0 document may have, however they are written.
fn clean(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(text::escape).collect();
    lines.join("\n").replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
