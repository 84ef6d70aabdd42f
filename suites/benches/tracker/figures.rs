//! What has no floor: memory, an idle tick, the growth of a repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use watertight_suites::dice::Dice;
use watertight_suites::{Daemon, Workspace, wait_for};
use watertight_tracker::client::Client;

use crate::Benches;
use crate::in_turn::shown;
use crate::place::{FLOOR, Place, TRACKER, USUAL, empty_workspace, run, tracker};

/// Peak RSS of an import of 100,000 issues.
const IMPORT_RSS_MAX: u64 = 64 << 20;
/// What a larger export may take more than a smaller one: pages come and go.
const EXPORT_RSS_MORE_MAX: u64 = 2 << 20;

/// An idle daemon is watched for so many ticks at least.
const TICKS: u64 = 200;
const INTERVAL: &str = "10ms";
/// CPU time of an idle tick.
const TICK_CPU_MAX: Duration = Duration::from_micros(100);

/// Commits that are made to see what each adds, and edits between two of them: one each five seconds.
const COMMITS: u64 = 6;
const EDITS_A_COMMIT: u64 = 60;
/// What a daemon makes in an hour of steady edits, at most one in five minutes.
const COMMITS_AN_HOUR: u64 = 12;

/// All of them, unless cargo bench was asked for something else.
pub(crate) fn all(benches: &Benches) {
    let mut asked =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    let is_smoke_test = std::env::args().any(|argument| argument == "--test");
    if is_smoke_test || asked.peek().is_some() && !asked.any(|name| "figures".contains(&name)) {
        return;
    }
    memory(benches);
    for place in benches.places.iter().filter(|place| place.size == USUAL) {
        idle(benches, place);
        repository(benches, place);
    }
}

fn memory(benches: &Benches) {
    let mut smallest = None;
    for place in &benches.places {
        let filled = place.filled();
        let workspace = empty_workspace();
        let import = peak(workspace.root(), &["import".as_ref(), &filled.file]);
        let bound = place.size == "100k";
        benches.table.borrow_mut().figure(
            "peak RSS of import",
            place.size,
            mib(import),
            if bound { "64 MiB" } else { "" },
            bound.then_some(import < IMPORT_RSS_MAX),
        );
        let target = filled.dir.path().join("peak.jsonl");
        let export = peak(filled.workspace.root(), &["export".as_ref(), &target]);
        let first = *smallest.get_or_insert(export);
        benches.table.borrow_mut().figure(
            "peak RSS of export",
            place.size,
            mib(export),
            "does not grow",
            Some(export < first + EXPORT_RSS_MORE_MAX),
        );
    }
}

/// Peak RSS of a command in bytes.
fn peak(root: &Path, arguments: &[&Path]) -> u64 {
    let mut command = Command::new(FLOOR);
    command.args(["peak", TRACKER, "--dir"]).arg(root).args(arguments);
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// What a daemon does where nobody wants anything of it.
fn idle(benches: &Benches, place: &Place) {
    let workspace = &place.filled().workspace;
    let daemon = Daemon::start_with(workspace, &["--interval", INTERVAL]).expect("a daemon");
    let mut client = workspace.client().expect("a client");
    client.sync().expect("all is written");
    let ticks = |client: &mut Client| client.status().expect("an answer").ticks;
    let warm = ticks(&mut client) + 10;
    wait_for("it is idle", || Ok(ticks(&mut client) > warm)).expect("ticks");

    let files = touched(workspace.paths().dir());
    let (first, begun, before) = (ticks(&mut client), Instant::now(), Used::by(daemon.pid()));
    pass(Duration::from_millis(10) * u32::try_from(TICKS).expect("not many") * 3 / 2);
    let (after, time) = (Used::by(daemon.pid()), begun.elapsed());
    let count = ticks(&mut client) - first;
    assert!(count >= TICKS, "{count} ticks in {time:?}");

    let cpu = (after.cpu - before.cpu) / u32::try_from(count).expect("not many");
    let each = |now: u64, then: u64| (now - then) as f64 / count as f64;
    let mut table = benches.table.borrow_mut();
    let name = |what: &str| format!("idle tick: {what}");
    let nanos = cpu.as_secs_f64() * 1e9;
    table.figure(&name("CPU"), USUAL, shown(nanos), "100 us", Some(cpu < TICK_CPU_MAX));
    let switches = each(after.switches, before.switches);
    table.figure(&name("context switches"), USUAL, format!("{switches:.2}"), "", None);
    let bytes = after.written - before.written;
    table.figure(&name("bytes to disk"), USUAL, bytes.to_string(), "0", Some(bytes == 0));
    let now = touched(workspace.paths().dir());
    let changed = now.iter().filter(|(name, when)| files.get(*name) != Some(when)).count();
    table.figure(&name("files changed"), USUAL, changed.to_string(), "0", Some(changed == 0));
    let has_forked = after.child_faults != before.child_faults || after.children > 0;
    let forks = if has_forked { "some" } else { "0" };
    table.figure(&name("forks"), USUAL, forks.to_owned(), "0", Some(!has_forked));
    drop(client);
    daemon.stop().expect("it stops");
}

/// When each file below a folder was changed last.
fn touched(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let found = fs::symlink_metadata(&path).expect("it is there");
        if found.is_dir() {
            files.extend(touched(&path));
        }
        files.insert(path, found.modified().expect("a time"));
    }
    files
}

#[expect(clippy::disallowed_methods, reason = "the time that is measured")]
fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// What a process has used so far, all its threads together.
struct Used {
    cpu: Duration,
    /// Voluntary context switches: how often something has slept.
    switches: u64,
    /// Bytes sent to the storage layer, those of mapped files too. (`wchar` would count the wake-ups of
    /// threads, which are writes to an eventfd.)
    written: u64,
    /// Minor faults of the children that were reaped: no child lives without some.
    child_faults: u64,
    /// Children that are there.
    children: usize,
}

impl Used {
    fn by(pid: u32) -> Self {
        let (mut cpu, mut switches, mut children) = (Duration::ZERO, 0, 0);
        for task in fs::read_dir(format!("/proc/{pid}/task")).expect("its threads") {
            let task = task.expect("a thread").path();
            // proc_pid_schedstat(5): nanoseconds on a CPU come first.
            let text = fs::read_to_string(task.join("schedstat")).expect("its time");
            let first = text.split_whitespace().next().expect("three numbers");
            cpu += Duration::from_nanos(first.parse().expect("a number"));
            switches += field(&task.join("status"), "voluntary_ctxt_switches:");
            let text = fs::read_to_string(task.join("children")).expect("its children");
            children += text.split_whitespace().count();
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("its state");
        let (_, rest) = stat.rsplit_once(") ").expect("its name");
        // proc_pid_stat(5): `cminflt` is the 11th, and the state, the third, comes first here.
        let child_faults = rest.split(' ').nth(8).expect("many numbers").parse().expect("a number");
        let written = field(Path::new(&format!("/proc/{pid}/io")), "write_bytes:");
        Self { cpu, switches, written, child_faults, children }
    }
}

/// The number that comes after a name, at the beginning of a line.
fn field(path: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(path).expect("a file of /proc");
    let rest = text.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
    rest.trim().parse().expect("a number")
}

/// What an hour of steady edits adds to a repository: sixty edits and a commit, a few times over, then as many
/// commits as a daemon makes in an hour. No hour passes: what a commit adds does not depend on the clock.
fn repository(benches: &Benches, place: &Place) {
    let workspace = empty_workspace();
    run(tracker(workspace.root()).arg("import").arg(&place.filled().file));
    workspace.enable_git().expect("git");
    run(tracker(workspace.root()).arg("sync"));
    let daemon = Daemon::start_with(&workspace, &["--interval", "1h"]).expect("a daemon");
    let mut client = workspace.client().expect("a client");
    let before = git_bytes(&workspace);
    let mut dice = Dice::new(place.issues.seed);
    for _ in 0..COMMITS {
        for edit in 0..EDITS_A_COMMIT {
            let id = place.issues.id(dice.below(place.issues.count as u64) as usize);
            let patch = serde_json::json!({"id": id, "title": format!("edit {edit}")});
            client.call("update", patch).expect("an update");
        }
        client.sync().expect("a commit");
    }
    let commit = (git_bytes(&workspace) - before) / COMMITS;
    let mut table = benches.table.borrow_mut();
    table.figure(".git, a commit", USUAL, mib(commit), "", None);
    table.figure(".git, an hour of steady edits", USUAL, mib(commit * COMMITS_AN_HOUR), "", None);
    drop(client);
    daemon.stop().expect("it stops");
}

/// The size of all objects, loose and packed.
fn git_bytes(workspace: &Workspace) -> u64 {
    let counted = workspace.git(["count-objects", "-v"]).expect("git");
    let of = |name: &str| -> u64 {
        let line = counted.lines().find_map(|line| line.strip_prefix(name)).expect("a count");
        line.trim().parse().expect("a number")
    };
    1024 * (of("size:") + of("size-pack:"))
}
