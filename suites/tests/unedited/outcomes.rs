//! The project `outcomes`: every test ends as under plain `cargo test`, and the record says how.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use watertight_report::model::{Outcome, Status, Trial, Verdict};
use watertight_suites::Ending;
use watertight_suites::ledger::marked;

/// What a line says of a test: `test NAME - should panic ... ok`, padded or not.
pub(crate) fn told(out: &str) -> BTreeMap<String, String> {
    let test = |line: &str| {
        let (name, word) = line.strip_prefix("test ")?.split_once(" ... ")?;
        let name = name.trim_end().trim_end_matches(" - should panic");
        // Behind a comma stands why it is ignored.
        let word = word.split(',').next()?;
        Some((name.to_owned(), word.to_owned()))
    };
    out.lines().filter_map(test).collect()
}

/// The number of the one line of the project that begins so.
fn line_of(beginning: &str) -> usize {
    let text = fs::read_to_string(watertight_suites::plain::project("outcomes").join("src/lib.rs"));
    let text = text.expect("the project's source");
    let found = text.lines().position(|line| line.trim_start().starts_with(beginning));
    found.unwrap_or_else(|| panic!("no line begins with {beginning}")) + 1
}

#[test]
fn every_test_ends_as_under_plain_cargo_test() -> Ending {
    let project = crate::planted("outcomes");
    let plain = project.cargo(["test", "--no-fail-fast"]).end()?;
    let said = project.watertight(["test", "--no-fail-fast"]).end()?;
    assert_eq!(said.code, plain.code, "{plain}\n{said}");
    assert_eq!(said.code, Some(101));
    let expected = told(&plain.out);
    assert!(expected.len() >= 12, "{plain}");
    assert_eq!(told(&said.out), expected, "{said}");
    // Word by word, for those who read them: how it should end, and why it is ignored.
    let lines = |out: &str| -> BTreeSet<String> {
        out.lines().filter(|line| line.contains(" ... ")).map(str::to_owned).collect()
    };
    assert_eq!(lines(&said.out), lines(&plain.out), "{said}");

    let trials = said.trials();
    let recorded: BTreeMap<String, bool> =
        trials.iter().map(|trial| (trial.case.clone(), trial.outcome == Outcome::Passed)).collect();
    let ran = expected.into_iter().filter(|(_, word)| word != "ignored");
    let ran: BTreeMap<String, bool> = ran.map(|(name, word)| (name, word == "ok")).collect();
    assert_eq!(recorded, ran, "{said}");

    let message = |case: &str| said.trial(case).message.unwrap_or_default();
    let fails = message("ends::fails");
    let place = format!("src/lib.rs:{}", line_of("assert_eq!(1 + 1, 3"));
    assert!(fails.contains("the sum is wrong") && fails.contains(&place), "{fails}");
    assert!(fails.contains("left: 2") && fails.contains("right: 3"), "{fails}");
    assert!(message("ends::returns_an_error").contains("InvalidDigit"), "{said}");
    assert!(message("ends::does_not_panic_as_it_should").contains("did not panic"), "{said}");
    let another = message("ends::panics_with_another_message");
    assert!(another.contains("that") && another.contains("this"), "{another}");
    for printed in ["printed before it fails", "the sum is wrong", &place, "InvalidDigit"] {
        assert!(said.out.contains(printed), "{printed}: {said}");
    }
    assert!(!said.out.contains("to stdout"), "what a test prints that passes is not shown: {said}");
    Ok(())
}

#[test]
fn a_failure_does_not_hide_a_leak() -> Ending {
    let project = crate::planted("outcomes");
    let source = fs::read_to_string(project.folder.join("src/lib.rs"))?;
    let line = marked(&source, "leaks here: fails_and_leaks");
    let said = project.watertight(["test", "--", "fails_and_leaks"]).end()?;
    let trial = said.trial("ends::fails_and_leaks");
    assert_eq!((trial.outcome, trial.verdict), (Outcome::Failed, Verdict::Leaked), "{said}");
    let leak = trial.findings.iter().find(|it| it.status == Status::Leak);
    let site = leak.and_then(|leak| leak.site.as_ref()).map(|site| (site.file.as_str(), site.line));
    assert_eq!(site, Some(("src/lib.rs", line)), "{said}");
    assert!(said.out.contains("and leaks") && said.out.contains("/dev/null"), "{said}");
    Ok(())
}

/// A test, and whether its record tells how it ended.
type Told = (&'static str, fn(&Trial) -> bool);

/// Each of them ends plain libtest with its binary, so they are compared one by one.
#[test]
fn a_test_that_ends_its_process_is_told_as_it_was() -> Ending {
    let project = crate::planted("outcomes");
    let endings: [Told; 4] = [
        ("fatal::aborts", |it| it.outcome == Outcome::Crashed && says(it, "SIGABRT")),
        ("fatal::exits_with_0", |it| it.outcome == Outcome::Passed),
        ("fatal::exits_with_7", |it| it.outcome == Outcome::Failed && says(it, "code 7")),
        ("fatal::overflows_its_stack", |it| {
            it.outcome == Outcome::Crashed && says(it, "SIGABRT") && says(it, "overflow")
        }),
    ];
    for (name, is_told) in endings {
        let words = ["test", "--", "--ignored", "--exact", name];
        let plain = project.cargo(words).end()?;
        let said = project.watertight(words).end()?;
        // A code of the test's own is not kept: one test has failed, and the others still run.
        let is_green = |code: Option<i32>| code == Some(0);
        assert_eq!(is_green(said.code), is_green(plain.code), "{plain}\n{said}");
        let trial = said.trial(name);
        assert!(is_told(&trial), "{trial:#?}");
    }
    // Together they do not end each other.
    let together = project.watertight(["test", "--", "--ignored", "fatal"]).end()?;
    assert_eq!(together.trials().len(), endings.len(), "{together}");
    assert_eq!(together.code, Some(101), "{together}");
    Ok(())
}

fn says(trial: &Trial, word: &str) -> bool {
    trial.message.as_deref().is_some_and(|message| message.contains(word))
}

#[test]
fn output_is_shown_where_it_is_asked_for() -> Ending {
    let project = crate::planted("outcomes");
    for flag in ["--nocapture", "--show-output"] {
        let words = ["test", "--", "--exact", "ends::passes_and_prints", flag];
        let said = project.watertight(words).end()?;
        assert_eq!(said.code, Some(0), "{said}");
        assert!(said.out.contains("to stdout"), "{flag}: {said}");
        let shown = format!("{}{}", said.out, said.err);
        assert!(shown.contains("to stderr"), "{flag}: {said}");
    }
    Ok(())
}
