//! `--net private`: each test has a network of its own, or the record says that it could not.

use std::process::Command;

use watertight_report::model::{Net, Outcome, Verdict};
use watertight_suites::Ending;
use watertight_suites::command::{Project, binary};

/// Both hold the same port at the same time: each removes its file and waits until the other's is gone.
const TESTS: &str = r#"
#[cfg(test)]
fn meet(own: &str, other: &str) {
    let held = std::net::TcpListener::bind("127.0.0.1:46123").unwrap();
    let place = std::path::PathBuf::from(std::env::var_os("MEETING").unwrap());
    std::fs::remove_file(place.join(own)).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while place.join(other).exists() {
        assert!(std::time::Instant::now() < deadline, "{other} has not come");
        std::thread::yield_now();
    }
    drop(held);
}
#[test] fn one() { meet("one", "two") }
#[test] fn two() { meet("two", "one") }
"#;

const TEST: &str = r#"
#[test]
fn binds() {
    drop(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
}
"#;

const REFUSED: &str = "A private network namespace was refused";

#[test]
fn tests_in_private_networks_may_bind_the_same_port() -> Ending {
    let probe = crate::library("private", TEST).watertight(["test", "--net", "private", "--lib"]);
    let probe = probe.end()?;
    assert_eq!(probe.code, Some(0), "{probe}");
    let trial = probe.trial("binds");
    if trial.net == Net::Host {
        // Nothing to share out here; what is said of it is what the other test is about as well.
        assert!(trial.notes.iter().any(|note| note.starts_with(REFUSED)), "{trial:?}");
        eprintln!("skipped: this machine gives no network namespaces");
        return Ok(());
    }
    let meeting = tempfile::tempdir()?;
    for own in ["one", "two"] {
        std::fs::write(meeting.path().join(own), "")?;
    }
    let project = crate::library("meeting", TESTS);
    let words = ["test", "--net=private", "--lib", "--", "--test-threads=2"];
    let said = project.watertight(words).env("MEETING", meeting.path()).end()?;
    assert_eq!(said.code, Some(0), "{said}");
    for case in ["one", "two"] {
        let trial = said.trial(case);
        let expected = (Outcome::Passed, Verdict::Clean, Net::Private);
        assert_eq!((trial.outcome, trial.verdict, trial.net), expected, "{trial:#?}");
    }
    Ok(())
}

/// A user namespace in which there may be none of the network (namespaces(7), `/proc/sys/user`).
const REFUSE: [&str; 6] = [
    "--user",
    "--map-current-user",
    "--keep-caps",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_net_namespaces && exec \"$0\" \"$@\"",
];

#[test]
fn where_networks_are_refused_the_record_says_so() -> Ending {
    let can = Command::new("unshare").args(REFUSE).arg("true").output();
    if !can.is_ok_and(|can| can.status.success()) {
        eprintln!("skipped: unshare(1) cannot make a user namespace here");
        return Ok(());
    }
    let project: Project = crate::library("refused", TEST);
    let mut words: Vec<&std::ffi::OsStr> = REFUSE.iter().map(|word| word.as_ref()).collect();
    words.push(binary(crate::tmp()).as_os_str());
    words.extend(["test", "--net", "private", "--lib"].map(std::ffi::OsStr::new));
    let said = project.by("unshare", words).env("WATERTIGHT_PROFILE", "ci").end()?;
    assert_eq!(said.code, Some(0), "a clean test is green there: {said}");
    let trial = said.trial("binds");
    assert_eq!((trial.net, trial.verdict), (Net::Host, Verdict::Clean), "{trial:?}");
    assert!(trial.notes.iter().any(|note| note.starts_with(REFUSED)), "{trial:?}");
    Ok(())
}
