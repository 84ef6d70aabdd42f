//! Files and shared memory that are there for a while.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;
use watertight::{Case, Context, Failed};

use super::trap;

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("directory_in_use", directory_in_use),
        trap("file_that_is_renamed", file_that_is_renamed),
        trap("file_without_a_name", |_cx| {
            let mut file = tempfile::tempfile()?;
            file.write_all(b"text")?;
            file.seek(SeekFrom::Start(0))?;
            Ok(())
        }),
        trap("file_locked_for_a_while", |_cx| {
            let file = tempfile::NamedTempFile::new()?;
            file.as_file().lock()?;
            Ok(file.close()?)
        }),
        trap("shared_memory_unlinked", shared_memory_unlinked),
        trap("shared_memory_removed", shared_memory_removed),
    ]
}

fn directory_in_use(_cx: &Context) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    fs::create_dir_all(directory.path().join("a/b"))?;
    for number in 0..20 {
        fs::write(directory.path().join(format!("a/b/{number}")), "text")?;
    }
    assert_eq!(fs::read_dir(directory.path().join("a/b"))?.count(), 20);
    Ok(())
}

/// Written under one name, and kept under another until it is removed: as careful writers do.
fn file_that_is_renamed(_cx: &Context) -> Result<(), Failed> {
    let target = std::env::temp_dir().join(format!("traps-{}", std::process::id()));
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(b"text")?;
    file.persist(&target)?;
    assert_eq!(fs::read(&target)?, b"text");
    Ok(fs::remove_file(target)?)
}

fn shared_memory_unlinked(_cx: &Context) -> Result<(), Failed> {
    let name = format!("/traps-{}", std::process::id());
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
    let memory = shm_open(name.as_str(), flags, Mode::S_IRWXU)?;
    shm_unlink(name.as_str())?;
    drop(memory);
    Ok(())
}

fn shared_memory_removed(_cx: &Context) -> Result<(), Failed> {
    // SAFETY: three integers; the segment is not attached.
    let id = Errno::result(unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) })?;
    // SAFETY: this command takes no buffer.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_RMID, ptr::null_mut()) })?;
    Ok(())
}
