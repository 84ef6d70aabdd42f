//! Keeping the JSONL file, and git, in step with the database.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use watertight_suites::{
    Daemon, Embedded, Ending, GitGate, Workspace, WriteLock, options, wait_for, workspace,
};
use watertight_tracker::client::{Client, ClientError};
use watertight_tracker::daemon::Options;
use watertight_tracker::exit_code::Exit;
use watertight_tracker::issue::NewIssue;

/// Ticks after which whatever happens at each of them has happened, and has been seen to.
const TICKS: u64 = 12;
/// So long that no test sees the second tick.
const NEVER: Duration = Duration::from_secs(3600);

watertight::main!();

// The file.

#[watertight::test]
fn new_changed_and_deleted_issues_reach_the_file_by_themselves() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    let kept = client.create(&NewIssue::titled("kept"))?.id;
    let gone = client.create(&NewIssue::titled("gone"))?.id;
    wait_for("both are there", || Ok(workspace.exported_titles()? == ["gone", "kept"]))?;
    client.close_issue(&kept)?;
    wait_for("the change is there", || {
        Ok(workspace.exported()?.iter().any(|issue| issue.closed_at.is_some()))
    })?;
    client.delete(&gone)?;
    wait_for("the deleted one is not", || Ok(workspace.exported_titles()? == ["kept"]))?;
    daemon.stop()
}

#[watertight::test]
fn what_the_command_line_changes_the_daemon_exports() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let id = workspace.tracker(["create", "-q", "by hand"])?.ok()?.out;
    wait_for("it is exported", || Ok(workspace.exported_titles()? == ["by hand"]))?;
    workspace.tracker(["update", id.trim(), "--title", "by two hands"])?.ok()?;
    wait_for("so is the change", || Ok(workspace.exported_titles()? == ["by two hands"]))?;
    daemon.stop()
}

#[watertight::test]
fn a_second_export_of_a_changed_subset_still_holds_every_issue() -> Ending {
    let workspace = workspace!()?;
    let daemon = Embedded::start(&workspace, Options { interval: NEVER, ..options() })?;
    let mut client = after_first_pass(&workspace)?;
    for title in ["a", "b", "c", "d"] {
        client.create(&NewIssue::titled(title))?;
    }
    assert_eq!(client.sync()?.changed, 4);
    let one = client.list(Some(1))?.remove(0);
    client.close_issue(&one.id)?;
    let second = client.sync()?;
    assert_eq!((second.changed, second.exported.context("exported")?.issues), (1, 4));
    assert_eq!(workspace.exported_titles()?, ["a", "b", "c", "d"]);
    assert_eq!(daemon.stop()?.unclosed, [""; 0]);
    Ok(())
}

#[watertight::test]
fn an_empty_database_makes_no_file() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    wait_for("some ticks", || Ok(client.status()?.ticks >= TICKS))?;
    assert_eq!(client.status()?.exports, 0);
    ensure!(!workspace.paths().jsonl().exists(), "there was nothing to write");
    daemon.stop()
}

#[watertight::test]
fn an_idle_daemon_writes_nothing() -> Ending {
    let workspace = workspace!()?;
    workspace.create("the only one")?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    client.sync()?;
    let written = fs::metadata(workspace.paths().jsonl())?;
    let (before, exports) = (client.status()?.ticks, client.status()?.exports);
    wait_for("some ticks", || Ok(client.status()?.ticks >= before + TICKS))?;
    let now = fs::metadata(workspace.paths().jsonl())?;
    assert_eq!((now.ino(), now.mtime_nsec()), (written.ino(), written.mtime_nsec()));
    assert_eq!(client.status()?.exports, exports);
    daemon.stop()
}

#[watertight::test]
fn a_removed_file_comes_back() -> Ending {
    let workspace = workspace!()?;
    workspace.create("the only one")?;
    let daemon = Daemon::start(&workspace)?;
    workspace.client()?.sync()?;
    fs::remove_file(workspace.paths().jsonl())?;
    wait_for("it is back", || Ok(workspace.exported_titles()? == ["the only one"]))?;
    daemon.stop()
}

/// Between two looks of the daemon, the first of which found none either.
#[watertight::test]
fn a_file_that_is_removed_as_soon_as_it_is_there_comes_back() -> Ending {
    let workspace = workspace!()?;
    let daemon = Daemon::start_with(&workspace, &["--interval", "1s"])?;
    let mut client = workspace.client()?;
    wait_for("a look", || Ok(client.status()?.ticks >= 1))?;
    client.create(&NewIssue::titled("the only one"))?;
    client.sync()?;
    fs::remove_file(workspace.paths().jsonl())?;
    wait_for("it is back", || Ok(workspace.exported_titles()? == ["the only one"]))?;
    daemon.stop()
}

// Git.

#[watertight::test]
fn git_commits_a_change_and_nothing_without_one() -> Ending {
    let workspace = workspace!()?;
    workspace.enable_git()?;
    fs::write(workspace.root().join("other"), "not the tracker's business")?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    let id = client.create(&NewIssue::titled("a"))?.id;
    client.sync()?;
    assert_eq!(workspace.commits()?, 1);
    let before = client.status()?.ticks;
    wait_for("some ticks", || Ok(client.status()?.ticks >= before + TICKS))?;
    assert_eq!(workspace.commits()?, 1, "nothing has changed");
    client.close_issue(&id)?;
    client.sync()?;
    assert_eq!(workspace.commits()?, 2);
    let files = workspace.git(["ls-tree", "-r", "--name-only", "HEAD"])?;
    assert_eq!(files, ".tracker/issues.jsonl\n", "one path and no other");
    daemon.stop()
}

#[watertight::test]
fn git_is_left_alone_unless_asked_for() -> Ending {
    let workspace = workspace!()?;
    workspace.init_git()?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    client.create(&NewIssue::titled("a"))?;
    client.sync()?;
    assert_eq!(workspace.exported_titles()?, ["a"]);
    assert_eq!(workspace.commits()?, 0);
    daemon.stop()
}

#[watertight::test]
fn a_git_that_refuses_is_told_and_made_up_for() -> Ending {
    let workspace = workspace!()?;
    workspace.enable_git()?;
    workspace.git_ignores(".tracker/")?;
    workspace.create("a")?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    wait_for("the refusal is told", || {
        Ok(client.status()?.last_error.is_some_and(|error| error.contains("git ignores")))
    })?;
    assert_eq!(workspace.exported_titles()?, ["a"], "the file is written all the same");
    workspace.git_ignores("")?;
    wait_for("it is committed", || Ok(workspace.commits()? == 1))?;
    wait_for("all is well", || Ok(client.status()?.last_error.is_none()))?;
    daemon.stop()
}

#[watertight::test]
fn steady_edits_are_committed_once_and_at_the_end() -> Ending {
    let workspace = workspace!()?;
    workspace.enable_git()?;
    workspace.create("a")?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    wait_for("the first commit", || Ok(workspace.commits()? == 1))?;
    for title in ["b", "c", "d"] {
        client.create(&NewIssue::titled(title))?;
        wait_for("it is exported", || {
            Ok(workspace.exported_titles()?.iter().any(|exported| exported == title))
        })?;
    }
    assert_eq!(client.status()?.commits, 1, "each edit stores the whole file again");
    daemon.stop()?;
    assert_eq!(workspace.commits()?, 2, "what was put off is made up for at the end");
    assert_eq!(workspace.git(["status", "--porcelain", ".tracker/issues.jsonl"])?, "");
    Ok(())
}

#[watertight::test]
fn git_is_off_while_its_user_is_at_work_and_goes_on_by_itself() -> Ending {
    let workspace = workspace!()?;
    workspace.enable_git()?;
    workspace.create("a")?;
    let daemon = Daemon::start(&workspace)?;
    let mut client = workspace.client()?;
    wait_for("the first commit", || Ok(workspace.commits()? == 1))?;
    let branch = workspace.git(["symbolic-ref", "--short", "HEAD"])?;
    workspace.git(["checkout", "--quiet", "--detach"])?;
    client.create(&NewIssue::titled("b"))?;
    ensure!(client.sync().is_err(), "it says that it has committed");
    let status = client.status()?;
    ensure!(status.git_off.is_some_and(|why| why.contains("branch")), "why not?");
    assert_eq!(status.last_error, None, "that is no failure");
    assert_eq!(workspace.exported_titles()?, ["a", "b"]);
    workspace.tracker(["daemon", "health"])?.ok()?;

    workspace.git(["symbolic-ref", "HEAD", &format!("refs/heads/{}", branch.trim())])?;
    client.sync()?;
    assert_eq!(workspace.commits()?, 2);
    assert_eq!(client.status()?.git_off, None);
    let metrics = client.metrics()?.text;
    let bytes = metrics.lines().find_map(|line| line.strip_prefix("tracker_git_bytes "));
    ensure!(bytes.context("no size of git")?.parse::<f64>()? > 0.0, "{metrics}");
    daemon.stop()
}

#[watertight::test]
fn sigterm_during_a_sync_waits_for_its_end() -> Ending {
    let workspace = workspace!()?;
    workspace.enable_git()?;
    let mut gate = GitGate::close(&workspace)?;
    workspace.create("in the making")?;
    let daemon = Daemon::start(&workspace)?;
    gate.wait()?;
    daemon.signal(Signal::SIGTERM)?;
    wait_for("it listens to nobody any more", || Ok(workspace.client().is_err()))?;
    gate.open()?;
    assert_eq!(daemon.wait()?.code(), Some(0));
    assert_eq!(workspace.exported_titles()?, ["in the making"]);
    assert_eq!(workspace.commits()?, 1);
    Ok(())
}

#[watertight::test]
fn a_git_that_hangs_is_ended_at_shutdown_and_made_up_for() -> Ending {
    let workspace = workspace!()?;
    workspace.enable_git()?;
    let mut gate = GitGate::close(&workspace)?;
    workspace.create("in the making")?;
    let patience = Duration::from_millis(200);
    let daemon = Embedded::start(&workspace, Options { shutdown_timeout: patience, ..options() })?;
    gate.wait()?;
    let report = daemon.stop()?;
    assert_eq!(report.unclosed, [""; 0], "git is ended, so nothing is left behind");
    assert_eq!(workspace.exported_titles()?, ["in the making"], "the file is whole");
    assert_eq!(workspace.commits()?, 0);

    gate.open()?;
    let next = Embedded::start(&workspace, options())?;
    wait_for("it is committed", || Ok(workspace.commits()? == 1))?;
    assert_eq!(next.stop()?.unclosed, [""; 0]);
    Ok(())
}

// A database that somebody else holds.

#[watertight::test]
fn a_locked_database_is_busy_and_recovers() -> Ending {
    let workspace = workspace!()?;
    let options = Options { interval: NEVER, busy_timeout: Duration::from_millis(20), ..options() };
    let daemon = Embedded::start(&workspace, options)?;
    let mut client = after_first_pass(&workspace)?;
    client.create(&NewIssue::titled("before"))?;

    let lock = WriteLock::take(&workspace)?;
    let created = client.create(&NewIssue::titled("meanwhile")).err().context("created")?;
    assert_eq!(exit(&created), Some(Exit::Busy), "{created}");
    assert_eq!(client.list(None)?.len(), 1, "readers are not kept out");
    let synced = client.sync().err().context("synced")?;
    assert_eq!(exit(&synced), Some(Exit::Busy), "{synced}");
    ensure!(client.status()?.last_error.is_some(), "the failed sync is not told");

    lock.release();
    client.create(&NewIssue::titled("after"))?;
    client.sync()?;
    assert_eq!(workspace.exported_titles()?, ["after", "before"]);
    assert_eq!(client.status()?.last_error, None);
    assert_eq!(daemon.stop()?.unclosed, [""; 0]);
    Ok(())
}

/// A client of a daemon that will not sync by itself during this test.
fn after_first_pass(workspace: &Workspace) -> anyhow::Result<Client> {
    let mut client = workspace.client()?;
    wait_for("the first pass", || Ok(client.status()?.passes >= 1))?;
    Ok(client)
}

fn exit(error: &ClientError) -> Option<Exit> {
    match error {
        ClientError::Refused(refused) => Some(refused.exit()),
        _ => None,
    }
}
