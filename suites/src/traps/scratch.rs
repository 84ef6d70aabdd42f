//! Files and shared memory that are there for a while.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::process::Command;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;
use watertight::{Case, Context, Failed};

use super::trap;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

pub(super) fn cases() -> Vec<Case> {
    vec![
        trap("directory_in_use", directory_in_use),
        trap("directory_removed_by_a_child", |_cx| {
            let directory = tempfile::tempdir()?.keep();
            fs::write(directory.join("a"), "text")?;
            let removed = Command::new("rm").arg("-r").arg(directory).status()?;
            assert!(removed.success());
            Ok(())
        }),
        trap("file_that_is_renamed", file_that_is_renamed),
        trap("files_without_number", files_without_number),
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
        trap("lock_held_for_the_process", lock_held_for_the_process),
        trap("watch_that_goes_with_its_file", watch_that_goes_with_its_file),
        trap("descriptor_replaced", descriptor_replaced),
        trap("opened_in_one_round_and_closed_in_the_next", opened_and_closed_in_turn),
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

/// More files, each gone at once, than anybody wants to remember.
fn files_without_number(_cx: &Context) -> Result<(), Failed> {
    const FILES: u32 = 20_000;
    for number in 0..FILES {
        let path = std::env::temp_dir().join(format!("traps-{}-{number}", std::process::id()));
        fs::File::create(&path)?;
        fs::remove_file(&path)?;
    }
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

/// As programs do that must be alone.
fn lock_held_for_the_process(_cx: &Context) -> Result<(), Failed> {
    static LOCKED: OnceLock<std::io::Result<File>> = OnceLock::new();
    let locked = LOCKED.get_or_init(|| {
        let file = File::open(MANIFEST)?;
        file.lock_shared()?;
        Ok(file)
    });
    locked.as_ref().map(|_| ()).map_err(|error| Failed::new(error.to_string()))
}

/// Nobody takes it away: the kernel does, when the file is deleted.
fn watch_that_goes_with_its_file(_cx: &Context) -> Result<(), Failed> {
    static INSTANCE: OnceLock<nix::Result<Inotify>> = OnceLock::new();
    let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
    let instance = INSTANCE.get_or_init(|| Inotify::init(flags)).as_ref();
    let instance = instance.map_err(|errno| *errno)?;
    let file = tempfile::NamedTempFile::new()?;
    instance.add_watch(file.path(), AddWatchFlags::IN_MODIFY)?;
    file.close()?;
    let events = instance.read_events()?;
    assert!(events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_IGNORED)));
    Ok(())
}

/// One file at a time; the number is another one in every second round.
fn descriptor_replaced(_cx: &Context) -> Result<(), Failed> {
    static CURRENT: Mutex<Option<File>> = Mutex::new(None);
    let next = File::open("/dev/null")?;
    let before = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).replace(next);
    drop(before);
    Ok(())
}

fn opened_and_closed_in_turn(_cx: &Context) -> Result<(), Failed> {
    static OPEN: Mutex<Option<File>> = Mutex::new(None);
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    *open = match open.take() {
        Some(_closed) => None,
        None => Some(File::open("/dev/null")?),
    };
    Ok(())
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
