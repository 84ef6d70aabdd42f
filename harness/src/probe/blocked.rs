//! What a thread waits for: `/proc/PID/task/TID/syscall`, the system call that it is in and its arguments.
//!
//! Needs the right to trace the process, which its parent has also where yama asks for a relation
//! (proc(5), ptrace(2)). 3 us a thread, and 5 us for a time-out that lies in the process's memory. Tells a
//! thread that waits for ever from one that will wake by itself, and when: a pool's idle thread waits with a
//! time-out and then leaves.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::read;

/// What would have to happen for a thread to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Another thread of the process must wake it: a futex without a time-out.
    Inside,
    /// Something must come from elsewhere: a descriptor, a child. Also where it cannot be told.
    Outside,
    /// At most so much time must pass; none where it cannot be told how much.
    Timed(Option<Duration>),
    /// Nothing: it runs.
    No,
}

/// What a thread waits for now.
pub(crate) fn blocked(pid: u32, tid: u32) -> Blocked {
    match read(&format!("/proc/{pid}/task/{tid}/syscall")).map(|text| parse(&text)) {
        Ok(Call::Waits(blocked)) => blocked,
        Ok(Call::Until { at, absolute }) => {
            Blocked::Timed(timespec(pid, at).map(|time| match absolute {
                Some(clock) => time.saturating_sub(now(clock)),
                None => time,
            }))
        }
        Err(_) => Blocked::Outside,
    }
}

/// A system call that a thread is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Waits(Blocked),
    /// Until a `struct timespec` at this address of its memory, on this clock or from now on.
    Until {
        at: u64,
        absolute: Option<ClockId>,
    },
}

/// `NUMBER ARG1 .. ARG6 SP PC`, or `running`, or `-1 SP PC` for a wait outside of a system call.
fn parse(text: &str) -> Call {
    let mut words = text.split_ascii_whitespace();
    let Some(number) = words.next().and_then(|word| word.parse::<i64>().ok()) else {
        let runs = text.starts_with("running");
        return Call::Waits(if runs { Blocked::No } else { Blocked::Outside });
    };
    let argument = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let arguments: Vec<u64> = words.filter_map(argument).collect();
    let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
    // A time-out is a pointer that may be null, or milliseconds that may be -1.
    let until = |at: usize, for_ever: Blocked, absolute: Option<ClockId>| match argument(at) {
        0 => Call::Waits(for_ever),
        at => Call::Until { at, absolute },
    };
    let millis = |at: usize| match argument(at) as i32 {
        millis @ 0.. => Blocked::Timed(Some(Duration::from_millis(millis as u64))),
        _ => Blocked::Outside,
    };
    const FUTEX_WAIT_BITSET: u64 = libc::FUTEX_WAIT_BITSET as u64;
    const FUTEX_REALTIME: u64 = libc::FUTEX_CLOCK_REALTIME as u64;
    const FUTEX_COMMAND: u64 = libc::FUTEX_CMD_MASK as u32 as u64;
    match number {
        libc::SYS_futex => {
            // Only the newer of the two calls takes a moment; the other a span (futex(2)).
            let operation = argument(1);
            let absolute = match operation & FUTEX_COMMAND {
                FUTEX_WAIT_BITSET if operation & FUTEX_REALTIME != 0 => {
                    Some(ClockId::CLOCK_REALTIME)
                }
                FUTEX_WAIT_BITSET => Some(ClockId::CLOCK_MONOTONIC),
                _ => None,
            };
            until(3, Blocked::Inside, absolute)
        }
        libc::SYS_poll => Call::Waits(millis(2)),
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait => Call::Waits(millis(3)),
        libc::SYS_ppoll | libc::SYS_rt_sigtimedwait => until(2, Blocked::Outside, None),
        libc::SYS_epoll_pwait2 => until(3, Blocked::Outside, None),
        libc::SYS_pselect6 => until(4, Blocked::Outside, None),
        libc::SYS_select if argument(4) != 0 => Call::Waits(Blocked::Timed(None)),
        libc::SYS_nanosleep => until(0, Blocked::Outside, None),
        libc::SYS_clock_nanosleep => {
            let is_absolute = argument(1) & libc::TIMER_ABSTIME as u64 != 0;
            let clock = ClockId::from_raw(argument(0) as libc::clockid_t);
            until(2, Blocked::Outside, is_absolute.then_some(clock))
        }
        _ => Call::Waits(Blocked::Outside),
    }
}

/// A `struct timespec` in the memory of a process.
fn timespec(pid: u32, at: u64) -> Option<Duration> {
    let mut bytes = [0u8; 16];
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    memory.read_exact_at(&mut bytes, at).ok()?;
    let word = |at: usize| Some(i64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    Some(Duration::new(word(0)?.try_into().ok()?, word(8)?.try_into().ok()?))
}

fn now(clock: ClockId) -> Duration {
    clock_gettime(clock).map(Duration::from).unwrap_or_default()
}

/// How often a thread has given up its processor by itself (`voluntary_ctxt_switches` of its `status`):
/// one that waits with a time-out and wakes again and again does not leave.
pub(crate) fn pauses(pid: u32, tid: u32) -> Option<u64> {
    let status = read(&format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_tell_what_is_waited_for() {
        let millis = |millis| Call::Waits(Blocked::Timed(Some(Duration::from_millis(millis))));
        let monotonic = Some(ClockId::CLOCK_MONOTONIC);
        for (text, expected) in [
            ("202 0x7f00 0x80 0x2 0x0 0x0 0x0 0x7ffd 0x7f01", Call::Waits(Blocked::Inside)),
            (
                "202 0x7f00 0x89 0x2 0x7ffd10 0x0 0x0 0x7ffd 0x7f01",
                Call::Until { at: 0x7ffd10, absolute: monotonic },
            ),
            (
                "202 0x7f00 0x189 0x2 0x7ffd10 0x0 0x0 0x7ffd 0x7f01",
                Call::Until { at: 0x7ffd10, absolute: Some(ClockId::CLOCK_REALTIME) },
            ),
            (
                "202 0x7f00 0x80 0x2 0x7ffd10 0x0 0x0 0x7ffd 0x7f01",
                Call::Until { at: 0x7ffd10, absolute: None },
            ),
            (
                "232 0x4 0x7f00 0x400 0xffffffff 0x0 0x0 0x7ffd 0x7f01",
                Call::Waits(Blocked::Outside),
            ),
            ("232 0x4 0x7f00 0x400 0x64 0x0 0x0 0x7ffd 0x7f01", millis(100)),
            (
                "230 0x1 0x1 0x7ffd 0x0 0x0 0x0 0x7f 0x7f01",
                Call::Until { at: 0x7ffd, absolute: monotonic },
            ),
            (
                "35 0x7ffd 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f01",
                Call::Until { at: 0x7ffd, absolute: None },
            ),
            ("0 0x3 0x7f00 0x10 0x0 0x0 0x0 0x7ffd 0x7f01", Call::Waits(Blocked::Outside)),
            ("-1 0x7ffd 0x7f01", Call::Waits(Blocked::Outside)),
            ("running", Call::Waits(Blocked::No)),
            ("", Call::Waits(Blocked::Outside)),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_sleeper_tells_how_long_it_sleeps() {
        use std::sync::mpsc;
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let sleeps = std::thread::spawn(move || {
            let _ = tell.send(nix::unistd::gettid().as_raw() as u32);
            let _ = ended.recv_timeout(Duration::from_secs(3600));
        });
        let (own, tid) = (std::process::id(), told.recv().unwrap());
        let is_long = |blocked: Blocked| matches!(blocked, Blocked::Timed(Some(left)) if left > Duration::from_secs(3000) && left <= Duration::from_secs(3600));
        let mut backoff =
            crate::settle::Backoff::new(std::time::Instant::now() + crate::settle::SETTLE);
        while !is_long(blocked(own, tid)) && backoff.pause() {}
        assert!(is_long(blocked(own, tid)), "{:?}", blocked(own, tid));
        drop(end);
        sleeps.join().unwrap();
    }

    #[test]
    fn a_thread_that_waits_for_a_lock_waits_inside() {
        use std::sync::mpsc;
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let waits = std::thread::spawn(move || {
            let _ = tell.send(nix::unistd::gettid().as_raw() as u32);
            let _ = ended.recv();
        });
        let tid = told.recv().unwrap();
        let own = std::process::id();
        let mut backoff =
            crate::settle::Backoff::new(std::time::Instant::now() + crate::settle::SETTLE);
        while blocked(own, tid) != Blocked::Inside && backoff.pause() {}
        assert_eq!(blocked(own, tid), Blocked::Inside);
        assert!(pauses(own, tid).is_some());
        drop(end);
        waits.join().unwrap();
    }
}
