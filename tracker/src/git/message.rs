//! Whether an editor is open for somebody's commit.
//!
//! A plain `git commit` holds no lock meanwhile, but has noted the tip: if the branch moves while
//! the message is being written, git refuses the commit once it is.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// Whether a `git commit` of this work tree waits for its message.
///
/// First by two times: a message that is newer than the last move of HEAD belongs to a commit
/// that is being made, or was given up. Which of the two, `/proc` tells: git works in the top
/// directory (proc(5), `cwd` and `comm`; processes of others, and in other containers, are not
/// seen). `/proc` is read in that rare case only.
pub(super) fn is_being_written(git_dir: &Path, top: &Path) -> bool {
    let modified = |name: &str| fs::metadata(git_dir.join(name)).and_then(|stat| stat.modified());
    let moved = modified("logs/HEAD").or_else(|_| modified("reftable/tables.list"));
    is_newer(modified("COMMIT_EDITMSG"), moved) && is_git_at_work_in(top)
}

fn is_newer(message: io::Result<SystemTime>, moved: io::Result<SystemTime>) -> bool {
    // Before the first commit of all nothing has moved yet, and a reflog can be off.
    message.is_ok_and(|message| moved.map_or(true, |moved| message > moved))
}

fn is_git_at_work_in(top: &Path) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    processes.flatten().map(|process| process.path()).any(|process| {
        // A process may end meanwhile.
        fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == top)
            && fs::read(process.join("comm")).is_ok_and(|comm| comm == b"git\n")
    })
}
