//! What a process is: its program, its user, and what it does right now.

use std::path::PathBuf;

use super::{Reading, Unavailable};
use crate::probe::process::{self, Stat};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It runs, or could.
    Running,
    /// It waits, and a signal ends that.
    Sleeping,
    /// It waits in the kernel, and nothing ends that but what it waits for.
    Blocked,
    /// It was stopped, by SIGSTOP or at a terminal.
    Suspended,
    /// A debugger holds it.
    Traced,
    /// It has ended, and its parent has not asked how.
    Zombie,
    /// It has ended.
    Gone,
}

impl State {
    /// The letter of `/proc/PID/stat` (proc_pid_stat(5)).
    pub(super) fn of(letter: char) -> Self {
        match letter {
            'R' => Self::Running,
            'D' => Self::Blocked,
            'T' => Self::Suspended,
            't' => Self::Traced,
            'Z' => Self::Zombie,
            'X' | 'x' => Self::Gone,
            // S, and I and P, which only the kernel's threads have.
            _ => Self::Sleeping,
        }
    }

    /// Whether it has ended.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Zombie | Self::Gone)
    }
}

/// The program that a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// The executable; ` (deleted)` is part of it where the file is gone or was replaced.
    pub executable: Reading<PathBuf>,
    /// The command line: the program by its file name, then the arguments. A program may write there.
    pub command: String,
    /// Where its stack begins, another place after every exec; 0 where that is not ours to read.
    pub(super) stack: u64,
}

/// A command line longer than this is cut.
const COMMAND_BYTES_MAX: usize = 4096;

/// How often one is read that is just being replaced, before it counts as what it was.
const TRIES: usize = 3;

impl Image {
    /// Reads the program; in the midst of an exec it is the one before.
    pub(super) fn read(pid: u32, last: Option<&Self>) -> Reading<Self> {
        for _ in 0..TRIES {
            let before = process::stat(pid)?;
            let image = Self::parts(&before);
            let after = process::stat(pid)?;
            if !before.is_loading && !after.is_loading && before.stack == after.stack {
                return Ok(image);
            }
        }
        let starting = || Unavailable::new(format!("process {pid} is just starting a program"));
        last.cloned().ok_or_else(starting)
    }

    fn parts(stat: &Stat) -> Self {
        let unreadable = || Unavailable::new(format!("/proc/{}/exe cannot be read", stat.pid));
        let mut command = process::command_line(stat.pid);
        cut(&mut command, COMMAND_BYTES_MAX);
        let executable = process::executable(stat.pid).ok_or_else(unreadable);
        Self { executable, command, stack: stat.stack }
    }

    /// Whether another program was started in the process since, or the same once more. A daemon that writes
    /// its title has changed its command line alone, and an update of its package has replaced its file.
    pub(super) fn was_replaced_by(&self, after: &Self) -> bool {
        if self.stack == 0 || after.stack == 0 {
            return self.command != after.command;
        }
        self.stack != after.stack || self.file() != after.file()
    }

    fn file(&self) -> Option<String> {
        let path = self.executable.as_ref().ok()?.to_string_lossy().into_owned();
        Some(path.strip_suffix(" (deleted)").map_or(path.clone(), str::to_owned))
    }
}

/// Cuts a text between two characters.
fn cut(text: &mut String, bytes_max: usize) {
    let at = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(at.unwrap_or(0));
}

/// Whose rights a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// Who started it.
    pub real: u32,
    /// Whose rights it uses.
    pub effective: u32,
}

/// `Uid: REAL EFFECTIVE SAVED FILESYSTEM` of `/proc/PID/status` (proc_pid_status(5)).
pub(super) fn user_in(status: &str) -> Option<User> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let mut numbers = line.split_ascii_whitespace().map_while(|number| number.parse().ok());
    Some(User { real: numbers.next()?, effective: numbers.next()? })
}

/// `Tgid: 7`: the process that a number belongs to.
pub(super) fn process_in(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(executable: &str, command: &str, stack: u64) -> Image {
        Image { executable: Ok(executable.into()), command: command.to_owned(), stack }
    }

    #[test]
    fn a_title_that_is_written_is_no_exec() {
        let before = image("/bin/redis", "redis --port 1", 70);
        assert!(!before.was_replaced_by(&image("/bin/redis", "redis *:1", 70)));
        assert!(!before.was_replaced_by(&image("/bin/redis (deleted)", "redis --port 1", 70)));
    }

    #[test]
    fn an_exec_of_the_same_program_is_one() {
        let before = image("/bin/nginx", "nginx", 70);
        assert!(before.was_replaced_by(&image("/bin/nginx", "nginx", 71)));
        // Without address randomisation the stack is where it was.
        assert!(before.was_replaced_by(&image("/bin/sh", "sh", 70)));
    }

    #[test]
    fn of_one_that_is_not_ours_the_command_line_tells() {
        let hidden = |command: &str| Image {
            executable: Err(Unavailable::new("no")),
            command: command.to_owned(),
            stack: 0,
        };
        assert!(hidden("a").was_replaced_by(&hidden("b")));
        assert!(!hidden("a").was_replaced_by(&hidden("a")));
    }

    #[test]
    fn status_tells_users_and_the_process() {
        let status = "Name:\tx\nTgid:\t42\nPid:\t43\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\t5\t5\n";
        assert_eq!(user_in(status), Some(User { real: 1000, effective: 0 }));
        assert_eq!(process_in(status), Some(42));
        assert_eq!(user_in("Name:\tx\n"), None);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let mut text = "aäb".to_owned();
        cut(&mut text, 2);
        assert_eq!(text, "a");
        cut(&mut text, 2);
        assert_eq!(text, "a");
    }

    #[test]
    fn letters_are_states() {
        assert_eq!(State::of('T'), State::Suspended);
        assert_eq!(State::of('t'), State::Traced);
        assert_eq!(State::of('I'), State::Sleeping);
        assert!(State::of('Z').is_over());
    }
}
