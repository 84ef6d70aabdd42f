//! libtest's command line, as `cargo test -- ARGUMENTS` and nextest give it.
//!
//! Source: `library/test/src/cli.rs` of the Rust project, as `BINARY --help` prints it. What chooses tests
//! or tells how to print is read here; what only the body's process can know is passed on to it.

use std::ffi::{OsStr, OsString};

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(super) filters: Vec<String>,
    pub(super) skip: Vec<String>,
    pub(super) exact: bool,
    pub(super) ignored: bool,
    pub(super) include_ignored: bool,
    pub(super) show_output: bool,
    /// Nothing for us to do: a listing, benchmarks, help.
    pub(super) passes_through: bool,
    /// For each test's process, and for the listing.
    pub(super) rest: Vec<OsString>,
    nocapture: bool,
    quiet: bool,
    test_threads: Option<usize>,
    color: Option<String>,
    format: Option<String>,
    pub(super) logfile: Option<String>,
}

/// An argument that libtest would refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

impl Arguments {
    /// Reads the arguments after the binary.
    ///
    /// # Errors
    /// For what libtest does not know or is not text: it says so itself.
    pub(super) fn parse(arguments: &[OsString]) -> Result<Self, Refused> {
        let mut parsed = Self::default();
        let mut words = arguments.iter().map(|word| word.to_str().ok_or(Refused));
        while let Some(word) = words.next() {
            let word = word?;
            let (name, given) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (word, None),
            };
            let mut value = || match given.clone() {
                Some(value) => Ok(value),
                None => words.next().ok_or(Refused)?.map(str::to_owned),
            };
            match name {
                "--list" | "--bench" | "-h" | "--help" => parsed.passes_through = true,
                "--exact" => parsed.exact = true,
                "--ignored" => parsed.ignored = true,
                "--include-ignored" => parsed.include_ignored = true,
                "--nocapture" | "--no-capture" => parsed.nocapture = true,
                "--show-output" => parsed.show_output = true,
                "-q" | "--quiet" => parsed.quiet = true,
                "--skip" => parsed.skip.push(value()?),
                "--test-threads" => {
                    let threads = value()?.parse().ok().filter(|threads| *threads > 0);
                    parsed.test_threads = Some(threads.ok_or(Refused)?);
                }
                "--color" => parsed.color = Some(value()?),
                "--format" => parsed.format = Some(value()?),
                "--logfile" => parsed.logfile = Some(value()?),
                // Cases run in processes of their own, in no order that anyone could rely on.
                "--test" | "--shuffle" => {}
                "--shuffle-seed" => drop(value()?),
                "-Z" => {
                    let value = value()?;
                    parsed.rest.extend(["-Z".into(), value.into()]);
                }
                _ if word.starts_with("-Z") => parsed.rest.push(word.into()),
                "--report-time"
                | "--ensure-time"
                | "--exclude-should-panic"
                | "--force-run-in-process" => parsed.rest.push(word.into()),
                _ if word.starts_with('-') && word != "-" => return Err(Refused),
                _ => parsed.filters.push(word.to_owned()),
            }
        }
        match parsed.ignored && parsed.include_ignored {
            true => Err(Refused),
            false => Ok(parsed),
        }
    }

    /// The one test that nextest asks for.
    pub(super) fn one_for_nextest(&self) -> Option<&str> {
        let asks = std::env::var_os("NEXTEST_EXECUTION_MODE");
        match self.filters.as_slice() {
            [name] if self.exact && asks.as_deref() == Some(OsStr::new("process-per-test")) => {
                Some(name)
            }
            _ => None,
        }
    }

    /// Whether output is printed as it comes.
    pub(super) fn streams(&self) -> bool {
        self.nocapture || self.one_for_nextest().is_some()
    }

    /// How many tests may run at once.
    pub(super) fn threads(&self) -> usize {
        let variable = || std::env::var("RUST_TEST_THREADS").ok()?.parse().ok();
        let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
        self.test_threads.or_else(variable).unwrap_or_else(cpus)
    }

    /// Whether libtest would run the test of that name.
    pub(super) fn selects(&self, name: &str) -> bool {
        let matches = |pattern: &String| {
            if self.exact { name == pattern } else { name.contains(pattern.as_str()) }
        };
        let is_wanted = self.filters.is_empty() || self.filters.iter().any(matches);
        is_wanted && !self.skip.iter().any(matches)
    }

    /// Whether it is run, ignored or not, or left out.
    pub(super) fn takes(&self, name: &str, is_ignored: bool) -> bool {
        self.selects(name) && (!self.ignored || is_ignored)
    }

    /// Whether ignored tests are run.
    pub(super) fn runs_ignored(&self) -> bool {
        self.ignored || self.include_ignored
    }

    /// In which form it is to be printed.
    pub(super) fn format(&self) -> Format {
        match self.format.as_deref() {
            Some("terse") => Format::Terse,
            Some("json") => Format::Json,
            None if self.quiet => Format::Terse,
            _ => Format::Pretty,
        }
    }

    /// Whether it is printed in colours, on a terminal or not.
    pub(super) fn is_coloured(&self, is_terminal: bool) -> bool {
        match self.color.as_deref() {
            Some("always") => true,
            Some("never") => false,
            _ => is_terminal,
        }
    }
}

/// The forms of libtest's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A line for each test.
    Pretty,
    /// A sign for each test.
    Terse,
    /// An object for each event.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, Refused> {
        let words: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
        Arguments::parse(&words)
    }

    #[test]
    fn filters_choose_as_in_libtest() {
        let chosen = |text: &str, name: &str| parse(text).unwrap().selects(name);
        assert!(chosen("", "a::b"));
        assert!(chosen("b", "a::b") && !chosen("c", "a::b"));
        assert!(chosen("x b", "a::b"), "any of several");
        assert!(chosen("--exact a::b", "a::b") && !chosen("--exact b", "a::b"));
        assert!(!chosen("--skip b", "a::b") && chosen("--exact --skip b", "a::b"));
        assert!(!chosen("--skip=b a", "a::b"));
    }

    #[test]
    fn ignored_tests_are_taken_as_asked() {
        let parsed = |text: &str| parse(text).unwrap();
        assert!(parsed("").takes("a", true) && !parsed("").runs_ignored());
        assert!(!parsed("--ignored").takes("a", false) && parsed("--ignored").takes("a", true));
        assert!(parsed("--include-ignored").takes("a", false));
        assert_eq!(parsed("--test-threads=3").threads(), 3);
    }

    #[test]
    fn it_is_printed_as_asked() {
        assert_eq!(parse("-q").unwrap().format(), Format::Terse);
        assert_eq!(parse("--format=json").unwrap().format(), Format::Json);
        assert_eq!(parse("").unwrap().format(), Format::Pretty);
        assert!(parse("--color always").unwrap().is_coloured(false));
        assert!(!parse("--color=never").unwrap().is_coloured(true));
    }

    #[test]
    fn what_is_libtests_own_affair_goes_to_it() {
        for text in ["--list", "--bench", "--help", "--list --format terse"] {
            assert!(parse(text).unwrap().passes_through, "{text}");
        }
        for text in ["--nonsense", "--test-threads 0", "--skip", "--ignored --include-ignored"] {
            assert_eq!(parse(text), Err(Refused), "{text}");
        }
        let rest = parse("-Z unstable-options --report-time").unwrap().rest;
        assert_eq!(rest, ["-Z", "unstable-options", "--report-time"]);
    }
}
