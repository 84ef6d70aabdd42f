//! Process state that the kernel shows: working directory, umask, blocked signals, limits.
//!
//! The link `/proc/PID/cwd`, the lines `Umask`, `SigBlk`, `SigIgn` and `SigCgt` of `/proc/PID/status` (proc(5); the mask is
//! that of the first thread, which runs the body), and prlimit(2). About 8 us; no noise. The
//! environment, and which function handles a signal, only the process itself knows: there the agent tells.

use std::fs;

/// The state of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) cwd: String,
    pub(crate) umask: u32,
    /// A bit for each blocked signal, the first for signal 1.
    pub(crate) blocked: u64,
    /// The same for signals that are ignored, and for those that a handler catches.
    pub(crate) ignored: u64,
    pub(crate) caught: u64,
    /// Soft and hard limit, by number.
    pub(crate) limits: Vec<Option<(u64, u64)>>,
}

/// Reads one process, with the text of its `status`.
pub(crate) fn state(pid: u32, status: &str) -> State {
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    let Signals { umask, blocked, ignored, caught } = parse(status);
    let limits = (0..LIMITS.len() as u32).map(|number| limit(pid, number)).collect();
    State { cwd: cwd.to_string_lossy().into_owned(), umask, blocked, ignored, caught, limits }
}

/// What `status` tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Signals {
    umask: u32,
    blocked: u64,
    ignored: u64,
    caught: u64,
}

fn parse(status: &str) -> Signals {
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let umask = value("Umask:").and_then(|text| u32::from_str_radix(text, 8).ok());
    let mask = |name: &str| value(name).and_then(|text| u64::from_str_radix(text, 16).ok());
    Signals {
        umask: umask.unwrap_or(0),
        blocked: mask("SigBlk:").unwrap_or(0),
        ignored: mask("SigIgn:").unwrap_or(0),
        caught: mask("SigCgt:").unwrap_or(0),
    }
}

impl State {
    /// How the kernel treats a signal, as far as it shows.
    pub(crate) fn disposition(&self, signal: u64) -> Disposition {
        let is_set = |mask: u64| signal.checked_sub(1).is_some_and(|at| mask >> at & 1 != 0);
        match (is_set(self.ignored), is_set(self.caught)) {
            (true, _) => Disposition::Ignored,
            (_, true) => Disposition::Caught,
            _ => Disposition::Default,
        }
    }
}

/// What becomes of a signal (signal(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Default,
    Ignored,
    Caught,
}

impl Disposition {
    /// That of a handler as sigaction(2) takes it.
    pub(crate) fn of(handler: u64) -> Self {
        match handler as usize {
            libc::SIG_DFL => Self::Default,
            libc::SIG_IGN => Self::Ignored,
            _ => Self::Caught,
        }
    }
}

/// Soft and hard limit of a process (prlimit(2)).
pub(crate) fn limit(pid: u32, number: u32) -> Option<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: prlimit(2) writes the structure; nothing is set.
    let result =
        unsafe { libc::prlimit(pid as libc::pid_t, number, std::ptr::null(), &raw mut limit) };
    (result == 0).then_some((limit.rlim_cur, limit.rlim_max))
}

/// How many descriptors a process may have: its soft limit. Where prlimit(2) is not for us, the text
/// `/proc/PID/limits` is for everyone.
pub(crate) fn descriptor_limit(pid: u32) -> Option<u64> {
    limit(pid, libc::RLIMIT_NOFILE).map(|(soft, _)| soft).or_else(|| {
        let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        soft_limit(&text, "Max open files")
    })
}

/// `Max open files            1024                 524288               files`
fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(libc::RLIM_INFINITY),
        number => number.parse().ok(),
    }
}

/// The limits by number (asm-generic/resource.h).
const LIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// A limit by its number.
pub(crate) fn limit_name(number: usize) -> &'static str {
    LIMITS.get(number).copied().unwrap_or("a resource limit")
}

/// A limit's value as shells print it.
pub(crate) fn limit_text(value: u64) -> String {
    if value == libc::RLIM_INFINITY { "unlimited".to_owned() } else { value.to_string() }
}

/// A signal by its number.
pub(crate) fn signal_name(number: u64) -> String {
    /// What libc leaves to programs begins two after the kernel's first.
    const SIGRTMIN: u64 = 34;
    match nix::sys::signal::Signal::try_from(number as i32) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) if number >= SIGRTMIN => format!("SIGRTMIN+{}", number - SIGRTMIN),
        Err(_) => format!("signal {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn umask_and_mask_are_octal_and_hexadecimal() {
        let text = "Name:\tx\nUmask:\t0027\nSigQ:\t0/1\nSigBlk:\t0000000000000a00\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000440\n";
        let signals = Signals { umask: 0o27, blocked: 0xa00, ignored: 0x1000, caught: 0x440 };
        assert_eq!(parse(text), signals);
        let state = State { ignored: 0x1000, caught: 0x440, ..State::default() };
        assert_eq!(state.disposition(13), Disposition::Ignored);
        assert_eq!(state.disposition(11), Disposition::Caught);
        assert_eq!(state.disposition(12), Disposition::Default);
    }

    #[test]
    fn reads_itself() {
        let own = std::process::id();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let state = state(own, &status);
        assert_eq!(std::path::Path::new(&state.cwd), std::env::current_dir().unwrap());
        assert!(state.limits[7].is_some_and(|(soft, _)| soft > 0));
    }

    #[test]
    fn a_limit_is_told_by_the_text_as_well() {
        let text = fs::read_to_string("/proc/self/limits").unwrap();
        let soft = limit(std::process::id(), libc::RLIMIT_NOFILE).unwrap().0;
        assert_eq!(soft_limit(&text, "Max open files"), Some(soft));
        let text = "Max pending signals       unlimited            95712                signals\n";
        assert_eq!(soft_limit(text, "Max pending signals"), Some(libc::RLIM_INFINITY));
        assert_eq!(soft_limit(text, "Max open files"), None);
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_name(10), "SIGUSR1");
        assert_eq!(signal_name(35), "SIGRTMIN+1");
    }
}
