//! The agent outside a trial: found where the harness puts it, switched on by a control file of ours.

use std::fs::{self, File};
use std::mem::offset_of;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The layout by which the agent and the harness understand each other, from its one definition.
#[expect(dead_code, reason = "the harness and its agent use the rest")]
#[path = "../../harness/src/table.rs"]
pub(crate) mod table;

use table::Control;

/// What the agent is asked for: `FLAG_*`, and with heap stacks of how many bytes one is taken, 0 for a stack
/// for each block.
pub(crate) type Asked = (u32, u64);

/// The agent that the harness preloads into a trial of this build.
pub(crate) struct Agent {
    pub(crate) path: PathBuf,
}

impl Agent {
    /// Asks a trial: an older build may have left its own agent beside ours.
    pub(crate) fn find() -> Self {
        let ledger = TempDir::new().expect("a directory");
        let output = Command::new(env!("CARGO_BIN_EXE_bench-trials"))
            .args(["names_its_agent", "--exact", "--nocapture"])
            .env("WATERTIGHT_LEDGER", ledger.path().join("ledger.jsonl"))
            .env_remove("WATERTIGHT_MODE")
            .output()
            .expect("the suite starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let path = text.lines().find_map(|line| line.split_once("agent: /")).map(|(_, path)| path);
        let path = path.expect("a trial with an agent (x86_64-linux-gnu only)");
        Self { path: Path::new("/").join(path) }
    }

    /// A directory like a trial's, on the file system where trials have theirs.
    pub(crate) fn table(&self, (flags, interval): Asked) -> Table<'_> {
        let base = self.path.ancestors().nth(2).expect("the agent lies below a directory");
        let directory = TempDir::with_prefix_in("bench-", base).expect("a directory");
        let file = File::create_new(directory.path().join(table::CONTROL_FILE)).expect("a file");
        file.set_len(size_of::<Control>() as u64).expect("room");
        let own = std::process::id();
        let first_round = 1_u32;
        for (offset, bytes) in [
            (offset_of!(Control, supervisor), own.to_ne_bytes()),
            (offset_of!(Control, flags), flags.to_ne_bytes()),
            // Before its body a main process gets no stacks.
            (offset_of!(Control, stage), table::STAGE_BODY.to_ne_bytes()),
            (offset_of!(Control, round), first_round.to_ne_bytes()),
        ] {
            file.write_all_at(&bytes, offset as u64).expect("room");
        }
        let at = offset_of!(Control, heap_interval) as u64;
        file.write_all_at(&interval.to_ne_bytes(), at).expect("room");
        let magic = offset_of!(Control, magic) as u64;
        file.write_all_at(&table::MAGIC.to_ne_bytes(), magic).expect("room");
        Table { agent: self, directory }
    }
}

/// What a preloaded process writes to.
pub(crate) struct Table<'a> {
    agent: &'a Agent,
    directory: TempDir,
}

impl Table<'_> {
    /// Starts `command` with the agent.
    pub(crate) fn preload(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.agent.path).env(table::ENV_TABLE, self.directory.path());
    }

    /// The region of a process that has entered; a measurement without one has measured nothing.
    pub(crate) fn region(&self) -> PathBuf {
        let entries = fs::read_dir(self.directory.path()).expect("the table's directory");
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_string_lossy().ends_with(table::REGION_ENDING))
            .expect("the process has a region: the agent was preloaded and is on")
    }
}
