//! A process that a test starts, and what is waited for in it.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watertight::outside::{Event, Relative, Snapshot, State, Subject, events};

/// A process that ends with its test.
pub(crate) struct Planted(pub(crate) Child);

impl Planted {
    #[expect(clippy::disallowed_methods, reason = "ended and reaped on drop")]
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("it starts"))
    }

    /// A shell with a pipe for its input: `read` in the script waits for [`Planted::go`].
    pub(crate) fn script(script: &str) -> Self {
        Self::start(Command::new("sh").args(["-c", script]).stdin(Stdio::piped()))
    }

    /// One that waits for a long time.
    pub(crate) fn sleeper() -> Self {
        Self::start(Command::new("sleep").arg("600").stdin(Stdio::null()).stdout(Stdio::null()))
    }

    pub(crate) fn go(&mut self) {
        let mut input = self.0.stdin.as_ref().expect("a pipe");
        input.write_all(b"\n").expect("it reads");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).expect("it is ours");
    }

    pub(crate) fn open(&self) -> Subject {
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
pub(crate) fn until(subject: &mut Subject, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
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

pub(crate) fn is(snapshot: &Snapshot, state: State) -> bool {
    snapshot.state == Ok(state)
}

pub(crate) fn runs(snapshot: &Snapshot, command: &str) -> bool {
    is(snapshot, State::Sleeping)
        && snapshot.image.as_ref().is_ok_and(|image| image.command == command)
}

pub(crate) fn relatives(snapshot: &Snapshot) -> &[Relative] {
    &snapshot.family.value.as_ref().expect("our own").descendants
}

/// Whether a script has come to its first `read`.
pub(crate) fn waits(snapshot: &Snapshot) -> bool {
    is(snapshot, State::Sleeping) && snapshot.image.is_ok()
}

/// The events from one snapshot on, until one of them is looked for.
pub(crate) fn event(
    subject: &mut Subject,
    before: &Snapshot,
    is: impl Fn(&Event) -> bool,
) -> Vec<Event> {
    let after = until(subject, |after| events(before, after).iter().any(&is));
    events(before, &after)
}

/// Rights are a thread's, as the kernel sees them: this one gives up root's, and no other.
pub(crate) fn become_nobody() {
    const NOBODY: u32 = 65534;
    // SAFETY: the call takes plain numbers and changes the rights of this thread alone.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(result, 0);
}
