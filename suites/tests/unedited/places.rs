//! Folders whose names have a space, as they are on many machines.

use std::fs;

use watertight_report::model::Verdict;
use watertight_suites::Ending;
use watertight_suites::command::{Project, Said, binary};
use watertight_suites::ledger::{leaks, marked};

const TESTS: &str = "
#[test]
fn passes() {}

#[test]
fn leaks() {
    std::mem::forget(std::fs::File::open(\"/dev/null\").unwrap()); // leaks here
}
";

fn assert_found(said: &Said) {
    assert_eq!(said.code, Some(101), "{said}");
    assert_eq!(said.trial("passes").verdict, Verdict::Clean, "{said}");
    let trial = said.trial("leaks");
    assert_eq!(trial.suite, "with-a-space");
    let sites = leaks(&trial).into_iter().filter_map(|leak| leak.site.as_ref());
    let sites: Vec<_> = sites.map(|site| (site.file.as_str(), site.line)).collect();
    assert_eq!(sites, [("src/lib.rs", marked(TESTS, "leaks here"))], "{said}");
}

#[test]
fn everything_may_lie_in_a_folder_with_a_space() -> Ending {
    // The target directory has the project's name as well.
    let place = "in a place/with a space";
    let project = Project::written(crate::tmp(), place, &[("src/lib.rs", TESTS)])?;
    assert!(project.target.to_string_lossy().contains(' '));
    assert_found(&project.watertight(["test", "--lib"]).end()?);
    if crate::nextest::is_here() {
        let words = ["nextest", "--lib", "--no-fail-fast"];
        let said = project.watertight(words).end()?;
        assert_eq!(said.code, Some(100), "{said}");
        assert_eq!(said.trial("leaks").verdict, Verdict::Leaked, "{said}");
    }
    Ok(())
}

#[test]
fn the_command_itself_may_lie_in_a_folder_with_a_space() -> Ending {
    let place = "in a place/with a space";
    let project = Project::written(crate::tmp(), place, &[("src/lib.rs", TESTS)])?;
    let folder = tempfile::Builder::new().prefix("a folder ").tempdir_in(crate::tmp())?;
    let copy = folder.path().join("cargo-watertight");
    // A copy of a hundred megabytes, unless it is a second name.
    fs::hard_link(binary(crate::tmp()), &copy)
        .or_else(|_| fs::copy(binary(crate::tmp()), &copy).map(drop))?;
    assert_found(&project.watertight_at(&copy, ["test", "--lib"]).end()?);
    Ok(())
}
