//! A binary's tests on the screen, as libtest itself prints them: people and scripts read on as they are used to.
//!
//! ```text
//! running 3 tests
//! test a ... ok                      pretty; `.`, `F` and `i` where it is terse, an object a line as JSON
//! test b - should panic ... FAILED
//!
//! failures:
//! ---- b stdout ----                 what failed, then the names again
//!
//! test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
//! ```

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::time::Instant;

use serde_json::json;

use super::arguments::{Arguments, Format};

/// Tests on one line in terse form.
const TERSE_COLUMNS: usize = 100;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// How a test ended.
pub(super) enum Ending {
    /// What it has printed.
    Passed(String),
    /// What is to be said of it.
    Failed(String),
    /// Why, where that is declared.
    Ignored(Option<String>),
}

/// What is printed of one binary. A closed pipe is no reason to stop testing, so nothing here fails.
pub(super) struct Console {
    format: Format,
    is_coloured: bool,
    shows_output: bool,
    /// One test after the other: its name is there before it has ended.
    is_serial: bool,
    logfile: Option<File>,
    total: usize,
    filtered_out: usize,
    begun: Instant,
    passed: Vec<(String, String)>,
    failed: Vec<(String, String)>,
    ignored: usize,
}

impl Console {
    /// Begins with `total` tests, after `filtered_out` others were left out.
    pub(super) fn begin(arguments: &Arguments, total: usize, filtered_out: usize) -> Self {
        let mut console = Self {
            format: arguments.format(),
            is_coloured: arguments.is_coloured(io::stdout().is_terminal()),
            shows_output: arguments.show_output,
            is_serial: arguments.threads() == 1,
            logfile: arguments.logfile.as_ref().and_then(|path| File::create(path).ok()),
            total,
            filtered_out,
            begun: Instant::now(),
            passed: Vec::new(),
            failed: Vec::new(),
            ignored: 0,
        };
        match console.format {
            Format::Json => {
                let started = json!({"type": "suite", "event": "started", "test_count": total});
                console.print(&format!("{started}\n"));
            }
            _ => console.print(&format!("\nrunning {total} {}\n", tests(total))),
        }
        console
    }

    /// A test begins. `title` is its name, and how it is meant to end.
    pub(super) fn started(&mut self, name: &str, title: &str) {
        match self.format {
            Format::Pretty if self.is_serial => self.print(&format!("test {title} ... ")),
            Format::Json => {
                let started = json!({"type": "test", "event": "started", "name": name});
                self.print(&format!("{started}\n"));
            }
            _ => {}
        }
    }

    /// A test has ended.
    pub(super) fn ended(&mut self, name: &str, title: &str, ending: Ending) {
        let (colour, sign, word, event) = match &ending {
            Ending::Passed(_) => (GREEN, ".", "ok".to_owned(), "ok"),
            Ending::Failed(_) => (RED, "F", "FAILED".to_owned(), "failed"),
            Ending::Ignored(None) => (YELLOW, "i", "ignored".to_owned(), "ignored"),
            Ending::Ignored(Some(why)) => (YELLOW, "i", format!("ignored, {why}"), "ignored"),
        };
        match self.format {
            Format::Pretty => {
                let word = self.paint(colour, &word);
                let title =
                    if self.is_serial { String::new() } else { format!("test {title} ... ") };
                self.print(&format!("{title}{word}\n"));
            }
            Format::Terse => {
                let sign = self.paint(colour, sign);
                let count = self.passed.len() + self.failed.len() + self.ignored + 1;
                let is_full = count.is_multiple_of(TERSE_COLUMNS);
                let end =
                    if is_full { format!(" {count}/{}\n", self.total) } else { String::new() };
                self.print(&format!("{sign}{end}"));
            }
            Format::Json => {
                let mut object = json!({"type": "test", "name": name, "event": event});
                let stdout = match &ending {
                    Ending::Failed(text) => Some(text),
                    Ending::Passed(text) => Some(text).filter(|_| self.shows_output),
                    Ending::Ignored(_) => None,
                };
                if let Some(text) = stdout {
                    object["stdout"] = text.as_str().into();
                }
                if let Ending::Ignored(Some(why)) = &ending {
                    object["message"] = why.as_str().into();
                }
                self.print(&format!("{object}\n"));
            }
        }
        if let Some(file) = &mut self.logfile {
            let _ = writeln!(file, "{event} {name}");
        }
        match ending {
            Ending::Passed(output) => self.passed.push((name.to_owned(), output)),
            Ending::Failed(block) => self.failed.push((name.to_owned(), block)),
            Ending::Ignored(_) => self.ignored += 1,
        }
    }

    /// All have ended; true where none has failed.
    pub(super) fn end(mut self) -> bool {
        let is_good = self.failed.is_empty();
        let (passed, failed) = (self.passed.len(), self.failed.len());
        let (ignored, filtered_out) = (self.ignored, self.filtered_out);
        let seconds = self.begun.elapsed().as_secs_f64();
        if matches!(self.format, Format::Json) {
            let event = if is_good { "ok" } else { "failed" };
            let ended = json!({
                "type": "suite", "event": event, "passed": passed, "failed": failed,
                "ignored": ignored, "measured": 0, "filtered_out": filtered_out, "exec_time": seconds,
            });
            self.print(&format!("{ended}\n"));
            return is_good;
        }
        if self.shows_output {
            let passed = std::mem::take(&mut self.passed);
            self.section("successes", passed);
        }
        if !is_good {
            let failed = std::mem::take(&mut self.failed);
            self.section("failures", failed);
        }
        let word = match is_good {
            true => self.paint(GREEN, "ok"),
            false => self.paint(RED, "FAILED"),
        };
        self.print(&format!(
            "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; {filtered_out} filtered out; finished in {seconds:.2}s\n\n"
        ));
        is_good
    }

    /// What tests have to show, and then their names.
    fn section(&mut self, heading: &str, mut tests: Vec<(String, String)>) {
        let mut text = format!("\n{heading}:\n");
        let shown: Vec<String> = tests
            .iter()
            .filter(|(_, output)| !output.is_empty())
            .map(|(name, output)| format!("---- {name} stdout ----\n{}\n\n", output.trim_end()))
            .collect();
        if !shown.is_empty() {
            text.push('\n');
            text.push_str(&shown.concat());
        }
        text.push_str(&format!("\n{heading}:\n"));
        tests.sort();
        for (name, _) in &tests {
            text.push_str(&format!("    {name}\n"));
        }
        self.print(&text);
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.is_coloured { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }

    fn print(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn tests(count: usize) -> &'static str {
    if count == 1 { "test" } else { "tests" }
}
