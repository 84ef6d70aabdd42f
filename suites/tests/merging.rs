//! The file in the hands of others: git, an editor, another program, an older database.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use watertight_suites::{
    Daemon, Embedded, Ending, GitGate, Workspace, WriteLock, options, wait_for, workspace,
};
use watertight_tracker::daemon::Options;
use watertight_tracker::issue::{IssuePatch, NewIssue};
use watertight_tracker::jsonl;
use watertight_tracker::store::Store;

/// Branch switches and resets while a daemon syncs.
const SWITCHES: usize = 12;

watertight::main!();

#[watertight::test]
fn what_somebody_else_writes_reaches_the_database() -> Ending {
    let workspace = workspace!()?;
    workspace.create("ours")?;
    let daemon = Daemon::start(&workspace)?;
    workspace.client()?.sync()?;
    let mut theirs = copy(&workspace)?;
    theirs.create(NewIssue::titled("theirs"))?;
    jsonl::export_file(&theirs, &workspace.paths().jsonl())?;
    theirs.close()?;
    wait_for("it is taken in", || Ok(workspace.client()?.list(None)?.len() == 2))?;
    daemon.stop()?;
    assert_eq!(workspace.exported_titles()?, ["ours", "theirs"]);
    Ok(())
}

#[watertight::test]
fn what_has_not_been_taken_in_yet_is_told() -> Ending {
    let workspace = workspace!()?;
    workspace.create("ours")?;
    workspace.tracker(["sync"])?.ok()?;
    let quiet = workspace.tracker(["list"])?.ok()?;
    ensure!(quiet.err.is_empty(), "{quiet:?}");
    let mut theirs = copy(&workspace)?;
    theirs.create(NewIssue::titled("theirs"))?;
    jsonl::export_file(&theirs, &workspace.paths().jsonl())?;
    theirs.close()?;
    for verb in ["list", "ready", "stats"] {
        let said = workspace.tracker([verb])?.ok()?;
        ensure!(said.err.contains("tracker sync"), "{verb}: {said:?}");
    }
    workspace.tracker(["sync"])?.ok()?;
    let quiet = workspace.tracker(["list"])?.ok()?;
    ensure!(quiet.err.is_empty() && quiet.out.contains("theirs"), "{quiet:?}");
    Ok(())
}

#[watertight::test]
fn what_is_done_before_git_refuses_is_told_too() -> Ending {
    let workspace = workspace!()?;
    workspace.enable_git()?;
    workspace.create("a")?;
    workspace.tracker(["sync"])?.ok()?;
    workspace.git(["checkout", "--quiet", "--detach"])?;
    workspace.create("b")?;
    let said = workspace.tracker(["sync"])?;
    ensure!(said.status == Some(1) && said.out.contains("1 changed, 2 written"), "{said:?}");
    ensure!(said.err.contains("detached"), "{said:?}");
    Ok(())
}

#[watertight::test]
fn our_own_rename_is_nobody_elses_change() -> Ending {
    let workspace = workspace!()?;
    let daemon = Embedded::start(&workspace, options())?;
    let mut client = workspace.client()?;
    for round in 0..20 {
        client.create(&NewIssue::titled(round.to_string()))?;
        let synced = client.sync()?;
        ensure!(synced.imported.is_none(), "round {round} took its own file in: {synced:?}");
    }
    let before = client.status()?.ticks;
    wait_for("some ticks", || Ok(client.status()?.ticks >= before + 12))?;
    ensure!(client.sync()?.is_idle(), "there was something left to do");
    assert_eq!(daemon.stop()?.unclosed, [""; 0]);
    Ok(())
}

#[watertight::test]
fn a_checkout_whose_times_lie_is_taken_for_what_it_holds() -> Ending {
    let workspace = workspace!()?;
    let id = workspace.create("old")?;
    let mut store = workspace.store()?;
    sync(&mut store, &workspace)?;
    let path = workspace.paths().jsonl();
    let times = fs::metadata(&path)?.modified()?;
    let mut theirs = copy(&workspace)?;
    let patch = IssuePatch { title: Some("new".into()), ..IssuePatch::default() };
    theirs.update(&id, &patch)?;
    jsonl::export_file(&theirs, &path)?;
    theirs.close()?;
    // Newer content under the old time.
    File::options().write(true).open(&path)?.set_modified(times)?;
    let report = sync(&mut store, &workspace)?;
    assert_eq!(report.imported.context("not noticed")?.updated, 1);
    // Old content under a new time.
    File::options().write(true).open(&path)?.set_modified(times + Duration::from_secs(3600))?;
    let report = sync(&mut store, &workspace)?;
    assert_eq!((report.imported.context("not looked at")?.unchanged, report.exported), (1, None));
    assert_eq!(store.show(&id)?.title, "new");
    Ok(store.close()?)
}

#[watertight::test]
fn an_empty_or_older_database_does_not_cost_an_issue() -> Ending {
    let workspace = workspace!()?;
    for title in ["a", "b", "c"] {
        workspace.create(title)?;
    }
    let mut store = workspace.store()?;
    sync(&mut store, &workspace)?;
    let backup = workspace.root().join("backup.db");
    store.close()?;
    fs::copy(workspace.paths().database(), &backup)?;
    workspace.create("d")?;
    let closed = workspace.tracker(["sync"])?.ok()?;
    ensure!(closed.out.contains("1 changed, 4 written"), "{closed:?}");

    fs::copy(&backup, workspace.paths().database())?;
    workspace.create("e")?;
    workspace.tracker(["sync"])?.ok()?;
    assert_eq!(workspace.exported_titles()?, ["a", "b", "c", "d", "e"]);

    fs::remove_file(workspace.paths().database())?;
    workspace.tracker(["init", "--prefix", "tt"])?.ok()?;
    workspace.create("f")?;
    let daemon = Daemon::start(&workspace)?;
    wait_for("all are there", || Ok(workspace.client()?.list(None)?.len() == 6))?;
    daemon.stop()?;
    assert_eq!(workspace.exported_titles()?, ["a", "b", "c", "d", "e", "f"]);
    Ok(())
}

#[watertight::test]
fn resets_and_branch_switches_in_the_middle_of_a_sync_lose_nothing() -> Ending {
    let workspace = workspace!()?;
    workspace.enable_git()?;
    workspace.create("the first")?;
    workspace.tracker(["sync"])?.ok()?;
    workspace.git(["branch", "other"])?;
    let often = Options { commit_interval: Duration::ZERO, ..options() };
    let daemon = Embedded::start(&workspace, often)?;
    let mut client = workspace.client()?;
    let branch = workspace.git(["symbolic-ref", "--short", "HEAD"])?;
    let branches = [branch.trim(), "other"];
    for round in 0..SWITCHES {
        client.create(&NewIssue::titled(format!("in round {round}")))?;
        // Whatever git refuses because the file is in the way or a lock is held is tried again by
        // its user; here it does not matter.
        let to = branches[(round + 1) % 2];
        let _may_be_refused = workspace.git(["checkout", "--quiet", "--force", to]);
        let _may_be_refused = workspace.git(["reset", "--quiet", "--hard", "HEAD"]);
    }
    assert_eq!(client.list(None)?.len(), SWITCHES + 1, "none is lost from the database");
    client.sync()?;
    assert_eq!(workspace.exported_titles()?.len(), SWITCHES + 1, "nor from the file");
    assert_eq!(client.status()?.last_error, None);
    assert_eq!(daemon.stop()?.unclosed, [""; 0]);
    workspace.git(["fsck", "--strict"])?;
    assert_eq!(workspace.git(["status", "--porcelain"])?, "", "the user's index is in step");
    Ok(())
}

#[watertight::test]
fn a_reset_while_git_hangs_is_made_up_for() -> Ending {
    let workspace = workspace!()?;
    workspace.enable_git()?;
    workspace.create("the first")?;
    workspace.tracker(["sync"])?.ok()?;
    let mut gate = GitGate::close(&workspace)?;
    let often = Options { commit_interval: Duration::ZERO, ..options() };
    let daemon = Embedded::start(&workspace, often)?;
    let mut client = workspace.client()?;
    client.create(&NewIssue::titled("the second"))?;
    gate.wait()?;
    // As a checkout does it, without its filters.
    let committed = workspace.git(["show", "HEAD:.tracker/issues.jsonl"])?;
    fs::remove_file(workspace.paths().jsonl())?;
    fs::write(workspace.paths().jsonl(), committed)?;
    gate.open()?;
    wait_for("both are in the file", || Ok(workspace.exported_titles()?.len() == 2))?;
    client.sync()?;
    wait_for("and committed", || {
        Ok(workspace.git(["show", "HEAD:.tracker/issues.jsonl"])?.lines().count() == 2)
    })?;
    assert_eq!(daemon.stop()?.unclosed, [""; 0]);
    Ok(())
}

#[watertight::test]
fn a_merge_that_nobody_has_finished_is_left_alone_and_told() -> Ending {
    let workspace = workspace!()?;
    workspace.create("a")?;
    workspace.tracker(["sync"])?.ok()?;
    let path = workspace.paths().jsonl();
    let good = fs::read_to_string(&path)?;
    let conflicted = format!("<<<<<<< HEAD\n{good}=======\n{good}>>>>>>> other\n");
    fs::write(&path, &conflicted)?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    client.create(&NewIssue::titled("b"))?;
    wait_for("it is told", || {
        Ok(client.status()?.last_error.is_some_and(|error| error.contains("conflict marker")))
    })?;
    assert_eq!(fs::read_to_string(&path)?, conflicted, "the merge is still to be finished");
    let said = workspace.tracker(["sync"])?;
    ensure!(said.status == Some(4) && said.err.contains("line 1"), "{said:?}");
    // The marker lines taken out: the same issue is there twice.
    fs::write(&path, format!("{good}{good}"))?;
    client.sync()?;
    assert_eq!(workspace.exported_titles()?, ["a", "b"]);
    assert_eq!(client.status()?.last_error, None);
    daemon.stop()
}

#[watertight::test]
fn what_git_has_lost_is_committed_again_by_who_is_asked_to_sync() -> Ending {
    let workspace = workspace!()?;
    workspace.enable_git()?;
    for title in ["a", "b"] {
        workspace.create(title)?;
        workspace.tracker(["sync"])?.ok()?;
    }
    let whole = workspace.git(["show", "HEAD:.tracker/issues.jsonl"])?;
    workspace.git(["reset", "--quiet", "--soft", "HEAD~1"])?;
    let said = workspace.tracker(["sync"])?.ok()?;
    ensure!(said.out.contains(", committed"), "{said:?}");
    assert_eq!(workspace.git(["show", "HEAD:.tracker/issues.jsonl"])?, whole);
    let said = workspace.tracker(["sync"])?.ok()?;
    ensure!(said.out.contains("nothing to commit"), "{said:?}");
    Ok(())
}

#[watertight::test]
fn git_that_keeps_the_lines_of_both_sides_needs_nobody_to_merge() -> Ending {
    let (ours, theirs) = (workspace!()?, workspace!()?);
    ours.enable_git()?;
    theirs.enable_git()?;
    let branch = ours.git(["symbolic-ref", "--short", "HEAD"])?;
    let from_theirs = [
        "pull",
        "--quiet",
        "--no-rebase",
        "--no-edit",
        &theirs.root().to_string_lossy(),
        branch.trim(),
    ];
    let id = theirs.create("a")?;
    fs::write(theirs.root().join(".gitattributes"), "*.jsonl merge=union\n")?;
    theirs.git(["add", ".gitattributes"])?;
    theirs.git(["commit", "--quiet", "-m", "union"])?;
    theirs.tracker(["sync"])?.ok()?;
    ours.git(from_theirs)?;
    ours.tracker(["sync"])?.ok()?;
    for (workspace, said) in [(&ours, "here"), (&theirs, "there")] {
        workspace.tracker(["comment", &id, said])?.ok()?;
        workspace.tracker(["create", said])?.ok()?;
        workspace.tracker(["sync"])?.ok()?;
    }
    ours.git(from_theirs)?;
    ours.tracker(["sync"])?.ok()?;
    assert_eq!(ours.exported_titles()?, ["a", "here", "there"]);
    let issue = ours.tracker(["show", "--json", &id])?.ok()?.json()?;
    assert_eq!(issue["comments"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[watertight::test]
fn success_is_printed_after_the_commit_and_not_before() -> Ending {
    let workspace = workspace!()?;
    let lock = WriteLock::take(&workspace)?;
    let mut command = workspace.command(["create", "-q", "too early"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    #[expect(clippy::disallowed_methods, reason = "killed and waited for below")]
    let mut child = command.spawn()?;
    wait_for("it waits for the database", || has_open(child.id(), &workspace.paths().database()))?;
    child.kill()?;
    child.wait()?;
    let mut printed = String::new();
    child.stdout.take().context("piped")?.read_to_string(&mut printed)?;
    lock.release();
    assert_eq!(printed, "", "an id of an issue that is not there");
    let store = workspace.store()?;
    assert_eq!(store.count()?, 0);
    Ok(store.close()?)
}

fn has_open(pid: u32, path: &Path) -> anyhow::Result<bool> {
    let path = path.canonicalize()?;
    let fds = fs::read_dir(format!("/proc/{pid}/fd"))?;
    Ok(fds.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|open| open == path)))
}

/// A database of somebody else, with what is in the file.
fn copy(workspace: &Workspace) -> anyhow::Result<Store> {
    let mut store = Store::open_in_memory()?;
    jsonl::import_file(&mut store, &workspace.paths().jsonl())?;
    Ok(store)
}

fn sync(
    store: &mut Store,
    workspace: &Workspace,
) -> anyhow::Result<watertight_tracker::sync::SyncReport> {
    Ok(watertight_tracker::sync::pass(store, workspace.paths(), &Default::default())?)
}
