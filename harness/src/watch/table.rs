//! What a program is started with so that the lines are known which make what it holds.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::home::{self, Home};
use crate::pidfd;
use crate::probe::process;
use crate::region::{ControlMap, RegionMap};
use crate::table::{CONTROL_FILE, FLAG_FD_STACKS, FLAG_HEAP_STACKS};

/// How heap is looked at in a program that is started with the agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeapStacks {
    /// It is counted to the byte, and one block in so many bytes has its line: a few percent of the time of
    /// a program that allocates much.
    #[default]
    Sampled,
    /// Every block has its line: malloc takes many times as long.
    Every,
    /// It is counted.
    None,
}

/// One heap block in so many bytes has its line: 1.2 to 1.6 times the cost of counting alone in a loop that only
/// allocates (`suites/benches/agent.rs`).
const SAMPLED_BYTES: u64 = 32 * 1024;

/// A directory in which the agent writes its notes of one program and all that this starts.
pub struct Table {
    agent: Agent,
    directory: PathBuf,
    /// Keeps it from being taken for a dead supervisor's; none for one that is to stay.
    home: Option<Home>,
    swept: Vec<String>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Table {
    /// A fresh one, gone with the value.
    ///
    /// # Errors
    /// Why no program can be started with the agent, as a sentence fragment for a person.
    pub fn fresh(heap: HeapStacks) -> Result<Self, String> {
        let home = Home::open()?;
        let agent = home.agent()?;
        let swept = home.sweep();
        let directory = home
            .trial_directory()
            .map_err(|error| format!("no directory for the agent's notes: {error}; set TMPDIR"))?;
        prepare(&directory, heap)?;
        Ok(Self { agent, directory, home: Some(home), swept })
    }

    /// One that stays in `folder`, for programs that others start. Notes of processes that are gone are
    /// removed there.
    ///
    /// # Errors
    /// As [`Table::fresh`].
    pub fn lasting(folder: &Path, heap: HeapStacks) -> Result<Self, String> {
        let refused = |error: std::io::Error| {
            format!("{}: {error}; name another with --dir", folder.display())
        };
        match DirBuilder::new().mode(0o700).recursive(true).create(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(refused(error)),
            _ => {}
        }
        let folder = folder.canonicalize().map_err(refused)?;
        if home::forbids_programs(&folder) {
            return Err(format!(
                "nothing may be executed in {} (mounted noexec), so no agent can be loaded from there; name another with --dir",
                folder.display()
            ));
        }
        let agent = Agent::install(&folder)?;
        let directory = folder.join("notes");
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(refused(error)),
            _ => {}
        }
        for pid in RegionMap::processes(&directory) {
            if !process::is_running(pid) {
                remove_notes(&directory, pid);
            }
        }
        // What runs with the old one keeps it mapped.
        match fs::remove_file(directory.join(CONTROL_FILE)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
        prepare(&directory, heap)?;
        Ok(Self { agent, directory, home: None, swept: Vec::new() })
    }

    /// The variables that a program is to be started with.
    pub fn environment(&self) -> [(&'static str, OsString); 2] {
        self.agent.environment(&self.directory)
    }

    /// Waits until the agent has begun its notes in the program `pid` that was just started, the program ends, or
    /// so much time has passed.
    pub fn wait_for(&self, pid: u32, patience: Duration) {
        const STEP: Duration = Duration::from_millis(2);
        let deadline = Instant::now() + patience;
        let Some(pidfd) = pidfd::open(pid) else { return };
        let is_there =
            || RegionMap::paths(&self.directory).iter().any(|path| RegionMap::open(path).is_some());
        while !is_there() && !pidfd::ends_within(&pidfd, STEP) && Instant::now() < deadline {}
    }

    /// What dead earlier runs had left, and was removed or ended.
    pub fn swept(&self) -> &[String] {
        &self.swept
    }

    /// Where the notes are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            // Notes that cannot be removed are swept by the next run.
            let _ = fs::remove_dir_all(&self.directory);
            home.leave();
        }
    }
}

/// Writes the control file.
fn prepare(directory: &Path, heap: HeapStacks) -> Result<(), String> {
    let control = ControlMap::create(directory)
        .map_err(|error| format!("no notes can be kept in {}: {error}", directory.display()))?;
    let (stacks, interval) = match heap {
        HeapStacks::Sampled => (FLAG_HEAP_STACKS, SAMPLED_BYTES),
        HeapStacks::Every => (FLAG_HEAP_STACKS, 1),
        HeapStacks::None => (0, 0),
    };
    control.flags.store(FLAG_FD_STACKS | stacks, Relaxed);
    control.heap_interval.store(interval, Relaxed);
    // There are no rounds: all that is made is of one, and nothing is of the harness's own start.
    control.round.store(1, Relaxed);
    control.stage.store(crate::table::STAGE_BODY, Relaxed);
    Ok(())
}

fn remove_notes(directory: &Path, pid: u32) {
    for path in RegionMap::paths(directory) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(&format!("{pid}-")) {
            let _ = fs::remove_file(path);
        }
    }
}
