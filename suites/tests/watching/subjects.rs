//! What may happen to a watched program, or be wrong with it from the start: each is one clear sentence and the
//! right exit code, and nobody hangs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watertight_report::model::{Outcome, Verdict};
use watertight_suites::command::{Said, Started};
use watertight_suites::{Ending, wait_for};

use crate::{Place, Subject, UNSTEADY, leaks, may_become_another_user, only, watertight};

const OFTEN: [&str; 2] = ["--interval", "100ms"];
/// Nobody's.
const PID_MAX: &str = "4194304";

/// `watch` of a program.
fn watch(subject: &Subject, more: &[&str]) -> anyhow::Result<Started> {
    let started =
        watertight(["watch", &subject.pid().to_string()].iter().chain(&OFTEN).chain(more))
            .start()?;
    wait_for("it is watched", || Ok(started.out().contains("watching process")))?;
    Ok(started)
}

/// `run` of a script.
fn run(script: &str) -> anyhow::Result<Said> {
    watertight(["run"].iter().chain(&OFTEN).chain(&["--", "sh", "-c", script])).end()
}

#[track_caller]
fn assert_said(text: &str, sentences: &[&str], said: &Said) {
    for sentence in sentences {
        assert!(text.contains(sentence), "it says {sentence:?}; {said}");
    }
}

/// Signals a process that somebody of ours holds.
fn signal(pid: u32, signal: Signal) -> Ending {
    Ok(kill(Pid::from_raw(pid.cast_signed()), signal)?)
}

#[test]
fn a_program_that_is_killed() -> Ending {
    let said = run("sleep 0.3; kill -KILL $$")?;
    assert_said(&said.err, &["it has ended: killed by SIGKILL", "was killed from outside"], &said);
    assert_eq!((said.code, only(&said).outcome), (Some(128 + 9), Outcome::Killed), "{said}");

    let subject = Subject::unsteady("quiet", "1s")?;
    let watch = watch(&subject, &[])?;
    signal(subject.pid(), Signal::SIGKILL)?;
    let said = watch.end()?;
    // Before Linux 6.15 only its parent could know.
    assert_said(&said.out, &["it has ended: ", "SIGKILL"], &said);
    assert_eq!((said.code, only(&said).outcome), (Some(0), Outcome::Killed), "{said}");
    Ok(())
}

#[test]
fn a_program_that_is_suspended_and_goes_on() -> Ending {
    let subject = Subject::unsteady("files", "50ms")?;
    let watch = watch(&subject, &[])?;
    signal(subject.pid(), Signal::SIGSTOP)?;
    wait_for("that is said", || Ok(watch.out().contains("it is suspended (SIGSTOP, or Ctrl-Z)")))?;
    signal(subject.pid(), Signal::SIGCONT)?;
    wait_for("that is said", || Ok(watch.out().contains("it goes on")))?;
    signal(subject.pid(), Signal::SIGTERM)?;
    let said = watch.end()?;
    assert_said(&said.out, &["killed by SIGTERM"], &said);
    Ok(())
}

#[test]
fn a_program_that_becomes_another() -> Ending {
    let said = run("sleep 0.4; exec sleep 0.4")?;
    assert_said(
        &said.err,
        &["it runs another program now: sleep 0.4; what is counted begins anew"],
        &said,
    );
    assert_eq!((said.code, only(&said).case.as_str()), (Some(0), "sleep"), "{said}");
    Ok(())
}

#[test]
fn a_program_with_children() -> Ending {
    let said = run("sleep 0.3; sleep 0.5; exit 7")?;
    assert_said(
        &said.err,
        &["it has started process", "(sleep)", "has ended", "it has ended: exit code 7"],
        &said,
    );
    assert_eq!((said.code, only(&said).outcome), (Some(7), Outcome::Failed), "{said}");
    Ok(())
}

#[test]
fn a_program_that_gives_up_its_rights() -> Ending {
    if !may_become_another_user() {
        return Ok(());
    }
    let subject = {
        let mut command = Command::new("sh");
        command.args(["-c", "read go; exec setpriv --reuid=65534 --clear-groups sleep 100"]);
        Subject::start(command)?
    };
    let watch = watch(&subject, &[])?;
    let mut subject = subject;
    subject.end_input();
    wait_for("that is said", || {
        Ok(watch.out().contains("it has the rights of nobody (65534) now, not of root (0)"))
    })?;
    drop(subject);
    let said = watch.end()?;
    assert_said(&said.out, &["killed by SIGKILL"], &said);
    Ok(())
}

#[test]
fn a_program_that_is_not_ours_to_read() -> Ending {
    if !may_become_another_user() {
        return Ok(());
    }
    // Where another user finds it.
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
    let binary = folder.path().join("cargo-watertight");
    fs::copy(crate::binary(), &binary)?;
    let subject = Subject::unsteady("quiet", "1s")?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
    command.args(["watertight", "watch", &subject.pid().to_string(), "--for", "1s"]).args(OFTEN);
    let output =
        command.env("HOME", "/nonexistent").current_dir("/").stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let sentence = format!(
        "not all of it can be seen: process {} runs as user 0 and is not ours to read: run as that user or as root",
        subject.pid()
    );
    assert!(said.contains(&sentence), "{said}");
    // What could not be seen is not called flat.
    assert!(said.contains("could not look") && !said.contains("is flat"), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    Ok(())
}

/// Nothing is watched: one line on stderr, and code 2.
#[test]
fn what_cannot_be_watched() -> Ending {
    let zombie = Subject::start(Command::new("true"))?;
    let zombies_pid = zombie.pid();
    wait_for("it is a zombie", || {
        Ok(fs::read_to_string(format!("/proc/{zombies_pid}/stat"))?.contains(") Z "))
    })?;
    let (tid, main) = (nix::unistd::gettid().to_string(), std::process::id());
    let zombie_pid = zombies_pid.to_string();
    let cases = [
        (PID_MAX, format!("there is no process {PID_MAX}: `ps -e` lists those that run")),
        ("0", "there is no process 0: `ps -e` lists those that run".to_owned()),
        (&tid, format!("{tid} is a thread of process {main}: watch {main}")),
        (
            &zombie_pid,
            format!(
                "process {zombie_pid} (true) has ended and is a zombie until its parent, process {main}, waits for it: watch {main}"
            ),
        ),
    ];
    for (pid, sentence) in cases {
        let said = watertight(["watch", pid]).end()?;
        assert_eq!(
            (said.err.trim(), said.code),
            (&*format!("watertight: {sentence}"), Some(2)),
            "{said}"
        );
        assert_eq!((said.out.as_str(), said.has_ledger()), ("", false), "{said}");
    }
    drop(zombie);

    let name = fs::read_to_string("/proc/2/comm").unwrap_or_default();
    if name.trim() != "kthreadd" {
        println!("skipped: no thread of the kernel is seen from here");
        return Ok(());
    }
    let said = watertight(["watch", "2"]).end()?;
    let sentence = "watertight: process 2 (kthreadd) is a thread of the kernel: it holds nothing that could be watched";
    assert_eq!((said.err.trim(), said.code), (sentence, Some(2)), "{said}");
    Ok(())
}

#[test]
fn what_cannot_be_started() -> Ending {
    for (program, sentence) in [
        ("no-such-program", "there is no program no-such-program; give its path, or see PATH"),
        ("/etc/passwd", "/etc/passwd may not be executed; see its permissions (chmod +x)"),
    ] {
        let said = watertight(["run", "--", program]).end()?;
        assert_eq!(
            (said.err.trim(), said.code),
            (&*format!("watertight: {sentence}"), Some(2)),
            "{said}"
        );
    }
    Ok(())
}

/// Nothing can be said of it, and its exit code is kept.
#[test]
fn a_program_that_has_ended_before_it_is_looked_at() -> Ending {
    for (program, code) in [("true", 0), ("false", 1)] {
        let said = watertight(["run", "--fail-on-growth", "--", program]).end()?;
        assert_eq!(said.code, Some(code), "{said}");
        assert!(said.err.contains("ended"), "{said}");
    }
    Ok(())
}

/// A name that nobody else has.
fn alias(place: &Place, name: &str) -> anyhow::Result<std::path::PathBuf> {
    let path = place.path().join(name);
    symlink(UNSTEADY, &path)?;
    Ok(path)
}

#[test]
fn a_service_that_is_started_again() -> Ending {
    let place = Place::new()?;
    let name = format!("wt-{}", std::process::id());
    let path = alias(&place, &name)?;
    let start = |habit: &str, every: &str| {
        let mut command = Command::new(&path);
        command.args([habit, every]);
        Subject::start(command)
    };
    let absent = watertight(["watch", "--name", &name]).end()?;
    assert_eq!(absent.code, Some(2), "{absent}");
    assert_said(&absent.err, &[&format!("no process is called {name:?}")], &absent);

    let first = start("files", "250ms")?;
    let words = ["watch", "--name", &name, "--fail-on-growth"];
    let watch = watertight(words.iter().chain(&["--interval", "50ms"])).start()?;
    let is_open = || anyhow::Ok(fs::read_dir(format!("/proc/{}/fd", first.pid()))?.count());
    wait_for("it is watched", || Ok(watch.out().contains("watching process")))?;
    let before = is_open()?;
    wait_for("it has leaked for some time", || Ok(is_open()? >= before + 15))?;
    drop(first);
    let waits = format!("waiting for the next process called {name}; Ctrl-C ends it");
    wait_for("the next is waited for", || Ok(watch.out().contains(&waits)))?;
    let second = start("quiet", "1s")?;
    let back = format!("{name} is back as process {}; what is counted begins anew", second.pid());
    wait_for("the next is watched", || Ok(watch.out().contains(&back)))?;
    kill(watch.pid(), Signal::SIGINT)?;
    let said = watch.end()?;
    let trial = only(&said);
    assert!(
        leaks(&trial).iter().any(|leak| leak.what == "/etc/passwd"),
        "the first has leaked; {said}"
    );
    let second_is_told = trial.trends.iter().any(|it| it.pid == second.pid());
    assert!(second_is_told, "{:#?}; {said}", trial.trends);
    assert_eq!((trial.verdict, said.code), (Verdict::Leaked, Some(1)), "{said}");
    Ok(())
}

#[test]
fn two_programs_of_one_name() -> Ending {
    let place = Place::new()?;
    let name = format!("wt2-{}", std::process::id());
    let path = alias(&place, &name)?;
    let start = || {
        let mut command = Command::new(&path);
        command.args(["quiet", "1s"]);
        Subject::start(command)
    };
    let (one, other) = (start()?, start()?);
    let said = watertight(["watch", "--name", &name]).end()?;
    assert_eq!(said.code, Some(2), "{said}");
    assert_said(
        &said.err,
        &[&one.pid().to_string(), &other.pid().to_string(), "name one of them by its number"],
        &said,
    );
    Ok(())
}
