//! A supervisor that is killed leaves its trial's notes and perhaps a daemon: the next run removes both,
//! says so, and leaves the trials of living runs alone.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use watertight_suites::ledger::run;
use watertight_suites::wait_for;

/// The orphan's argument, by which it is known: a length of sleep that nobody else asks for.
const ORPHAN: &str = "86399.5";

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the orphan runs: a process with its command line that is no zombie.
fn orphans() -> usize {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let is_orphan = |path: &Path| {
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|word| word == ORPHAN.as_bytes())
    };
    processes.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_orphan(path)).count()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "`Ended` ends and reaps it")]
fn what_a_killed_run_has_left_is_removed_by_the_next() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut killed = Ended(
        Command::new(env!("CARGO_BIN_EXE_misbehaving"))
            .args(["--exact", "leaves_a_survivor_on_stdout"])
            .env("WATERTIGHT_LEDGER", folder.path().join("killed.jsonl"))
            .env("WATERTIGHT_RUN", "killed")
            .env("MISBEHAVING_SECONDS", ORPHAN)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the suite starts"),
    );
    wait_for("the trial's survivor runs", || Ok(orphans() == 1)).expect("it is started");
    killed.0.kill().expect("the supervisor is ours");
    killed.0.wait().expect("it has ended");
    assert_eq!(orphans(), 1, "nobody has ended the orphan with its run");

    let next =
        run(Command::new(env!("CARGO_BIN_EXE_leaky")).args(["--exact", "store_inline::clean"]))
            .expect("a whole ledger");
    assert_eq!(next.code, Some(0), "{}", next.output);
    wait_for("the orphan is gone", || Ok(orphans() == 0)).expect("it is ended");
    // Another run that has started meanwhile may have been faster; whoever removes it says so.
    let said = next.run.swept.join("\n");
    assert!(said.is_empty() || said.contains(ORPHAN) || said.contains("notes"), "{said}");
}
