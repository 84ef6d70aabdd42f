//! Which processes can be looked at, and how much is seen of those that are not ours.

use std::process::{Command, Stdio};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{Uid, gettid};
use watertight::outside::{OpenError, State, Subject, named};

use crate::planted::{Planted, become_nobody, is, until};

#[test]
fn what_is_no_process_says_what_it_is() {
    assert!(matches!(Subject::open(u32::MAX), Err(OpenError::NoSuchProcess { pid: u32::MAX })));
    let thread = std::thread::spawn(|| {
        let own = gettid().as_raw() as u32;
        (own, Subject::open(own).map(|subject| subject.pid()))
    });
    match thread.join().unwrap() {
        (own, Err(OpenError::Thread { pid, process })) => {
            assert_eq!((pid, process), (own, std::process::id()));
        }
        other => panic!("{other:?}"),
    }
    match Subject::open(2) {
        Err(OpenError::KernelThread { name, .. }) => assert_eq!(name, "kthreadd"),
        // In a container it is another process, or none.
        other => eprintln!("no thread of the kernel to be seen here: {other:?}"),
    }
}

#[test]
fn one_that_is_not_ours_is_read_as_far_as_everyone_may() {
    let planted = Planted::sleeper();
    let look = move |pid: u32| {
        let mut subject = Subject::open(pid).unwrap();
        (subject.barred().cloned(), subject.snapshot_whole())
    };
    let (barred, seen) = if Uid::effective().is_root() {
        let pid = planted.0.id();
        std::thread::spawn(move || {
            become_nobody();
            look(pid)
        })
        .join()
        .unwrap()
    } else {
        look(1)
    };
    let Some(barred) = barred else {
        eprintln!("skipped: process 1 is ours");
        return;
    };
    assert!(barred.reason.contains("runs as user 0"), "{}", barred.reason);
    assert!(seen.held.value.unwrap_err().reason.contains("Permission denied"));
    assert!(seen.proportional.value.is_err() && seen.mappings.value.is_err());
    assert!(seen.threads.unwrap() >= 1);
    assert!(seen.memory.unwrap().mapped > 0);
    assert!(seen.limits.descriptors.unwrap() > 0);
    assert!(!seen.image.unwrap().command.is_empty());
}

/// Another thread lives on: that of the test, in this same program started once more.
#[test]
fn a_process_whose_first_thread_has_ended_is_read_by_another() {
    const INSIDE: &str = "WATERTIGHT_TEST_FIRST_THREAD_ENDS";
    if std::env::var_os(INSIDE).is_some() {
        end_first_thread();
        loop {
            std::thread::park();
        }
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "opening::a_process_whose_first_thread_has_ended_is_read_by_another"]);
    command.env(INSIDE, "1").stdout(Stdio::null());
    let planted = Planted::start(&mut command);
    let mut subject = planted.open();
    let first_ended = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", planted.0.id())).unwrap();
        stat.contains(") Z ")
    };
    let seen = until(&mut subject, |seen| {
        first_ended()
            && is(seen, State::Sleeping)
            && seen.descriptors.as_ref().is_ok_and(|n| *n > 0)
    });
    assert!(seen.ending.is_none());
    assert!(seen.memory.unwrap().mapped > 0);
    assert!(Subject::open(planted.0.id()).is_ok(), "it is no zombie");
}

fn end_first_thread() {
    extern "C" fn end(_signal: i32) {
        // SAFETY: the call ends the thread that runs it, and no other.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    let pid = std::process::id();
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler makes one system call. The first thread, which it ends, waits for this one and holds
    // nothing that this one needs.
    unsafe {
        sigaction(Signal::SIGUSR1, &action).expect("a signal that may be caught");
        libc::syscall(libc::SYS_tgkill, pid, pid, libc::SIGUSR1);
    }
}

#[test]
fn is_found_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let sleep = folder.path().join("outside-sleep");
    std::os::unix::fs::symlink("/bin/sleep", &sleep).unwrap();
    let planted = Planted::start(Command::new(&sleep).arg("600"));
    assert_eq!(named("outside-sleep"), [planted.0.id()]);
    assert_eq!(named("nothing-has-this-name"), [0; 0]);
}
