//! The tests of a binary, as libtest lists them.

use std::process::Stdio;

use super::arguments::Arguments;
use super::program::Program;

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) ignored: bool,
}

/// Every test of the binary, whatever the filters.
///
/// # Errors
/// A message where the binary does not list its tests.
pub(super) fn list(program: &Program, arguments: &Arguments) -> Result<Vec<Test>, String> {
    let names = ask(program, arguments, &[])?;
    let ignored = ask(program, arguments, &["--ignored"])?;
    let test = |name: String| Test { ignored: ignored.binary_search(&name).is_ok(), name };
    Ok(names.into_iter().map(test).collect())
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
}
