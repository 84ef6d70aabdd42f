//! Inotify: the instance is a descriptor, a watch on it is not.

use std::path::PathBuf;
use std::sync::OnceLock;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use watertight::Resource::{Fd, InotifyWatch};
use watertight::{Context, Failed};

use super::{Kind, MANIFEST, Source, lose, source};

const SOURCE: Source = source!("inotify.rs");
const CLOSE: InitFlags = InitFlags::IN_CLOEXEC;
const CHANGES: AddWatchFlags = AddWatchFlags::IN_MODIFY;

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("inotify_instance", SOURCE, &[Fd], "inotify")
            .leaky(|_cx| {
                lose(Inotify::init(CLOSE)?); // LEAK inotify_instance
                Ok(())
            })
            .clean(|_cx| {
                let instance = Inotify::init(CLOSE)?;
                instance.add_watch(MANIFEST, CHANGES)?;
                Ok(())
            }),
        Kind::new("inotify_watch", SOURCE, &[InotifyWatch], "suites/src/kinds/")
            .leaky(|cx| {
                let file = another_file(cx)?;
                shared()?.add_watch(&file, CHANGES)?; // LEAK inotify_watch
                Ok(())
            })
            .clean(|cx| {
                let file = another_file(cx)?;
                let watch = shared()?.add_watch(&file, CHANGES)?;
                Ok(shared()?.rm_watch(watch)?)
            }),
    ]
}

/// An instance that is opened once and serves every round.
fn shared() -> Result<&'static Inotify, Failed> {
    static INSTANCE: OnceLock<nix::Result<Inotify>> = OnceLock::new();
    INSTANCE.get_or_init(|| Inotify::init(CLOSE)).as_ref().map_err(|errno| (*errno).into())
}

/// One of our own sources, another one in the next round: the same one again is no new watch.
fn another_file(cx: &Context) -> Result<PathBuf, Failed> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/kinds"))?;
    let mut files = folder.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    files.sort_unstable();
    let turn = cx.round() as usize % files.len().max(1);
    files.into_iter().nth(turn).ok_or(Failed::new("there is no file to watch"))
}
