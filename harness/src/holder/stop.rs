//! Every thread of a process stopped at one moment, with its registers (ptrace(2)).
//!
//! A thread is seized and interrupted, and asked for its registers until it has stopped: nobody needs to be
//! waited for, so that whoever waits for the process as its parent is not in the way. The kernel takes
//! requests from the thread alone that has seized, and lets all go when that thread ends, also those that
//! would not stop: so a thread of its own does all of this (see [`super::look`]).

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::probe::{Unavailable, process, thread};
use crate::settle::Backoff;
use crate::symbol;

/// How long threads may take to stop: one that waits in the kernel without being interruptible does not.
const STOP: Duration = Duration::from_secs(2);
/// How often the list of threads is read: one that was just made was not on it.
const PASSES: usize = 8;

/// A process whose threads all stand still, until this is dropped.
pub(super) struct Stopped {
    pub(super) threads: Vec<Thread>,
}

/// One of its threads.
pub(super) struct Thread {
    pub(super) tid: u32,
    pub(super) name: String,
    /// Whether it is the process's first.
    pub(super) is_main: bool,
    pub(super) registers: Registers,
    /// The signal that it was about to be given.
    signal: Option<Signal>,
}

/// The registers of a thread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Registers {
    /// By DWARF's numbers (System V ABI for x86-64, figure 3.36): the last is the instruction pointer.
    pub(super) general: symbol::Registers,
    /// Where its thread-local storage and its control block are.
    pub(super) thread_pointer: u64,
}

impl Registers {
    pub(super) fn stack_pointer(&self) -> u64 {
        self.general[7]
    }
}

impl Stopped {
    /// Stops a process.
    pub(super) fn stop(pid: u32) -> Result<Self, Unavailable> {
        let mut stopped = Self { threads: Vec::new() };
        let mut known: Vec<u32> = Vec::new();
        let mut backoff = Backoff::new(Instant::now() + STOP);
        for _ in 0..PASSES {
            let new: Vec<u32> =
                thread::ids(pid)?.into_iter().filter(|tid| !known.contains(tid)).collect();
            if new.is_empty() {
                return match stopped.threads.is_empty() {
                    true => Err(Unavailable::new("it has ended")),
                    false => Ok(stopped),
                };
            }
            let mut seized = Vec::new();
            for tid in new {
                known.push(tid);
                match ptrace::seize(id(tid), Options::empty())
                    .and_then(|()| ptrace::interrupt(id(tid)))
                {
                    Ok(()) => seized.push(tid),
                    // The kernel does not permit to trace a thread that is about to be reaped.
                    Err(Errno::ESRCH | Errno::EPERM) if has_ended(pid, tid) => {}
                    Err(errno) => return Err(refused(errno)),
                }
            }
            for tid in seized {
                let name = thread::name(pid, tid).unwrap_or_default();
                if let Some(registers) = registers(pid, tid, &mut backoff)? {
                    let signal = pending(tid);
                    let is_main = tid == pid;
                    stopped.threads.push(Thread { tid, name, is_main, registers, signal });
                }
            }
        }
        Err(Unavailable::new("it makes threads faster than they can be stopped"))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for thread in &self.threads {
            // One that was killed meanwhile has gone.
            let _ = ptrace::detach(id(thread.tid), thread.signal);
        }
    }
}

/// A thread's registers once it has stopped; none where it has ended instead.
fn registers(pid: u32, tid: u32, backoff: &mut Backoff) -> Result<Option<Registers>, Unavailable> {
    loop {
        match read_registers(tid) {
            Ok(registers) => return Ok(Some(registers)),
            // A traced thread that has ended stays on the list until its tracer has gone.
            Err(Errno::ESRCH) if has_ended(pid, tid) => return Ok(None),
            Err(Errno::ESRCH) => {}
            Err(errno) => return Err(refused(errno)),
        }
        if !backoff.pause() {
            return Err(Unavailable::new("a thread of it did not stop (it waits in the kernel)"));
        }
    }
}

fn has_ended(pid: u32, tid: u32) -> bool {
    process::thread_stat(pid, tid).map_or(true, |stat| stat.is_zombie())
}

#[cfg(target_arch = "x86_64")]
fn read_registers(tid: u32) -> Result<Registers, Errno> {
    let now = ptrace::getregs(id(tid))?;
    Ok(Registers {
        general: [
            now.rax, now.rdx, now.rcx, now.rbx, now.rsi, now.rdi, now.rbp, now.rsp, now.r8, now.r9,
            now.r10, now.r11, now.r12, now.r13, now.r14, now.r15, now.rip,
        ],
        thread_pointer: now.fs_base,
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn read_registers(_tid: u32) -> Result<Registers, Errno> {
    Err(Errno::ENOSYS)
}

/// The signal that a thread had stopped to be given, which it must not lose.
fn pending(tid: u32) -> Option<Signal> {
    /// `include/uapi/linux/ptrace.h`: an interruption of ours, in the second byte of the code.
    const PTRACE_EVENT_STOP: i32 = 128;
    let info = ptrace::getsiginfo(id(tid)).ok()?;
    let is_ours = info.si_code >> 8 == PTRACE_EVENT_STOP;
    if is_ours { None } else { Signal::try_from(info.si_signo).ok() }
}

fn refused(errno: Errno) -> Unavailable {
    let why = match errno {
        Errno::ENOSYS => "stopping a process and reading its registers is known for x86_64 alone".to_owned(),
        Errno::EPERM => {
            "the process could not be traced (ptrace: not permitted: a debugger holds it, kernel.yama.ptrace_scope is 2 or more, or a container's seccomp profile denies it)".to_owned()
        }
        errno => format!("the process could not be traced (ptrace: {})", errno.desc()),
    };
    Unavailable::new(why)
}

fn id(tid: u32) -> Pid {
    Pid::from_raw(tid as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    use nix::sys::signal::kill;

    /// A shell that says when it is ready, and then waits for its input.
    #[expect(clippy::disallowed_methods, reason = "killed and waited for by each test")]
    fn waiting(script: &str) -> Child {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{script}; echo ready; read end")]);
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        child
    }

    fn reaches(pid: u32, states: &str) {
        let mut backoff = Backoff::new(Instant::now() + STOP);
        let is_there = || process::stat(pid).is_ok_and(|stat| states.contains(stat.state));
        while !is_there() {
            assert!(backoff.pause(), "{pid} is in {:?}", process::stat(pid).map(|stat| stat.state));
        }
    }

    #[test]
    fn a_process_stands_still_and_goes_on() {
        let mut child = waiting("true");
        let stopped = Stopped::stop(child.id()).unwrap();
        assert_eq!(process::stat(child.id()).unwrap().state, 't');
        let [thread] = stopped.threads.as_slice() else { panic!("one thread") };
        assert_eq!((thread.tid, thread.name.as_str()), (child.id(), "sh"));
        assert!(thread.registers.stack_pointer() > 0 && thread.registers.thread_pointer > 0);
        drop(stopped);
        reaches(child.id(), "SR");
        drop(child.stdin.take());
        // `read` has found the end.
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }

    /// Set in a process that makes threads which end at once, until its input ends.
    const BUSY: &str = "WATERTIGHT_TEST_BUSY";

    #[test]
    fn threads_that_come_and_go_are_not_in_the_way() {
        const TIMES: usize = 300;
        const MAKERS: usize = 4;
        if std::env::var_os(BUSY).is_some() {
            let over = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 0..MAKERS {
                    scope.spawn(|| {
                        while !over.load(std::sync::atomic::Ordering::Relaxed) {
                            drop(std::thread::spawn(|| {}));
                        }
                    });
                }
                let _ = std::io::stdin().read_line(&mut String::new());
                over.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            return;
        }
        let own = std::env::current_exe().unwrap();
        let mut busy = Command::new(own);
        busy.args(["--exact", "holder::stop::tests::threads_that_come_and_go_are_not_in_the_way"]);
        busy.env(BUSY, "1").stdin(Stdio::piped()).stdout(Stdio::null());
        #[expect(clippy::disallowed_methods, reason = "ends with its input, and is waited for")]
        let mut child = busy.spawn().unwrap();
        let mut backoff = Backoff::new(Instant::now() + STOP);
        while thread::count(child.id()).unwrap() < MAKERS as u64 + 2 {
            assert!(backoff.pause(), "it does not make threads");
        }
        for _ in 0..TIMES {
            let pid = child.id();
            // As the looker does: what has ended under it goes with it.
            let stop = std::thread::spawn(move || Stopped::stop(pid).map(|it| it.threads.len()));
            assert!(stop.join().unwrap().unwrap() > MAKERS);
        }
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_signal_that_comes_at_the_same_moment_is_not_lost() {
        const TIMES: usize = 30;
        for _ in 0..TIMES {
            let mut child = waiting("trap 'exit 7' USR1");
            let pid = child.id();
            reaches(pid, "S");
            kill(id(pid), Signal::SIGUSR1).unwrap();
            // It may have ended already.
            drop(Stopped::stop(pid));
            assert_eq!(child.wait().unwrap().code(), Some(7));
        }
    }

    #[test]
    fn what_is_not_there_or_held_by_another_cannot_be_stopped() {
        assert!(Stopped::stop(u32::MAX >> 1).is_err());
        let mut child = waiting("true");
        let stopped = Stopped::stop(child.id()).unwrap();
        let pid = child.id();
        let second = std::thread::spawn(move || Stopped::stop(pid).map(drop)).join().unwrap();
        assert!(second.unwrap_err().reason.contains("could not be traced"));
        drop(stopped);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
