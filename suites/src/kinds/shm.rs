//! Shared memory that outlives the process that made it.

use std::os::unix::process::parent_id;
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;
use watertight::Failed;
use watertight::Resource::Shm;

use super::{Kind, Source, source};

const SOURCE: Source = source!("shm.rs");
const PREFIX: &str = "kinds-shm-";
const BYTES: usize = 4096;

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("shm_posix", SOURCE, &[Shm], PREFIX)
            .leaky(|_cx| {
                let flags = OFlag::O_CREAT | OFlag::O_RDWR;
                drop(shm_open(name(parent_id()).as_str(), flags, Mode::S_IRWXU)?); // LEAK shm_posix
                Ok(())
            })
            .clean(|_cx| {
                let flags = OFlag::O_CREAT | OFlag::O_RDWR;
                let name = format!("{}-for-a-moment", name(parent_id()));
                drop(shm_open(name.as_str(), flags, Mode::S_IRWXU)?);
                Ok(shm_unlink(name.as_str())?)
            }),
        Kind::new("shm_sysv", SOURCE, &[Shm], "SysV")
            .leaky(|_cx| {
                // SAFETY: three integers; the segment is not attached.
                let id = unsafe { libc::shmget(key(parent_id()), BYTES, libc::IPC_CREAT | 0o600) }; // LEAK shm_sysv
                Errno::result(id)?;
                Ok(())
            })
            .clean(|_cx| {
                // SAFETY: three integers; the segment is not attached.
                let id = unsafe { libc::shmget(libc::IPC_PRIVATE, BYTES, 0o600) };
                remove(Errno::result(id)?)
            }),
    ]
}

/// The object of a run, by the process id of its supervisor.
fn name(supervisor: u32) -> String {
    format!("/{PREFIX}{supervisor}")
}

/// The same of System V.
fn key(supervisor: u32) -> libc::key_t {
    const KINDS: i32 = 0x4b00_0000;
    KINDS | supervisor as i32
}

fn remove(id: i32) -> Result<(), Failed> {
    // SAFETY: this command takes no buffer.
    let removed = unsafe { libc::shmctl(id, libc::IPC_RMID, ptr::null_mut()) };
    Errno::result(removed)?;
    Ok(())
}

/// Removes what the leaky ones have left on the machine, whoever else may have done so already.
/// For their supervisor.
///
/// # Errors
/// Where something is there and cannot be removed.
pub fn sweep() -> Result<(), Failed> {
    let supervisor = std::process::id();
    match shm_unlink(name(supervisor).as_str()) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    // SAFETY: three integers; it is only looked up.
    match Errno::result(unsafe { libc::shmget(key(supervisor), 0, 0) }) {
        Ok(id) => remove(id),
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
