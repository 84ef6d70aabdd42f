//! File locks that are never given back.
//!
//! All but the last are left on files that are opened once: no descriptor grows, only locks do.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use nix::fcntl::{FcntlArg::F_OFD_SETLK, FcntlArg::F_SETLK, fcntl};
use nix::libc::{F_RDLCK, F_UNLCK, SEEK_SET, c_int, c_short, flock};
use watertight::Resource::{Fd, Lock};
use watertight::{Context, Failed};

use super::{Kind, MANIFEST, MANIFEST_NAME, Source, lose, source};

const SOURCE: Source = source!("locks.rs");
const LOCKED: &str = "kinds-locked";
/// A file to lock for each round that the harness may ask for.
const ROUNDS_MAX: u32 = 12;
/// Bytes from one round's range to the next: where they touch the kernel makes one of two.
const APART: i64 = 2;

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("flock", SOURCE, &[Lock], MANIFEST_NAME)
            .leaky(|cx| {
                opened(cx)?.lock_shared()?; // LEAK flock
                Ok(())
            })
            .clean(|cx| {
                opened(cx)?.lock_shared()?;
                Ok(opened(cx)?.unlock()?)
            }),
        Kind::new("fcntl_lock", SOURCE, &[Lock], MANIFEST_NAME)
            .leaky(|cx| {
                fcntl(opened(cx)?, F_SETLK(&range(cx, F_RDLCK)))?; // LEAK fcntl_lock
                Ok(())
            })
            .clean(|cx| {
                fcntl(opened(cx)?, F_SETLK(&range(cx, F_RDLCK)))?;
                fcntl(opened(cx)?, F_SETLK(&range(cx, F_UNLCK)))?;
                Ok(())
            }),
        Kind::new("ofd_lock", SOURCE, &[Lock], MANIFEST_NAME)
            .leaky(|cx| {
                fcntl(opened(cx)?, F_OFD_SETLK(&range(cx, F_RDLCK)))?; // LEAK ofd_lock
                Ok(())
            })
            .clean(|cx| {
                fcntl(opened(cx)?, F_OFD_SETLK(&range(cx, F_RDLCK)))?;
                fcntl(opened(cx)?, F_OFD_SETLK(&range(cx, F_UNLCK)))?;
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

/// The round's file, of those that are opened once and serve every round.
fn opened(cx: &Context) -> Result<&'static File, Failed> {
    static FILES: OnceLock<io::Result<Vec<File>>> = OnceLock::new();
    match FILES.get_or_init(|| (0..ROUNDS_MAX).map(|_| File::open(MANIFEST)).collect()) {
        Ok(files) => Ok(&files[(cx.round() - 1) as usize]),
        Err(error) => Err(Failed::new(error.to_string())),
    }
}

/// A byte of the file, another one in each round.
fn range(cx: &Context, kind: c_int) -> flock {
    flock {
        l_type: kind as c_short,
        l_whence: SEEK_SET as c_short,
        l_start: i64::from(cx.round()) * APART,
        l_len: 1,
        l_pid: 0,
    }
}
