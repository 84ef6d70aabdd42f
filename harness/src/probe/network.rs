//! A process's network namespace, entered for one look.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use nix::sched::{CloneFlags, setns};

/// Looks from within the network namespace of a process: here where it is ours, else on a thread that
/// enters there (setns(2): needs CAP_SYS_ADMIN).
///
/// # Errors
/// Those of the look; EPERM where the namespace may not be entered.
pub(crate) fn within<T: Send>(
    pid: u32,
    look: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let theirs = File::open(format!("/proc/{pid}/ns/net"))?;
    if theirs.metadata()?.ino() == fs::metadata("/proc/self/ns/net")?.ino() {
        return look();
    }
    // Namespaces are a thread's: this one enters, looks and ends.
    std::thread::scope(|scope| {
        let inside = std::thread::Builder::new().spawn_scoped(scope, || {
            setns(&theirs, CloneFlags::CLONE_NEWNET)?;
            look()
        })?;
        inside.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    })
}
