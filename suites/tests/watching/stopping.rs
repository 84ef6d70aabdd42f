//! The watch is ended, in every way: what was seen is told, and nothing is left behind.

use std::fs;

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
        let err = run.err();
        let number = err.split_once("watching process ").and_then(|(_, rest)| rest.split_once(' '));
        pid = number.and_then(|(number, _)| number.parse().ok());
        Ok(pid.is_some() && run.out().contains("tick 3"))
    })?;
    Ok((run, pid.unwrap_or_default()))
}

fn lives(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}/stat")).unwrap_or(false)
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

/// Nobody can tell the program then: it goes on, with nobody who reads what it prints. The notes it has left
/// are swept by whoever runs next.
#[test]
fn a_watcher_that_is_killed_takes_nobody_with_it_by_force() -> Ending {
    let (mut run, pid) = run("quiet")?;
    let notes = || {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        maps.lines().find_map(|line| {
            Some(line.get(line.find('/')?..)?.to_owned()).filter(|path| path.ends_with(".region"))
        })
    };
    let region = notes();
    assert!(region.is_some(), "the agent is in it");
    kill(run.pid(), Signal::SIGKILL)?;
    run.end_input();
    wait_for("it ends with its input, or when it prints", || Ok(!lives(pid)))?;
    let said = run.end()?;
    assert_eq!(said.code, None, "{said}");
    let next = watertight(["run", "--interval", "100ms", "--", "sleep", "0.3"]).end()?;
    assert_eq!(next.code, Some(0), "{next}");
    let region = region.unwrap_or_default();
    assert!(!fs::exists(&region)?, "{region} was swept");
    Ok(())
}

#[test]
fn a_program_that_does_not_listen_is_killed_in_the_end() -> Ending {
    let script = "trap '' INT TERM HUP; while :; do sleep 0.1; done";
    let words = ["run", "--interval", "100ms", "--for", "1s", "--", "sh", "-c", script];
    let said = watertight(words).end()?;
    assert_eq!(only(&said).outcome, Outcome::Passed, "{said}");
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
