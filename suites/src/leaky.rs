//! The leaks that crashed the original, each beside its twin: the same work, released.
//!
//! All of them misuse the tracker's public API; the tracker itself knows nothing of them. They are the
//! cases of the binaries `leaky` and `leaky-registry` (and of `leaky-daemon`, which these start), and
//! `tests/story.rs` runs those and reads their ledgers. The product has no switch for an expected leak.
//!
//! The line that creates what leaks ends with the comment `LEAK`. Where a file has several, a word
//! follows. The tests find the line by that comment.

pub mod cleanup_in_the_wrong_place;
pub mod connection_per_call;
pub mod daemon_outlives_its_test;
pub mod engine_per_tick;
pub mod engine_registry;
pub mod log_per_daemon;
pub mod session_per_call;
pub mod store_in_memory;
pub mod store_inline;
pub mod tasks_not_joined;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use watertight::{Case, Context, Failed};
use watertight_tracker::issue::NewIssue;
use watertight_tracker::paths::Workspace;
use watertight_tracker::store::Store;

/// How long a daemon may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

type Body = fn(&Context) -> Result<(), Failed>;

/// The cases of the binary `leaky`.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut twins = |name: &str, leaky: Body, clean: Body| {
        cases.push(case(format!("{name}::leaky"), leaky));
        cases.push(case(format!("{name}::clean"), clean));
    };
    twins("store_inline", store_inline::leaky, store_inline::clean);
    twins("store_in_memory", store_in_memory::leaky, store_in_memory::clean);
    twins("session_per_call", session_per_call::leaky, session_per_call::clean);
    twins("connection_per_call", connection_per_call::leaky, connection_per_call::clean);
    twins(
        "daemon_outlives_its_test",
        daemon_outlives_its_test::leaky,
        daemon_outlives_its_test::clean,
    );
    twins("log_per_daemon", log_per_daemon::leaky, log_per_daemon::clean);
    twins(
        "cleanup_after_exit",
        cleanup_in_the_wrong_place::leaky_exit,
        cleanup_in_the_wrong_place::clean,
    );
    twins(
        "cleanup_after_abort",
        cleanup_in_the_wrong_place::leaky_abort,
        cleanup_in_the_wrong_place::clean,
    );
    twins(
        "cleanup_too_late",
        cleanup_in_the_wrong_place::leaky_order,
        cleanup_in_the_wrong_place::clean,
    );
    // The daemon's ticks are the repetition; a second round would only hide a daemon that was missed.
    cases.push(case("engine_per_tick::leaky", engine_per_tick::leaky).rounds(1));
    cases.push(case("engine_per_tick::clean", engine_per_tick::clean).rounds(1));
    cases.push(tasks_not_joined::case("tasks_not_joined::leaky", false));
    cases.push(tasks_not_joined::case("tasks_not_joined::clean", true));
    cases
}

/// A case of this package, whose own source is where sites are looked for first.
pub fn case(name: impl Into<String>, body: Body) -> Case {
    Case::new(name, body).package(env!("CARGO_MANIFEST_DIR"))
}

/// A workspace in a directory of its own, removed at the end.
struct Scratch {
    /// The directory: dropped last, it takes everything with it.
    _dir: TempDir,
    workspace: Workspace,
}

impl Scratch {
    /// A workspace with an empty database.
    fn new() -> Result<Self, Failed> {
        let dir = tempfile::tempdir()?;
        let workspace = Workspace::create(dir.path())?;
        Store::open(&workspace.database())?.close()?;
        Ok(Self { _dir: dir, workspace })
    }

    fn database(&self) -> PathBuf {
        self.workspace.database()
    }
}

/// What the tests of the original did with a store: put an issue in and look at the list.
fn use_store(store: &mut Store) -> Result<(), Failed> {
    let issue = store.create(NewIssue::titled("the tap drips"))?;
    match store.list(None)?.contains(&issue) {
        true => Ok(()),
        false => Err(Failed::new("the new issue is not in the list")),
    }
}

/// The command of the daemon binary, which lies beside the one that is running.
fn daemon(verb: &str, scratch: &Scratch) -> Result<Command, Failed> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name("leaky-daemon"));
    command.arg(verb).arg(scratch.workspace.root());
    Ok(command)
}
