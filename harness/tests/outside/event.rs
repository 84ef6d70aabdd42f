//! What becomes of a process while it lives.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use watertight::outside::{Event, Snapshot, State, Subject, events};

use crate::planted::{Planted, event, is, relatives, runs, until, waits};

#[test]
fn tells_that_a_process_was_stopped_and_goes_on() {
    let planted = Planted::sleeper();
    let mut subject = planted.open();
    let before = until(&mut subject, |seen| runs(seen, "sleep 600"));
    planted.signal(Signal::SIGSTOP);
    let stopped = until(&mut subject, |seen| is(seen, State::Suspended));
    assert_eq!(events(&before, &stopped), [Event::Suspended]);
    assert!(stopped.descriptors.is_ok(), "it is read all the same");
    planted.signal(Signal::SIGCONT);
    let seen = event(&mut subject, &stopped, |event| *event == Event::Continued);
    assert_eq!(seen, [Event::Continued]);
}

#[test]
fn tells_an_exec() {
    let mut planted = Planted::script("read line; exec sleep 601");
    let mut subject = planted.open();
    let before = until(&mut subject, waits);
    planted.go();
    let seen = event(&mut subject, &before, |event| matches!(event, Event::Execed { .. }));
    let [Event::Execed { from, to }] = &*seen else { panic!("{seen:?}") };
    assert_ne!(from.executable, to.executable);
    let after = until(&mut subject, |seen| runs(seen, "sleep 601"));
    assert_eq!(subject.pid(), planted.0.id());
    assert_eq!(after.threads, Ok(1));
}

#[test]
fn tells_an_exec_of_the_same_program_with_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("again");
    std::fs::write(&script, "read line || exit\nexec sh \"$0\"\n").unwrap();
    let mut planted = Planted::start(Command::new("sh").arg(&script).stdin(Stdio::piped()));
    let mut subject = planted.open();
    let before = until(&mut subject, waits);
    planted.go();
    let seen = event(&mut subject, &before, |event| matches!(event, Event::Execed { .. }));
    let [Event::Execed { from, to }] = &*seen else { panic!("{seen:?}") };
    assert_eq!((&from.executable, &from.command), (&to.executable, &to.command));
}

#[test]
fn tells_other_rights() {
    if !Uid::effective().is_root() {
        eprintln!("skipped: only root gives its rights away");
        return;
    }
    let mut planted =
        Planted::script("read line; exec setpriv --reuid=65534 --clear-groups sleep 604");
    let mut subject = planted.open();
    let before = until(&mut subject, waits);
    planted.go();
    // A look is not taken at one instant: the rights may be read before they change, and the program after.
    let is_nobody = |seen: &Snapshot| seen.user.as_ref().is_ok_and(|user| user.effective == 65534);
    let after = until(&mut subject, |seen| is_nobody(seen) && runs(seen, "sleep 604"));
    let seen = events(&before, &after);
    let [Event::UserChanged { from, to }, Event::Execed { .. }] = &*seen else {
        panic!("{seen:?}")
    };
    assert_eq!((from.effective, to.effective, to.real), (0, 65534, 65534));
}

#[test]
fn follows_a_descendant_that_outlives_its_parent() {
    let mut planted = Planted::script("read line; sleep 602 & read line");
    let mut subject = planted.open();
    let before = until(&mut subject, waits);
    planted.go();
    let is_sleep = |event: &Event| matches!(event, Event::Forked(_));
    event(&mut subject, &before, is_sleep);
    let before =
        until(&mut subject, |seen| relatives(seen).iter().any(|relative| relative.name == "sleep"));
    let [child] = relatives(&before) else { panic!("{before:?}") };
    assert_eq!(child.parent, planted.0.id());
    let child = Subject::open(child.pid).unwrap();
    planted.0.kill().unwrap();
    planted.0.wait().unwrap();
    let orphaned = until(&mut subject, |seen| is(seen, State::Gone));
    let left: Vec<u32> = relatives(&orphaned).iter().map(|relative| relative.pid).collect();
    assert_eq!(left, [child.pid()]);
    kill(Pid::from_raw(child.pid() as i32), Signal::SIGKILL).unwrap();
    let seen = event(&mut subject, &orphaned, |event| matches!(event, Event::DescendantEnded(_)));
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn counts_children_that_nobody_waits_for() {
    let planted = Planted::script("sh -c 'exit 3' & exec sleep 603");
    let mut subject = planted.open();
    let seen = until(&mut subject, |seen| {
        runs(seen, "sleep 603")
            && seen.family.value.as_ref().is_ok_and(|family| family.zombies == 1)
    });
    assert_eq!(seen.family.value.unwrap().children, 1);
}
