//! The watch is ended, in every way: what was seen is told, and nothing is left behind.

use std::fs;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use watertight_report::model::Outcome;
use watertight_suites::command::Started;
use watertight_suites::{Ending, wait_for};

use crate::{Place, Subject, UNSTEADY, only, watertight};

/// A program that `run` has started, with its number.
fn run(habit: &str) -> anyhow::Result<(Started, u32)> {
    let run = watertight(["run", "--interval", "100ms", "--", UNSTEADY, habit, "100ms"])
        .with_input()
        .start()?;
    let mut pid = None;
    wait_for("it is watched", || {
        pid = watched(&run);
        Ok(pid.is_some() && run.out().contains("tick 3"))
    })?;
    Ok((run, pid.unwrap_or_default()))
}

/// The process that it says it watches.
fn watched(run: &Started) -> Option<u32> {
    let err = run.err();
    let (_, rest) = err.split_once("watching process ")?;
    rest.split_once(' ')?.0.parse().ok()
}

/// Whether it runs: an orphan may be a zombie for a while, where nobody is in a hurry to reap it.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Ctrl-C at a terminal comes to the whole group of the command; of a service manager to itself.
#[test]
fn run_is_interrupted() -> Ending {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (run, pid) = run("children")?;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let family: Vec<u32> =
            children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        assert!(!family.is_empty(), "{signal}: it has children");
        kill(run.pid(), signal)?;
        let said = run.end()?;
        let trial = only(&said);
        assert!(said.err.contains("`unsteady` "), "{signal}: its verdict is told; {said}");
        assert!(trial.duration_ms > 0 && !said.run().run.is_empty(), "{signal}: {trial:#?}");
        assert_eq!((said.code, trial.outcome), (Some(0), Outcome::Passed), "{signal}: {said}");
        assert!(!lives(pid), "{signal}: it is ended and reaped; {said}");
        let left: Vec<&u32> = family.iter().filter(|pid| lives(**pid)).collect();
        assert!(left.is_empty(), "{signal}: {left:?} live; {said}");
    }
    Ok(())
}

/// Under nohup(1) a terminal that is closed ends nothing.
#[test]
fn a_signal_that_is_to_be_ignored_ends_nothing() -> Ending {
    let words = ["run", "--interval", "100ms", "--for", "2s", "--", UNSTEADY, "quiet", "100ms"];
    let run = watertight(words).ignoring(&[Signal::SIGHUP]).with_input().start()?;
    wait_for("it is watched", || Ok(watched(&run).is_some()))?;
    kill(run.pid(), Signal::SIGHUP)?;
    let said = run.end()?;
    assert!(only(&said).duration_ms >= 2_000, "it goes on for all of its time; {said}");
    Ok(())
}

#[test]
fn watch_is_interrupted_and_the_program_goes_on() -> Ending {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let subject = Subject::unsteady("quiet", "100ms")?;
        let watch =
            watertight(["watch", &subject.pid().to_string(), "--interval", "100ms"]).start()?;
        wait_for("it is watched", || Ok(watch.out().contains("watching process")))?;
        kill(watch.pid(), signal)?;
        let said = watch.end()?;
        assert!(said.out.contains("`unsteady` was watched for"), "{signal}: {said}");
        assert_eq!(
            (said.code, only(&said).outcome),
            (Some(0), Outcome::Passed),
            "{signal}: {said}"
        );
        assert!(lives(subject.pid()), "{signal}: nobody has told the program to end; {said}");
    }
    Ok(())
}

/// Nobody can tell the program then: it goes on, and nobody reads what it prints. The notes it leaves are swept
/// by whoever runs next.
#[test]
fn a_watcher_that_is_killed_does_not_take_the_program_with_it() -> Ending {
    let mut run = watertight(["run", "--", "cat"]).with_input().start()?;
    let mut pid = None;
    wait_for("it is watched", || {
        pid = watched(&run);
        Ok(pid.is_some())
    })?;
    let pid = pid.unwrap_or_default();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let is_region = |path: &&str| path.ends_with(".region");
    let region = maps.lines().filter_map(|line| line.get(line.find('/')?..)).find(is_region);
    let region = region.context("the agent's notes of it")?;
    kill(run.pid(), Signal::SIGKILL)?;
    wait_for("the watcher is dead", || Ok(!lives(run.pid().as_raw().unsigned_abs())))?;
    assert!(lives(pid), "the program goes on");
    run.end_input();
    wait_for("it ends with its input", || Ok(!lives(pid)))?;
    let said = run.end()?;
    assert_eq!(said.code, None, "{said}");
    assert!(fs::exists(region)?, "{region} is left");
    let next = watertight(["run", "--", "sleep", "0.3"]).end()?;
    assert_eq!(next.code, Some(0), "{next}");
    assert!(!fs::exists(region)?, "{region} was swept");
    Ok(())
}

/// Whoever asks twice means it.
#[test]
fn a_program_that_does_not_listen_is_killed_at_the_second_signal() -> Ending {
    let script = "trap '' INT TERM HUP; echo deaf; while :; do sleep 0.1; done";
    let run = watertight(["run", "--interval", "100ms", "--", "sh", "-c", script]).start()?;
    let mut pid = None;
    wait_for("it is watched", || {
        pid = watched(&run);
        Ok(pid.is_some() && run.out().contains("deaf"))
    })?;
    kill(run.pid(), Signal::SIGINT)?;
    let pid = pid.unwrap_or_default();
    let is_recorded = || Ok(fs::read_to_string(run.ledger())?.contains("\"type\":\"trial\""));
    wait_for("the record is written before the program is told", is_recorded)?;
    assert!(lives(pid), "it does not listen");
    let mut signals = 0;
    wait_for("it is killed", || {
        // One that comes before the first was served is the same.
        signals += u32::from(kill(run.pid(), Signal::SIGINT).is_ok());
        Ok(!lives(pid))
    })?;
    let said = run.end()?;
    assert!(signals > 0 && only(&said).outcome == Outcome::Passed, "{said}");
    Ok(())
}

/// What a program leaves behind is followed, and ended with the watch.
#[test]
fn what_a_program_leaves_is_followed_and_ended() -> Ending {
    let place = Place::new()?;
    let (late, early) = (place.path().join("late"), place.path().join("early"));
    let daemon = format!("{UNSTEADY} files 100ms");
    // A daemon as of old: a session of its own, and its parent gone. One at once, and one after some time.
    for (script, path) in [
        (
            format!("sleep 0.4; setsid --fork sh -c 'echo $$ > {}; exec {daemon}'", late.display()),
            &late,
        ),
        (format!("setsid --fork sh -c 'echo $$ > {}; exec {daemon}'", early.display()), &early),
    ] {
        let words = ["run", "--interval", "100ms", "--for", "6s", "--", "sh", "-c", &script];
        let said = watertight(words).with_input().end()?;
        let pid: u32 = fs::read_to_string(path)?.trim().parse()?;
        assert!(!lives(pid), "process {pid} is left; {said}");
        let trial = only(&said);
        assert!(
            trial.trends.iter().any(|it| it.pid == pid),
            "process {pid} was not followed; {said}"
        );
    }
    Ok(())
}
