//! The tests of a binary, as libtest lists them.

use std::collections::HashMap;
use std::process::Stdio;

use super::arguments::Arguments;
use super::program::Program;

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) name: String,
    /// That it is ignored, and why where that is declared.
    pub(super) ignored: Option<Option<String>>,
}

/// Every test of the binary, whatever the filters.
///
/// # Errors
/// A message where the binary does not list its tests.
pub(super) fn list(program: &Program, arguments: &Arguments) -> Result<Vec<Test>, String> {
    let names = ask(program, arguments, &[])?;
    let ignored = ask(program, arguments, &["--ignored"])?;
    let reasons =
        if arguments.runs_ignored() { HashMap::new() } else { reasons(program, &ignored) };
    let test = |name: String| {
        let is_ignored = ignored.binary_search(&name).is_ok();
        Test { ignored: is_ignored.then(|| reasons.get(&name).cloned()), name }
    };
    Ok(names.into_iter().map(test).collect())
}

/// Why tests are ignored: libtest tells as it passes them over, so it is asked to run these and no others.
fn reasons(program: &Program, ignored: &[String]) -> HashMap<String, String> {
    /// Names in one command line: far below what a process may be given.
    const NAMES_MAX: usize = 500;
    let mut reasons = HashMap::new();
    for names in ignored.chunks(NAMES_MAX) {
        let mut command = program.command();
        command.args(["--exact", "--color", "never"]).args(names).stdin(Stdio::null());
        // Without the reasons it only says less.
        let Ok(output) = command.output() else { continue };
        let text = String::from_utf8_lossy(&output.stdout);
        let told = text.lines().filter_map(reason);
        reasons.extend(told.map(|(name, reason)| (name.to_owned(), reason.to_owned())));
    }
    reasons
}

/// `test NAME ... ignored, REASON`.
fn reason(line: &str) -> Option<(&str, &str)> {
    let (title, reason) = line.strip_prefix("test ")?.split_once(" ... ignored, ")?;
    Some((title.strip_suffix(" - should panic").unwrap_or(title).trim_end(), reason))
}

/// The names that the binary lists, in order.
fn ask(program: &Program, arguments: &Arguments, more: &[&str]) -> Result<Vec<String>, String> {
    let mut command = program.command();
    command.args(["--list", "--format", "terse"]).args(more).args(&arguments.rest);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let shown = program.path.display();
    let output = command.output().map_err(|error| format!("{shown} did not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("{shown} --list ended with {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut names: Vec<String> = text.lines().filter_map(name).map(str::to_owned).collect();
    names.sort_unstable();
    Ok(names)
}

/// `path::of::test: test`, or `: benchmark`, which libtest runs once as a test.
fn name(line: &str) -> Option<&str> {
    line.strip_suffix(": test").or_else(|| line.strip_suffix(": benchmark"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_test_are_not_believed() {
        assert_eq!(name("a::b: test"), Some("a::b"));
        assert_eq!(name("a::b: benchmark"), Some("a::b"));
        assert_eq!(name("3 tests, 0 benchmarks"), None);
    }

    #[test]
    fn a_reason_stands_behind_the_comma() {
        assert_eq!(reason("test a::b ... ignored, needs a net"), Some(("a::b", "needs a net")));
        assert_eq!(reason("test a ... ignored"), None);
    }
}
