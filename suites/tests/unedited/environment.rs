//! A test finds the world that it finds under plain `cargo test`.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use watertight_report::model::Outcome;
use watertight_suites::Ending;
use watertight_suites::command::{Project, Said};

const MANIFEST: &str = "[workspace]\nmembers = [\"inner\"]\nresolver = \"3\"\n";

/// A package that is not its workspace's root, so that its directory is not the one where cargo is started.
const INNER: &str = "[package]\nname = \"surroundings\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";

const TESTS: &str = r#"
#[cfg(test)]
use std::io::Read as _;

#[test]
fn tells() {
    let mut variables: Vec<_> = std::env::vars_os().collect();
    variables.sort();
    for (name, value) in variables {
        println!("\nVARIABLE {}={}", name.display(), value.display());
    }
    println!("\nDIRECTORY {}", std::env::current_dir().unwrap().display());
    let mut input = String::new();
    println!("\nINPUT {:?}", std::io::stdin().read_to_string(&mut input).map(|_| input));
    let umask = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    for line in umask.lines().filter(|line| line.starts_with("Umask") || line.starts_with("SigIgn") || line.starts_with("SigBlk")) {
        println!("\nSTATE {line}");
    }
    println!("\nLIMITS {:?}", std::fs::read_to_string("/proc/self/limits").unwrap());
    let mut open: Vec<_> = std::fs::read_dir("/proc/self/fd").unwrap().map(|it| it.unwrap().file_name()).collect();
    open.sort();
    println!("\nDESCRIPTORS {open:?}");
}
"#;

fn project() -> Project {
    let files =
        [("Cargo.toml", MANIFEST), ("inner/Cargo.toml", INNER), ("inner/src/lib.rs", TESTS)];
    Project::written(crate::tmp(), "surroundings", &files).expect("a project can be written")
}

/// What the test tells, by its first word and for variables by their name.
fn told(said: &Said) -> BTreeMap<String, String> {
    const WORDS: [&str; 6] = ["VARIABLE", "DIRECTORY", "INPUT", "STATE", "LIMITS", "DESCRIPTORS"];
    let split = |line: &str| {
        let (word, rest) = line.split_once(' ')?;
        let (name, value) = match word {
            "VARIABLE" => rest.split_once('=')?,
            "STATE" => rest.split_once(':')?,
            _ => ("", rest),
        };
        WORDS.contains(&word).then(|| (format!("{word} {name}"), value.to_owned()))
    };
    said.out.lines().filter_map(split).collect()
}

/// Also where it was told to ignore signals, as under nohup(1).
#[test]
fn a_test_finds_the_world_as_it_is_without() -> Ending {
    for ignored in [&[][..], &[Signal::SIGHUP, Signal::SIGINT]] {
        is_the_same_world(ignored)?;
    }
    Ok(())
}

fn is_the_same_world(ignored: &'static [Signal]) -> Ending {
    let project = project();
    let words = ["test", "--lib", "--", "--nocapture"];
    // Temporary directories and ledgers are of our making, and differ for each call.
    let same = |call: watertight_suites::command::Call| {
        call.ignoring(ignored)
            .env("TMPDIR", std::env::temp_dir())
            .env_remove("WATERTIGHT_LEDGER")
            .env("OF_MINE", "1 = 1")
    };
    let plain = same(project.cargo(words)).end()?;
    let ours = same(project.watertight(words)).end()?;
    assert_eq!((plain.code, ours.code), (Some(0), Some(0)), "{plain}\n{ours}");
    let (expected, found) = (told(&plain), told(&ours));
    assert!(expected.len() > 20, "{plain}");
    assert_eq!(expected["VARIABLE OF_MINE"], "1 = 1");
    assert_eq!(expected["INPUT "], "Ok(\"\")", "{plain}");
    let inner = project.folder.join("inner");
    assert_eq!(found["DIRECTORY "], inner.to_string_lossy(), "{ours}");
    let differs = |name: &&String| expected.get(*name) != found.get(*name);
    let differences: Vec<_> = expected
        .keys()
        .chain(found.keys())
        .filter(differs)
        .map(|name| (name, expected.get(name), found.get(name)))
        .collect();
    assert!(differences.is_empty(), "ignoring {ignored:?}: {differences:#?}");
    let mask = u64::from_str_radix(expected["STATE SigIgn"].trim(), 16)?;
    let is_ignored = |signal: &Signal| mask >> (*signal as i32 - 1) & 1 != 0;
    assert_eq!(ignored.iter().filter(|it| is_ignored(it)).count(), ignored.len(), "{plain}");
    Ok(())
}

/// What a user has set of ours for other purposes is there for the tests as it was.
#[test]
fn what_is_set_of_ours_reaches_the_tests() -> Ending {
    let project = project();
    let said = project.watertight(["test", "--lib", "--", "--nocapture"]).end()?;
    let ledger = said.ledger.to_string_lossy();
    assert_eq!(told(&said).get("VARIABLE WATERTIGHT_LEDGER").map(String::as_str), Some(&*ledger));
    assert!(!told(&said).contains_key("VARIABLE WATERTIGHT_RUN"), "{said}");
    assert_eq!(said.trial("tells").outcome, Outcome::Passed);
    Ok(())
}
