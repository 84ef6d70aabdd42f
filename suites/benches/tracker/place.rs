//! A workspace with issues, and the floor's database with the same ones.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use watertight_suites::Workspace;
use watertight_suites::generated::Generated;

const SEED: u64 = 6;
const SIZES: [(usize, &str); 3] = [(1_000, "1k"), (10_000, "10k"), (100_000, "100k")];

/// The size at which the bounds hold if nothing else is said.
pub(crate) const USUAL: &str = "10k";

pub(crate) const TRACKER: &str = env!("CARGO_BIN_EXE_tracker-under-test");
pub(crate) const FLOOR: &str = env!("CARGO_BIN_EXE_tracker-floor");

/// One size; filled when it is needed.
pub(crate) struct Place {
    pub(crate) issues: Generated,
    pub(crate) size: &'static str,
    filled: OnceCell<Filled>,
}

pub(crate) struct Filled {
    pub(crate) workspace: Workspace,
    /// What was imported.
    pub(crate) file: PathBuf,
    /// The floor's table of the same lines.
    pub(crate) table: PathBuf,
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn all() -> Vec<Self> {
        SIZES
            .into_iter()
            .map(|(count, size)| Self {
                issues: Generated { seed: SEED, count },
                size,
                filled: OnceCell::new(),
            })
            .collect()
    }

    pub(crate) fn filled(&self) -> &Filled {
        self.filled.get_or_init(|| {
            let dir = folder();
            let (file, table) = (dir.path().join("issues.jsonl"), dir.path().join("floor.db"));
            self.issues.write(&file).expect("the issues");
            run(Command::new(FLOOR).arg("make").arg(&table).arg(&file));
            let workspace = empty_workspace();
            run(tracker(workspace.root()).arg("import").arg(&file));
            Filled { workspace, file, table, dir }
        })
    }

    /// An issue in the middle that is open.
    pub(crate) fn id(&self) -> String {
        self.issues.id(self.issues.count / 2)
    }
}

/// A folder below cargo's target directory: /tmp may be memory, and an fsync there costs nothing.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

pub(crate) fn empty_workspace() -> Workspace {
    Workspace::inside(TRACKER, Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a workspace")
}

pub(crate) fn tracker(root: &Path) -> Command {
    let mut command = Command::new(TRACKER);
    command.arg("--dir").arg(root);
    command
}

/// Runs a command to its end, which must be a good one.
pub(crate) fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
}
