//! File locks that are never given back.
//!
//! All but the last are left on a file that is opened once, so that nothing else grows; each round takes
//! the lock again.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use nix::fcntl::{FcntlArg::F_OFD_SETLK, FcntlArg::F_SETLK, fcntl};
use nix::libc::{F_RDLCK, F_UNLCK, SEEK_SET, c_int, c_short, flock};
use watertight::Failed;
use watertight::Resource::{Fd, Lock};

use super::{Kind, MANIFEST, MANIFEST_NAME, Source, lose, source};

const SOURCE: Source = source!("locks.rs");
const LOCKED: &str = "kinds-locked";

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("flock", SOURCE, &[Lock], MANIFEST_NAME)
            .leaky(|_cx| {
                opened()?.lock_shared()?; // LEAK flock
                Ok(())
            })
            .clean(|_cx| {
                opened()?.lock_shared()?;
                Ok(opened()?.unlock()?)
            }),
        Kind::new("fcntl_lock", SOURCE, &[Lock], MANIFEST_NAME)
            .leaky(|_cx| {
                fcntl(opened()?, F_SETLK(&byte(F_RDLCK)))?; // LEAK fcntl_lock
                Ok(())
            })
            .clean(|_cx| {
                fcntl(opened()?, F_SETLK(&byte(F_RDLCK)))?;
                fcntl(opened()?, F_SETLK(&byte(F_UNLCK)))?;
                Ok(())
            }),
        Kind::new("ofd_lock", SOURCE, &[Lock], MANIFEST_NAME)
            .leaky(|_cx| {
                fcntl(opened()?, F_OFD_SETLK(&byte(F_RDLCK)))?; // LEAK ofd_lock
                Ok(())
            })
            .clean(|_cx| {
                fcntl(opened()?, F_OFD_SETLK(&byte(F_RDLCK)))?;
                fcntl(opened()?, F_OFD_SETLK(&byte(F_UNLCK)))?;
                Ok(())
            }),
        Kind::new("lock_with_file", SOURCE, &[Fd, Lock], LOCKED)
            .leaky(|_cx| {
                let directory = tempfile::tempdir()?;
                let path = directory.path().join(LOCKED);
                lose(File::create(path).and_then(|it| it.lock().map(|()| it))?); // LEAK lock_with_file
                Ok(directory.close()?)
            })
            .clean(|_cx| {
                let directory = tempfile::tempdir()?;
                let path = directory.path().join(LOCKED);
                drop(File::create(path).and_then(|it| it.lock().map(|()| it))?);
                Ok(directory.close()?)
            }),
    ]
}

/// The file, opened once for all rounds.
fn opened() -> Result<&'static File, Failed> {
    static FILE: OnceLock<io::Result<File>> = OnceLock::new();
    match FILE.get_or_init(|| File::open(MANIFEST)) {
        Ok(file) => Ok(file),
        Err(error) => Err(Failed::new(error.to_string())),
    }
}

/// Its first byte.
fn byte(kind: c_int) -> flock {
    let (l_type, l_whence) = (kind as c_short, SEEK_SET as c_short);
    flock { l_type, l_whence, l_start: 0, l_len: 1, l_pid: 0 }
}
