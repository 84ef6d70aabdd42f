//! Where a supervisor keeps the agent and its trials' notes, and what dead supervisors have left there.
//!
//! A directory that is ours alone, in memory where there is room. Each supervisor holds the lock of a file
//! there for its life, and names its trials' directories after it, so that what a dead one has left is known.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::FsFlags;
use nix::unistd::Uid;

use crate::agent::Agent;
use crate::probe::file::SHM;
use crate::probe::process;
use crate::run::is_blinded;
use crate::subject::next_trial;
use crate::survivor;
use crate::unedited::Program;
use crate::unedited::ends::{self, CleanEnds};

/// Free space that the shared table wants below /dev/shm: an explain run of a large heap writes some
/// tens of megabytes, and a full tmpfs would kill the measured program with SIGBUS.
const SHM_FREE_MIN: u64 = 256 << 20;

/// A supervisor's part of that directory.
pub(crate) struct Home {
    base: PathBuf,
    /// How its trials' directories are called: `trial-<pid>-<start>`.
    trials: String,
    /// Locked as long as this supervisor lives.
    _owner: File,
}

impl Home {
    /// Finds or makes the directory.
    ///
    /// # Errors
    /// A message that says what could not be written and what to set.
    pub(crate) fn open() -> Result<Self, String> {
        let base = base_directory().map_err(|error| {
            format!(
                "no private directory for the trials: {error}; set TMPDIR to one that can be written"
            )
        })?;
        let pid = std::process::id();
        let started = process::stat(pid).map(|stat| stat.started).unwrap_or(0);
        let trials = format!("trial-{pid}-{started}");
        let owner = own(&base, &trials).map_err(|error| format!("{}: {error}", base.display()))?;
        Ok(Self { base, trials, _owner: owner })
    }

    /// The agent's file, or why there is none.
    pub(crate) fn agent(&self) -> Result<Agent, String> {
        if is_blinded("agent") {
            return Err("the agent was switched off by WATERTIGHT_BLIND".to_owned());
        }
        agent_directory(&self.base).and_then(|directory| Agent::install(&directory))
    }

    /// The file of the known ends of a program's tests that keep nothing.
    pub(crate) fn clean_ends(&self, program: &Program) -> CleanEnds {
        CleanEnds::open(self.base.join(format!("{}{}", ends::NAME, program.version())))
    }

    /// A fresh directory for one trial. Its name tells later runs whose it was.
    pub(crate) fn trial_directory(&self) -> io::Result<PathBuf> {
        let directory = self.base.join(format!("{}-{}", self.trials, next_trial()));
        DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(directory)
    }

    /// Removes what dead earlier runs have left: their trials' directories, and processes of those
    /// trials that still run. Says what it did.
    pub(crate) fn sweep(&self) -> Vec<String> {
        let mut swept = Vec::new();
        let Ok(entries) = fs::read_dir(&self.base) else { return swept };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            remove_unused(&entry.path(), &name);
            if name.ends_with(OWNER_ENDING) {
                is_held(&entry.path());
            }
            let Some(owner) = trial_owner(&name) else { continue };
            if is_held(&self.base.join(format!("{owner}{OWNER_ENDING}"))) {
                continue;
            }
            swept.extend(survivor::kill_of_dead_trial(&entry.path()));
            if fs::remove_dir_all(entry.path()).is_ok() {
                swept.push(format!("the notes of a {owner} that nobody owns any more"));
            }
        }
        swept
    }

    /// Removes what only a living supervisor needs.
    pub(crate) fn leave(&self) {
        let _ = fs::remove_file(self.base.join(format!("{}{OWNER_ENDING}", self.trials)));
    }
}

/// Removes what is kept for a build, its agent or the known ends of its tests, where that is a week old.
fn remove_unused(path: &Path, name: &str) {
    const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);
    let age = fs::metadata(path)
        .and_then(|data| data.modified())
        .ok()
        .and_then(|time| time.elapsed().ok());
    if age.is_none_or(|age| age <= UNUSED) {
        return;
    }
    // What is wanted again is made again.
    let _ = match name {
        name if name.starts_with("agent-") => fs::remove_dir_all(path),
        name if name.starts_with(ends::NAME) => fs::remove_file(path),
        _ => Ok(()),
    };
}

/// Ending of the file whose lock says that a supervisor lives.
const OWNER_ENDING: &str = ".owner";

/// The owner's part of a trial directory's name, `trial-<pid>-<start>-<n>`.
fn trial_owner(name: &str) -> Option<&str> {
    name.strip_prefix("trial-")?;
    name.rsplit_once('-').map(|(owner, _)| owner).filter(|owner| owner.matches('-').count() == 2)
}

/// Makes the file that says this supervisor lives, and holds its lock. A process id would not do: another
/// run may be in another pid namespace, or see no /proc.
fn own(base: &Path, trials: &str) -> io::Result<File> {
    let path = base.join(format!("{trials}{OWNER_ENDING}"));
    loop {
        let file =
            File::options().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        file.lock()?;
        // Somebody's sweep may have removed it before it was locked.
        if fs::metadata(&path)
            .is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() == now.ino()))
        {
            return Ok(file);
        }
    }
}

/// Whether somebody holds the lock of an owner's file; one that nobody holds is removed.
fn is_held(owner: &Path) -> bool {
    let Ok(file) = File::open(owner) else { return false };
    match file.try_lock() {
        Ok(()) => {
            let _ = fs::remove_file(owner);
            false
        }
        Err(_) => true,
    }
}

/// Where the harness keeps its own files.
pub(crate) fn own_directories() -> Vec<PathBuf> {
    let parents = [PathBuf::from(SHM), std::env::temp_dir()];
    parents.iter().map(|parent| own_directory(parent)).collect()
}

fn own_directory(parent: &Path) -> PathBuf {
    parent.join(format!("watertight-{}", Uid::effective()))
}

/// A directory that only we can enter, in memory where there is room.
fn base_directory() -> io::Result<PathBuf> {
    let uid = Uid::effective().as_raw();
    let shm = Path::new(SHM);
    let roomy = nix::sys::statvfs::statvfs(shm)
        .is_ok_and(|stat| stat.blocks_available() * stat.fragment_size() >= SHM_FREE_MIN);
    let mut parents = vec![std::env::temp_dir()];
    if roomy {
        parents.insert(0, shm.to_owned());
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "there is no temporary directory");
    for parent in parents {
        let base = own_directory(&parent);
        match private(&base, uid) {
            Ok(()) => return Ok(base),
            Err(error) => {
                last = io::Error::new(error.kind(), format!("{}: {error}", base.display()))
            }
        }
    }
    Err(last)
}

/// Where the agent's file lies: with the trials, unless nothing may be executed there.
fn agent_directory(base: &Path) -> Result<PathBuf, String> {
    if !forbids_programs(base) {
        return Ok(base.to_owned());
    }
    let uid = Uid::effective().as_raw();
    let other = own_directory(&std::env::temp_dir());
    private(&other, uid).map_err(|error| format!("{}: {error}", other.display()))?;
    if forbids_programs(&other) {
        return Err(format!(
            "nothing may be executed in {} and {} (mounted noexec), so no agent can be preloaded; set TMPDIR",
            base.display(),
            other.display()
        ));
    }
    Ok(other)
}

/// Whether nothing may be executed in a directory (mounted noexec).
pub(crate) fn forbids_programs(path: &Path) -> bool {
    nix::sys::statvfs::statvfs(path).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_NOEXEC))
}

/// Makes the directory, or checks that it is ours alone: in a directory that everyone may write,
/// somebody else may have made it first.
fn private(path: &Path, uid: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let data = fs::symlink_metadata(path)?;
            if data.is_dir() && data.uid() == uid && data.mode() & 0o077 == 0 {
                return Ok(());
            }
            Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it belongs to somebody else or is open to others; remove it",
            ))
        }
        Err(error) => Err(error),
    }
}
