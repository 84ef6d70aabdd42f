//! The embedded agent, and how it reaches a process: a file in a private directory, named in `LD_PRELOAD`.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::table::ENV_TABLE;

include!(concat!(env!("OUT_DIR"), "/agent_build.rs"));

/// The agent as `build.rs` has compiled it; empty where it could not.
const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent.bin"));
/// The agent knows its own entry in `LD_PRELOAD` by this name.
const OBJECT_NAME: &str = "watertight-agent.so";

/// The agent as a file that a process can be started with.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    path: PathBuf,
}

impl Agent {
    /// Writes the agent below `base`, or finds it there unchanged.
    ///
    /// # Errors
    /// Gives the reason why no process can be preloaded, as a sentence fragment for a person.
    pub(crate) fn install(base: &Path) -> Result<Self, String> {
        if OBJECT.is_empty() {
            return Err(UNAVAILABLE.to_owned());
        }
        if sanitized() {
            return Err(
                "the program is built with a sanitizer, which must be preloaded first".to_owned()
            );
        }
        let text = base.to_string_lossy();
        if text.contains([' ', ':']) {
            return Err(format!(
                "the directory {text:?} has a space or colon in its name, which LD_PRELOAD cannot carry; take another (TMPDIR, or --dir)"
            ));
        }
        let directory = base.join(format!("agent-{:016x}", FINGERPRINT));
        let path = directory.join(OBJECT_NAME);
        if !is_intact(&path) {
            write(&directory, &path).map_err(|error| {
                format!("the agent could not be written to {}: {error}", path.display())
            })?;
        }
        Ok(Self { path })
    }

    /// The environment that starts a process measured, with its notes in `directory`.
    pub(crate) fn environment(&self, directory: &Path) -> [(&'static str, std::ffi::OsString); 2] {
        let mut preload = self.path.clone().into_os_string();
        if let Some(foreign) = std::env::var_os("LD_PRELOAD").filter(|value| !value.is_empty()) {
            preload.push(":");
            preload.push(foreign);
        }
        [("LD_PRELOAD", preload), (ENV_TABLE, directory.into())]
    }
}

/// Whether a sanitizer's runtime is in this process (and so in its children).
fn sanitized() -> bool {
    [c"__asan_init", c"__tsan_init", c"__msan_init"].iter().any(|name| {
        // SAFETY: dlsym takes any name that ends with NUL.
        !unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.is_null()
    })
}

/// Whether the file holds exactly our object and belongs to us.
fn is_intact(path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    // SAFETY: geteuid has no failure.
    let own = file.metadata().is_ok_and(|data| data.uid() == unsafe { libc::geteuid() });
    let mut content = Vec::with_capacity(OBJECT.len());
    own && file.read_to_end(&mut content).is_ok() && content == OBJECT
}

/// Writes the object beside its place and renames it there, so that nobody ever loads half of it.
fn write(directory: &Path, path: &Path) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(directory)?;
    // Under a name of its own: other processes and threads may write it just now.
    let mode = Permissions::from_mode(0o500);
    let mut file =
        tempfile::Builder::new().prefix(OBJECT_NAME).permissions(mode).tempfile_in(directory)?;
    file.write_all(OBJECT)?;
    file.persist(path)?;
    Ok(())
}
