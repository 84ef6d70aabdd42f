//! What a thread waits for: `/proc/PID/task/TID/syscall`, the system call that it is in and its arguments.
//!
//! Needs the right to trace the process, which its parent has also where yama asks for a relation
//! (proc(5), ptrace(2)). 3 us a thread. Tells a thread that waits for ever from one that will wake by
//! itself: a pool's idle thread waits with a time-out and then leaves.

use super::read;

/// What would have to happen for a thread to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Another thread of the process must wake it: a futex without a time-out.
    Inside,
    /// Something must come from elsewhere: a descriptor, a child. Also where it cannot be told.
    Outside,
    /// Time must pass.
    Timed,
    /// Nothing: it runs.
    No,
}

/// What a thread waits for now.
pub(crate) fn blocked(pid: u32, tid: u32) -> Blocked {
    match read(&format!("/proc/{pid}/task/{tid}/syscall")) {
        Ok(text) => parse(&text),
        Err(_) => Blocked::Outside,
    }
}

/// `NUMBER ARG1 .. ARG6 SP PC`, or `running`, or `-1 SP PC` for a wait outside of a system call.
fn parse(text: &str) -> Blocked {
    let mut words = text.split_ascii_whitespace();
    let Some(number) = words.next().and_then(|word| word.parse::<i64>().ok()) else {
        return if text.starts_with("running") { Blocked::No } else { Blocked::Outside };
    };
    let argument = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let arguments: Vec<u64> = words.filter_map(argument).collect();
    let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
    // A time-out is a pointer that may be null, or milliseconds that may be -1.
    let by_pointer =
        |at: usize, for_ever| if argument(at) == 0 { for_ever } else { Blocked::Timed };
    let by_millis = |at: usize| {
        if (argument(at) as i32) < 0 { Blocked::Outside } else { Blocked::Timed }
    };
    match number {
        libc::SYS_futex => by_pointer(3, Blocked::Inside),
        libc::SYS_poll => by_millis(2),
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait => by_millis(3),
        libc::SYS_ppoll => by_pointer(2, Blocked::Outside),
        libc::SYS_epoll_pwait2 => by_pointer(3, Blocked::Outside),
        libc::SYS_select | libc::SYS_pselect6 => by_pointer(4, Blocked::Outside),
        libc::SYS_rt_sigtimedwait => by_pointer(2, Blocked::Outside),
        libc::SYS_nanosleep | libc::SYS_clock_nanosleep => Blocked::Timed,
        _ => Blocked::Outside,
    }
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
        for (text, expected) in [
            ("202 0x7f00 0x80 0x2 0x0 0x0 0x0 0x7ffd 0x7f01", Blocked::Inside),
            ("202 0x7f00 0x189 0x2 0x7ffd10 0x0 0x0 0x7ffd 0x7f01", Blocked::Timed),
            ("232 0x4 0x7f00 0x400 0xffffffff 0x0 0x0 0x7ffd 0x7f01", Blocked::Outside),
            ("232 0x4 0x7f00 0x400 0x64 0x0 0x0 0x7ffd 0x7f01", Blocked::Timed),
            ("230 0x0 0x0 0x7ffd 0x0 0x0 0x0 0x7ffd 0x7f01", Blocked::Timed),
            ("0 0x3 0x7f00 0x10 0x0 0x0 0x0 0x7ffd 0x7f01", Blocked::Outside),
            ("-1 0x7ffd 0x7f01", Blocked::Outside),
            ("running", Blocked::No),
            ("", Blocked::Outside),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
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
