//! Processes that know nothing of us, looked at from outside: each test starts its own.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::{Pid, Uid, gettid};
use watertight::outside::{
    Ending, Event, Kind, OpenError, Relative, Snapshot, State, Subject, events, named,
};

/// A process that ends with its test.
struct Planted(Child);

impl Planted {
    #[expect(clippy::disallowed_methods, reason = "ended and reaped on drop")]
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("it starts"))
    }

    /// A shell with a pipe for its input: `read` in the script waits for [`Planted::go`].
    fn script(script: &str) -> Self {
        Self::start(Command::new("sh").args(["-c", script]).stdin(Stdio::piped()))
    }

    /// One that waits for a long time.
    fn sleeper() -> Self {
        Self::start(Command::new("sleep").arg("600").stdin(Stdio::null()).stdout(Stdio::null()))
    }

    fn go(&mut self) {
        let mut input = self.0.stdin.as_ref().expect("a pipe");
        input.write_all(b"\n").expect("it reads");
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).expect("it is ours");
    }

    fn open(&self) -> Subject {
        Subject::open(self.0.id()).expect("it runs")
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks until something holds, and hands over the first snapshot in which it does.
fn until(subject: &mut Subject, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let snapshot = subject.snapshot_whole();
        if holds(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < deadline, "last seen: {snapshot:#?}");
        std::thread::yield_now();
    }
}

fn is(snapshot: &Snapshot, state: State) -> bool {
    snapshot.state == Ok(state)
}

fn runs(snapshot: &Snapshot, command: &str) -> bool {
    is(snapshot, State::Sleeping)
        && snapshot.image.as_ref().is_ok_and(|image| image.command == command)
}

fn relatives(snapshot: &Snapshot) -> &[Relative] {
    &snapshot.family.value.as_ref().expect("our own").descendants
}

/// Whether a script has come to its first `read`.
fn waits(snapshot: &Snapshot) -> bool {
    is(snapshot, State::Sleeping) && snapshot.image.is_ok()
}

/// The events from one snapshot on, until one of them is looked for.
fn event(subject: &mut Subject, before: &Snapshot, is: impl Fn(&Event) -> bool) -> Vec<Event> {
    let after = until(subject, |after| events(before, after).iter().any(&is));
    events(before, &after)
}

#[test]
fn reads_all_of_a_process_that_is_ours() {
    let planted = Planted::sleeper();
    let mut subject = planted.open();
    // Its memory is read before what it runs: the first time it may still have been starting.
    until(&mut subject, |seen| runs(seen, "sleep 600"));
    let seen = until(&mut subject, |seen| runs(seen, "sleep 600"));
    assert!(subject.barred().is_none());
    assert!(seen.image.unwrap().executable.unwrap().is_absolute());
    assert_eq!(seen.user.unwrap().real, Uid::current().as_raw());
    assert_eq!(seen.threads, Ok(1));
    let held = seen.held.value.unwrap();
    assert_eq!(held.kinds.values().sum::<u64>(), seen.descriptors.unwrap());
    assert!(held.kinds[&Kind::Device] >= 2);
    let memory = seen.memory.unwrap();
    assert!(memory.resident <= memory.peak && memory.peak <= memory.mapped);
    // The kernel is exact here, and not in what is resident.
    assert!((1..=memory.mapped).contains(&seen.proportional.value.unwrap()));
    assert!(seen.mappings.value.unwrap() >= 5);
    assert!(seen.family.value.unwrap().descendants.is_empty());
    assert!(seen.limits.descriptors.unwrap() > 0 && seen.limits.mappings.unwrap() > 0);
    let (first, last) = seen.limits.ports.unwrap();
    assert!(first < last);
    let open = subject.descriptors().unwrap();
    assert!(open.iter().any(|open| open.name == "/dev/null" && open.number == 0));
}

#[test]
fn counts_sockets_by_protocol_and_state() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let mut command = Command::new("sleep");
    command.arg("600").stdin(OwnedFd::from(listener)).stdout(OwnedFd::from(client));
    let planted = Planted::start(&mut command);
    drop(command);
    let mut subject = planted.open();
    let count = |seen: &Snapshot, state: &str| {
        let sockets = seen.held.value.as_ref().map(|held| held.sockets.clone()).unwrap_or_default();
        let of = |(kind, count): (_, u64)| -> Option<u64> {
            let kind: watertight::outside::SocketKind = kind;
            (kind.protocol == "tcp" && kind.state == state).then_some(count)
        };
        sockets.into_iter().filter_map(of).sum::<u64>()
    };
    until(&mut subject, |seen| count(seen, "listen") == 1 && count(seen, "established") == 1);
    let listed = subject.descriptors().unwrap();
    assert!(listed.iter().any(|open| open.name == format!("tcp listener {address}")));
    // The peer closes: what the process keeps is a connection that it has not closed.
    drop(accepted);
    until(&mut subject, |seen| count(seen, "close_wait") == 1 && count(seen, "established") == 0);
}

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
    command.args(["--exact", "a_process_whose_first_thread_has_ended_is_read_by_another"]);
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
fn counts_children_that_nobody_waits_for() {
    let planted = Planted::script("sh -c 'exit 3' & exec sleep 603");
    let mut subject = planted.open();
    let seen = until(&mut subject, |seen| {
        runs(seen, "sleep 603")
            && seen.family.value.as_ref().is_ok_and(|family| family.zombies == 1)
    });
    assert_eq!(seen.family.value.unwrap().children, 1);
}

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
    let zombie = Snapshot::clone(&until(&mut subject, |seen| is(seen, State::Gone)));
    assert_eq!(events(&zombie, &zombie), []);
    match zombie.ending.unwrap() {
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

/// Rights are a thread's, as the kernel sees them: this one gives up root's, and no other.
fn become_nobody() {
    const NOBODY: u32 = 65534;
    // SAFETY: the call takes plain numbers and changes the rights of this thread alone.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(result, 0);
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
    let after = until(&mut subject, |seen| runs(seen, "sleep 604"));
    let seen = events(&before, &after);
    let [Event::UserChanged { from, to }, Event::Execed { .. }] = &*seen else {
        panic!("{seen:?}")
    };
    assert_eq!((from.effective, to.effective, to.real), (0, 65534, 65534));
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
