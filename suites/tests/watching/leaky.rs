//! The daemon of the story, which keeps an engine at every tick: told with its line, by `run` and by `watch`.

use std::process::Command;

use tempfile::TempDir;
use watertight_report::metric;
use watertight_report::model::{Outcome, Resource, Trial, Verdict};
use watertight_report::trend::Trend;
use watertight_suites::command::{Call, Said};
use watertight_suites::ledger::{marked, resources};
use watertight_suites::{Ending, wait_for};
use watertight_tracker::paths::Workspace;
use watertight_tracker::store::Store;

use crate::{Subject, growth, leaks, only, trend, watertight};

const SOURCE: &str = "src/leaky/engine_per_tick.rs";
const TICK_S: f64 = 0.3;

/// A workspace with an empty database.
fn workspace() -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let workspace = Workspace::create(folder.path())?;
    Store::open(&workspace.database())?.close()?;
    Ok(folder)
}

fn daemon(verb: &str, workspace: &TempDir) -> Vec<String> {
    let path = workspace.path().display().to_string();
    let words = [env!("CARGO_BIN_EXE_leaky-daemon"), verb, &path, &format!("{}ms", TICK_S * 1e3)];
    words.map(str::to_owned).to_vec()
}

/// Runs the daemon, watched for some ticks.
fn run(verb: &str, workspace: &TempDir) -> anyhow::Result<Said> {
    let options =
        ["run", "--interval", "100ms", "--for", "8s", "--tick", "^tick", "--fail-on-growth"];
    let words = options.map(str::to_owned).into_iter().chain(["--".to_owned()]);
    watertight(words.chain(daemon(verb, workspace))).with_input().end()
}

/// The one finding is the line that opens the engine.
#[track_caller]
fn assert_line(trial: &Trial, said: &Said) {
    let [leak] = leaks(trial)[..] else { panic!("one finding: {:#?}\n{said}", trial.findings) };
    let source = std::fs::read_to_string(format!("{}/{SOURCE}", env!("CARGO_MANIFEST_DIR")));
    let line = marked(&source.expect("its source"), "LEAK");
    let site = leak.site.as_ref().unwrap_or_else(|| panic!("a line; {said}"));
    assert!(site.file.ends_with(SOURCE) && site.line == line, "{site:?}; {said}");
    assert!(resources(leak).contains(&Resource::Fd), "{leak:#?}");
    assert!(leak.growth >= 5, "{leak:#?}");
    let forecast = leak.forecast.as_ref().unwrap_or_else(|| panic!("a forecast: {leak:#?}"));
    assert_eq!(forecast.limit, "RLIMIT_NOFILE");
    assert_eq!((trial.verdict, trial.suite.as_str()), (Verdict::Leaked, "watch"));
}

#[test]
fn run_names_the_line_the_rhythm_and_the_limit() -> Ending {
    let workspace = workspace()?;
    let said = run("tick-leaky", &workspace)?;
    let trial = only(&said);
    assert_line(&trial, &said);
    assert_eq!(said.code, Some(1), "{said}");
    let grown = growth(trend(&trial, metric::DESCRIPTOR)).unwrap_or_else(|| panic!("{trial:#?}"));
    let is_each_tick = grown.per_tick.is_some_and(|it| it.low > 0.0 && it.value >= 0.9);
    let is_timed = grown.period.is_some_and(|it| (it.seconds / TICK_S - 1.0).abs() < 0.2);
    assert!(is_each_tick || is_timed, "{grown:?}");
    assert!(trial.rounds >= 10, "{} ticks", trial.rounds);
    assert!(said.out.starts_with("tick 1\ntick 2\n"), "what it prints goes through: {said}");

    let line =
        format!("engine_per_tick.rs:{}", leaks(&trial)[0].site.as_ref().map_or(0, |it| it.line));
    assert!(said.err.contains(&line), "{said}");
    let report = of("report", &said)?;
    assert!(report.out.contains(&line), "{report}");
    let gate = of("gate", &said)?;
    assert_eq!(gate.code, Some(1), "{gate}");
    assert!(gate.out.contains(&line), "{gate}");
    Ok(())
}

#[test]
fn run_says_nothing_of_its_twin() -> Ending {
    let workspace = workspace()?;
    let said = run("tick-clean", &workspace)?;
    let trial = only(&said);
    assert_eq!(leaks(&trial), [] as [&_; 0], "{said}");
    for metric in [metric::DESCRIPTOR, metric::THREAD, metric::HEAP_BYTES] {
        assert!(growth(trend(&trial, metric)).is_none(), "{metric}: {:?}", trend(&trial, metric));
    }
    let is_calm =
        matches!(trend(&trial, metric::THREAD), Some(Trend::Flat { level }) if *level == 1.0);
    assert!(is_calm, "{:?}", trend(&trial, metric::THREAD));
    // It was told to end, and did.
    assert_eq!((said.code, trial.outcome), (Some(0), Outcome::Passed), "{said}");
    let gate = of("gate", &said)?;
    match trial.verdict {
        Verdict::Clean => assert_eq!(gate.code, Some(0), "{gate}"),
        _ => assert!(gate.out.contains("too short to tell"), "{gate}"),
    }
    Ok(())
}

/// A verb that reads the ledger of a run.
fn of(verb: &str, said: &Said) -> anyhow::Result<Said> {
    watertight([verb]).ledger(&said.ledger).end()
}

/// `watch` of a daemon that somebody else has started.
fn watch(subject: &Subject) -> Call {
    watertight(["watch", &subject.pid().to_string(), "--interval", "100ms", "--for", "8s"])
}

#[test]
fn watch_names_the_line_where_the_program_has_the_variables() -> Ending {
    let (workspace, notes) = (workspace()?, tempfile::tempdir()?);
    let folder = notes.path().join("notes-of-the-service");
    let printed = watertight(
        ["agent", "--env", "--dir"].map(Into::into).into_iter().chain([folder.into_os_string()]),
    )
    .end()?;
    assert_eq!(printed.code, Some(0), "{printed}");
    let variables: Vec<(&str, &str)> =
        printed.out.lines().filter_map(|line| line.split_once('=')).collect();
    assert!(variables.len() >= 2, "{printed}");

    let words = daemon("tick-leaky", &workspace);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).envs(variables);
    let subject = Subject::start(command)?;
    let said = watch(&subject).end()?;
    assert_line(&only(&said), &said);
    assert!(said.out.contains("the lines are known that make what it holds"), "{said}");
    assert_eq!(said.code, Some(0), "nobody asked for another code; {said}");
    wait_for("the program goes on", || Ok(std::fs::exists(format!("/proc/{}/fd", subject.pid()))?))
}

#[test]
fn watch_says_how_to_get_a_line_where_it_has_not() -> Ending {
    let workspace = workspace()?;
    let words = daemon("tick-leaky", &workspace);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    let subject = Subject::start(command)?;
    let said = watch(&subject).end()?;
    let trial = only(&said);
    assert_eq!(trial.verdict, Verdict::Leaked, "{said}");
    let leaks = leaks(&trial);
    assert!(!leaks.is_empty() && leaks.iter().all(|leak| leak.site.is_none()), "{leaks:#?}");
    assert!(leaks.iter().any(|leak| leak.what.contains(".db")), "the file is named: {leaks:#?}");
    for hint in ["it is seen from outside, so no lines are known", "cargo watertight agent --env"] {
        assert!(said.out.contains(hint), "{hint}; {said}");
    }
    Ok(())
}
