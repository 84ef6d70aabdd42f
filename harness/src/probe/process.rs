//! Processes: children, zombies, and who a process is.
//!
//! Children: `/proc/PID/task/TID/children` of every thread (proc(5), needs CONFIG_PROC_CHILDREN; 10 us a
//! thread); without it every process's parent is looked at. Who: `stat`, `cmdline`, `cwd`, `environ`.

use std::fs;
use std::path::PathBuf;

use super::{Unavailable, read, thread};

/// A process as `/proc/PID/stat` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    /// The command's name, at most 15 bytes.
    pub(crate) name: String,
    /// `R`, `S`, `D`, `Z` ...
    pub(crate) state: char,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    /// Start in clock ticks since boot: with the id it names a process for good.
    pub(crate) started: u64,
    /// A thread of the kernel's own, with no program in it.
    pub(crate) is_kernel: bool,
    /// In the midst of an exec: the program that was is gone, and the next is not there yet.
    pub(crate) is_loading: bool,
    /// Where the stack begins: another one after an exec. 0 where the process is not ours to read.
    pub(crate) stack: u64,
    /// A zombie's status, as wait(2) gives it; 0 where the process is not ours to read.
    pub(crate) status: i32,
    /// CPU time of all its threads so far, in clock ticks: its own and the kernel's for it.
    pub(crate) cpu: u64,
}

impl Stat {
    pub(crate) fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Reads one process.
pub(crate) fn stat(pid: u32) -> Result<Stat, Unavailable> {
    stat_at(&format!("/proc/{pid}/stat"))
}

/// Reads one of its threads.
pub(crate) fn thread_stat(pid: u32, tid: u32) -> Result<Stat, Unavailable> {
    stat_at(&format!("/proc/{pid}/task/{tid}/stat"))
}

fn stat_at(path: &str) -> Result<Stat, Unavailable> {
    parse_stat(&read(path)?)
        .ok_or_else(|| Unavailable::new(format!("{path} is not as proc(5) says")))
}

/// `PID (name) S PPID PGRP ...`: the name may hold spaces and parentheses, so the last one counts.
fn parse_stat(text: &str) -> Option<Stat> {
    const FLAGS: usize = 6;
    const CPU: std::ops::Range<usize> = 11..13;
    const STARTED: usize = 19;
    const CODE: usize = 23;
    const STACK: usize = 25;
    const STATUS: usize = 49;
    /// `include/linux/sched.h`.
    const PF_KTHREAD: u64 = 0x0020_0000;
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let has_program = !matches!(fields.first()?.chars().next()?, 'Z' | 'X');
    Some(Stat {
        pid: pid.trim().parse().ok()?,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(STARTED)?.parse().ok()?,
        is_kernel: fields.get(FLAGS)?.parse::<u64>().ok()? & PF_KTHREAD != 0,
        // The loader enters code and stack together, last of all; 1 where it is not ours to read.
        is_loading: has_program && fields.get(CODE) == Some(&"0"),
        stack: fields.get(STACK).and_then(|field| field.parse().ok()).unwrap_or(0),
        status: fields.get(STATUS).and_then(|field| field.parse().ok()).unwrap_or(0),
        cpu: fields.get(CPU)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum(),
    })
}

/// Whether the process runs: neither gone nor a zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    stat(pid).is_ok_and(|stat| !stat.is_zombie())
}

/// The children of a process, zombies included.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>, Unavailable> {
    let mut children = Vec::new();
    for tid in thread::ids(pid)? {
        match read(&format!("/proc/{pid}/task/{tid}/children")) {
            Ok(text) => children
                .extend(text.split_ascii_whitespace().filter_map(|id| id.parse::<u32>().ok())),
            // The thread has ended since, or the kernel was built without the file.
            Err(_)
                if fs::exists("/proc/self/task").is_ok_and(|there| there)
                    && !has_children_files() =>
            {
                return Ok(all()
                    .into_iter()
                    .filter(|stat| stat.parent == pid)
                    .map(|stat| stat.pid)
                    .collect());
            }
            Err(_) => {}
        }
    }
    Ok(children)
}

fn has_children_files() -> bool {
    fs::exists(format!("/proc/self/task/{}/children", std::process::id())).unwrap_or(false)
}

/// Every process we may see.
pub(crate) fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| stat(entry.ok()?.file_name().to_str()?.parse().ok()?).ok()).collect()
}

/// The command line as a person types it: the program by its file name, then the arguments.
pub(crate) fn command_line(pid: u32) -> String {
    let text = read(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = text.split('\0').filter(|word| !word.is_empty());
    let Some(program) = words.next() else {
        return stat(pid).map_or_else(|_| format!("process {pid}"), |stat| stat.name);
    };
    let program = program.rsplit('/').next().unwrap_or(program);
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

/// Working directory.
pub(crate) fn cwd(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The executable's path; ` (deleted)` is part of it where the file is gone.
pub(crate) fn executable(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The environment the process was started with, as `NAME=value`.
pub(crate) fn environment(pid: u32) -> Vec<String> {
    let text = read(&format!("/proc/{pid}/environ")).unwrap_or_default();
    text.split('\0').map(str::to_owned).collect()
}

/// What names a process's network namespace: the inode behind its link.
pub(crate) fn network(pid: u32) -> Option<String> {
    Some(fs::read_link(format!("/proc/{pid}/ns/net")).ok()?.to_string_lossy().into_owned())
}

/// Age in milliseconds.
pub(crate) fn age_ms(stat: &Stat) -> Option<u64> {
    let uptime: f64 = read("/proc/uptime").ok()?.split_ascii_whitespace().next()?.parse().ok()?;
    Some(((uptime * 1000.0) as u64).saturating_sub(in_ms(stat.started)?))
}

/// Clock ticks in milliseconds.
pub(crate) fn in_ms(ticks: u64) -> Option<u64> {
    // SAFETY: sysconf has no preconditions.
    let in_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let in_second = u64::try_from(in_second).ok().filter(|ticks| *ticks > 0)?;
    Some(ticks * 1000 / in_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses_and_spaces() {
        let text = "42 (a) (b c) Z 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9001 0";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.pid, stat.name.as_str(), stat.state), (42, "a) (b c", 'Z'));
        assert_eq!((stat.parent, stat.group, stat.started), (7, 42, 9001));
        assert_eq!(stat.cpu, 5 + 6);
        assert!(!stat.is_kernel);
        assert_eq!(parse_stat("42 (cut"), None);
    }

    #[test]
    fn a_thread_of_the_kernel_and_a_zombies_status_are_told() {
        let thread = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0";
        assert!(parse_stat(thread).unwrap().is_kernel);
        let zombie = "9 (sh) Z 8 9 8 0 -1 4228364 81 0 0 0 0 0 0 0 20 0 1 0 9001 0 0 \
            18446744073709551615 0 0 140723412341 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 1792";
        let zombie = parse_stat(zombie).unwrap();
        assert_eq!((zombie.stack, zombie.status), (140723412341, 7 << 8));
        assert!(!zombie.is_loading);
    }

    #[test]
    fn a_program_that_is_being_loaded_has_no_code_yet() {
        let text =
            |code| format!("9 (sh) R 8 9 8 0 -1 0 81 0 0 0 0 0 0 0 20 0 1 0 9001 0 0 1 {code} 0 7");
        assert!(parse_stat(&text("0")).unwrap().is_loading);
        assert!(!parse_stat(&text("1")).unwrap().is_loading);
    }

    #[test]
    fn reads_itself() {
        let own = stat(std::process::id()).unwrap();
        assert!(!own.is_zombie());
        assert!(age_ms(&own).is_some());
        assert!(!command_line(own.pid).is_empty());
    }
}
