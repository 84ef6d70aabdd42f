//! The configuration and the acceptance file, as a suite that leaks takes them.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use watertight_report::model::{Finding, Outcome, Resource, Status, Trial, Verdict};
use watertight_suites::ledger::{Ran, leaks, marked, run};

/// What a failed run exits with.
const RED: i32 = 101;
/// Twelve port pairs a round, made at one line.
const LEAKY: &str = "connection_per_call::leaky";
const CLEAN: &str = "connection_per_call::clean";
const SITE: &str = "leaky/connection_per_call.rs";

/// An entry for the leaky twin.
fn entry(max: u64, expires: &str) -> String {
    let line = marked(include_str!("../src/leaky/connection_per_call.rs"), "LEAK");
    format!(
        "[[accepted]]\ncase = \"{LEAKY}\"\nresource = \"time_wait\"\nsite = \"{SITE}:{line}\"\nmax = {max}\n\
         reason = \"the server closes late, issue 123\"\nexpires = \"{expires}\"\n"
    )
}

/// A folder with the two files.
fn folder(config: &str, accepted: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    write("watertight.toml", config).expect("the configuration");
    write("watertight-accepted.toml", accepted).expect("the acceptance file");
    folder
}

/// The suite's binary with the files of a folder.
fn leaky(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leaky"));
    command.env("WATERTIGHT_CONFIG", folder.join("watertight.toml"));
    command
}

/// Runs one case.
fn ran(config: &str, accepted: &str, case: &str) -> (Ran, Trial) {
    let folder = folder(config, accepted);
    let ran = run(leaky(folder.path()).args(["--exact", case])).expect("a whole ledger");
    let trial = ran.trial(case).clone();
    (ran, trial)
}

/// The one finding that is more than a step.
fn only(trial: &Trial) -> &Finding {
    let mut findings = trial.findings.iter().filter(|finding| finding.status != Status::Step);
    match (findings.next(), findings.next()) {
        (Some(finding), None) => finding,
        _ => panic!("{:#?}", trial.findings),
    }
}

#[test]
fn an_accepted_leak_is_tolerated() {
    let (ran, trial) = ran("", &entry(12, "9999-12-31"), LEAKY);
    assert_eq!((ran.code, trial.verdict), (Some(0), Verdict::Tolerated), "{}", ran.output);
    let finding = only(&trial);
    assert_eq!((finding.status, finding.resource), (Status::Accepted, Resource::TimeWait));
    let [by] = finding.accepted.as_slice() else { panic!("{:#?}", finding.accepted) };
    assert_eq!((by.line, by.expires.as_str()), (1, "9999-12-31"));
    assert!(ran.output.contains("the server closes late, issue 123"), "{}", ran.output);
    assert!(!ran.output.contains("accepted.toml:1"), "nothing is wrong with it: {}", ran.output);
}

#[test]
fn an_entry_that_is_over_accepts_nothing() {
    let (ran, trial) = ran("", &entry(12, "2020-01-01"), LEAKY);
    assert_eq!((ran.code, trial.verdict), (Some(RED), Verdict::Leaked), "{}", ran.output);
    let note = only(&trial).note.clone().unwrap_or_default();
    assert!(note.contains("until 2020-01-01"), "{note}");
    let said = "watertight-accepted.toml:1 accepted time_wait";
    assert!(ran.output.contains(said), "it is said at the end: {}", ran.output);
}

#[test]
fn a_leak_above_the_cap_is_red() {
    let (ran, trial) = ran("", &entry(10, "9999-12-31"), LEAKY);
    assert_eq!((ran.code, trial.verdict), (Some(RED), Verdict::Leaked), "{}", ran.output);
    let note = only(&trial).note.clone().unwrap_or_default();
    assert!(note.contains("accepts 10 a round, and 12 is 2 above that"), "{note}");
    assert!(ran.output.contains(&note), "{}", ran.output);
    assert!(!ran.output.contains("remove it"), "it is not unused: {}", ran.output);
}

/// A descriptor comes with the heap behind it, and that has to be accepted as well.
#[test]
fn one_entry_does_not_hide_what_comes_along() {
    let accept = |resource: &str, function: &str, max: &str| {
        format!(
            "[[accepted]]\ncase = \"leaky::store_inline::*\"\nresource = \"{resource}\"\n\
             function = \"{function}\"\nmax = {max}\nreason = \"r\"\nexpires = 9999-12-31\n"
        )
    };
    let fd = accept("fd", "store_inline::leaky", "3");
    let (red, trial) = ran("", &fd, "store_inline::leaky");
    assert_eq!((red.code, trial.verdict), (Some(RED), Verdict::Leaked), "{}", red.output);
    let leak = leaks(&trial)[0];
    assert!(leak.note.as_ref().is_some_and(|note| note.contains("its heap")), "{leak:#?}");
    let all = [
        fd,
        accept("heap", "store_inline::leaky", "\"1 MiB\""),
        accept("heap", "leaky::use_store", "\"1 MiB\""),
        accept("mapping", "store_inline::leaky", "\"32 KiB\""),
        accept("lock", "store_inline::leaky", "12"),
    ]
    .concat();
    let (green, trial) = ran("", &all, "store_inline::leaky");
    assert_eq!((green.code, trial.verdict), (Some(0), Verdict::Tolerated), "{}", green.output);
}

#[test]
fn an_entry_without_a_leak_is_said() {
    let accepted = entry(12, "9999-12-31").replace(LEAKY, CLEAN);
    let (used, trial) = ran("", &accepted, CLEAN);
    assert_eq!((used.code, trial.verdict), (Some(0), Verdict::Clean), "{}", used.output);
    let said = "watertight-accepted.toml:1 accepts time_wait of `connection_per_call::clean`";
    assert!(used.output.contains(said), "{}", used.output);
    // One that names cases that did not run proves nothing.
    let (filtered, _) = ran("", &accepted.replace(CLEAN, "connection_per_call::*"), CLEAN);
    assert_eq!(filtered.code, Some(0));
    assert!(!filtered.output.contains("remove it"), "{}", filtered.output);
}

#[test]
fn budgets_come_from_the_configuration() {
    let allow = "[profile.default.allow]\ntime_wait = 12\n";
    let (green, trial) = ran(allow, "", LEAKY);
    assert_eq!((green.code, trial.verdict), (Some(0), Verdict::Clean), "{}", green.output);
    let config = format!(
        "{allow}[[profile.default.overrides]]\ncase = \"*::clean\"\nsuite = \"leaky\"\nrss_max = \"1 KiB\"\nrounds = 1\n"
    );
    let (red, trial) = ran(&config, "", CLEAN);
    assert_eq!((red.code, trial.verdict, trial.rounds), (Some(RED), Verdict::Leaked, 1));
    assert_eq!(leaks(&trial)[0].resource, Resource::Memory, "{:#?}", trial.findings);
    assert_eq!(leaks(&trial)[0].budget, Some(1024));
}

#[test]
fn a_deadline_comes_from_the_configuration() {
    // Its set-up alone takes longer: a new database.
    let (red, trial) = ran("[profile.default]\ndeadline = \"0ms\"\n", "", "store_inline::clean");
    assert_eq!((red.code, trial.outcome), (Some(RED), Outcome::TimedOut), "{}", red.output);
}

/// How strict a run is where a probe could not look.
#[test]
fn profiles_say_what_is_strict() {
    let config = "[profile.default]\nunsettled = \"warn\"\n\
                  [profile.nightly]\nunmeasured = \"fail\"\n[profile.lenient]\n";
    let lenient_ci = "[profile.ci]\nunmeasured = \"warn\"\n";
    let lenient_here =
        "[[profile.ci.overrides]]\ncase = \"connection_per_call::*\"\nunmeasured = \"warn\"\n";
    for (config, profile, code) in [
        (config, "default", 0),
        (config, "nightly", RED),
        (config, "lenient", 0),
        (config, "ci", RED),
        (lenient_ci, "ci", 0),
        (lenient_here, "ci", 0),
    ] {
        let folder = folder(config, "");
        let mut command = leaky(folder.path());
        command.env("WATERTIGHT_BLIND", "heap").env("WATERTIGHT_PROFILE", profile);
        let ran = run(command.args(["--exact", CLEAN])).expect("a whole ledger");
        assert_eq!((ran.code, ran.trial(CLEAN).verdict), (Some(code), Verdict::Unmeasured));
        assert_eq!(ran.run.profile, profile);
    }
}

#[test]
fn an_unknown_key_is_said_once() {
    let (ran, trial) = ran("[profile.default]\ndeadlin = \"1ms\"\n", "[[acepted]]\n", CLEAN);
    assert_eq!((ran.code, trial.verdict), (Some(0), Verdict::Clean), "{}", ran.output);
    for said in [
        "watertight.toml:2:1: `profile.default.deadlin` is unknown and has no effect; did you mean `deadline`?",
        "watertight-accepted.toml:1:3: `acepted` is unknown and has no effect; did you mean `accepted`?",
    ] {
        assert_eq!(ran.output.matches(said).count(), 1, "{said}: {}", ran.output);
    }
}

/// What a run says that does not begin.
fn refused(command: &mut Command) -> String {
    let ledger = tempfile::tempdir().expect("a folder");
    let command = command.env("WATERTIGHT_LEDGER", ledger.path().join("ledger.jsonl"));
    let output = command.args(["--exact", CLEAN]).output().expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    assert!(!ledger.path().join("ledger.jsonl").exists(), "no trial ran");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_mistake_stops_the_run_and_is_said_with_its_place() {
    let (no_reason, _) =
        ("[[accepted]]\ncase = '*'\nresource = 'fd'\nsite = 'a.rs'\nmax = 1\n", ());
    for (config, accepted, profile, said) in [
        (
            "[profile.ci]\nrounds = \"3\"\n",
            "",
            "default",
            "watertight.toml:2:10: `profile.ci.rounds` must be a whole number from 1; it is the text \"3\"",
        ),
        ("", no_reason, "default", "watertight-accepted.toml:1:1: `accepted[0]` has no `reason`"),
        (
            "[profile.nightly]\n",
            "",
            "nightli",
            "WATERTIGHT_PROFILE=nightli is unknown; use ci, default, nightly, or define [profile.nightli] in",
        ),
    ] {
        let folder = folder(config, accepted);
        let output = refused(leaky(folder.path()).env("WATERTIGHT_PROFILE", profile));
        assert!(output.contains(said), "{said}: {output}");
    }
    let nowhere = Path::new("/nonexistent");
    let output = refused(leaky(nowhere).env("WATERTIGHT_PROFILE", ""));
    assert!(output.contains("WATERTIGHT_CONFIG names /nonexistent/watertight.toml"), "{output}");
}

/// Without WATERTIGHT_CONFIG the files are looked for from the package up to the workspace's root.
#[test]
fn the_files_are_found_from_the_package_upward() {
    let root = tempfile::tempdir().expect("a folder");
    let (package, config) = (root.path().join("crates/a"), root.path().join(".config"));
    for folder in [&package, &config] {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    std::fs::write(root.path().join("Cargo.lock"), "").expect("a root");
    std::fs::write(config.join("watertight.toml"), "[profile.mine]\n").expect("the configuration");
    std::fs::write(config.join("watertight-accepted.toml"), entry(12, "9999-12-31"))
        .expect("the acceptance file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_leaky"));
    command.current_dir(&package).env("CARGO_MANIFEST_DIR", &package);
    let ran = run(command.env("WATERTIGHT_PROFILE", "mine").args(["--exact", LEAKY]))
        .expect("a whole ledger");
    assert_eq!(
        (ran.code, ran.trial(LEAKY).verdict),
        (Some(0), Verdict::Tolerated),
        "{}",
        ran.output
    );
    assert_eq!(ran.run.profile, "mine");
}

/// `watertight::main!(allow(fd = 1), ...)`
#[test]
fn a_suite_declares_for_its_cases() {
    let folder = folder("", "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_declared"));
    command.env("WATERTIGHT_CONFIG", folder.path().join("watertight.toml"));
    let ran = run(&mut command).expect("a whole ledger");
    for (case, verdict) in
        [("within_the_suites_budget", Verdict::Tolerated), ("over_its_own", Verdict::Leaked)]
    {
        let trial = ran.trial(case);
        assert_eq!((trial.verdict, trial.rounds), (verdict, 3), "{case}: {}", ran.output);
    }
}

/// The two examples in the README are what the binary reads.
#[test]
fn the_readme_is_right() {
    let readme = include_str!("../../README.md");
    let examples: Vec<&str> = readme
        .split("```toml\n#:schema")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('\n')?.1.split_once("```")?.0))
        .collect();
    let [config, accepted] = examples.as_slice() else { panic!("{examples:#?}") };
    let accepted = accepted.replace("store::*", CLEAN).replace("2027-06-30", "9999-12-31");
    let (ran, trial) = ran(config, &accepted, CLEAN);
    assert_eq!((ran.code, trial.verdict), (Some(0), Verdict::Clean), "{}", ran.output);
    assert!(!ran.output.contains("unknown"), "{}", ran.output);
    let said = format!("accepts fd of `{CLEAN}`, and nothing of it leaks");
    assert!(ran.output.contains(&said), "it was read: {}", ran.output);
}
