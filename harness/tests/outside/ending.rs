//! How a process ended.

use nix::sys::signal::Signal;
use nix::unistd::Uid;
use watertight::outside::{Ending, Event, OpenError, State, Subject, events};

use crate::planted::{Planted, become_nobody, event, is, relatives, runs, until, waits};

#[test]
fn tells_how_a_process_ended_and_leaves_it_to_its_parent() {
    let mut planted = Planted::script("read line; exit 7");
    let mut subject = planted.open();
    let before = until(&mut subject, waits);
    planted.go();
    let zombie = until(&mut subject, |seen| is(seen, State::Zombie));
    assert_eq!(events(&before, &zombie), [Event::Ended(Ok(Ending::Exited(7)))]);
    assert!(zombie.descriptors.unwrap_err().reason.ends_with("has ended"));
    assert!(subject.descriptors().is_err());
    assert!(matches!(Subject::open(planted.0.id()), Err(OpenError::Zombie { .. })));
    assert_eq!(planted.0.wait().unwrap().code(), Some(7));
    let gone = until(&mut subject, |seen| is(seen, State::Gone));
    match gone.ending.unwrap() {
        Ok(ending) => assert_eq!(ending, Ending::Exited(7)),
        Err(unavailable) => assert!(unavailable.reason.contains("Linux 6.15")),
    }
}

#[test]
fn tells_the_signal_that_ended_a_process() {
    let planted = Planted::sleeper();
    let mut subject = planted.open();
    let before = subject.snapshot();
    planted.signal(Signal::SIGKILL);
    let seen = event(&mut subject, &before, |event| matches!(event, Event::Ended(_)));
    assert!(seen.contains(&Event::Ended(Ok(Ending::Killed(9)))), "{seen:?}");
    assert_eq!(subject.ending(), Some(Ok(Ending::Killed(9))));
}

#[test]
fn how_one_ended_that_is_not_ours_is_never_guessed() {
    if !Uid::effective().is_root() {
        eprintln!("skipped: only root gives its rights away");
        return;
    }
    // The child of a child, so that we are not told as its parent; it is a zombie as long as that one sleeps.
    let mut planted = Planted::script("exec 3<&0; sh -c 'read line <&3; exit 3' & exec sleep 605");
    let mut parent = planted.open();
    let seen = until(&mut parent, |seen| runs(seen, "sleep 605") && !relatives(seen).is_empty());
    let mut child = Subject::open(relatives(&seen)[0].pid).expect("it reads");
    planted.go();
    until(&mut child, |seen| is(seen, State::Zombie));
    assert_eq!(child.ending(), Some(Ok(Ending::Exited(3))));
    let ending = std::thread::spawn(move || {
        become_nobody();
        child.ending()
    });
    let ending = ending.join().unwrap().expect("it has ended");
    assert!(ending.unwrap_err().reason.contains("only its parent is told"));
}
