//! The exit codes of `tracker`.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failure: the disk, the database, git |
//! | 2 | wrong usage, or no workspace here |
//! | 3 | no such issue, or the id is ambiguous |
//! | 4 | a value is not valid, or a file does not parse |
//! | 5 | conflict: a dependency cycle, a second daemon, a workspace that exists |
//! | 6 | the daemon cannot be reached, or somebody holds the database or the sync lock |
//! | 130 | interrupted |

/// How a `tracker` process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The disk, the database or git failed.
    Failure = 1,
    /// Wrong usage, or no workspace here.
    Usage = 2,
    /// No such issue, or the id is ambiguous.
    NotFound = 3,
    /// A value is not valid, or a file does not parse.
    Validation = 4,
    /// A dependency cycle, a second daemon, a workspace that already exists.
    Conflict = 5,
    /// The daemon cannot be reached, or somebody holds the database or the sync lock.
    Busy = 6,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The process exit status.
    pub fn status(self) -> u8 {
        self as u8
    }

    /// The exit of a status, [`Exit::Failure`] for one that is none of ours.
    pub fn of_status(status: u8) -> Exit {
        [
            Exit::Ok,
            Exit::Usage,
            Exit::NotFound,
            Exit::Validation,
            Exit::Conflict,
            Exit::Busy,
            Exit::Interrupted,
        ]
        .into_iter()
        .find(|exit| exit.status() == status)
        .unwrap_or(Exit::Failure)
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}
