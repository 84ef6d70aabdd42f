//! The test suites of published crates: the same outcomes as under plain `cargo test`, and the leaks that
//! reading their code confirms.

use std::collections::{BTreeMap, BTreeSet};

use watertight_report::model::{Outcome, Status, Verdict};
use watertight_suites::Ending;
use watertight_suites::command::Project;
use watertight_suites::published::{Suite, fetch, outcomes};

use crate::tmp;

/// Sockets, processes with pipes, files. The versions are those of the other tests, so they are built once.
const SUITES: [Suite; 3] = [
    Suite { name: "socket2", version: "0.6.5", options: &["--lib", "--all-features"] },
    // Its other tests have harnesses of their own.
    Suite { name: "jobserver", version: "0.1.35", options: &["--lib"] },
    Suite { name: "tempfile", version: "3.27.0", options: &["--lib", "--tests"] },
];

/// Suite, case, and the line that made what is left. Both make a FIFO by its path in `/tmp`, and nothing
/// ever removes it: `new_client_from_fifo` drops the `NamedTempFile` that would have, and then calls mkfifo.
const LEAKS: [(&str, &str, &str); 2] = [
    ("jobserver", "imp::test::test_string_arg", "src/unix.rs"),
    ("jobserver", "imp::test::test_try_acquire_named_fifo", "src/unix.rs"),
];

/// Fewer tests than this would show little.
const TESTS_MIN: usize = 70;

#[test]
fn suites_of_published_crates_end_as_ever_and_leak_what_they_leak() -> Ending {
    let scratch = tmp().join("third-party");
    let sources = match fetch(&scratch, &SUITES) {
        Ok(sources) => sources,
        Err(reason) => {
            println!("skipped: cargo could not fetch the crates; is there a network? {reason}");
            return Ok(());
        }
    };
    let mut compared = 0;
    let mut leaks = BTreeSet::new();
    for (suite, source) in SUITES.iter().zip(sources) {
        let project = Project::at(tmp(), source, scratch.join("target"));
        let arguments =
            || ["test", "--no-fail-fast"].into_iter().chain(suite.options.iter().copied());
        let plain = [project.cargo(arguments()).end()?, project.cargo(arguments()).end()?];
        let expected = plain.each_ref().map(|said| outcomes(&said.out));
        let said = project.watertight(arguments()).end()?;
        let trials = said.trials();
        let seen: BTreeMap<&str, Outcome> =
            trials.iter().map(|trial| (trial.case.as_str(), trial.outcome)).collect();
        for (test, word) in &expected[0] {
            // What is not the same in two plain runs is no evidence; a doctest is libtest's own affair.
            let is_certain = expected[1].get(test) == Some(word) && !test.contains("(line ");
            if !is_certain || word == "ignored" {
                continue;
            }
            let wanted = if word == "ok" { Outcome::Passed } else { Outcome::Failed };
            let name = suite.name;
            assert_eq!(seen.get(test.as_str()), Some(&wanted), "{name} {test}\n{said}");
            compared += 1;
        }
        for trial in trials.iter().filter(|trial| trial.verdict == Verdict::Leaked) {
            for finding in trial.findings.iter().filter(|it| it.status == Status::Leak) {
                let file = finding.site.as_ref().map_or("", |site| site.file.as_str());
                leaks.insert((suite.name.to_owned(), trial.case.clone(), file.to_owned()));
            }
        }
    }
    let confirmed = LEAKS.map(|(suite, case, file)| (suite.into(), case.into(), file.into()));
    assert_eq!(leaks, BTreeSet::from(confirmed));
    assert!(compared >= TESTS_MIN, "only {compared} tests had a certain outcome");
    Ok(())
}
