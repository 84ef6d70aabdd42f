//! Heap that is there at the end of a test that runs once: listed, and failed only over a budget.

use watertight_report::model::{Outcome, Resource, Status, Verdict};
use watertight_suites::Ending;
use watertight_suites::command::{Project, Said};
use watertight_suites::ledger::{leaks, marked};

const TESTS: &str = "
#[cfg(test)]
static KEPT: std::sync::Mutex<Vec<Vec<u8>>> = std::sync::Mutex::new(Vec::new());

#[test]
fn keeps() {
    let bytes = vec![1; 100 << 10]; // kept from here
    KEPT.lock().unwrap().push(bytes);
}

#[test]
fn keeps_nothing() {
    drop(vec![1; 100 << 10]);
}
";

const BUDGET: &str = "[profile.default]\nallow = { heap = \"1 KiB\" }\n";

/// The finding of the memory that is kept.
fn assert_kept(said: &Said, status: Status) {
    let trial = said.trial("keeps");
    let line = marked(TESTS, "kept from here");
    let found = trial.findings.iter().find(|finding| {
        let site = finding.site.as_ref().map(|site| (site.file.as_str(), site.line));
        finding.resource == Resource::Heap && site == Some(("src/lib.rs", line))
    });
    let found = found.unwrap_or_else(|| panic!("{:#?}\n{said}", trial.findings));
    assert_eq!(found.status, status, "{found:?}");
    // The allocator may have given a few bytes more.
    assert!((100 << 10..101 << 10).contains(&found.growth), "{found:?}");
    assert_eq!(trial.outcome, Outcome::Passed);
}

#[test]
fn memory_that_a_static_keeps_is_listed_and_not_failed() -> Ending {
    let project = crate::library("heap-kept", TESTS);
    let said = project.watertight(["test", "--lib"]).end()?;
    assert_eq!(said.code, Some(0), "{said}");
    assert_kept(&said, Status::Unconfirmed);
    assert_eq!(said.trial("keeps").verdict, Verdict::Clean, "{said}");
    assert_eq!(leaks(&said.trial("keeps_nothing")).len(), 0);
    Ok(())
}

#[test]
fn memory_over_a_budget_fails_with_its_line() -> Ending {
    let files = [("src/lib.rs", TESTS), (".config/watertight.toml", BUDGET)];
    let project = Project::written(crate::tmp(), "heap-budget", &files)?;
    let said = project.watertight(["test", "--lib"]).end()?;
    assert_eq!(said.code, Some(101), "{said}");
    assert_kept(&said, Status::Leak);
    assert_eq!(said.trial("keeps").verdict, Verdict::Leaked, "{said}");
    let twin = said.trial("keeps_nothing").verdict;
    assert_eq!(twin, Verdict::Clean, "{said}");
    let line = format!("src/lib.rs:{}", marked(TESTS, "kept from here"));
    assert!(said.out.contains(&line), "{said}");
    Ok(())
}

const LITTLE: &str = "
#[cfg(test)]
static KEPT: std::sync::Mutex<Vec<Vec<u8>>> = std::sync::Mutex::new(Vec::new());

#[test]
fn keeps_little() {
    let bytes = vec![1; 3 << 10]; // kept from here
    KEPT.lock().unwrap().push(bytes);
}
";

#[test]
fn little_is_listed_where_it_is_asked_for() -> Ending {
    let project = crate::library("heap-little", LITTLE);
    let line = marked(LITTLE, "kept from here");
    for (arguments, is_listed) in
        [(&["test", "--lib"][..], false), (&["test", "--heap", "--lib"], true)]
    {
        let said = project.watertight(arguments).end()?;
        assert_eq!(said.code, Some(0), "{said}");
        let findings = said.trial("keeps_little").findings;
        let is_kept = findings.iter().any(|finding| {
            finding.resource == Resource::Heap
                && finding.site.as_ref().is_some_and(|site| site.line == line)
        });
        assert_eq!(is_kept, is_listed, "{findings:#?}");
    }
    Ok(())
}
